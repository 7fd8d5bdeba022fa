"""The audit log: whatever a host, a moderator or an operator changes, written down before it is done.

`schema.api.route` sends every such operation through `Audit.around`, so that none can be forgotten.

Owns: the tables `audit` and `audit_head`. Invariant: nothing is done that was not written down first, but for the
moderation of the chat, which must go on while Postgres is away; the log line then stands for the entry.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from checkout.core.audit import plain
from checkout.rows import Row
from checkout.truth import Truth, sql
from schema.api import Answer, Call, Operation
from schema.audit import AuditEntry, AuditPage, Phase
from schema.errors import ShowfloorError
from schema.ids import ShowId, new_id
from schema.pages import from_cursor, to_cursor
from schema.people import Principal

log = structlog.get_logger()

CHAT_WAITS_S = 1.0
BODY_MAX_CHARS = 16_000
_PREFIX = "/api/v1/"

_json = msgspec.json.Encoder(order="deterministic")


class Act(Struct, frozen=True, kw_only=True):
    """What somebody is about to do."""

    act_id: str
    show_id: str | None
    who: Principal
    action: str
    object: str


class Audit:
    """Raises Unavailable when Postgres does not answer."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def around(self, operation: Operation, call: Call[Any], act: Callable[[], Awaitable[Answer]]) -> Answer:
        """Write what is asked, do it, write how it ended."""
        one = Act(
            act_id=new_id("act"),
            show_id=await self._show_of(call),
            who=call.who,
            action=operation.name,
            object=call.request.url.path.removeprefix(_PREFIX),
        )
        if operation.tag == "chat":
            await self._try(one, Phase.ASKED, after=call.body)
        else:
            await self._append(one, Phase.ASKED, after=call.body)
        try:
            answer = await act()
        except ShowfloorError as error:
            await self._try(one, Phase.REFUSED, call.note.before, {"code": error.code, "detail": error.detail})
            raise
        await self._try(one, Phase.DONE, call.note.before, call.note.after)
        return answer

    async def write(self, action: str, target: str, who: Principal, after: object, show_id: str | None = None) -> None:
        """An act that no request asked for, done already: of a task of ours."""
        act = Act(act_id=new_id("act"), show_id=show_id, who=who, action=action, object=target)
        await self._append(act, Phase.DONE, after=after)

    async def page(self, show_id: ShowId | None, *, cursor: str | None = None, limit: int = 50) -> AuditPage:
        """What was done in a show, newest first; None: everywhere."""
        (last,) = from_cursor(cursor, tuple[int]) or (None,)
        rows = await self._truth.fetch(sql("audit_page"), show_id, last, limit + 1)
        items = [entry_of(row) for row in rows[:limit]]
        return AuditPage(items=items, next_cursor=to_cursor((items[-1].seq,)) if len(rows) > limit else None)

    async def _show_of(self, call: Call[Any]) -> str | None:
        """The show that an act is about: its path's, or that of the order, the hold or the place there."""
        names = call.request.path_params
        if "show" in names:
            return str(names["show"])
        thing = names.get("order") or names.get("hold") or names.get("entry")
        row = await self._truth.one(sql("audit_show"), thing) if thing else None
        return row["show_id"] if row else call.who.show_id

    async def _try(self, act: Act, phase: Phase, before: object = None, after: object = None) -> None:
        """Write it if it can be written; what it is about is done, or must be done, all the same."""
        try:
            async with asyncio.timeout(CHAT_WAITS_S):
                await self._append(act, phase, before, after)
        except (ShowfloorError, TimeoutError) as error:
            log.error("act_not_audited", act=act.act_id, phase=phase, action=act.action, object=act.object,
                account=act.who.account_id, error=type(error).__name__)  # fmt: skip

    async def _append(self, act: Act, phase: Phase, before: object = None, after: object = None) -> None:
        who = act.who
        texts = (act.act_id, phase.value, act.show_id, who.account_id, who.role.value, who.name, act.action, act.object)
        await self._truth.one(
            "SELECT audit_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            *(text if text is None else plain(text) for text in (*texts, _text(before), _text(after))),
        )


def _text(value: object) -> str | None:
    """JSON; a body that nobody would read is told by its length."""
    if value is None:
        return None
    text = _json.encode(value).decode()
    return text if len(text) <= BODY_MAX_CHARS else _json.encode({"characters": len(text)}).decode()


def entry_of(row: Row) -> AuditEntry:
    """A row of the log."""
    return AuditEntry(
        seq=row["seq"],
        act_id=row["act_id"],
        phase=Phase(row["phase"]),
        show_id=row["show_id"],
        account_id=row["account_id"],
        role=row["role"],
        name=row["name"],
        action=row["action"],
        object=row["object"],
        before=msgspec.json.decode(row["before"]) if row["before"] else None,
        after=msgspec.json.decode(row["after"]) if row["after"] else None,
        at_ms=row["at_ms"],
        hash=row["hash"].hex(),
    )
