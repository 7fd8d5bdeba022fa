"""What stands in a show's state and comes from PostgreSQL's rows: polls, questions; and what ends by the clock.

Owns: what this process told last. `readers` answer what is to be told by show and key; `due` is done each time before.
Invariant: viewers see what is stored within `EVERY_S`, whichever process wrote it and whatever was lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import asyncpg
import structlog

from live.ports import Announcer
from schema.errors import ShowfloorError
from schema.ids import ShowId

log = structlog.get_logger()

EVERY_S = 0.5

Reader = Callable[[], Awaitable[Mapping[tuple[ShowId, str], object]]]


class Boards:
    """One per process."""

    def __init__(
        self, announcer: Announcer, readers: Sequence[Reader], due: Sequence[Callable[[], Awaitable[None]]] = ()
    ) -> None:
        self._announcer, self._readers, self._due = announcer, readers, due
        self._told: dict[tuple[ShowId, str], object] = {}
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Follow what is stored for ever; its owner cancels it."""
        while True:
            try:
                for end in self._due:
                    await end()
                await self.look()
            except (ShowfloorError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("boards_not_told", error=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Once: tell what is new."""
        async with self._looking:  # else an older reading could be told after a newer one
            now: dict[tuple[ShowId, str], object] = {}
            for reader in self._readers:
                now |= await reader()
            for one in {**self._told, **now}:
                if self._told.get(one) != now.get(one):
                    show, key = one
                    self._announcer.state(show, {key: now.get(one)})
            self._told = now

    def forget(self, show: ShowId) -> None:
        """The hub has lost what was told of a show: tell it again."""
        self._told = {one: value for one, value in self._told.items() if one[0] != show}
