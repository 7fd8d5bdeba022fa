"""What a viewer costs who only sits there, and what it costs to let one in.

Owns: nothing. Invariant: memory is read of a server that has held viewers before, so that what the first one costs is
not counted; CPU of a join is read once all that were let in are open (ours: have their snapshot).
"""

import asyncio
import statistics
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from fanout import cpu_ns, resident, spread
from fanout.contenders import Contender, World, everybody

WARM = 200
CALM_S, CALM_SHARE = 0.3, 0.05


async def _calm(pid: int) -> None:
    """Wait until the server has forgotten those that left."""
    for _ in range(100):
        before = cpu_ns(pid)
        await asyncio.sleep(CALM_S)
        if cpu_ns(pid) - before < CALM_S * CALM_SHARE * 1e9:
            return


async def _visit(of: Contender, world: World, count: int) -> float:
    """So many come and go; microseconds of the server's CPU for one to come."""
    load = await of.viewers(world, count)
    try:
        before = cpu_ns(of.pid)
        await load.open(count)
        return (cpu_ns(of.pid) - before) / 1000 / count
    finally:
        await load.stop()
        await _calm(of.pid)


async def memory(world: World, names: list[str], peers: list[Path], count: int, *, idle_s: float = 10) -> None:
    """Resident bytes a viewer, one server after the other."""
    print(f"\n{count} idle viewers, resident memory of the server's process\n")
    print("| what | KiB a viewer | MiB before | MiB with them | us of CPU a second while idle, a viewer |")
    print("|---|---|---|---|---|")
    for name in [*names, *peers]:
        async with AsyncExitStack() as stack:
            given = ([name], []) if isinstance(name, str) else ([], [name])
            of = (await everybody(stack, world, *given))[0]
            await _visit(of, world, WARM)
            before = resident(of.pid)
            load = await of.viewers(world, count)
            stack.push_async_callback(load.stop)
            await load.open(count)
            await _calm(of.pid)
            cpu = cpu_ns(of.pid)
            await asyncio.sleep(idle_s)
            cpu, after = cpu_ns(of.pid) - cpu, resident(of.pid)
            cells = [f"{(after - before) / 1024 / count:.2f}", f"{before / 2**20:.0f}", f"{after / 2**20:.0f}"]
            print(f"| {of.name} | {' | '.join(cells)} | {cpu / 1000 / idle_s / count:.2f} |", flush=True)


async def joins(world: World, all_: list[Contender], count: int, windows: int) -> None:
    """Joins for a second of the server's CPU, in turns."""
    rows: dict[str, list[float]] = {one.name: [] for one in all_}
    for one in all_:
        await _visit(one, world, WARM)
    for number in range(windows):
        for one in all_:
            us = await _visit(one, world, count)
            rows[one.name].append(us)
            print(f"window {number + 1}, {one.name}: {us:.0f} us a join", file=sys.stderr)
    print(f"\n{windows} windows of {count} joins, 64 at a time, in turns: median (least - most)\n")
    print("| what | us of the server's CPU a join | joins a second of a core | ours: times as many |")
    print("|---|---|---|---|")
    ours = statistics.median(rows.get("ours", next(iter(rows.values()))))
    for name, row in rows.items():
        middle = statistics.median(row)
        print(f"| {name} | {spread(row, 0)} | {1e6 / middle:,.0f} | {middle / ours:.2f} |", flush=True)
