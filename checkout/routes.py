"""Checkout over HTTP: holds, orders, refunds, and the payment provider's webhook.

Owns: the operations and their handlers, five lines each. What they do is the desk's.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from starlette.routing import BaseRoute

from checkout import basket_routes
from checkout.desk import PAGE_MOST, Desk
from checkout.payments import WebhookForged
from checkout.ports import Limiter
from schema.api import Answer, Call, Operation, read_body, route
from schema.errors import (
    Conflict,
    HoldConfirming,
    HoldLapsed,
    IdempotencyInFlight,
    IdempotencyMismatch,
    Invalid,
    LimitReached,
    NotFound,
    PaymentDeclined,
    RateLimited,
    SalesClosed,
    SoldOutError,
    Unauthenticated,
    Unavailable,
)
from schema.ids import HoldId, OrderId, ShowId, WaitlistEntryId
from schema.order import (
    Hold,
    HoldPage,
    HoldRequest,
    HoldState,
    Order,
    OrderPage,
    OutboxEntry,
    OutboxPage,
    PaymentDifferencePage,
    PaymentStep,
    PayRequest,
    Refund,
    RefundRequest,
    ShowTotals,
    WaitlistEntry,
    WaitlistPage,
)
from schema.pages import page_size
from schema.people import Role

PAGING = {"cursor": "Where the page begins: `next_cursor` of the one before.", "limit": "At most so many; 1 to 200."}
PAGE = 50
WEBHOOK_MAX_BYTES = 256 * 1024
"""A provider's events carry whole objects."""
ENTRY_DIGITS = 18


class Services(TypedDict):
    """What the handlers find in `request.state`."""

    desk: Desk
    limiter: Limiter


def _desk(call: Call[Any]) -> Desk:
    desk: Desk = call.request.state.desk
    return desk


def _paging(call: Call[Any]) -> tuple[str | None, int]:
    query = call.request.query_params
    return query.get("cursor"), page_size(query, usual=PAGE, most=PAGE_MOST)


async def _limit(call: Call[Any]) -> None:
    limiter: Limiter = call.request.state.limiter
    await limiter.check("buy", call.who.account_id)


async def create_hold(call: Call[HoldRequest]) -> Answer:
    """201 the hold, or 202 a hold in state confirming."""
    await _limit(call)
    hold = await _desk(call).hold(call.who, ShowId(call.path("show")), call.body, call.key)
    if hold.state is HoldState.CONFIRMING:
        headers = {"Location": f"/api/v1/holds/{hold.hold_id}", "Retry-After": "1"}
        return Answer(status=202, body=hold, headers=headers)
    return Answer(status=201, body=hold, headers={"Location": f"/api/v1/holds/{hold.hold_id}"})


async def get_hold(call: Call[None]) -> Answer:
    """200 the hold."""
    return Answer(body=await _desk(call).get_hold(call.who, HoldId(call.path("hold"))))


async def release_hold(call: Call[None]) -> Answer:
    """204."""
    await _desk(call).release(call.who, HoldId(call.path("hold")))
    return Answer(status=204)


async def pay_hold(call: Call[PayRequest]) -> Answer:
    """200 the order, or 202 the hold in state paying."""
    await _limit(call)  # a try that is declined adds rows too
    result = await _desk(call).pay(call.who, HoldId(call.path("hold")), call.body, call.key)
    if isinstance(result, Order):
        return Answer(body=result, headers={"Location": f"/api/v1/orders/{result.order_id}"})
    return Answer(status=202, body=result, headers={"Location": f"/api/v1/holds/{result.hold_id}", "Retry-After": "1"})


async def get_payment(call: Call[None]) -> Answer:
    """200 where the payment stands; never kept, it may carry the secret that the page goes on with."""
    await _limit(call)
    step = await _desk(call).payment_step(call.who, HoldId(call.path("hold")))
    return Answer(body=step, headers={"Cache-Control": "no-store"})


async def join_waitlist(call: Call[HoldRequest]) -> Answer:
    """201 the place."""
    await _limit(call)
    entry = await _desk(call).waitlist.join(call.who, ShowId(call.path("show")), call.body)
    return Answer(status=201, body=entry, headers={"Location": f"/api/v1/waitlist/{entry.entry_id}"})


async def get_waitlist_entry(call: Call[None]) -> Answer:
    """200 the place."""
    return Answer(body=await _desk(call).waitlist.entry(call.who, WaitlistEntryId(call.path("entry"))))


async def leave_waitlist(call: Call[None]) -> Answer:
    """204."""
    await _desk(call).waitlist.leave(call.who, WaitlistEntryId(call.path("entry")))
    return Answer(status=204)


async def list_waitlist(call: Call[None]) -> Answer:
    """200 a page of those who wait."""
    cursor, limit = _paging(call)
    return Answer(body=await _desk(call).waitlist.page(ShowId(call.path("show")), cursor=cursor, limit=limit))


async def list_holds(call: Call[None]) -> Answer:
    """200 a page of open holds."""
    cursor, limit = _paging(call)
    return Answer(body=await _desk(call).holds(ShowId(call.path("show")), cursor=cursor, limit=limit))


async def get_order(call: Call[None]) -> Answer:
    """200 the order."""
    return Answer(body=await _desk(call).get_order(call.who, OrderId(call.path("order"))))


async def cancel_order(call: Call[None]) -> Answer:
    """200 the order, cancelled."""
    order_id = OrderId(call.path("order"))
    call.note.before = {"state": (await _desk(call).get_order(call.who, order_id)).state}
    order = await _desk(call).cancel(call.who, order_id)
    call.note.after = {"state": order.state, "total": order.total}
    return Answer(body=order)


async def list_parked(call: Call[None]) -> Answer:
    """200 a page of what waits for an operator."""
    cursor, limit = _paging(call)
    return Answer(body=await _desk(call).parked(ShowId(call.path("show")), cursor, limit))


async def retry_parked(call: Call[None]) -> Answer:
    """202 the entry, which will be said again."""
    entry = call.path("entry")
    if not (entry.isascii() and entry.isdecimal() and len(entry) <= ENTRY_DIGITS):
        raise NotFound("No such entry is waiting")
    return Answer(status=202, body=await _desk(call).retry(ShowId(call.path("show")), int(entry)))


async def list_differences(call: Call[None]) -> Answer:
    """200 a page of what is apart."""
    cursor, limit = _paging(call)
    return Answer(body=await _desk(call).differences(ShowId(call.path("show")), cursor, limit))


async def list_orders(call: Call[None]) -> Answer:
    """200 a page of orders."""
    cursor, limit = _paging(call)
    return Answer(body=await _desk(call).orders(ShowId(call.path("show")), cursor, limit))


async def get_totals(call: Call[None]) -> Answer:
    """200 the totals."""
    return Answer(body=await _desk(call).totals(ShowId(call.path("show"))))


async def refund_order(call: Call[RefundRequest]) -> Answer:
    """200 the refund."""
    order_id = OrderId(call.path("order"))
    call.note.before = (await _desk(call).get_order(call.who, order_id)).refunded
    refund = await _desk(call).refund(call.who, order_id, call.body.amount, call.key, call.body.lines)
    call.note.after = refund
    return Answer(body=refund)


async def fake_webhook(call: Call[None]) -> Answer:
    """200 once the event is remembered; what follows from it comes after."""
    return await _webhook(call, "fake")


async def stripe_webhook(call: Call[None]) -> Answer:
    """200 likewise."""
    return await _webhook(call, "stripe")


async def _webhook(call: Call[None], provider: str) -> Answer:
    desk = _desk(call)
    if desk.provider != provider:
        raise NotFound(f"Payments here are not {provider}'s")
    body = await read_body(call.request, WEBHOOK_MAX_BYTES)
    try:
        await desk.webhook(body, call.request.headers)
    except WebhookForged:
        raise Unauthenticated("The webhook's signature is not the provider's") from None
    return Answer()


OPERATIONS: list[tuple[Operation, Callable[[Call[Any]], Awaitable[Answer]]]] = [
    (
        Operation(
            name="createHold",
            method="POST",
            path="/api/v1/shows/{show}/holds",
            summary="Tap to buy: hold units for a while, at the price seen.",
            answers={201: Hold, 202: Hold},
            role=Role.VIEWER,
            body=HoldRequest,
            idempotent=True,
            errors=(
                SoldOutError,
                LimitReached,
                SalesClosed,
                NotFound,
                IdempotencyMismatch,
                Invalid,
                RateLimited,
                Unavailable,
            ),
            tag="checkout",
        ),
        create_hold,
    ),
    (
        Operation(
            name="listOpenHolds",
            method="GET",
            path="/api/v1/shows/{show}/holds",
            summary="A show's open holds, oldest first.",
            answers={200: HoldPage},
            role=Role.OPERATOR,
            query=PAGING,
            errors=(Invalid, Unavailable),
            tag="checkout",
        ),
        list_holds,
    ),
    (
        Operation(
            name="getHold",
            method="GET",
            path="/api/v1/holds/{hold}",
            summary="A hold of one's own.",
            answers={200: Hold},
            role=Role.VIEWER,
            errors=(NotFound, Unavailable),
            tag="checkout",
        ),
        get_hold,
    ),
    (
        Operation(
            name="releaseHold",
            method="DELETE",
            path="/api/v1/holds/{hold}",
            summary="Give a hold back; twice is once.",
            answers={204: None},
            role=Role.VIEWER,
            errors=(NotFound, Conflict, Unavailable),
            tag="checkout",
            of_others=True,
        ),
        release_hold,
    ),
    (
        Operation(
            name="payHold",
            method="POST",
            path="/api/v1/holds/{hold}/pay",
            summary="Pay for a hold. 202 while the provider is undecided: look at the hold, or repeat the call.",
            answers={200: Order, 202: Hold},
            role=Role.VIEWER,
            body=PayRequest,
            idempotent=True,
            errors=(
                PaymentDeclined,
                HoldConfirming,
                LimitReached,
                HoldLapsed,
                NotFound,
                Conflict,
                IdempotencyInFlight,
                IdempotencyMismatch,
                Invalid,
                RateLimited,
                Unavailable,
            ),
            tag="checkout",
        ),
        pay_hold,
    ),
    (
        Operation(
            name="getPayment",
            method="GET",
            path="/api/v1/holds/{hold}/payment",
            summary="Where a hold's payment stands, as the provider says now, and what the page has to do for it.",
            answers={200: PaymentStep},
            role=Role.VIEWER,
            errors=(NotFound, RateLimited, Unavailable),
            tag="checkout",
        ),
        get_payment,
    ),
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
            name="listPaymentDifferences",
            method="GET",
            path="/api/v1/shows/{show}/payments/differences",
            summary="Payments of which the provider's record and ours disagree, and what is being done about each.",
            answers={200: PaymentDifferencePage},
            role=Role.OPERATOR,
            query=PAGING,
            errors=(Invalid, Unavailable),
            tag="checkout",
        ),
        list_differences,
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
            name="listOrders",
            method="GET",
            path="/api/v1/shows/{show}/orders",
            summary="A show's orders, newest first.",
            answers={200: OrderPage},
            role=Role.OPERATOR,
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
            name="fakeWebhook",
            method="POST",
            path="/api/v1/payments/webhooks/fake",
            summary="The fake payment network says that something happened (Standard Webhooks, signed).",
            answers={200: None},
            errors=(Unauthenticated, NotFound, Unavailable),
            tag="checkout",
        ),
        fake_webhook,
    ),
    (
        Operation(
            name="stripeWebhook",
            method="POST",
            path="/api/v1/payments/webhooks/stripe",
            summary="Stripe says that something happened (Stripe-Signature): payment_intent.* and charge.* events.",
            answers={200: None},
            errors=(Unauthenticated, NotFound, Unavailable),
            tag="checkout",
        ),
        stripe_webhook,
    ),
]

routes: list[BaseRoute] = [
    *(route(operation, handler) for operation, handler in OPERATIONS),
    *basket_routes.routes,
]
