"""What a payment provider says over HTTP.

Owns: its two addresses. What follows is the desk's; the shop's own webhooks are webhook_routes.py's.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import BaseRoute

from checkout.calls import desk_of
from checkout.payments import WebhookForged
from schema.api import Answer, Call, Operation, read_body, route
from schema.errors import NotFound, Unauthenticated, Unavailable

WEBHOOK_MAX_BYTES = 256 * 1024
"""A provider's events carry whole objects."""


async def fake_webhook(call: Call[None]) -> Answer:
    """200 once the event is remembered; what follows from it comes after."""
    return await _webhook(call, "fake")


async def stripe_webhook(call: Call[None]) -> Answer:
    """200 likewise."""
    return await _webhook(call, "stripe")


async def _webhook(call: Call[None], provider: str) -> Answer:
    desk = desk_of(call)
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

routes: list[BaseRoute] = [route(operation, handler) for operation, handler in OPERATIONS]
