"""How long our event loop is held, while so many are told so much.

Owns: nothing. Invariant: the probe is a timer of a millisecond in the server itself, whose own cost is in both rows.
"""

import asyncio

from fanout.contenders import Ours, World
from fanout.window import one_window


async def hold(world: World, of: Ours, counts: list[int], rate: int, windows: int, seconds: float) -> None:
    """The table, one number of viewers after the other."""
    print(f"\nOur event loop, {rate} messages a second, {windows} windows of {seconds:g} s\n")
    print("| viewers | while | looked at | held for ms: p50, p99, most |")
    print("|---|---|---|---|")
    for count in counts:
        load = await of.viewers(world, count)
        await of.held()
        try:
            await load.open(count)
            _row(count, "they join", await of.held())
            await asyncio.sleep(2)
            await of.held()
            await asyncio.sleep(seconds)
            _row(count, "nothing is said", await of.held())
            for _ in range(windows):
                await one_window(of, world, [load], count, rate, seconds)
            _row(count, "they are told", await of.held())
        finally:
            await load.stop()
        await asyncio.sleep(2)


def _row(count: int, what: str, found: tuple[int, float, float, float]) -> None:
    looked, p50, p99, most = found
    print(f"| {count} | {what} | {looked} | {p50:.1f}, {p99:.1f}, {most:.1f} |", flush=True)
