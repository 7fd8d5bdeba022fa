"""CPU per forwarded packet, beside what the machine allows, in one run.

    python benchmarks/relay.py                  # 50 and 100 viewers, three interleaved repeats, a minute and a half
    python benchmarks/relay.py --viewers 200 --repeats 5 --window 10

A server process runs the relay, one with the pure egress and one with the native, where that is built; a host
process each sends 2 Mb/s of VP8-shaped packets, about 2 ms apart as browsers pace them, and 50 sound packets a second;
a load process plays for N viewers over real HTTP, ICE, DTLS and SRTP, and counts what arrives. The figure is the
server's user and system time over what arrived. The limits are tight loops in a process of their own: AES-GCM of the
same sizes and the kernel's send, nothing else, to as many sockets.
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
import struct
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
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from light_peer import LightHost, LightPeer

from media.config import RelayConfig
from media.core import rtcp
from media.core.srtp import GcmSender
from media.dtls import Certificate
from media.native.loader import load
from media.relay import Relay
from media.routes import routes
from schema.ids import AccountId, ShowId
from schema.people import Principal, Role

FRAME = [1180, 1176, 1180, 1171, 1180, 1180, 1165, 1178, 640]  # 2 Mb/s at 25 pictures a second
CLOCK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


# The server


class Anybody:
    """Lets everybody in, under the token's name."""

    async def publisher(self, token: str | None, show: str) -> Principal:  # noqa: ARG002 - the gate's signature
        return Principal(account_id=AccountId(token or "host"), role=Role.HOST, name="")

    async def subscriber(self, token: str | None, show: str, *, joining: bool) -> Principal:  # noqa: ARG002
        return Principal(account_id=AccountId(token or "viewer"), role=Role.VIEWER, name="")

    def host_changed(self, show_id: ShowId, present: bool) -> None:  # noqa: FBT001 - the listener's signature
        pass


async def totals(request: Request) -> JSONResponse:
    found = request.state.relay.totals()
    return JSONResponse(
        {name: getattr(found, name) for name in ("packets_out", "sends", "gso_refused", "packets_dropped")}
    )


async def serve(port: int, *, native: bool) -> None:
    gate = Anybody()
    async with Relay(RelayConfig(bind_host="127.0.0.1", max_pending=1000, native=native), gate) as relay:

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
            yield {"relay": relay, "media_gate": gate}

        app = Starlette(routes=[Route("/totals", totals), *routes], lifespan=lifespan)
        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False)).serve()


# The host


async def publish(base: str) -> None:
    host = LightHost(Certificate.generateCertificate())
    async with httpx2.AsyncClient(base_url=base) as http:
        answer = await http.post(
            "/whip/bench",
            content=host.offer("opus", "VP8", direction="sendonly"),
            headers={"Content-Type": "application/sdp", "Authorization": "Bearer host"},
        )
        await host.connect(answer.text)
    began, source, sound, picture = time.monotonic(), random.Random(7), 0, 0
    while True:
        while sound * 0.02 <= time.monotonic() - began:
            host.say(source.randrange(70, 110))
            sound += 1
        if picture * 0.04 <= time.monotonic() - began:
            wanted = any(isinstance(p, rtcp.KeyframeRequest) for c in host.compounds for p in rtcp.parse(c))
            host.compounds.clear()
            await picture_paced(host, keyframe=wanted or picture % 50 == 0)
            picture += 1
        await asyncio.sleep(0.002)


async def picture_paced(host: LightHost, *, keyframe: bool) -> None:
    sizes = FRAME * 3 if keyframe else FRAME
    host.timestamp[96] += 3600
    for number, size in enumerate(sizes):
        head = bytes((0x10 if number == 0 else 0, 0 if keyframe else 1))
        host._packet(96, host.video_ssrc, head + bytes(size - 2), marker=number == len(sizes) - 1)
        if number % 2:
            await asyncio.sleep(0.002)


# The viewers


async def join(http: httpx2.AsyncClient, certificate: Certificate, name: str) -> tuple[LightPeer, float]:
    """A playing viewer, and the moment of its POST."""
    peer = LightPeer(certificate)
    offer, posted = peer.offer("opus", "VP8"), time.monotonic()
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {name}"}
    answer = await http.post("/whep/bench", content=offer, headers=headers)
    await peer.connect(answer.text)
    return peer, posted


async def watch(base: str, viewers: int, server: int, window: float) -> None:
    """Join, count for a window, leave; prints one JSON line."""
    certificate = Certificate.generateCertificate()
    async with httpx2.AsyncClient(base_url=base, timeout=30) as http:
        before, peers = cpu_seconds(server), []
        for start in range(0, viewers, 4):
            some = range(start, min(start + 4, viewers))
            peers += await asyncio.gather(*(join(http, certificate, f"viewer-{n}") for n in some))
        joining = cpu_seconds(server) - before
        delays = []
        for peer, posted in peers:
            await peer.first_packet.wait()
            delays.append((peer.first_packet_at - posted) * 1000)
        await asyncio.sleep(1.2)  # every picture has begun
        figures = (await http.get("/totals")).json()
        cpu, count, at = cpu_seconds(server), sum(peer.packets for peer, _ in peers), time.monotonic()
        await asyncio.sleep(window)
        cpu, count = cpu_seconds(server) - cpu, sum(peer.packets for peer, _ in peers) - count
        seconds = time.monotonic() - at
        after = (await http.get("/totals")).json()
        for peer, _ in peers:
            await peer.close()
    sent = after["packets_out"] - figures["packets_out"]
    print(
        json.dumps(
            {
                "us": cpu / count * 1e6,
                "rate": count / seconds,
                "lost": 1 - count / sent if count < sent else 0.0,
                "segments": sent / max(1, after["sends"] - figures["sends"]),
                "join_ms": joining / viewers * 1e3,
                "first_ms": sorted(delays),
            }
        )
    )


# The limits


def sink(sockets: int) -> None:
    """Read and forget, as the viewers do."""

    async def drain() -> None:
        loop, numbers = asyncio.get_running_loop(), []
        for _ in range(sockets):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.setblocking(False)  # noqa: FBT003 - the library's signature
            one.bind(("127.0.0.1", 0))
            numbers.append(one.getsockname()[1])
            loop.add_reader(one.fileno(), empty, one)
        print(json.dumps(numbers), flush=True)
        await asyncio.Event().wait()

    def empty(one: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):
                one.recv(2048)

    asyncio.run(drain())


def limit(kind: str, sockets: int, seconds: float) -> None:
    """Microseconds of CPU per packet of a loop that only encrypts and sends."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--role", "sink", "--viewers", str(sockets)], stdout=subprocess.PIPE
    )
    try:
        targets = [("127.0.0.1", number) for number in json.loads(child.stdout.readline())]
        print(json.dumps({"us": _tight(kind, targets, seconds)}))
    finally:
        child.kill()


def _tight(kind: str, targets: list[tuple[str, int]], seconds: float) -> float:
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    sender, buffer, size = GcmSender(bytes(16), bytes(12)), memoryview(bytearray(65536)), 1208
    header, payload, index, sent = bytes(12), bytes(1180), 0, 0
    segments = 1 if kind == "sendto" else 4  # what a flush of 5 ms finds of packets 2 ms apart, sound included
    control = [(17, 103, struct.pack("=H", size))]
    began, until = time.process_time(), time.monotonic() + seconds
    while time.monotonic() < until:
        for target in targets:
            for number in range(segments):
                sender.seal_into(index, header, payload, buffer, number * size)
                index += 1
            if segments > 1:
                out.sendmsg([buffer[: segments * size]], control, 0, target)
            else:
                out.sendto(buffer[:size], target)
            sent += segments
        time.sleep(0.001)  # the readers share the machine
    return (time.process_time() - began) / sent * 1e6


# All together


def run(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):6.1f}  ({min(values):.1f} - {max(values):.1f})"


def main(viewers: list[int], repeats: int, window: float) -> None:
    twins = ["pure", *(["native"] if load().fanout else [])]
    children: list[subprocess.Popen[bytes]] = []
    load_before = os.getloadavg()
    try:
        servers = {twin: _start(twin, children) for twin in twins}
        time.sleep(1)
        relay: dict[tuple[str, int], list[dict[str, Any]]] = {(twin, n): [] for n in viewers for twin in twins}
        limits: dict[str, list[float]] = {"GSO of 4": [], "sendto": []}
        for _ in range(repeats):
            for (twin, count), runs in relay.items():
                base, pid = servers[twin]
                common = ["--base", base, "--server", str(pid), "--window", str(window)]
                runs.append(run("--role", "watch", "--viewers", str(count), *common))
            for kind, values in limits.items():
                values.append(run("--role", "limit", "--kind", kind, "--viewers", str(viewers[0]))["us"])
        _print(relay, limits, repeats, window, load_before)
    finally:
        for child in children:
            child.terminate()
            child.wait()


def _start(twin: str, children: list[subprocess.Popen[bytes]]) -> tuple[str, int]:
    """A server with a host on it: its address and pid."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, __file__, "--role", "serve", "--port", str(port), "--egress", twin])
    children.append(server)
    _wait_for(port)
    children.append(subprocess.Popen([sys.executable, __file__, "--role", "publish", "--base", base]))
    return base, server.pid


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


def _print(
    relay: dict[tuple[str, int], list[dict[str, Any]]],
    limits: dict[str, list[float]],
    repeats: int,
    window: float,
    load_before: tuple[float, float, float],
) -> None:
    print("\n## Relay: CPU per forwarded packet\n")
    print(
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}, ",
        end="",
    )
    print(f"load before {load_before[0]:.2f}, after {os.getloadavg()[0]:.2f}; ", end="")
    print(f"{repeats} interleaved repeats of {window:g} s\n")
    print("| what | us a packet: median (range) | packets/s | segments a send | lost |")
    print("|---|---|---|---|---|")
    for (twin, count), runs in relay.items():
        rate, segments, lost = (statistics.median(r[key] for r in runs) for key in ("rate", "segments", "lost"))
        figure = spread([r["us"] for r in runs])
        print(f"| relay, {twin}, {count} viewers | {figure} | {rate:.0f} | {segments:.1f} | {lost:.2%} |")
    for kind, values in limits.items():
        print(f"| limit: AES-GCM and {kind}, same sizes, nothing else | {spread(values)} | | | |")
    best = statistics.median(limits["GSO of 4"])
    medians = {of: statistics.median(r["us"] for r in runs) for of, runs in relay.items()}
    for (twin, count), median in medians.items():
        against = f", to pure {median / medians['pure', count]:.2f}" if twin == "native" else ""
        print(f"\nratio to the GSO limit, {twin}, {count} viewers: {median / best:.2f}{against}")
    print(f"\nnative: {load().reason}")
    first = sorted(ms for runs in relay.values() for r in runs for ms in r["first_ms"])
    joins = [r["join_ms"] for runs in relay.values() for r in runs]
    print(f"\nPOST to first RTP packet (4 joins at a time, {len(first)} joins): ", end="")
    print(f"median {statistics.median(first):.0f} ms, p95 {first[int(len(first) * 0.95)]:.0f} ms")
    print(f"server CPU a join, while the show goes on: {spread(joins)} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--role", default="main")
    parser.add_argument("--viewers", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--window", type=float, default=3.0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--base", default="")
    parser.add_argument("--server", type=int, default=0)
    parser.add_argument("--kind", default="sendto")
    parser.add_argument("--egress", choices=["pure", "native"], default="pure")
    given = parser.parse_args()
    if given.role == "serve":
        uvloop.run(serve(given.port, native=given.egress == "native"))
    elif given.role == "publish":
        uvloop.run(publish(given.base))
    elif given.role == "watch":
        uvloop.run(watch(given.base, given.viewers[0], given.server, given.window))
    elif given.role == "limit":
        limit(given.kind, given.viewers[0], 1.5)
    elif given.role == "sink":
        sink(given.viewers[0])
    else:
        main(given.viewers, given.repeats, given.window)
