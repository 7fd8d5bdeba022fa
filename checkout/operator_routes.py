"""What an operator sees and does over HTTP: what is held and sold, money given back, and the outbox's parked entries.

Owns: the operations and their handlers. What they do is the desk's. Wrong prices and exports are office_routes.py's.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import BaseRoute

from checkout.calls import PAGING, desk_of, paging_of
from schema.api import Answer, Call, Operation, route
from schema.errors import Conflict, IdempotencyMismatch, Invalid, NotFound, Unavailable
from schema.hold import HoldPage
from schema.ids import OrderId, ShowId
from schema.order import OrderPage, Refund, RefundRequest, ShowTotals
from schema.payment import OutboxEntry, OutboxPage, PaymentDifferencePage
from schema.people import Role

ENTRY_DIGITS = 18


async def list_holds(call: Call[None]) -> Answer:
    """200 a page of open holds."""
    cursor, limit = paging_of(call)
    return Answer(body=await desk_of(call).books.holds(ShowId(call.path("show")), cursor=cursor, limit=limit))


async def list_orders(call: Call[None]) -> Answer:
    """200 a page of orders."""
    cursor, limit = paging_of(call)
    return Answer(body=await desk_of(call).books.orders(ShowId(call.path("show")), cursor, limit))


async def get_totals(call: Call[None]) -> Answer:
    """200 the totals."""
    return Answer(body=await desk_of(call).books.totals(ShowId(call.path("show"))))


async def refund_order(call: Call[RefundRequest]) -> Answer:
    """200 the refund."""
    order_id = OrderId(call.path("order"))
    call.note.before = (await desk_of(call).get_order(call.who, order_id)).refunded
    refund = await desk_of(call).refund(call.who, order_id, call.body.amount, call.key, call.body.lines)
    call.note.after = refund
    return Answer(body=refund)


async def list_parked(call: Call[None]) -> Answer:
    """200 a page of what waits for an operator."""
    cursor, limit = paging_of(call)
    return Answer(body=await desk_of(call).books.parked(ShowId(call.path("show")), cursor, limit))


async def retry_parked(call: Call[None]) -> Answer:
    """202 the entry, which will be said again."""
    entry = call.path("entry")
    if not (entry.isascii() and entry.isdecimal() and len(entry) <= ENTRY_DIGITS):
        raise NotFound("No such entry is waiting")
    return Answer(status=202, body=await desk_of(call).retry(ShowId(call.path("show")), int(entry)))


async def list_differences(call: Call[None]) -> Answer:
    """200 a page of what is apart."""
    cursor, limit = paging_of(call)
    return Answer(body=await desk_of(call).books.differences(ShowId(call.path("show")), cursor, limit))


OPERATIONS: list[tuple[Operation, Callable[[Call[Any]], Awaitable[Answer]]]] = [
    (
        Operation(
            name="listOpenHolds",
            method="GET",
            path="/api/v1/shows/{show}/holds",
            summary="A show's open holds, oldest first.",
            answers={200: HoldPage},
            role=Role.OPERATOR,
            for_analysts=True,
            query=PAGING,
            errors=(Invalid, Unavailable),
            tag="checkout",
        ),
        list_holds,
    ),
    (
        Operation(
            name="listOrders",
            method="GET",
            path="/api/v1/shows/{show}/orders",
            summary="A show's orders, newest first.",
            answers={200: OrderPage},
            role=Role.OPERATOR,
            for_analysts=True,
            query=PAGING,
            errors=(Invalid, Unavailable),
            tag="checkout",
        ),
        list_orders,
    ),
    (
        Operation(
            name="getTotals",
            method="GET",
            path="/api/v1/shows/{show}/totals",
            summary="What a show has sold, over all its orders but those whose capture failed.",
            answers={200: ShowTotals},
            role=Role.OPERATOR,
            for_analysts=True,
            errors=(NotFound, Unavailable),
            tag="checkout",
        ),
        get_totals,
    ),
    (
        Operation(
            name="refundOrder",
            method="POST",
            path="/api/v1/orders/{order}/refund",
            summary="Give money back; what empties the order returns its units. An Idempotency-Key makes a retry safe.",
            answers={200: Refund},
            role=Role.OPERATOR,
            body=RefundRequest,
            body_optional=True,
            errors=(NotFound, Conflict, IdempotencyMismatch, Invalid, Unavailable),
            tag="checkout",
        ),
        refund_order,
    ),
    (
        Operation(
            name="listParked",
            method="GET",
            path="/api/v1/shows/{show}/outbox",
            summary="Captures, refunds and cancellations that the payment provider did not take: they wait for you.",
            answers={200: OutboxPage},
            role=Role.OPERATOR,
            query=PAGING,
            errors=(Invalid, Unavailable),
            tag="checkout",
        ),
        list_parked,
    ),
    (
        Operation(
            name="retryParked",
            method="POST",
            path="/api/v1/shows/{show}/outbox/{entry}/retry",
            summary="Say it to the payment provider once more. It is said under the same id: money moves once.",
            answers={202: OutboxEntry},
            role=Role.OPERATOR,
            errors=(NotFound, Unavailable),
            tag="checkout",
        ),
        retry_parked,
    ),
    (
        Operation(
            name="listPaymentDifferences",
            method="GET",
            path="/api/v1/shows/{show}/payments/differences",
            summary="Payments of which the provider's record and ours disagree, and what is being done about each.",
            answers={200: PaymentDifferencePage},
            role=Role.OPERATOR,
            for_analysts=True,
            query=PAGING,
            errors=(Invalid, Unavailable),
            tag="checkout",
        ),
        list_differences,
    ),
]

routes: list[BaseRoute] = [route(operation, handler) for operation, handler in OPERATIONS]
