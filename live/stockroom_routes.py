"""The stockroom over HTTP: units taken off the shelf, and the low-stock alert.

Owns: what each operation takes and answers; what they do is the catalogue's and the desk's.
"""

from typing import TypedDict

from starlette.routing import BaseRoute

from checkout.desk import Desk
from live.catalog import Catalog
from schema.api import Answer, Call, Operation, route
from schema.errors import BadRequest, Conflict, IdempotencyMismatch, Invalid, NotFound, Unavailable
from schema.ids import ShowId, VariantId
from schema.people import Role
from schema.show import Item, LowStock, LowStockRequest, LowStocks, WithdrawRequest


class Services(TypedDict):
    """What these handlers find in the lifespan state."""

    catalog: Catalog
    desk: Desk


WITHDRAW = Operation(
    name="withdrawItem",
    method="POST",
    path="/api/v1/shows/{show}/items/{variant}/withdraw",
    summary="Take units off the shelf unsold; never held ones. A 409 says in `available` how many could be. "
    "An Idempotency-Key makes a retry safe.",
    role=Role.OPERATOR,
    body=WithdrawRequest,
    answers={200: Item},
    errors=(BadRequest, Invalid, NotFound, Conflict, IdempotencyMismatch, Unavailable),
    tag="items",
)


async def withdraw(call: Call[WithdrawRequest]) -> Answer:
    """POST /api/v1/shows/{show}/items/{variant}/withdraw."""
    catalog: Catalog = call.request.state.catalog
    show, variant = ShowId(call.path("show")), VariantId(call.path("variant"))
    call.note.before = (await catalog.item(show, variant)).stock
    asked, who = call.body, call.who.account_id
    item = await catalog.withdraw(show, variant, asked.quantity, asked.reason, by=who, key=call.key)
    call.note.after = item.stock
    return Answer(body=item)


SET_LOW = Operation(
    name="setLowStock",
    method="PUT",
    path="/api/v1/shows/{show}/items/{variant}/low-stock",
    summary="At how few units left the operator is told: on the pages, and by the webhook stock.low. 0: never.",
    role=Role.HOST,
    body=LowStockRequest,
    answers={200: LowStock},
    errors=(BadRequest, Invalid, NotFound, Unavailable),
    tag="items",
)


async def set_low(call: Call[LowStockRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/items/{variant}/low-stock."""
    desk: Desk = call.request.state.desk
    low = await desk.stockroom.set_low(ShowId(call.path("show")), VariantId(call.path("variant")), call.body.low_at)
    call.note.after = low
    return Answer(body=low)


GET_LOW = Operation(
    name="listLowStock",
    method="GET",
    path="/api/v1/shows/{show}/low-stock",
    summary="The low-stock alerts of a show: each item's threshold, and since when it is below.",
    role=Role.HOST,
    for_analysts=True,
    answers={200: LowStocks},
    errors=(Unavailable,),
    tag="items",
)


async def get_low(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/low-stock."""
    desk: Desk = call.request.state.desk
    return Answer(body=await desk.stockroom.low(ShowId(call.path("show"))))


routes: list[BaseRoute] = [route(WITHDRAW, withdraw), route(SET_LOW, set_low), route(GET_LOW, get_low)]
