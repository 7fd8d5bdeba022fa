"""Joins: POST to the first picture that can be decoded, what a join costs, and whether those who watch notice.

    python benchmarks/join.py                              # 20 joins/s while 50 watch, under a minute
    python benchmarks/join.py --watchers 200 --rate 50 --repeats 5
    python benchmarks/join.py --control                    # and a server that keeps no group of pictures, in turn

The host has 4 s between its keyframes and answers no PLI. Viewers are light peers over real HTTP, ICE, DTLS and SRTP.
The server has one core, load and host another. `decodable`: POST until all packets of a keyframe are there. `live`:
POST until a picture is there that is at most 3 behind. `cpu`: the server's user and system time over the joins, less
what the fan-out to the watchers takes without joins; who is live leaves. `hurried`: packets a newcomer got until it was
live, which are in `cpu`. A watcher's gap: a sequence number that never came, and the longest time between two packets
beside that of a window without joins. `load`: how busy the load's process was; near 100 % it measures itself.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
import uvloop
from starlette.applications import Starlette

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from light_peer import LightHost, LightPeer
from relay import FRAME, Anybody, cpu_seconds

from media.config import RelayConfig
from media.core.rtp import parse_header
from media.dtls import Certificate
from media.relay import Relay
from media.routes import routes

PICTURES, GOP = 25, 100
VIDEO = 96
PATIENCE_S = 8
BEHIND = 3
"""Pictures behind the scout that still are live: load and server are one machine's."""


async def serve(port: int, gop_packets: int) -> None:
    gate, config = Anybody(), RelayConfig(bind_host="127.0.0.1", max_pending=1000, gop_packets=gop_packets)
    async with Relay(config, gate) as relay:

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
            yield {"relay": relay, "media_gate": gate}

        app = Starlette(routes=list(routes), lifespan=lifespan)
        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False)).serve()


async def publish(bases: list[str]) -> None:
    """The same pictures to each server. The number of a picture stands in it."""
    hosts = []
    for base in bases:
        host = LightHost(Certificate.generateCertificate())
        async with httpx2.AsyncClient(base_url=base) as http:
            offer = host.offer("opus", "VP8", direction="sendonly")
            headers = {"Content-Type": "application/sdp", "Authorization": "Bearer host"}
            await host.connect((await http.post("/whip/bench", content=offer, headers=headers)).text)
        hosts.append(host)
    began, source, sound, picture = time.monotonic(), random.Random(7), 0, 0
    while True:
        while sound * 0.02 <= time.monotonic() - began:
            size = source.randrange(70, 110)
            for host in hosts:
                host.say(size)
            sound += 1
        if picture / PICTURES <= time.monotonic() - began:
            await one_picture(hosts, picture)
            picture += 1
        await asyncio.sleep(0.002)


async def one_picture(hosts: list[LightHost], picture: int) -> None:
    is_key = picture % GOP == 0
    sizes = FRAME * 3 if is_key else FRAME
    for host in hosts:
        host.timestamp[VIDEO] += 90_000 // PICTURES
    for number, size in enumerate(sizes):
        head = bytes((0x10 if number == 0 else 0, 0 if is_key else 1)) + picture.to_bytes(4, "big")
        for host in hosts:
            payload = head + bytes(size - len(head))
            host._packet(VIDEO, host.video_ssrc, payload, marker=number == len(sizes) - 1)
        if number % 2:
            await asyncio.sleep(0.002)


class Viewer:
    """Counts and times, and nothing else."""

    newest = 0
    """The newest picture that the scout, the first of the watchers, has."""

    def __init__(self, certificate: Certificate, name: str) -> None:
        self.name = name
        self.peer = LightPeer(certificate, on_media=self._media)
        self.numbers: list[int] = []
        self.keyframe: set[int] = set()
        self.decodable_at = self.live_at = 0.0
        self.last_at = self.longest = 0.0
        self.posted = 0.0
        self.is_scout = False
        self.is_live = asyncio.Event()
        self.hurried = 0

    async def join(self, http: httpx2.AsyncClient) -> None:
        offer, self.posted = self.peer.offer("opus", "VP8"), time.monotonic()
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {self.name}"}
        await self.peer.connect((await http.post("/whep/bench", content=offer, headers=headers)).text)

    def _media(self, data: bytes) -> None:
        if data[1] & 127 != VIDEO:
            return
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last_at if self.last_at else 0)
        self.last_at = now
        header = parse_header(data)
        assert header is not None
        self.numbers.append(header.sequence)
        if self.is_scout or not self.live_at:
            self._until_live(data, header.size, header.sequence, now)

    def _until_live(self, data: bytes, at: int, sequence: int, now: float) -> None:
        payload = self.peer.dtls.receiver.unprotect(data, at)
        if payload is None:  # it came twice: the first picture is repeated for who asks for a keyframe
            return
        picture = int.from_bytes(payload[2:6], "big")
        if picture % GOP == 0 and not self.decodable_at:
            self.keyframe.add(sequence)
            if len(self.keyframe) == len(FRAME) * 3:
                self.decodable_at = now
        elif self.decodable_at and not self.live_at and picture >= Viewer.newest - BEHIND:
            self.live_at = now
            self.hurried = len(self.numbers)
            self.is_live.set()
        Viewer.newest = max(Viewer.newest, picture)

    def gaps(self) -> int:
        """Numbers that never came."""
        if not self.numbers:
            return 0
        first = self.numbers[0]
        seen = {(number - first + 0x8000 & 0xFFFF) - 0x8000 for number in self.numbers}
        return max(seen) - min(seen) + 1 - len(seen)


async def measure(base: str, server: int, watchers: int, rate: float, seconds: float) -> None:
    """One window without joins, one with; prints one JSON line."""
    certificate = Certificate.generateCertificate()
    async with httpx2.AsyncClient(base_url=base, timeout=30) as http:
        watching = [Viewer(certificate, f"watcher-{number}") for number in range(watchers)]
        watching[0].is_scout = True
        for start in range(0, watchers, 8):
            await asyncio.gather(*(viewer.join(http) for viewer in watching[start : start + 8]))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(viewer.is_live.wait() for viewer in watching))
        calm, calm_gap = await window(watching, server, seconds)
        joining = [Viewer(certificate, f"viewer-{number}") for number in range(int(rate * seconds))]
        tasks, mine = asyncio.ensure_future(arrive(http, joining, rate)), time.process_time()
        busy, busy_gap = await window(watching, server, seconds)
        mine = time.process_time() - mine
        await tasks
        found = {"cpu": (busy - calm) / len(joining) * 1000, "calm": calm / seconds, "load": mine / seconds}
        print(json.dumps(figures(watching, joining) | found | {"gap": [calm_gap, busy_gap]}))
        for viewer in watching:
            await viewer.peer.close()


async def window(watching: list[Viewer], server: int, seconds: float) -> tuple[float, float]:
    """The server's CPU seconds, and the longest pause any watcher saw, in ms."""
    for viewer in watching:
        viewer.longest = 0.0
    before = cpu_seconds(server)
    await asyncio.sleep(seconds)
    return cpu_seconds(server) - before, max(viewer.longest for viewer in watching) * 1000


async def arrive(http: httpx2.AsyncClient, viewers: list[Viewer], rate: float) -> None:
    """Joins at a steady rate; each leaves when it is live, so that the fan-out stays the watchers'."""
    began = time.monotonic()

    async def one(number: int, viewer: Viewer) -> None:
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        await viewer.join(http)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(viewer.is_live.wait(), PATIENCE_S)
        await viewer.peer.close()

    await asyncio.gather(*(one(number, viewer) for number, viewer in enumerate(viewers)))


def figures(watching: list[Viewer], joining: list[Viewer]) -> dict[str, Any]:
    return {
        "decodable": [(v.decodable_at - v.posted) * 1000 for v in joining if v.decodable_at],
        "live": [(v.live_at - v.posted) * 1000 for v in joining if v.live_at],
        "never": sum(not v.live_at for v in joining),
        "lost": sum(viewer.gaps() for viewer in watching),
        "hurried": [v.hurried for v in joining if v.live_at],
        "newcomers_lost": sum(viewer.gaps() for viewer in joining),
        "seen": sum(len(viewer.numbers) for viewer in watching),
    }


def main(watchers: int, rate: float, repeats: int, seconds: float, *, control: bool) -> None:
    children: list[subprocess.Popen[bytes]] = []
    servers: dict[str, tuple[str, int]] = {}
    load = os.getloadavg()[0]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    try:
        for name, packets in (("cache", 2000), ("no cache", 0))[: 2 if control else 1]:
            with socket.create_server(("127.0.0.1", 0)) as door:
                port = door.getsockname()[1]
            arguments = ["--role", "serve", "--port", str(port), "--gop-packets", str(packets)]
            children.append(subprocess.Popen([sys.executable, __file__, *arguments]))
            os.sched_setaffinity(children[-1].pid, cores[:1])
            wait_for(port)
            servers[name] = (f"http://127.0.0.1:{port}", children[-1].pid)
        bases = [base for base, _ in servers.values()]
        children.append(subprocess.Popen([sys.executable, __file__, "--role", "publish", "--base", *bases]))
        time.sleep(1)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
        for _ in range(repeats):
            for name, (base, pid) in servers.items():
                found[name].append(run(base, pid, watchers, rate, seconds))
        show(found, watchers, rate, seconds, load)
    finally:
        for child in children:
            child.terminate()
            child.wait()


def run(base: str, pid: int, watchers: int, rate: float, seconds: float) -> dict[str, Any]:
    arguments = ["--role", "measure", "--base", base, "--server", str(pid), "--watchers", str(watchers)]
    arguments += ["--rate", str(rate), "--seconds", str(seconds)]
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


def wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


def show(found: dict[str, list[dict[str, Any]]], watchers: int, rate: float, seconds: float, load: float) -> None:
    print(
        f"\n## Joins: {rate:g} a second for {seconds:g} s, {watchers} watch; 4 s between keyframes, no PLI answered\n"
    )
    print(
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}, ",
        end="",
    )
    print(f"load before {load:.2f}, after {os.getloadavg()[0]:.2f}; {len(found['cache'])} interleaved repeats\n")
    print(
        "| | joins | decodable ms: median, p95 | live ms: median, p95 | never | CPU a join ms (range) | hurried |",
        end="",
    )
    print(" watchers: packets lost of | longest pause ms calm, joins | server, load busy |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, runs in found.items():
        decodable, live = (sorted(ms for r in runs for ms in r[key]) for key in ("decodable", "live"))
        cpu = [r["cpu"] for r in runs]
        lost, seen, never = (sum(r[key] for r in runs) for key in ("lost", "seen", "never"))
        calm, busy = (statistics.median(r["gap"][n] for r in runs) for n in (0, 1))
        spread = f"{statistics.median(cpu):.1f} ({min(cpu):.1f} - {max(cpu):.1f})"
        hurried = statistics.mean(count for r in runs for count in r["hurried"])
        mine = statistics.median(r["load"] for r in runs)
        served = statistics.median(r["calm"] + r["cpu"] * rate / 1000 for r in runs)
        print(f"| {name} | {len(decodable)} | {quantiles(decodable)} | {quantiles(live)} | {never} | ", end="")
        print(f"{spread} | {hurried:.0f} | {lost} of {seen} | {calm:.0f}, {busy:.0f} | {served:.0%}, {mine:.0%} |")
    print(f"\nnewcomers' own packets lost: {sum(r['newcomers_lost'] for r in found['cache'])}")


def quantiles(values: list[float]) -> str:
    return f"{statistics.median(values):.0f}, {values[int(len(values) * 0.95)]:.0f}" if values else "-"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--role", default="main")
    parser.add_argument("--watchers", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--gop-packets", type=int, default=2000)
    parser.add_argument("--base", nargs="+", default=[])
    parser.add_argument("--server", type=int, default=0)
    given = parser.parse_args()
    if given.role == "serve":
        uvloop.run(serve(given.port, given.gop_packets))
    elif given.role == "publish":
        uvloop.run(publish(given.base))
    elif given.role == "measure":
        uvloop.run(measure(given.base[0], given.server, given.watchers, given.rate, given.seconds))
    else:
        main(given.watchers, given.rate, given.repeats, given.seconds, control=given.control)
