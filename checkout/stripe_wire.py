"""Stripe's answers as structs, and the transport under Stripe's SDK.

Owns: nothing but one HTTP client. The SDK builds, signs and repeats the requests (with one Idempotency-Key for all
repetitions of a call); what it needs below is a client to send with, and ours is httpx2.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, NoReturn, TypeVar

import httpx2
import msgspec
import stripe
from msgspec import Struct

T = TypeVar("T")

stripe.enable_telemetry = False  # how long our requests take is nobody else's business

TIMEOUT_S = 8.0
"""For one try: connecting, and each read. The whole call has a deadline of its own in stripe_pay.py."""


class Wire(stripe.HTTPClient):
    """The SDK's HTTP client over httpx2. `transport`: httpx2.ASGITransport of a double, in tests."""

    name = "httpx2"

    def __init__(self, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        super().__init__()
        self._client = httpx2.AsyncClient(timeout=TIMEOUT_S, transport=transport)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._client.request(method, url, headers=dict(headers), content=post_data)
        except (httpx2.HTTPError, OSError) as error:
            _unreachable(error)
        return answer.content, answer.status_code, answer.headers

    def sleep_async(self, secs: float) -> Awaitable[None]:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        await self._client.aclose()


def _unreachable(error: Exception) -> NoReturn:
    message = f"{type(error).__name__} from Stripe"
    raise stripe.APIConnectionError(message, should_retry=True) from error  # type: ignore[no-untyped-call]


class Card(Struct, frozen=True):
    """Of a payment method."""

    fingerprint: str | None = None


class PaymentMethod(Struct, frozen=True):
    """What the buyer paid with."""

    card: Card | None = None


class Charge(Struct, frozen=True):
    """One try at the card."""

    amount_refunded: int = 0


class Failure(Struct, frozen=True):
    """Why a card was refused."""

    code: str | None = None
    decline_code: str | None = None


class Intent(Struct, frozen=True):
    """A PaymentIntent, as far as it concerns us (docs.stripe.com/api/payment_intents/object)."""

    id: str
    status: str
    amount: int
    created: int
    currency: str = ""
    amount_received: int = 0
    client_secret: str | None = None
    metadata: dict[str, str] = {}
    payment_method: PaymentMethod | str | None = None
    latest_charge: Charge | str | None = None
    last_payment_error: Failure | None = None


class Intents(Struct, frozen=True):
    """A page of them."""

    data: list[Intent]
    has_more: bool = False


class Refund(Struct, frozen=True):
    """Money given back, or on its way."""

    id: str
    status: str | None = None
    metadata: dict[str, str] = {}


class Refunds(Struct, frozen=True):
    """A page of them."""

    data: list[Refund]


class About(Struct, frozen=True):
    """What an event is about: a PaymentIntent, or a charge, which inherits its metadata."""

    metadata: dict[str, str] | None = None


class EventData(Struct, frozen=True):
    """The envelope around it."""

    object: About


class Event(Struct, frozen=True):
    """A webhook's body (docs.stripe.com/api/events/object)."""

    id: str
    data: EventData | None = None


def decoded(kind: type[T], answer: Any) -> T:
    """An object of the SDK as `kind`, read from the bytes that came."""
    return msgspec.json.decode(answer.last_response.body, type=kind)
