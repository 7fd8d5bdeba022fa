"""Stripe as a PaymentProvider, through Stripe's own SDK: PaymentIntents, captured by hand, after the sale.

The page hands us a ConfirmationToken (`ctoken_...`, or the id of a PaymentMethod, `pm_...`); the server creates and
confirms the PaymentIntent in one call, under our payment id as its Idempotency-Key. Only cards (and with them the
wallets that hold cards): they alone can be authorized now, captured later, and told apart by a fingerprint.

Owns: one client. What becomes of a payment whose answer was lost: its intent is looked for by our id in its metadata,
in the list of intents (the search index lags behind, the list does not); where there is none, the payment's own
Idempotency-Key is used up by an empty intent that is cancelled at once, so that a request still on its way finds the
key taken and charges nobody.
Invariant: a payment is DECLINED or CANCELLED only once its intent is cancelled: until then whoever has its client
secret could pay it with another card. A refund is made once per `refund_id` even after Stripe has forgotten the key.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import msgspec
import stripe
import structlog
from stripe import StripeClient

from checkout.payment_book import Reference
from checkout.payments import (
    Payment,
    PaymentState,
    ProviderEvent,
    ProviderFailed,
    ProviderRefused,
    WebhookForged,
)
from checkout.stripe_wire import Card, Charge, Event, Intent, Intents, PaymentMethod, Refunds, Wire, decoded
from schema.money import Money

log = structlog.get_logger()
T = TypeVar("T")

DEADLINE_S = 20.0
"""For a whole call with the SDK's repetitions."""
REPETITIONS = 2
AT_ONCE = 32
PAGE = 100
PAGES = 200
"""More payments than this in one look are left to the next."""
SKEW_S = 600
"""How far Stripe's clock and Postgres's may be apart."""
WEBHOOK_TOLERANCE_S = 300
METHODS = ("ctoken_", "pm_")
_EXPAND = ["payment_method", "latest_charge"]

_STATES = {
    "requires_capture": PaymentState.AUTHORIZED,
    "succeeded": PaymentState.CAPTURED,
    "canceled": PaymentState.CANCELLED,
}
"""All others may yet be authorized; `requires_payment_method` is cancelled as soon as it is seen."""


class Book(Protocol):
    """Where the names of intents are kept."""

    async def about(self, payment_id: str) -> Reference | None: ...

    async def note(self, payment_id: str, provider_id: str) -> None: ...


class StripeProvider:
    """`installation` marks our payments in an account that others may share. `base`: not Stripe's own, in tests."""

    name = "stripe"

    def __init__(
        self,
        secret_key: str,
        book: Book,
        *,
        installation: str,
        webhook_secret: str = "",
        base: str = "",
        wire: Wire | None = None,
    ) -> None:
        self._book, self._installation, self._webhook_secret = book, installation, webhook_secret
        self._wire = wire or Wire()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._listed: dict[str, str] = {}  # intents of the last look through the list, for payments no book knows
        self._client = StripeClient(
            secret_key,
            http_client=self._wire,
            max_network_retries=REPETITIONS,
            base_addresses={"api": base} if base else None,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.close_async()

    def knows(self, method: str) -> bool:
        return method.startswith(METHODS) and method.isascii() and method.replace("_", "").isalnum()

    # -- authorizing ------------------------------------------------------------------------------------------------

    async def authorize(self, payment_id: str, amount: Money, method: str, reference: str) -> Payment:
        known = await self._book.about(payment_id)
        if known and known.provider_id:
            # Repeating the request would be answered with what held then: the bank may have heard the buyer since.
            return await self._retrieve(payment_id, known.provider_id)
        try:
            intent = decoded(Intent, await self._ask(self._create(payment_id, amount, method, reference)))
        except stripe.CardError as error:
            return await self._declined(payment_id, amount, error)
        await self._book.note(payment_id, intent.id)
        return await self._seen(payment_id, intent)

    def _create(self, payment_id: str, amount: Money, method: str, reference: str) -> Awaitable[Any]:
        source = "confirmation_token" if method.startswith("ctoken_") else "payment_method"
        params: Any = {
            **self._blank(payment_id, amount),
            source: method,
            "confirm": True,
            "use_stripe_sdk": True,  # what the bank asks for is answered in the page, by Stripe.js
            "expand": _EXPAND,
        }
        params["metadata"]["hold"] = reference
        return self._client.v1.payment_intents.create_async(params, {"idempotency_key": payment_id})

    def _blank(self, payment_id: str, amount: Money) -> dict[str, Any]:
        return {
            "amount": amount.amount,
            "currency": amount.currency.lower(),
            "capture_method": "manual",
            "payment_method_types": ["card"],
            "metadata": {"payment_id": payment_id, "installation": self._installation},
        }

    async def _declined(self, payment_id: str, amount: Money, error: stripe.CardError) -> Payment:
        reason = str(getattr(error.error, "decline_code", None) or error.code or "")
        intent_id = getattr(getattr(error.error, "payment_intent", None), "id", "")
        if intent_id:
            await self._book.note(payment_id, intent_id)
            intent = await self._cancel(intent_id)
            if _STATES.get(intent.status) is not PaymentState.CANCELLED:
                return _payment(payment_id, intent)
        return Payment(payment_id=payment_id, state=PaymentState.DECLINED, amount=amount.amount, reason=reason)

    # -- asking -----------------------------------------------------------------------------------------------------

    async def retrieve(self, payment_id: str) -> Payment | None:
        intent_id = await self._intent_id(payment_id)
        return await self._retrieve(payment_id, intent_id) if intent_id else None

    async def _retrieve(self, payment_id: str, intent_id: str) -> Payment:
        return await self._seen(payment_id, await self._get(intent_id))

    async def _get(self, intent_id: str) -> Intent:
        return decoded(
            Intent, await self._ask(self._client.v1.payment_intents.retrieve_async(intent_id, {"expand": _EXPAND}))
        )

    async def _seen(self, payment_id: str, intent: Intent) -> Payment:
        if intent.status == "requires_payment_method":
            intent = await self._cancel(intent.id)
        return _payment(payment_id, intent)

    async def _intent_id(self, payment_id: str) -> str:
        """Stripe's name for a payment; empty where Stripe has none."""
        known = await self._book.about(payment_id)
        if known is None or known.provider_id:
            return known.provider_id if known else self._listed.get(payment_id, "")
        begun_s = known.created_at_ms // 1000
        async for intent in self._list(begun_s - SKEW_S, begun_s + 3 * SKEW_S):
            if self._is_ours(intent) and intent.metadata["payment_id"] == payment_id:
                await self._book.note(payment_id, intent.id)
                return intent.id
        return ""

    async def since(self, at_ms: int) -> AsyncIterator[Payment]:
        self._listed.clear()
        async for intent in self._list(at_ms // 1000):
            if self._is_ours(intent):
                self._listed[intent.metadata["payment_id"]] = intent.id
                yield _payment(intent.metadata["payment_id"], intent)

    async def _list(self, since_s: int, until_s: int = 0) -> AsyncIterator[Intent]:
        created = {"gte": since_s} | ({"lte": until_s} if until_s else {})
        expand = [f"data.{name}" for name in _EXPAND]
        after: dict[str, str] = {}
        for _ in range(PAGES):
            params: Any = {"created": created, "limit": PAGE, "expand": expand, **after}
            page = decoded(Intents, await self._ask(self._client.v1.payment_intents.list_async(params)))
            for intent in page.data:
                yield intent
            if not page.has_more:
                return
            after = {"starting_after": page.data[-1].id}
        log.error("too_many_payments_to_list", since_s=since_s, pages=PAGES)

    def _is_ours(self, intent: Intent) -> bool:
        return intent.metadata.get("installation") == self._installation and "payment_id" in intent.metadata

    # -- taking, letting go, giving back ----------------------------------------------------------------------------

    async def capture(self, payment_id: str, amount: Money) -> Payment:
        intent_id = await self._needed(payment_id)
        params: Any = {"amount_to_capture": amount.amount, "expand": _EXPAND}
        try:
            answer = await self._ask(self._client.v1.payment_intents.capture_async(intent_id, params))
        except (ProviderRefused, stripe.CardError) as error:
            seen = await self._retrieve(payment_id, intent_id)  # what a repetition is refused with is no refusal
            if seen.state is PaymentState.CAPTURED:
                return seen
            raise ProviderRefused(str(error)) from error
        return _payment(payment_id, decoded(Intent, answer))

    async def cancel(self, payment_id: str) -> Payment:
        intent_id = await self._intent_id(payment_id)
        if not intent_id:
            return await self._never(payment_id)
        return _payment(payment_id, await self._cancel(intent_id))

    async def _cancel(self, intent_id: str) -> Intent:
        try:
            params: Any = {"expand": _EXPAND}
            return decoded(Intent, await self._ask(self._client.v1.payment_intents.cancel_async(intent_id, params)))
        except ProviderRefused:
            return await self._get(intent_id)  # captured, cancelled before, or being decided: it says itself

    async def _never(self, payment_id: str) -> Payment:
        """Use up the key of a payment that Stripe has no intent of."""
        known = await self._book.about(payment_id)
        if known is None:
            raise ProviderRefused("a payment that was never asked for")
        params: Any = self._blank(payment_id, known.amount)
        create = self._client.v1.payment_intents.create_async(params, {"idempotency_key": payment_id})
        try:
            blank = decoded(Intent, await self._ask(create))
        except stripe.IdempotencyError:
            # The request did arrive. With an intent it would be in the list by now; else it was refused for good.
            if intent_id := await self._intent_id(payment_id):
                return _payment(payment_id, await self._cancel(intent_id))
            return Payment(payment_id=payment_id, state=PaymentState.CANCELLED, amount=known.amount.amount)
        await self._book.note(payment_id, blank.id)
        return _payment(payment_id, await self._cancel(blank.id))

    async def refund(self, payment_id: str, refund_id: str, amount: Money) -> Payment:
        intent_id = await self._needed(payment_id)
        made = decoded(
            Refunds,
            await self._ask(self._client.v1.refunds.list_async({"payment_intent": intent_id, "limit": PAGE})),
        )
        live = [one for one in made.data if one.status not in {"failed", "canceled"}]
        if not any(one.metadata.get("refund_id") == refund_id for one in live):
            params: Any = {
                "payment_intent": intent_id,
                "amount": amount.amount,
                "metadata": {"refund_id": refund_id, "payment_id": payment_id, "installation": self._installation},
            }
            await self._ask(self._client.v1.refunds.create_async(params, {"idempotency_key": refund_id}))
        return await self._retrieve(payment_id, intent_id)

    async def _needed(self, payment_id: str) -> str:
        intent_id = await self._intent_id(payment_id)
        if not intent_id:
            raise ProviderRefused("Stripe has no such payment")
        return intent_id

    # -- events -----------------------------------------------------------------------------------------------------

    def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        try:
            signature = headers.get("stripe-signature")
            stripe.WebhookSignature.verify_header(body, signature, self._webhook_secret, WEBHOOK_TOLERANCE_S)
            event = msgspec.json.decode(body, type=Event)
        except (stripe.SignatureVerificationError, ValueError, msgspec.MsgspecError) as error:
            raise WebhookForged(type(error).__name__) from error
        metadata = (event.data.object.metadata if event.data else None) or {}
        ours = metadata.get("installation") == self._installation
        return ProviderEvent(event_id=event.id, payment_id=metadata.get("payment_id", "") if ours else "")

    async def _ask(self, call: Awaitable[T]) -> T:
        """One call with its deadline. Raises ProviderFailed, ProviderRefused, or CardError and IdempotencyError."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._slots:
                return await call
        except TimeoutError as error:
            raise ProviderFailed("no answer from Stripe in time") from error
        except (stripe.CardError, stripe.IdempotencyError) as error:
            if error.http_status == 409:  # the first request with this key is still being answered
                raise ProviderFailed("Stripe is still answering the first request") from error
            raise
        except stripe.InvalidRequestError as error:
            if error.http_status == 409:
                raise ProviderFailed(f"409 from Stripe: {error.code}") from error
            raise ProviderRefused(f"{error.http_status} from Stripe: {error.code} {error.param}") from error
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            log.error("stripe_refuses_our_key", status=error.http_status)  # the setting is wrong, not the payment
            raise ProviderFailed("Stripe refuses our key") from error
        except stripe.StripeError as error:
            raise ProviderFailed(f"{error.http_status or type(error).__name__} from Stripe") from error


def _payment(payment_id: str, intent: Intent) -> Payment:
    failure = intent.last_payment_error
    state = _STATES.get(intent.status, PaymentState.PENDING)
    if state is PaymentState.CANCELLED and failure:
        state = PaymentState.DECLINED
    charge = intent.latest_charge if isinstance(intent.latest_charge, Charge) else Charge()
    card = (intent.payment_method.card if isinstance(intent.payment_method, PaymentMethod) else None) or Card()
    return Payment(
        payment_id=payment_id,
        state=state,
        amount=intent.amount,
        captured=intent.amount_received,
        refunded=charge.amount_refunded,
        fingerprint=card.fingerprint or "",
        client_secret=(intent.client_secret or "") if intent.status == "requires_action" else "",
        reason=str(failure.decline_code or failure.code or "") if failure else "",
        reference=intent.metadata.get("hold", ""),
        currency=intent.currency.upper(),
        created_at_ms=intent.created * 1000,
    )
