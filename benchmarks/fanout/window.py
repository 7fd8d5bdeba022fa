"""CPU and age of a message, window by window, in turns.

Owns: nothing. Invariant: a window ends when its last message has come to everybody, and only then is CPU read.
"""

import asyncio
import statistics
import sys
import time
from typing import NamedTuple

from fanout import TICK_S, cpu_ns, spread
from fanout.contenders import Contender, World
from fanout.load import Ages, Load

LATE_S = 90
SETTLE_S = 1.5


class Figures(NamedTuple):
    """Of one window."""

    us: float
    """Of the server's CPU, user and system, for a message that came to a viewer."""
    redis_us: float
    share: float
    """Of the server's core."""
    load: float
    """Of the core of the viewers."""
    frames: float
    """A second and viewer."""
    ages: Ages


async def one_window(
    of: Contender, world: World, viewers: list[Load], watching: int, rate: int, seconds: float
) -> Figures:
    """`rate` messages a second for so long."""
    for load in viewers:
        await load.mark()
    began, messages = time.monotonic(), int(rate * seconds)
    cpu, redis, own = cpu_ns(of.pid), cpu_ns(world.redis_pid), sum(load.cpu_ns() for load in viewers)
    for number in range(messages):
        await asyncio.sleep(max(0, began + number / rate - time.monotonic()))
        await of.say()
    came = [await viewers[0].wait(messages * watching, LATE_S), *[await one.wait(0, 0) for one in viewers[1:]]]
    cpu, took = cpu_ns(of.pid) - cpu, time.monotonic() - began
    if sum(came) < messages * watching:
        raise SystemExit(f"{of.name}: of {messages * watching} messages {sum(came)} came")
    own = sum(load.cpu_ns() for load in viewers) - own
    redis = cpu_ns(world.redis_pid) - redis
    frames = (await viewers[0].tally()).frames / took / watching
    return Figures(
        cpu / 1000 / sum(came),
        redis / 1000 / sum(came),
        cpu / 1e9 / took,
        own / 1e9 / took,
        frames,
        await viewers[0].ages(),
    )


async def fan_out(all_: list[Contender], world: World, count: int, rate: int, windows: int, seconds: float) -> None:
    """The table: each contender with so many viewers, in turns."""
    loads = {}
    rows: dict[str, list[Figures]] = {one.name: [] for one in all_}
    try:
        for one in all_:
            loads[one.name] = await one.viewers(world, count)
            await loads[one.name].open(count)
        await asyncio.sleep(SETTLE_S)
        for number in range(windows):
            for one in all_:
                found = await one_window(one, world, [loads[one.name]], count, rate, seconds)
                rows[one.name].append(found)
                print(
                    f"window {number + 1}, {one.name}: {found.us:.2f} us, core {found.share:.0%}, viewers' "
                    f"{found.load:.0%}, p50 {found.ages.p50:.0f}, p99 {found.ages.p99:.0f} ms",
                    file=sys.stderr,
                )
    finally:
        for load in loads.values():
            await load.stop()
    _print(rows, count, rate, windows, seconds)


def _print(rows: dict[str, list[Figures]], count: int, rate: int, windows: int, seconds: float) -> None:
    print(
        f"\n{count} viewers, {rate} messages a second of about 200 bytes, tick {TICK_S * 1000:.0f} ms; "
        f"{windows} windows of {seconds:g} s, in turns: median (least - most)\n"
    )
    print("| what | CPU us a message | to ours | core | frames/s | Redis, us | viewers' core | ms: p50, p99 |")
    print("|---|---|---|---|---|---|---|---|")
    ours = statistics.median(one.us for one in rows.get("ours", next(iter(rows.values()))))
    for name, row in rows.items():
        middle = statistics.median(one.us for one in row)
        cells = [
            name,
            spread([one.us for one in row]),
            f"{middle / ours:.2f}",
            f"{statistics.median(one.share for one in row):.0%}",
            f"{statistics.median(one.frames for one in row):.1f}",
            f"{statistics.median(one.redis_us for one in row):.3f}",
            f"{statistics.median(one.load for one in row):.0%}",
            f"{spread([one.ages.p50 for one in row], 0)}, {spread([one.ages.p99 for one in row], 0)}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)
