"""What a buyer has, over HTTP: their orders, and all of their purchases in a show.

Owns: the operations and their handlers. What they do is the desk's and its books'.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import BaseRoute

from checkout.calls import PAGING, desk_of, paging_of
from schema.api import Answer, Call, Operation, route
from schema.errors import Conflict, Invalid, NotFound, Unavailable
from schema.ids import OrderId, ShowId
from schema.order import Order, Purchases
from schema.people import Role


async def list_purchases(call: Call[None]) -> Answer:
    """200 what one has oneself; whoever asks, an operator too."""
    cursor, limit = paging_of(call)
    show_id = ShowId(call.path("show"))
    return Answer(body=await desk_of(call).books.purchases(call.who.account_id, show_id, cursor, limit))


async def get_order(call: Call[None]) -> Answer:
    """200 the order."""
    return Answer(body=await desk_of(call).get_order(call.who, OrderId(call.path("order"))))


async def cancel_order(call: Call[None]) -> Answer:
    """200 the order, cancelled."""
    order_id = OrderId(call.path("order"))
    call.note.before = {"state": (await desk_of(call).get_order(call.who, order_id)).state}
    order = await desk_of(call).cancel(call.who, order_id)
    call.note.after = {"state": order.state, "total": order.total}
    return Answer(body=order)


OPERATIONS: list[tuple[Operation, Callable[[Call[Any]], Awaitable[Answer]]]] = [
    (
        Operation(
            name="listPurchases",
            method="GET",
            path="/api/v1/shows/{show}/purchases",
            summary="What one has in a show: one's open holds, oldest first, and one's orders, newest first.",
            answers={200: Purchases},
            role=Role.VIEWER,
            query=PAGING,
            errors=(Invalid, Unavailable),
            tag="checkout",
        ),
        list_purchases,
    ),
    (
        Operation(
            name="getOrder",
            method="GET",
            path="/api/v1/orders/{order}",
            summary="An order of one's own.",
            answers={200: Order},
            role=Role.VIEWER,
            errors=(NotFound, Unavailable),
            tag="checkout",
        ),
        get_order,
    ),
    (
        Operation(
            name="cancelOrder",
            method="POST",
            path="/api/v1/orders/{order}/cancel",
            summary="Undo an order before its money is taken: nothing is charged, the units go back. Twice is once.",
            answers={200: Order},
            role=Role.VIEWER,
            errors=(NotFound, Conflict, Unavailable),
            tag="checkout",
            of_others=True,
        ),
        cancel_order,
    ),
]

routes: list[BaseRoute] = [route(operation, handler) for operation, handler in OPERATIONS]
