"""Holds over HTTP: tapped, looked at, given back, paid for.

Owns: the operations and their handlers. What they do is the desk's.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import BaseRoute

from checkout.calls import desk_of, limit_taps
from schema.api import Answer, Call, Operation, route
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
    Unavailable,
)
from schema.hold import Hold, HoldRequest, HoldState
from schema.ids import HoldId, ShowId
from schema.order import Order
from schema.payment import PaymentStep, PayRequest
from schema.people import Role


async def create_hold(call: Call[HoldRequest]) -> Answer:
    """201 the hold, or 202 a hold in state confirming."""
    await limit_taps(call)
    hold = await desk_of(call).hold(call.who, ShowId(call.path("show")), call.body, call.key)
    if hold.state is HoldState.CONFIRMING:
        headers = {"Location": f"/api/v1/holds/{hold.hold_id}", "Retry-After": "1"}
        return Answer(status=202, body=hold, headers=headers)
    return Answer(status=201, body=hold, headers={"Location": f"/api/v1/holds/{hold.hold_id}"})


async def get_hold(call: Call[None]) -> Answer:
    """200 the hold."""
    return Answer(body=await desk_of(call).get_hold(call.who, HoldId(call.path("hold"))))


async def release_hold(call: Call[None]) -> Answer:
    """204."""
    await desk_of(call).release(call.who, HoldId(call.path("hold")))
    return Answer(status=204)


async def pay_hold(call: Call[PayRequest]) -> Answer:
    """200 the order, or 202 the hold in state paying."""
    await limit_taps(call)  # a try that is declined adds rows too
    result = await desk_of(call).pay(call.who, HoldId(call.path("hold")), call.body, call.key)
    if isinstance(result, Order):
        return Answer(body=result, headers={"Location": f"/api/v1/orders/{result.order_id}"})
    return Answer(status=202, body=result, headers={"Location": f"/api/v1/holds/{result.hold_id}", "Retry-After": "1"})


async def get_payment(call: Call[None]) -> Answer:
    """200 where the payment stands; never kept, it may carry the secret that the page goes on with."""
    await limit_taps(call)
    step = await desk_of(call).payment_step(call.who, HoldId(call.path("hold")))
    return Answer(body=step, headers={"Cache-Control": "no-store"})


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
]

routes: list[BaseRoute] = [route(operation, handler) for operation, handler in OPERATIONS]
