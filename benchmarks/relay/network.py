"""A bad network between the viewers and a server: the project's impairment relay (`tests/netem`), on the load's core.

Owns: one relay for each viewer, with a seed of its own, so that viewer number k loses packets of the same numbers
whichever server it watches. Invariant: nobody joins through loss, only through the delay; nothing is lost before
`worsen`.
"""

import contextlib
import re
import sys
from pathlib import Path
from typing import NamedTuple, Self

sys.path.append(str(Path(__file__).parents[2] / "tests"))

from netem.link import Conditions
from netem.udp import UdpRelay, through

_CANDIDATE = re.compile(r"(?i)a=candidate:\S+ 1 udp \d+ (\S+) (\d+) ")


class Way(NamedTuple):
    """What it does to packets, in both directions."""

    loss_percent: float = 0.0
    delay_ms: float = 0.0
    seed: int = 7

    def __str__(self) -> str:
        return f"{self.loss_percent:g} % lost and {self.delay_ms:g} ms each way, seed {self.seed}"


class Network:
    """`async with` it; without loss and delay nothing stands between."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self._relays: list[UdpRelay] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def is_bad(self) -> bool:
        return bool(self.way.loss_percent or self.way.delay_ms)

    async def through(self, description: str, number: int) -> str:
        """The server's description as viewer `number` should see it: its address is that of a relay."""
        found = _CANDIDATE.search(description)
        if not self.is_bad or found is None:
            return description
        late = Conditions(delay_ms=self.way.delay_ms)
        # Of two seeds a hundred thousand apart no run has viewers in common.
        seed = self.way.seed * 100_000 + number
        relay = UdpRelay((found[1], int(found[2])), seed=seed, down=late, up=late)
        self._relays.append(await self._stack.enter_async_context(relay))
        return through(description, relay.port)

    def worsen(self) -> None:
        """From now on it loses."""
        bad = Conditions(loss=self.way.loss_percent / 100, delay_ms=self.way.delay_ms)
        for relay in self._relays:
            relay.set(down=bad, up=bad)

    def dropped(self) -> int:
        """Datagrams on their way to viewers that it has taken away so far."""
        return sum(relay.counts()["down_lost"] for relay in self._relays)
