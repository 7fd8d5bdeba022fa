"""Baskets over HTTP: what holds cost together, paying for them, and the rates behind it.

Owns: the operations and their handlers. What they do is the desk's.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import BaseRoute

from checkout.calls import desk_of, limit_taps
from schema.api import Answer, Call, Operation, route
from schema.basket import BasketPayRequest, PayingBasket, Quote, QuoteRequest
from schema.errors import (
    Conflict,
    CouponRefused,
    HoldLapsed,
    IdempotencyInFlight,
    IdempotencyMismatch,
    Invalid,
    LimitReached,
    NotFound,
    PaymentDeclined,
    PriceWasChanged,
    RateLimited,
    Unavailable,
)
from schema.ids import ShowId
from schema.order import Order
from schema.people import Role
from schema.show import Charges


def _show(call: Call[Any]) -> ShowId:
    return ShowId(call.path("show"))


async def quote_basket(call: Call[QuoteRequest]) -> Answer:
    """200 the quote."""
    return Answer(body=await desk_of(call).quote(call.who, _show(call), call.body))


async def pay_basket(call: Call[BasketPayRequest]) -> Answer:
    """200 the order, or 202 the holds in state paying."""
    await limit_taps(call)
    result = await desk_of(call).pay_basket(call.who, _show(call), call.body, call.key)
    if isinstance(result, Order):
        return Answer(body=result, headers={"Location": f"/api/v1/orders/{result.order_id}"})
    return Answer(status=202, body=result, headers={"Retry-After": "1"})


async def get_charges(call: Call[None]) -> Answer:
    """200 the rates."""
    return Answer(body=await desk_of(call).charges.get(_show(call)))


async def set_charges(call: Call[Charges]) -> Answer:
    """200 the rates as they are now."""
    return Answer(body=await desk_of(call).charges.put(_show(call), call.body))


OPERATIONS: list[tuple[Operation, Callable[[Call[Any]], Awaitable[Answer]]]] = [
    (
        Operation(
            name="quoteBasket",
            method="POST",
            path="/api/v1/shows/{show}/baskets/quote",
            summary="What one's holds cost together: lines, discount, shipping, tax, and the total to be charged.",
            answers={200: Quote},
            role=Role.VIEWER,
            body=QuoteRequest,
            errors=(NotFound, HoldLapsed, Invalid, Unavailable),
            tag="checkout",
        ),
        quote_basket,
    ),
    (
        Operation(
            name="payBasket",
            method="POST",
            path="/api/v1/shows/{show}/baskets/pay",
            summary="Pay for several holds with one payment, all or none, at the total shown. 202 while undecided.",
            answers={200: Order, 202: PayingBasket},
            role=Role.VIEWER,
            body=BasketPayRequest,
            idempotent=True,
            errors=(
                PaymentDeclined,
                LimitReached,
                PriceWasChanged,
                CouponRefused,
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
        pay_basket,
    ),
    (
        Operation(
            name="getCharges",
            method="GET",
            path="/api/v1/shows/{show}/charges",
            summary="What a show ships to where at which price, and the tax its prices contain.",
            answers={200: Charges},
            errors=(Unavailable,),
            tag="checkout",
        ),
        get_charges,
    ),
    (
        Operation(
            name="setCharges",
            method="PUT",
            path="/api/v1/shows/{show}/charges",
            summary="Replace a show's tax and shipping rates; payments under way keep what they were quoted.",
            answers={200: Charges},
            role=Role.OPERATOR,
            body=Charges,
            errors=(NotFound, Invalid, Unavailable),
            tag="checkout",
        ),
        set_charges,
    ),
]

routes: list[BaseRoute] = [route(operation, handler) for operation, handler in OPERATIONS]
