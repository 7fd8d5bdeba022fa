"""The office over HTTP: wrong prices taken back, orders exported.

Owns: the declarations and their handlers.
"""

from typing import Any, TypedDict

from starlette.routing import BaseRoute

from checkout.calls import PAGING, paging_of
from checkout.exports import Exports
from checkout.price_errors import PriceErrors
from schema.api import Answer, Call, Operation, route
from schema.errors import BadRequest, Conflict, Invalid, NotFound, Unavailable
from schema.ids import ShowId, VariantId
from schema.people import Role
from schema.price_error import AffectedPage, PriceErrorRequest, Rollback

MOST_MS = 2**53
_DIGITS = 16


class Services(TypedDict):
    """What the handlers find in `request.state`."""

    price_errors: PriceErrors
    exports: Exports


def _number(call: Call[Any], name: str, usual: int | None = None) -> int:
    """A number of the query. Raises Invalid."""
    text = call.request.query_params.get(name, "" if usual is None else str(usual))
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise Invalid(f"{name} is a number", pointer=f"/{name}")
    return min(int(text), MOST_MS)


LIST = Operation(
    name="listPriceErrors",
    method="GET",
    path="/api/v1/shows/{show}/price-errors",
    summary="What was tapped at a wrong price: open holds, and orders with something to give back; the oldest first.",
    answers={200: AffectedPage},
    role=Role.OPERATOR,
    for_analysts=True,
    query={
        "variant": "Which variant.",
        "amount": "The wrong price of one unit, in minor units.",
        "from": "Tapped at this moment (ms) or later; without: ever.",
        "to": "Tapped before this moment (ms); without: until now.",
        **PAGING,
    },
    errors=(Invalid, NotFound, Unavailable),
    tag="checkout",
)


async def list_price_errors(call: Call[None]) -> Answer:
    """200 a page."""
    query, errors = call.request.query_params, call.request.state.price_errors
    wrong = PriceErrorRequest(
        variant_id=VariantId(query.get("variant", "")),
        amount=_number(call, "amount"),
        from_ms=_number(call, "from", 0),
        to_ms=_number(call, "to", MOST_MS),
    )
    return Answer(body=await errors.affected(ShowId(call.path("show")), wrong, *paging_of(call)))


ROLL_BACK = Operation(
    name="rollBackPriceError",
    method="POST",
    path="/api/v1/shows/{show}/price-errors/refunds",
    summary="Refund what was sold at a wrong price and release what is held at it, the oldest first, at most `limit` "
    "a call; call again while `left` is not 0. Nothing is given back twice.",
    answers={200: Rollback},
    role=Role.OPERATOR,
    body=PriceErrorRequest,
    errors=(BadRequest, Invalid, NotFound, Unavailable),
    tag="checkout",
)


async def roll_back(call: Call[PriceErrorRequest]) -> Answer:
    """200 what became of each."""
    errors: PriceErrors = call.request.state.price_errors
    done = await errors.roll_back(call.who, ShowId(call.path("show")), call.body)
    call.note.after = done
    return Answer(body=done)


EXPORT = Operation(
    name="exportOrders",
    method="GET",
    path="/api/v1/shows/{show}/orders.csv",
    summary="A show's orders as CSV, a line an item, the oldest first; `paid` and `refunded` add up to the totals.",
    answers={200: None},
    role=Role.OPERATOR,
    for_analysts=True,
    errors=(NotFound, Conflict, Unavailable),
    tag="checkout",
    media_type="text/csv",
)


async def export(call: Call[None]) -> Answer:
    """200 the file, in pieces."""
    exports: Exports = call.request.state.exports
    show = ShowId(call.path("show"))
    headers = {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": f'attachment; filename="orders-{show}.csv"',
        "Cache-Control": "no-store",
    }
    return Answer(stream=await exports.orders(show), headers=headers)


routes: list[BaseRoute] = [route(LIST, list_price_errors), route(ROLL_BACK, roll_back), route(EXPORT, export)]
