"""A buyer's orders over HTTP.

Owns: the operations and their handlers. What they do is the desk's.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import BaseRoute

from checkout.calls import desk_of
from schema.api import Answer, Call, Operation, route
from schema.errors import Conflict, NotFound, Unavailable
from schema.ids import OrderId
from schema.order import Order
from schema.people import Role


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
