"""Those who come to a show at one moment are let in together: one script for their tickets, one task for all of them.

Owns: the handshakes that wait for their turn, show by show, and a task for each show that has any.
Invariant: whoever arrives is let in, answered or cut off within the gateway's deadline; a show that cannot be loaded
holds up nobody else's.
"""

import asyncio
from typing import Any

import structlog

from realtime import gateway as gateways
from realtime.core.handshake import Request
from realtime.gateway import Gateway
from realtime.socket import Arrival, Refusal, let_in, problem, turn_away
from schema.errors import ShowfloorError, Unavailable
from schema.ids import ShowId

log = structlog.get_logger()

AT_ONCE_MAX = 64
"""Let in without a pause: 3 ms of everybody's time."""
WAITING_MAX = 20_000


class Doorway:
    """One for each server."""

    def __init__(self) -> None:
        self._waiting: dict[ShowId, list[Arrival]] = {}
        self._count = 0

    def arrive(self, gateway: Gateway, name: str, request: Request, services: dict[str, Any]) -> None:
        """Somebody asks for the show of that name."""
        show = ShowId(name)
        try:
            arrival = Arrival.of(gateway, request.query, request.subprotocols)
            if self._count >= WAITING_MAX:
                raise Unavailable("Too many come at once", retry_after_ms=1000)
        except ShowfloorError as error:
            gateway.deny(problem(error))
            return
        self._count += 1
        queue = self._waiting.get(show)
        if queue is not None:
            queue.append(arrival)
            return
        self._waiting[show] = [arrival]
        gateway.start(self._let_in_all(show, services), "doorway")

    async def _let_in_all(self, show: ShowId, services: dict[str, Any]) -> None:
        queue = self._waiting[show]
        batch: list[Arrival] = []
        try:
            while queue:
                batch = queue[:AT_ONCE_MAX]
                del queue[:AT_ONCE_MAX]
                await self._let_in(show, batch, services)
                self._count -= len(batch)
                batch = []
        finally:
            del self._waiting[show]
            self._count -= len(batch) + len(queue)
            for arrival in (*batch, *queue):
                arrival.gateway.give_up()

    async def _let_in(self, show: ShowId, batch: list[Arrival], services: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(gateways.HANDSHAKE_S):
                refused = await let_in(show, batch, services)
        except TimeoutError:
            for arrival in batch:
                arrival.gateway.give_up()
            return
        except Exception:
            log.exception("handshake_failed")
            for arrival in batch:
                arrival.gateway.fail()
            return
        for refusal in refused:
            refusal[0].gateway.start(self._turn_away(refusal, services), "turned-away")

    async def _turn_away(self, refusal: Refusal, services: dict[str, Any]) -> None:
        try:
            await turn_away(refusal, services)
        finally:
            refusal[0].gateway.give_up()
