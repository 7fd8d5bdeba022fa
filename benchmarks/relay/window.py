"""One window: viewers join a server, settle, are counted, and leave."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx2

from media.dtls import Certificate
from relay import PACKETS_A_SECOND, Figures, busy, cores, cpu_seconds, user_and_system
from relay.doors import Door, Janus, Whep
from relay.network import Network, Way
from relay.viewers import Load, Viewer, scouts

JOINING = 8
"""At a time."""
SETTLE_S, LONGEST_SETTLE_S = 0.5, 40.0
CALM = 0.12
LIVE_NS = 500_000_000
WORSE_S, REPAIR_S = 1.0, 2.0
"""Behind a bad network: of loss before the window, and what a packet of the window has to come yet."""


class Server(NamedTuple):
    """Somebody to measure."""

    name: str
    pid: int
    whep: str = ""
    whip: str = ""
    janus: str = ""
    ports: tuple[int, int] = (0, 0)


async def watch(server: Server, viewers: int, window: float, host: int, way: Way) -> Figures:
    """Join, settle, count for a window, leave."""
    load_ = Load()
    async with httpx2.AsyncClient(timeout=30) as http, Network(way) as network:
        door: Door = Janus(http, server.janus, network) if server.janus else Whep(http, server.whep, network)
        joined = cpu_seconds(server.pid)
        await _join_all(door, load_, viewers, way)
        joined = cpu_seconds(server.pid) - joined
        await _settle(load_)
        figures = await _count(load_, network, server.pid, host, window)
        first = sorted((v.decodable_ns - v.posted_ns) / 1e6 for v in load_.viewers if v.decodable_ns)
        await load_.close()
        await door.leave()
    return figures | {"first_ms": first, "join_ms": joined / viewers * 1e3}


async def _join_all(door: Door, load_: Load, viewers: int, way: Way) -> None:
    places, numbers, certificate = scouts(viewers), iter(range(viewers)), Certificate.generateCertificate()

    async def some() -> None:
        for number in numbers:
            viewer = Viewer(certificate, is_scout=number in places, round_trip_s=way.delay_ms / 500)
            await door.enter(viewer, number)
            load_.add(viewer)

    async with asyncio.timeout(60):
        await asyncio.gather(*(some() for _ in range(JOINING)))


async def _settle(load_: Load) -> None:
    """Until all have caught up with the live picture: packets come at the host's rate, twice in a row."""
    calm, until = 0, time.monotonic() + LONGEST_SETTLE_S
    while calm < 2 and time.monotonic() < until:
        before = load_.packets
        await asyncio.sleep(SETTLE_S)
        rate = (load_.packets - before) / SETTLE_S / len(load_.viewers)
        calm = calm + 1 if abs(rate / PACKETS_A_SECOND - 1) < CALM and _is_live(load_) else 0


def _is_live(load_: Load) -> bool:
    """Whether what the scouts got last was sent just now: a herd that joins at once is hurried to live for a while."""
    return all(one.delays_ns[-1] < LIVE_NS for one in load_.viewers if one.delays_ns)


async def _count(load_: Load, network: Network, pid: int, host: int, window: float) -> Figures:
    if network.is_bad:
        network.worsen()
        await asyncio.sleep(WORSE_S)
    load_.delays_ms()
    load_.frozen()
    since, dropped = load_.places(), network.dropped()
    before, overflow, worked = load_.tally(), _overflows(), load_.busy_s
    all_, cpu = [busy(core) for core in cores()], user_and_system(pid)
    own, at = (cpu_seconds(pid), cpu_seconds(host) + time.process_time()), time.monotonic()
    await asyncio.sleep(window)
    after, seconds = load_.tally(), time.monotonic() - at
    own = cpu_seconds(pid) - own[0], cpu_seconds(host) + time.process_time() - own[1]
    until, dropped = load_.places(), network.dropped() - dropped
    foreign = [busy(core) - was - ours for core, was, ours in zip(cores(), all_, own, strict=True)]
    cpu = [later - earlier for later, earlier in zip(user_and_system(pid), cpu, strict=True)]
    gone = {key: after[key] - before[key] for key in after}
    # /proc tells user and system apart in hundredths, of which a window of 50 viewers has a dozen.
    split = [part / max(1e-9, sum(cpu)) for part in cpu]
    delays, frozen = load_.delays_ms(), load_.frozen()
    await asyncio.sleep(REPAIR_S if network.is_bad else 0)
    never = sum(line.never(at, until[line]) for line, at in since.items())
    return {
        "us": (us := own[0] / gone["packets"] * 1e6),
        "user": us * split[0],
        "sys": us * split[1],
        "busy": own[0] / seconds,
        "rate": gone["packets"] / seconds,
        "share": gone["packets"] / seconds / (PACKETS_A_SECOND * len(load_.viewers)),
        "lost": never / max(1, sum(until[line] - at for line, at in since.items())),
        "never": never,
        "dropped": dropped / max(1, gone["packets"] + dropped),
        "resent": gone["resent"] / max(1, gone["came"]),
        "overflow": _overflows() - overflow,
        "frozen": min(1.0, frozen / seconds),
        "reads": gone["packets"] / max(1, gone["reads"]),
        "load": (load_.busy_s - worked) / seconds,
        "foreign": max(foreign) / seconds,
        "p50": share_of(delays, 0.5),
        "p99": share_of(delays, 0.99),
        "most": delays[-1] if delays else float("nan"),
    }


def share_of(values: Sequence[float], share: float) -> float:
    return values[int(len(values) * share)] if values else float("nan")


def _overflows() -> int:
    """Datagrams that found a full socket (the kernel's RcvbufErrors)."""
    names, values = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line[:4] == "Udp:"]
    return int(values[names.index("RcvbufErrors")])
