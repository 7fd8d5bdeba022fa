"""The admin's HTTP operation: to give somebody of the staff access.

Owns: what it takes and answers. A token is never kept, and never written into a log.
"""

import time

from msgspec.structs import replace
from starlette.routing import BaseRoute

from live.auth import Tokens
from live.recent_shows import RecentShows
from schema.api import Answer, Call, Operation, route
from schema.errors import BadRequest, Invalid, NotFound
from schema.ids import AccountId, new_id
from schema.people import Principal, Role, StaffToken, TokenRequest

HOUR_S = 3600

ISSUE_STAFF_TOKEN = Operation(
    name="issueStaffToken",
    method="POST",
    path="/api/v1/tokens",
    summary="Give somebody of the staff access, to one show or to all; it cannot be taken back before it ends.",
    role=Role.ADMIN,
    body=TokenRequest,
    answers={201: StaffToken},
    errors=(BadRequest, Invalid, NotFound),
    tag="people",
)


async def issue_staff_token(call: Call[TokenRequest]) -> Answer:
    """POST /api/v1/tokens."""
    asked = call.body
    recent: RecentShows = call.request.state.recent
    show = None if asked.show_id is None else (await recent.row(asked.show_id)).show_id
    account, ttl_s = AccountId(new_id("acct")), int(asked.hours * HOUR_S)
    tokens: Tokens = call.request.state.tokens
    token = tokens.issue(Principal(account_id=account, role=asked.role, name=asked.name, show_id=show), ttl_s)
    made = StaffToken(
        account_id=account,
        token=token,
        role=asked.role,
        name=asked.name,
        show_id=show,
        expires_at_ms=time.time_ns() // 1_000_000 + ttl_s * 1000,
    )
    call.note.after = replace(made, token="")
    return Answer(status=201, body=made, headers={"Cache-Control": "no-store"})


routes: list[BaseRoute] = [route(ISSUE_STAFF_TOKEN, issue_staff_token)]
