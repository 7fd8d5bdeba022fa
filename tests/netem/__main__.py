"""A bad network as a process: `python tests/netem udp 127.0.0.1:8189 --seed 7 --down '{"loss": 0.02}'`.

Prints one JSON line with its port and its seed, then takes lines of JSON: `{"down": {...}, "up": {...}}` changes the
network (conditions that are not named are off), `{"counts": true}` asks for what became of the packets (UDP),
`{"do": "stall" | "go_on" | "cut"}` is for TCP. Ends with its input, or after `--duration` seconds.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from netem.link import Conditions
from netem.tcp import TcpRelay
from netem.udp import UdpRelay


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("protocol", choices=("udp", "tcp"))
    options.add_argument("target", help="HOST:PORT")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options.add_argument("--duration", type=float, default=600)
    options.add_argument("--down", type=json.loads, default={})
    options.add_argument("--up", type=json.loads, default={})
    chosen = options.parse_args()
    host, _, port = chosen.target.rpartition(":")
    kind = UdpRelay if chosen.protocol == "udp" else TcpRelay
    way = kind((host, int(port)), seed=chosen.seed, port=chosen.port, **conditions(vars(chosen)))
    async with way as relay:
        say({"protocol": chosen.protocol, "port": relay.port, "seed": chosen.seed})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chosen.duration):
                await obey(relay)


async def obey(relay: UdpRelay | TcpRelay) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        order = json.loads(line)
        if "do" in order and isinstance(relay, TcpRelay):
            {"stall": relay.stall, "go_on": relay.go_on, "cut": relay.cut}[order["do"]]()
        elif "counts" in order and isinstance(relay, UdpRelay):
            say(relay.counts())
        else:
            relay.set(**conditions(order))


def conditions(order: dict[str, Any]) -> dict[str, Conditions]:
    return {way: Conditions(**order[way]) for way in ("down", "up") if way in order}


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


asyncio.run(main())
