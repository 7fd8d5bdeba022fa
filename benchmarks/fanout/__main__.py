"""What a WebSocket costs: ours and others, side by side in one run.

    python benchmarks/fanout                       # CPU and age of a message: 5,000 viewers, 50 messages a second
    python benchmarks/fanout memory                # resident bytes of an idle viewer, 10,000 of them
    python benchmarks/fanout joins                 # joins a second of a core, with ticket and snapshot
    python benchmarks/fanout stalled               # one viewer in twenty does not read: what the others feel
    python benchmarks/fanout flood                 # 2,000 chat messages a second: do pins and stock still come
    python benchmarks/fanout hold                  # how long our event loop is held
    python benchmarks/fanout smoke                 # all of these, so small that the figures mean nothing: do they run
    python benchmarks/fanout --peer PEER.json      # and any other server of WebSockets that runs on this machine

Ours is the whole service, as `showfloor serve` starts it, told by another process through Redis. `loop` is loop.c: the
same frames, sent by C and nothing else. `starlette` and `websockets` are what one writes first (servers.py). The server
has one core, viewers, stores and this program the other; both of high priority where that is allowed. Viewers are
load.c, compiled at the start.

A peer is a file: {"name", "url": "ws://...", "pid", "hello": what a viewer says first, "publish": {"url", "headers",
"body": with {message} in it}}. It is told by HTTP, and is not started or stopped.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from relay import pin

from fanout import conditions
from fanout.contenders import Ours, World, everybody
from fanout.flood import flood
from fanout.hold import hold
from fanout.idle import joins, memory
from fanout.load import descriptors
from fanout.stalled import stalled
from fanout.window import fan_out

CONTENDERS = {
    "fanout": ["ours", "loop", "starlette"],
    "memory": ["ours", "starlette", "websockets"],
    "joins": ["ours", "starlette"],
}
VIEWERS = {"smoke": 20, "fanout": 5000, "memory": 10_000, "joins": 1000, "stalled": 5000, "flood": 1000, "hold": 5000}
ACCOUNTS, FLOOD_A_SECOND = 500, 2000


async def perform(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="fanout") as folder:
        async with World.open(Path(folder)) as world, AsyncExitStack() as stack:
            await measure(given, world, stack)


async def measure(given: argparse.Namespace, world: World, stack: AsyncExitStack) -> None:
    viewers = given.viewers or VIEWERS[given.what]
    names = given.only or CONTENDERS.get(given.what, ["ours"])
    if given.what == "smoke":
        await smoke(world, stack, viewers)
    elif given.what == "memory":
        await memory(world, names, given.peer, viewers)
    elif given.what in {"fanout", "joins"}:
        all_ = await everybody(stack, world, names, given.peer)
        if given.what == "joins":
            await joins(world, all_, viewers, given.windows)
        else:
            await fan_out(all_, world, viewers, given.rate, given.windows, given.seconds)
    else:
        ours = await Ours.start(stack, world, probe=given.what == "hold")
        if given.what == "stalled":
            await stalled(world, ours, viewers, given.rate, given.windows, given.seconds)
        elif given.what == "flood":
            await flood(world, ours, ACCOUNTS, viewers, FLOOD_A_SECOND, given.seconds * 10)
        else:
            await hold(world, ours, [viewers], given.rate, given.windows, given.seconds)


async def smoke(world: World, stack: AsyncExitStack, viewers: int) -> None:
    """Every program once."""
    ours = await Ours.start(stack, world, probe=True)
    all_ = [ours, *await everybody(stack, world, ["loop", "starlette"], [])]
    await joins(world, all_, viewers, 1)
    await fan_out(all_, world, viewers, 20, 1, 0.2)
    await hold(world, ours, [viewers], 20, 1, 0.2)
    await stalled(world, ours, viewers, 20, 1, 0.2)
    await flood(world, ours, viewers, viewers, 20, 0.5)
    await memory(world, ["starlette"], [], viewers, idle_s=0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="fanout", choices=list(VIEWERS))
    parser.add_argument("--viewers", type=int)
    parser.add_argument("--rate", type=int, default=50, help="messages a second")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a window")
    parser.add_argument("--only", nargs="+", choices=["ours", "loop", "starlette", "websockets"])
    parser.add_argument("--peer", type=Path, action="append", default=[], metavar="PEER.json")
    given = parser.parse_args()
    descriptors()
    pin(0, server=False)
    before, began = os.getloadavg(), time.monotonic()
    asyncio.run(perform(given))
    print(f"\n{conditions(before, began)}", flush=True)


if __name__ == "__main__":
    main()
