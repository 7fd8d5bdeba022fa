"""What the handlers of this room have in common: who answers them, pages, and the limit of buying.

Owns: the pages' usual size, and which limit a tap counts against.
"""

from typing import Any

from checkout.books import PAGE_MOST
from checkout.desk import Desk
from checkout.ports import Limiter
from schema.api import Call
from schema.pages import page_size

PAGING = {"cursor": "Where the page begins: `next_cursor` of the one before.", "limit": "At most so many; 1 to 200."}
PAGE = 50


def desk_of(call: Call[Any]) -> Desk:
    """The desk that answers this call."""
    desk: Desk = call.request.state.desk
    return desk


def paging_of(call: Call[Any]) -> tuple[str | None, int]:
    """Where the page asked for begins, and how long it is at most. Raises Invalid."""
    query = call.request.query_params
    return query.get("cursor"), page_size(query, usual=PAGE, most=PAGE_MOST)


async def limit_taps(call: Call[Any]) -> None:
    """Raises RateLimited where this account taps, pays or asks faster than a person buys."""
    limiter: Limiter = call.request.state.limiter
    await limiter.check("buy", call.who.account_id)
