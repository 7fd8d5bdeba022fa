"""Joins: POST to the first picture that can be decoded, what a join costs, and whether those who watch notice.

    python benchmarks/join.py                              # 20 joins/s while 50 watch, under a minute
    python benchmarks/join.py --watchers 200 --rate 50 --repeats 5
    python benchmarks/join.py --server cache "no cache"    # and a server that keeps no group of pictures, in turn
    python benchmarks/join.py --server cache product       # and the whole product: tokens, middleware, Redis

The host has 4 s between its keyframes and answers no PLI. Viewers are light peers over real HTTP, ICE, DTLS and SRTP
with Chromium's offer. The server has one core, load and host another.

`decodable`       POST until all packets of a keyframe are there; `live`: until a picture is that is at most 3 behind
`join and leave`  the server's user and system time, less what the calm windows before and after take; who is live
                  leaves, so that the fan-out stays the watchers'. `a join`: that without a leave
`sound alone`     joins and leaves of newcomers who want no picture, so that nothing is hurried to them
`a leave`         as many of those leave as steadily, who had come before
`lost`            of watchers: a sequence number that never came; `pause`: the longest time between two packets
`load`            how busy the load's process was; near 100 % it measures itself
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import random
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import uvicorn
import uvloop
from starlette.applications import Starlette

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from light_peer import LightHost, LightPeer
from relay import KEY_PACKETS, Anybody, cpu_seconds, pin, sizes_of

from live.auth import Tokens
from media.config import RelayConfig
from media.core.demux import Kind, classify
from media.core.rtp import parse_header
from media.dtls import Certificate
from media.relay import Relay
from media.routes import routes
from schema.ids import AccountId, ShowId
from schema.people import Principal, Role

SECRET = "SHOWFLOOR_TOKEN_SECRET"
PICTURES, GOP = 25, 100
OFFER = (Path(__file__).parent / "chromium_offer.sdp").read_text()
"""What Chromium 156 offers to play sound and picture, in 190 lines: a server reads them all."""
VIDEO = 96
PATIENCE_S = 8
BEHIND = 3
"""Pictures behind the scout that still are live: load and server are one machine's."""


async def serve(port: int, gop_packets: int) -> None:
    gate, config = Anybody(), RelayConfig(bind_host="127.0.0.1", max_pending=1000, gop_packets=gop_packets)
    async with Relay(config, gate) as relay:

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
            gc.collect()  # this and what is off below are so in `showfloor serve` too
            gc.freeze()
            yield {"relay": relay, "media_gate": gate}

        app = Starlette(routes=list(routes), lifespan=lifespan)
        off = {"access_log": False, "server_header": False, "proxy_headers": False}
        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", **off)).serve()


def token(name: str, role: Role) -> str:
    """The product wants it signed."""
    secret = os.environ.get(SECRET)
    person = Principal(account_id=AccountId(name), role=role, name=name, show_id=ShowId("bench"))
    return Tokens(secret).issue(person) if secret else name


async def publish(bases: list[str]) -> None:
    """The same pictures to each server. The number of a picture stands in it."""
    hosts = []
    for base in bases:
        host = LightHost(Certificate.generateCertificate())
        async with httpx2.AsyncClient(base_url=base) as http:
            offer = host.offer("opus", "VP8", direction="sendonly")
            headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token('host', Role.HOST)}"}
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
    sizes = sizes_of(picture, is_key=is_key)
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

    def __init__(self, certificate: Certificate, name: str, wants: str = "joins") -> None:
        self.token = token(name, Role.VIEWER)
        self.wants = wants
        """`sound`: that alone, so that there is nothing to catch up with."""
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
        offer = OFFER.format(
            ufrag=self.peer.ufrag, password=self.peer.password, fingerprint=self.peer.certificate.sha256
        )
        if self.wants == "sound":
            offer = offer.partition("m=video")[0].replace("BUNDLE 0 1", "BUNDLE 0")
        self.posted = time.monotonic()
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {self.token}"}
        await self.peer.connect((await http.post("/whep/bench", content=offer, headers=headers)).text)

    def _media(self, data: bytes) -> None:
        if data[1] & 127 != VIDEO:
            if self.wants == "sound" and classify(data) is Kind.RTP:
                self.is_live.set()
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
            if len(self.keyframe) == KEY_PACKETS:
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


async def measure(base: str, server: int, watchers: int, rate: float, seconds: float, pairs: int) -> None:
    """Pairs of windows, without joins and with; prints one JSON line."""
    certificate = Certificate.generateCertificate()
    async with httpx2.AsyncClient(
        base_url=base, timeout=30, limits=httpx2.Limits(max_keepalive_connections=64)
    ) as http:
        watching = [Viewer(certificate, f"watcher-{number}") for number in range(watchers)]
        watching[0].is_scout = True
        for start in range(0, watchers, 8):
            await asyncio.gather(*(viewer.join(http) for viewer in watching[start : start + 8]))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(viewer.is_live.wait() for viewer in watching))
        found: dict[str, list[Beside]] = {kind: [] for kind in ("joins", "sound", "leaves")}
        joining: list[Viewer] = []

        async def beside(what: Awaitable[object]) -> Beside:
            calm = await window(watching, server, asyncio.sleep(seconds))
            return Beside(
                calm,
                await window(watching, server, what),
                await window(watching, server, asyncio.sleep(seconds)),
            )

        for _ in range(pairs):
            for kind in ("joins", "sound"):
                come = [Viewer(certificate, f"viewer-{number}", wants=kind) for number in range(int(rate * seconds))]
                found[kind].append(await beside(steadily(rate, come, lambda one: until_live(http, one, leaves=True))))
                joining += come
            come = [Viewer(certificate, f"viewer-{number}", wants="sound") for number in range(int(rate * seconds))]
            await steadily(rate, come, lambda one: until_live(http, one, leaves=False))
            found["leaves"].append(await beside(steadily(rate, come, lambda one: one.peer.close())))
        print(json.dumps(figures(watching, [one for one in joining if one.wants == "joins"]) | costs(found, joining)))
        for viewer in watching:
            await viewer.peer.close()


class Window(NamedTuple):
    """A stretch of time."""

    seconds: float
    server: float
    """CPU seconds, likewise of the load."""
    load: float
    packets: int
    """That came to those who watch."""
    pause_ms: float
    """The longest that any of them saw."""


class Beside(NamedTuple):
    """One between two calm ones."""

    before: Window
    during: Window
    after: Window

    @property
    def cost(self) -> float:
        """The server's CPU seconds over what the calm ones take: the mean of both, for it comes or goes steadily."""
        calm = (self.before.server + self.after.server) / (self.before.seconds + self.after.seconds)
        return self.during.server - self.during.seconds * calm


async def window(watching: list[Viewer], server: int, what: Awaitable[object]) -> Window:
    """What `what` costs the server and the load, and how those who watch fare meanwhile."""
    for viewer in watching:
        viewer.longest = 0.0
    packets = sum(viewer.peer.packets for viewer in watching)
    began, before, mine = time.monotonic(), cpu_seconds(server), time.process_time()
    await what
    after, mine = cpu_seconds(server), time.process_time() - mine
    packets = sum(viewer.peer.packets for viewer in watching) - packets
    longest = max(viewer.longest for viewer in watching) * 1000
    return Window(time.monotonic() - began, after - before, mine, packets, longest)


async def steadily(rate: float, viewers: list[Viewer], does: Callable[[Viewer], Awaitable[object]]) -> None:
    """Each does it, so many a second."""
    began = time.monotonic()

    async def one(number: int, viewer: Viewer) -> None:
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        await does(viewer)

    await asyncio.gather(*(one(number, viewer) for number, viewer in enumerate(viewers)))


async def until_live(http: httpx2.AsyncClient, viewer: Viewer, *, leaves: bool) -> None:
    """Who `leaves` when it is live leaves the fan-out to those who watch."""
    await viewer.join(http)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(viewer.is_live.wait(), PATIENCE_S)
    if leaves:
        await viewer.peer.close()


def costs(found: dict[str, list[Beside]], joining: list[Viewer]) -> dict[str, Any]:
    """CPU a join, each window beside the calm ones around it; and what a packet of the fan-out costs."""
    each = [one for one in joining if one.wants == "joins"]
    many = len(each) / len(found["joins"])
    cost = {kind: [1000 * one.cost / many for one in windows] for kind, windows in found.items()}
    calm = [one for beside in found["joins"] + found["sound"] for one in (beside.before, beside.after)]
    joins = [beside.during for beside in found["joins"]]
    return {
        "cpu": cost["joins"],
        "sound": cost["sound"],
        "leave": cost["leaves"],
        "calm": [one.server / one.seconds for one in calm],
        "busy": [one.server / one.seconds for one in joins],
        "load": [one.load / one.seconds for one in joins],
        "packet_us": [one.server / one.packets * 1e6 for one in calm if one.packets],
        "came": [one.peer.packets for one in each],
        "gap": [[one.pause_ms for one in windows] for windows in (calm, joins)],
    }


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


def main(watchers: int, rate: float, repeats: int, seconds: float, pairs: int, names: list[str]) -> None:
    load = os.getloadavg()[0]
    pin(0, server=False)
    if "product" in names:
        os.environ[SECRET] = secrets.token_hex(32)
    with contextlib.ExitStack() as stack:
        servers = {name: start(stack, name) for name in names}
        bases = [base for base, _ in servers.values()]
        publisher = subprocess.Popen([sys.executable, __file__, "--role", "publish", "--base", *bases])
        stack.callback(end, publisher)
        time.sleep(1)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
        for _ in range(repeats):
            for name, (base, pid) in servers.items():
                found[name].append(run(base, pid, watchers, rate, seconds, pairs))
        show(found, watchers, rate, seconds, load)


def start(stack: contextlib.ExitStack, name: str) -> tuple[str, int]:
    """The relay with its routes alone, with or without a cache; or all of the product, with its stores."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    command = [__file__, "--role", "serve", "--gop-packets", "0" if name == "no cache" else "2000"]
    if name == "product":
        command = ["-m", "live", "serve", "--host", "127.0.0.1"]
        command += ["--data-dir", stack.enter_context(tempfile.TemporaryDirectory(prefix="join"))]
    child = subprocess.Popen([sys.executable, *command, "--port", str(port)], cwd=Path(__file__).parent.parent)
    stack.callback(end, child)
    wait_for(port)
    base = f"http://127.0.0.1:{port}"
    if name == "product":
        person = Principal(account_id=AccountId("operator"), role=Role.OPERATOR, name="")
        headers = {"Authorization": f"Bearer {Tokens(os.environ[SECRET]).issue(person)}"}
        show = {"show_id": "bench", "title": "Bench", "starts_at_ms": 0}
        httpx2.post(f"{base}/api/v1/shows", json=show, headers=headers).raise_for_status()
    pin(child.pid, server=True)
    return base, child.pid


def end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    child.wait()


def run(base: str, pid: int, watchers: int, rate: float, seconds: float, pairs: int) -> dict[str, Any]:
    arguments = ["--role", "measure", "--base", base, "--pid", str(pid), "--watchers", str(watchers)]
    arguments += ["--rate", str(rate), "--seconds", str(seconds), "--pairs", str(pairs)]
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True, timeout=240)
    return json.loads(done.stdout.splitlines()[-1])


def wait_for(port: int) -> None:
    until = time.monotonic() + 40
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
    windows = len(runs := next(iter(found.values()))) * len(runs[0]["cpu"])
    print(f"load before {load:.2f}, after {os.getloadavg()[0]:.2f}; {windows} windows, interleaved\n")
    for title, row in (("| | " + " | ".join(WAIT), waits), ("\n| | " + " | ".join(COST), cost)):
        print(f"{title} |\n" + "|---" * title.count("|") + "|")
        for name, runs in found.items():
            print(f"| {name} | {' | '.join(row(runs))} |")
    lost = ", ".join(str(sum(r["newcomers_lost"] for r in runs)) for runs in found.values())
    print(f"\nnewcomers' own packets lost: {lost}")


WAIT = ("joins", "decodable ms: median, p95", "live ms: median, p95", "never", "watchers: packets lost of")
WAIT += ("longest pause ms calm, joins", "server, load busy")
COST = ("CPU a join and leave ms (range)", "sound alone", "a leave", "a join", "packets a join")
COST += ("us a packet of the fan-out", "calm: core used (range)")


def waits(runs: list[dict[str, Any]]) -> list[str]:
    decodable, live = (sorted(ms for r in runs for ms in r[key]) for key in ("decodable", "live"))
    lost, seen, never = (sum(r[key] for r in runs) for key in ("lost", "seen", "never"))
    calm, busy = (statistics.median(ms for r in runs for ms in r["gap"][n]) for n in (0, 1))
    server, mine = (statistics.median(share for r in runs for share in r[key]) for key in ("busy", "load"))
    row = [str(len(decodable)), quantiles(decodable), quantiles(live), str(never)]
    return [*row, f"{lost} of {seen}", f"{calm:.0f}, {busy:.0f}", f"{server:.0%}, {mine:.0%}"]


def cost(runs: list[dict[str, Any]]) -> list[str]:
    names = ("cpu", "sound", "leave", "calm", "packet_us")
    cpu, sound, leave, calm, packet = ([one for r in runs for one in r[key]] for key in names)
    came = statistics.mean(count for r in runs for count in r["came"])
    join = statistics.median(cpu) - statistics.median(leave)
    shares = f"{statistics.median(calm):.1%} ({min(calm):.1%} - {max(calm):.1%})"
    return [spread(cpu), spread(sound), spread(leave), f"{join:.2f}", f"{came:.0f}", spread(packet), shares]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} - {max(values):.2f})"


def quantiles(values: list[float]) -> str:
    return f"{statistics.median(values):.0f}, {values[int(len(values) * 0.95)]:.0f}" if values else "-"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--role", default="main")
    parser.add_argument("--watchers", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--server", nargs="+", default=["cache"], choices=["cache", "no cache", "product"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--gop-packets", type=int, default=2000)
    parser.add_argument("--base", nargs="+", default=[])
    parser.add_argument("--pid", type=int, default=0)
    given = parser.parse_args()
    if given.role == "serve":
        uvloop.run(serve(given.port, given.gop_packets))
    elif given.role == "publish":
        uvloop.run(publish(given.base))
    elif given.role == "measure":
        uvloop.run(measure(given.base[0], given.pid, given.watchers, given.rate, given.seconds, given.pairs))
    else:
        main(given.watchers, given.rate, given.repeats, given.seconds, given.pairs, given.server)
