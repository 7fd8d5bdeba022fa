"""Some viewers do not read: what the others feel of it, and what those cost.

Owns: nothing. Invariant: both windows of a pair have as many viewers and say the same; in the second one those of a
process of their own read nothing, and have more before them than any buffer takes.
"""

import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from fanout import resident, spread
from fanout.contenders import Ours, World
from fanout.load import Load, Tally
from fanout.window import Figures, one_window

BURST = 1500
"""Messages said at once before each window: 300 KB, beyond the kernel's buffers and ours."""
SMALL_BUFFER = 4096


class Half(NamedTuple):
    """One window of a pair."""

    figures: Figures
    grown: int
    """Resident bytes of the server, from before the burst to after the window."""
    unsent: int
    """Bytes in the kernel that the viewers have not taken."""
    stalled: Tally


def _unsent(port: int) -> int:
    """Of all connections of a local port: the second half of /proc/net/tcp's fifth field is for reading."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(int(row[4].partition(":")[0], 16) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


async def _half(
    of: Ours, world: World, steady: Load, count: int, few: int, rate: int, seconds: float, *, stall: bool
) -> Half:
    swing = await of.viewers(world, few, receive_buffer=SMALL_BUFFER if stall else 0)
    try:
        await swing.open(few)
        if stall:
            await swing.stall()
        before = resident(of.pid)
        await steady.mark()
        for _ in range(BURST):
            await of.say()
        came = await steady.wait(BURST * count, 30)
        if came < BURST * count:
            raise SystemExit(f"of {BURST * count} messages of the burst {came} came")
        figures = await one_window(of, world, [steady], count, rate, seconds)
        return Half(figures, resident(of.pid) - before, _unsent(of.port), await swing.tally())
    finally:
        await swing.stop()


async def stalled(world: World, of: Ours, count: int, rate: int, pairs: int, seconds: float) -> None:
    """The table of so many pairs, a viewer in twenty stalled."""
    few = count // 20
    steady = await of.viewers(world, count - few)
    calm: list[Half] = []
    held: list[Half] = []
    try:
        await steady.open(count - few)
        for number in range(pairs):
            for row, stall in ((calm, False), (held, True)):
                row.append(await _half(of, world, steady, count - few, few, rate, seconds, stall=stall))
                one = row[-1]
                print(
                    f"pair {number + 1}, {'stalled' if stall else 'reading'}: p50 {one.figures.ages.p50:.1f}, p99 "
                    f"{one.figures.ages.p99:.1f} ms, {one.figures.us:.2f} us, grown {one.grown / 1024:.0f} KiB, "
                    f"unsent {one.unsent / 1024:.0f} KiB, {one.stalled.closed} closed",
                    file=sys.stderr,
                )
    finally:
        await steady.stop()
    _print(calm, held, count, few, rate)


def _print(calm: list[Half], held: list[Half], count: int, few: int, rate: int) -> None:
    print(f"\n{count} viewers in one process, {rate} messages a second; {few} of them read, or do not\n")
    print(
        "| those few | the others: p50 ms | p99 ms | us a message | server grown, KiB each | in the kernel, KiB each |"
    )
    print("|---|---|---|---|---|---|")
    for name, row in (("read", calm), ("do not", held)):
        cells = [
            spread([one.figures.ages.viewers_p50 for one in row], 1),
            spread([one.figures.ages.viewers_p99 for one in row], 1),
            spread([one.figures.us for one in row]),
            spread([one.grown / 1024 / few for one in row], 1),
            spread([one.unsent / 1024 / few for one in row], 1),
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    ratios = [b.figures.ages.viewers_p50 / a.figures.ages.viewers_p50 for a, b in zip(calm, held, strict=True)]
    print(f"\nThe others' p50, stalled to reading, pair by pair: {', '.join(f'{one:.3f}' for one in ratios)}; ", end="")
    print(f"median {statistics.median(ratios):.3f}")
