"""What a client may ask on its socket, and the answers.

Owns: the tasks of commands in flight: one per viewer that has any, none per idle viewer.
Invariant: a viewer's commands are answered in their order; a mistaken one gets an error and keeps its connection.
"""

import time
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from realtime.ports import Audience, Reports, Talk
from realtime.tasks import Tasks
from schema.errors import BadRequest, Forbidden, Invalid, RateLimited, ShowfloorError, Unavailable
from schema.ids import PollId, QuestionId, ShowId
from schema.people import Principal, Role
from schema.wire import AnyCommand, Ask, Ping, React, Reply, Say, Vote, Want, Watched, WireError

if TYPE_CHECKING:
    from realtime.viewer import Viewer

log = structlog.get_logger()

IN_FLIGHT_MAX = 2000


class _Ref(msgspec.Struct):
    ref: str = ""


_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_from_json = msgspec.json.Decoder(AnyCommand)
_from_msgpack = msgspec.msgpack.Decoder(AnyCommand)
_ref_from_json = msgspec.json.Decoder(_Ref)
_ref_from_msgpack = msgspec.msgpack.Decoder(_Ref)


class Commands:
    """`talk` is what becomes of a chat command, `reports` of a page's word on its picture, `audience` of the rest.

    The tasks belong to the hub, and end with it.
    """

    def __init__(self, talk: Talk, reports: Reports, audience: Audience | None = None) -> None:
        self._talk = talk
        self._reports = reports
        self._audience = audience
        self._tasks = Tasks(limit=IN_FLIGHT_MAX)

    async def aclose(self) -> None:
        await self._tasks.aclose()

    def start(self, viewer: "Viewer") -> None:
        """Answer the viewer's commands until none waits."""
        assert viewer.room is not None
        try:
            self._tasks.start(self._answer_all(viewer, viewer.room.show), "commands")
        except Unavailable as error:
            viewer.refuse(error)

    def too_many(self, payload: bytes, wait_ms: int, *, binary: bool) -> bytes:
        """The answer to a command that came too soon."""
        return encode_error(ref_of(payload, binary=binary), RateLimited(retry_after_ms=wait_ms), binary=binary)

    async def _answer_all(self, viewer: "Viewer", show: ShowId) -> None:
        while (payload := viewer.next_command()) is not None:
            viewer.reply(await self.answer(payload, viewer.principal, show, binary=viewer.binary))

    async def answer(self, payload: bytes, principal: Principal, show: ShowId, *, binary: bool) -> bytes:
        """The encoded reply to one encoded command."""
        try:
            command = decode(payload, binary=binary)
            ok = await self._obey(command, principal, show)
        except ShowfloorError as error:
            return encode_error(ref_of(payload, binary=binary), error, binary=binary)
        except Exception:
            log.exception("command_failed", show=show)
            return encode_error(ref_of(payload, binary=binary), ShowfloorError(), binary=binary)
        return _encode(Reply(re=command.ref, ok=ok), binary=binary)

    async def _obey(self, command: AnyCommand, principal: Principal, show: ShowId) -> dict[str, Any]:
        if principal.role is Role.ANALYST and not isinstance(command, Ping | Watched):
            raise Forbidden("An analyst reads, and changes nothing")
        if isinstance(command, Say):
            accepted = await self._talk.say(principal, show, command.text, command.reply_to)
            return {"offset": accepted.offset, "id": accepted.id}
        if isinstance(command, Watched):
            self._reports.heard(principal, show, command)
            return {}
        if isinstance(command, Ping):
            return {"at_ms": time.time_ns() // 1_000_000}
        if self._audience is None:
            raise Invalid("This server takes no such command")
        return await _attend(self._audience, command, principal, show)


async def _attend(
    audience: Audience, command: React | Vote | Ask | Want, principal: Principal, show: ShowId
) -> dict[str, Any]:
    match command:
        case React(kind=kind, count=count):
            await audience.react(principal, show, kind, count)
        case Vote(poll_id=poll, option=option):
            await audience.vote(principal, show, PollId(poll), option)
        case Want(question_id=question):
            await audience.want(principal, show, QuestionId(question))
        case Ask(text=text):
            return {"id": await audience.ask(principal, show, text)}
    return {}


def decode(payload: bytes, *, binary: bool) -> AnyCommand:
    """One command. Raises Invalid (no such command, or a wrong field) or BadRequest (not JSON, not msgpack)."""
    try:
        command: AnyCommand = (_from_msgpack if binary else _from_json).decode(payload)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The command cannot be read: {error}") from None
    except RecursionError:
        raise BadRequest("The command is nested too deeply") from None
    return command


def ref_of(payload: bytes, *, binary: bool) -> str:
    """The reference of a command that may be mistaken in everything else; '' where there is none."""
    try:
        ref = (_ref_from_msgpack if binary else _ref_from_json).decode(payload).ref
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return ref[:64]


def encode_error(ref: str, error: ShowfloorError, *, binary: bool) -> bytes:
    """An error frame."""
    told = WireError(code=error.code, detail=error.detail, retry_after_ms=error.retry_after_ms)
    return _encode(Reply(re=ref, error=told), binary=binary)


def _encode(reply: Reply, *, binary: bool) -> bytes:
    return (_msgpack if binary else _json).encode(reply)
