"""A show for a program: `async for told in client`, from the snapshot on, through every lost connection.

Owns: one connection at a time, the place in the sequence, and the commands that wait for their answer.
Invariant: an event is given out once and in order; what was missed for good is announced by `told.snapshot`. A client
comes back by itself, when the server says so or after a growing pause, and gives up after `tries` in a row.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Self, cast
from urllib.parse import quote, urlencode

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from realtime.client_tickets import TicketOffice, TicketRefused
from realtime.core.returning import Position, pause_ms, stays_away
from schema.audience import Reaction
from schema.ids import QuestionId
from schema.wire import (
    SUBPROTOCOL_JSON,
    AnyCommand,
    AnyEvent,
    Ask,
    ChatAccepted,
    Ping,
    React,
    Say,
    Vote,
    Want,
    WireError,
)

TRIES = 30
OPEN_DEADLINE_S = 10.0
REPLY_DEADLINE_S = 8.0
PING_EVERY_S = 20.0
WAITING_MAX = 256
"""Frames that the program has not taken yet; then nothing is read, and a server that minds closes with 4004."""
PENDING_MAX = 32
FRAME_MAX_BYTES = 4 * 1024 * 1024

Tickets = Callable[[], Awaitable[str]]
Heard = Callable[[str, int], None]
"""Hears "connecting", "open", "waiting" (with the pause in ms) and "over"."""


class StayAway(Exception):  # noqa: N818 - what the server said
    """The server asks not to come back. `code` is its close code, or the HTTP status of a refusal."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class OutOfTries(Exception):  # noqa: N818 - likewise
    """Nobody answered, `TRIES` times in a row."""


class CommandRefused(Exception):  # noqa: N818 - likewise
    """A command got no `ok`. `code` is one of `schema.errors`, or "network" if no answer came."""

    def __init__(self, code: str, detail: str, retry_after_ms: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.retry_after_ms = retry_after_ms


class Other(msgspec.Struct, frozen=True):
    """An event of a type that this version does not know."""

    t: str
    fields: dict[str, Any]


class Happened(NamedTuple):
    """One event. `offset` is None for one that is for this account alone."""

    offset: int | None
    event: AnyEvent | Other


class Told(NamedTuple):
    """What one frame brought. With `snapshot`: forget what you knew, then take this."""

    events: list[Happened]
    state: dict[str, Any]
    epoch: str
    offset: int
    snapshot: bool = False
    recovered: bool | None = None


class _Offset(msgspec.Struct):
    o: int


class _Message(msgspec.Struct):
    """Whatever a server may say: a frame, the answer to a command, something private, or when to come back."""

    e: str | None = None
    o: int = 0
    ev: list[msgspec.Raw] = []
    st: dict[str, Any] = {}
    snapshot: bool = False
    recovered: bool | None = None
    re: str | None = None
    ok: dict[str, Any] | None = None
    error: WireError | None = None
    private: msgspec.Raw = msgspec.Raw()
    reconnect_ms: int | None = None


_messages = msgspec.json.Decoder(_Message)
_events = msgspec.json.Decoder(AnyEvent)
_offsets = msgspec.json.Decoder(_Offset)
_anything = msgspec.json.Decoder(dict[str, Any])
_json = msgspec.json.Encoder()


class ShowClient:
    """An async context manager, and an async iterator of `Told`; one task at a time may iterate.

    `token`: a viewer's or a member of the staff's; without one a guest joins. `ticket`: where tickets come from
    instead. `resume`: the epoch and offset to go on from. Iterating raises StayAway when the server wants no more of
    this client, OutOfTries when nobody answers.
    """

    def __init__(
        self,
        base_url: str,
        show: str,
        *,
        token: str = "",
        ticket: Tickets | None = None,
        resume: tuple[str, int] | None = None,
        tries: int = TRIES,
        on_status: Heard = lambda _status, _pause_ms: None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._show = quote(show, safe="")
        self._token = token
        self._ticket = ticket
        self._tries = tries
        self._say = on_status
        self.position = Position(*resume) if resume else Position()
        self.connections = 0
        """How many times it was let in."""
        self._attempt = 0
        self._directed_ms: int | None = None
        self._told: asyncio.Queue[Told | Exception] = asyncio.Queue(WAITING_MAX)
        self._pending: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._refs = 0
        self._socket: ClientConnection | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._ticket is None:
            http = await self._stack.enter_async_context(httpx2.AsyncClient(base_url=self._base_url))
            self._ticket = TicketOffice(http, self._show, self._token)
        running = asyncio.create_task(self._run(), name="show-client")
        self._stack.push_async_callback(_end, running)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Told:
        told = await self._told.get()
        if isinstance(told, Exception):
            self._told.put_nowait(told)  # whoever asks again hears it again
            raise told
        return told

    # -- commands -----------------------------------------------------------------------------------------------

    async def say(self, text: str, reply_to: str = "") -> ChatAccepted:
        """Say something in the chat. Raises CommandRefused."""
        return msgspec.convert(await self._command(Say(text=text, reply_to=reply_to)), ChatAccepted)

    async def react(self, kind: Reaction, count: int = 1) -> None:
        """Tap a reaction `count` times (at most 20). Raises CommandRefused."""
        await self._command(React(kind=kind, count=count))

    async def vote(self, poll_id: str, option: int) -> None:
        """Vote for an option, from 0; another vote replaces it while the poll is open. Raises CommandRefused."""
        await self._command(Vote(poll_id=poll_id, option=option))

    async def ask(self, text: str) -> QuestionId:
        """Ask the host. Raises CommandRefused."""
        return QuestionId((await self._command(Ask(text=text)))["id"])

    async def want(self, question_id: str) -> None:
        """Want a question answered. Raises CommandRefused."""
        await self._command(Want(question_id=question_id))

    async def ping(self) -> int:
        """The server's clock, in ms. Raises CommandRefused."""
        return cast(int, (await self._command(Ping()))["at_ms"])

    async def _command(self, command: AnyCommand) -> dict[str, Any]:
        if self._socket is None or len(self._pending) >= PENDING_MAX:
            raise CommandRefused("network", "The connection is being restored")
        self._refs += 1
        ref = str(self._refs)
        answer = self._pending[ref] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(REPLY_DEADLINE_S):
                await self._socket.send(_json.encode(msgspec.structs.replace(command, ref=ref)), text=True)
                ok: dict[str, Any] = await answer
        except (TimeoutError, ConnectionClosed):
            raise CommandRefused("network", "No answer came") from None
        finally:
            self._pending.pop(ref, None)
        return ok

    # -- connections --------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Connect, listen, pause, for as long as that makes sense."""
        try:
            while True:
                pause_s = self._pause_s(await self._once())
                await asyncio.sleep(pause_s)
        except Exception as error:  # noqa: BLE001 - whoever iterates must hear it, or would wait for ever
            self._say("over", 0)
            await self._told.put(error)

    def _pause_s(self, at_least_ms: int) -> float:
        if self._attempt >= self._tries:
            raise OutOfTries(f"Nobody let us in, {self._attempt} times in a row")
        chance = random.random()  # noqa: S311 - it spreads a crowd, and keeps no secret
        pause = pause_ms(self._attempt, chance, directed_ms=self._directed_ms, at_least_ms=at_least_ms)
        self._attempt, self._directed_ms = self._attempt + 1, None
        self._say("waiting", pause)
        return pause / 1000

    async def _once(self) -> int:
        """One connection, from the ticket to the end; answers the least pause after it, in ms. Raises StayAway."""
        assert self._ticket is not None
        self._say("connecting", 0)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(OPEN_DEADLINE_S):
                    socket = await stack.enter_async_context(self._dial(await self._ticket()))
                await self._listen(socket)
        except TicketRefused as refused:
            if refused.final:
                raise StayAway(refused.status, str(refused)) from None
            return refused.retry_after_ms
        except InvalidStatus as refused:
            return _door_shut(refused)
        except (InvalidHandshake, InvalidURI, OSError, TimeoutError):
            return 0
        return 0

    def _dial(self, ticket: str) -> connect:
        query = urlencode({"ticket": ticket, **self.position.query})
        return connect(
            f"ws{self._base_url.removeprefix('http')}/ws/{self._show}?{query}",
            subprotocols=[SUBPROTOCOL_JSON],  # type: ignore[list-item]  # its own NewType of str
            compression=None,
            max_size=FRAME_MAX_BYTES,
            ping_interval=PING_EVERY_S,  # a network that was changed keeps a dead socket for minutes
            ping_timeout=PING_EVERY_S,
            close_timeout=1.0,
        )

    async def _listen(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.connections += 1
        self._say("open", 0)
        try:
            while True:
                await self._receive(await socket.recv(decode=False))
        except ConnectionClosed as closed:
            code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
            if stays_away(code):
                raise StayAway(code, reason) from None
        finally:
            self._socket = None
            for answer in self._pending.values():
                if not answer.done():
                    answer.set_exception(CommandRefused("network", "The connection was lost"))

    # -- what comes in ------------------------------------------------------------------------------------------

    async def _receive(self, data: bytes) -> None:
        message = _messages.decode(data)
        if message.re is not None:
            self._answer(message.re, message)
        elif message.private:
            event = Happened(None, _event(message.private))
            await self._told.put(Told([event], {}, self.position.epoch or "", self.position.offset))
        elif message.e is not None:
            self._attempt, self._directed_ms = 0, message.reconnect_ms  # only a server that talks has let us in
            await self._told.put(self._take(message.e, message))

    def _take(self, epoch: str, message: _Message) -> Told:
        seen = self.position.advance(epoch, message.o, snapshot=message.snapshot)
        events = [Happened(at, _event(raw)) for raw in message.ev if (at := _offsets.decode(raw).o) > seen]
        return Told(events, message.st, epoch, message.o, message.snapshot, message.recovered)

    def _answer(self, ref: str, message: _Message) -> None:
        waiting = self._pending.get(ref)
        if waiting is None or waiting.done():
            return
        if (error := message.error) is not None:
            waiting.set_exception(CommandRefused(error.code, error.detail, error.retry_after_ms))
        else:
            waiting.set_result(message.ok or {})


def _event(raw: msgspec.Raw) -> AnyEvent | Other:
    try:
        known: AnyEvent = _events.decode(raw)
    except msgspec.ValidationError:  # a newer server's
        fields = _anything.decode(raw)
        return Other(t=str(fields.get("t", "")), fields=fields)
    return known


def _door_shut(refused: InvalidStatus) -> int:
    """The least pause before another try, in ms. Raises StayAway if there is no use in one."""
    status, said = refused.response.status_code, refused.response.headers.get("Retry-After", "")
    if status in {400, 403, 404, 405, 426}:
        raise StayAway(status, "The server does not open a socket for this client") from None
    return int(said) * 1000 if said.isascii() and said.isdigit() else 0


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
