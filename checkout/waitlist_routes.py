"""The waitlist over HTTP.

Owns: the operations and their handlers. What they do is the waitlist's.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import BaseRoute

from checkout.calls import PAGING, desk_of, limit_taps, paging_of
from schema.api import Answer, Call, Operation, route
from schema.errors import Conflict, Invalid, LimitReached, NotFound, RateLimited, SalesClosed, Unavailable
from schema.hold import HoldRequest
from schema.ids import ShowId, WaitlistEntryId
from schema.people import Role
from schema.waitlist import WaitlistEntry, WaitlistPage


async def join_waitlist(call: Call[HoldRequest]) -> Answer:
    """201 the place."""
    await limit_taps(call)
    entry = await desk_of(call).waitlist.join(call.who, ShowId(call.path("show")), call.body)
    return Answer(status=201, body=entry, headers={"Location": f"/api/v1/waitlist/{entry.entry_id}"})


async def list_waitlist(call: Call[None]) -> Answer:
    """200 a page of those who wait."""
    cursor, limit = paging_of(call)
    return Answer(body=await desk_of(call).waitlist.page(ShowId(call.path("show")), cursor=cursor, limit=limit))


async def get_waitlist_entry(call: Call[None]) -> Answer:
    """200 the place."""
    return Answer(body=await desk_of(call).waitlist.entry(call.who, WaitlistEntryId(call.path("entry"))))


async def leave_waitlist(call: Call[None]) -> Answer:
    """204."""
    await desk_of(call).waitlist.leave(call.who, WaitlistEntryId(call.path("entry")))
    return Answer(status=204)


OPERATIONS: list[tuple[Operation, Callable[[Call[Any]], Awaitable[Answer]]]] = [
    (
        Operation(
            name="joinWaitlist",
            method="POST",
            path="/api/v1/shows/{show}/waitlist",
            summary="Wait for what is sold out: free units are offered in order, each as a hold. Twice is once.",
            answers={201: WaitlistEntry},
            role=Role.VIEWER,
            body=HoldRequest,
            errors=(Conflict, LimitReached, SalesClosed, NotFound, Invalid, RateLimited, Unavailable),
            tag="checkout",
        ),
        join_waitlist,
    ),
    (
        Operation(
            name="listWaitlist",
            method="GET",
            path="/api/v1/shows/{show}/waitlist",
            summary="Who waits in a show, the head of each product's line first.",
            answers={200: WaitlistPage},
            role=Role.OPERATOR,
            for_analysts=True,
            query=PAGING,
            errors=(Invalid, Unavailable),
            tag="checkout",
        ),
        list_waitlist,
    ),
    (
        Operation(
            name="getWaitlistEntry",
            method="GET",
            path="/api/v1/waitlist/{entry}",
            summary="A place of one's own: how many are ahead, or the hold it has become.",
            answers={200: WaitlistEntry},
            role=Role.VIEWER,
            errors=(NotFound, Unavailable),
            tag="checkout",
        ),
        get_waitlist_entry,
    ),
    (
        Operation(
            name="leaveWaitlist",
            method="DELETE",
            path="/api/v1/waitlist/{entry}",
            summary="Give a place up, or the hold it has become; twice is once.",
            answers={204: None},
            role=Role.VIEWER,
            errors=(NotFound, Conflict, Unavailable),
            tag="checkout",
            of_others=True,
        ),
        leave_waitlist,
    ),
]

routes: list[BaseRoute] = [route(operation, handler) for operation, handler in OPERATIONS]
