"""What checkout needs of a payment provider, and nothing about any one of them.

Owns: the Protocol and its words.
Invariant: a `payment_id` of ours is the provider's idempotency key: the same call twice moves money once.
"""

from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from schema.money import Money


class PaymentState(StrEnum):
    """What the provider says of a payment."""

    PENDING = "pending"
    """Undecided: it may yet be authorized."""
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    """For good; nothing is authorized."""
    CAPTURED = "captured"
    CANCELLED = "cancelled"
    """For good; nothing is authorized and nothing can be."""


class Payment(Struct, frozen=True, kw_only=True):
    """A payment as the provider has it."""

    payment_id: str
    """Ours."""
    state: PaymentState
    amount: int
    captured: int = 0
    refunded: int = 0
    fingerprint: str = ""
    """Of the card behind it: one card, one text, whoever pays with it. Empty: the provider tells none."""
    client_secret: str = ""
    """With it the buyer's page goes on where the bank wants to hear from them. Never stored, never logged."""
    reason: str = ""
    """Why it was declined, in the provider's word."""
    reference: str = ""
    currency: str = ""
    created_at_ms: int = 0


class ProviderEvent(Struct, frozen=True, kw_only=True):
    """A verified webhook: something happened to this payment; ask what."""

    event_id: str
    payment_id: str
    """Empty: it is about nothing of ours."""


class ProviderFailed(Exception):  # noqa: N818 - the field's word
    """The provider did not answer, or answered 5xx: what was asked may or may not have happened."""


class ProviderRefused(Exception):  # noqa: N818
    """The provider says no for good: asking again is pointless."""


class WebhookForged(Exception):  # noqa: N818
    """The signature is missing, wrong or too old."""


class PaymentProvider(Protocol):
    """A payment network. Every call has a deadline of its own; raises ProviderFailed or ProviderRefused."""

    name: str

    def knows(self, method: str) -> bool:
        """False for a payment method that the provider can have no record of; asked before anything else."""

    async def authorize(self, payment_id: str, amount: Money, method: str, reference: str) -> Payment:
        """Reserve the money. Repeating it with the same id answers what became of the first."""

    async def retrieve(self, payment_id: str) -> Payment | None:
        """The payment as it is now; None if the provider never heard of it."""

    async def capture(self, payment_id: str, amount: Money) -> Payment:
        """Take the money. Once, however often it is called."""

    async def cancel(self, payment_id: str) -> Payment:
        """Let go of the money, or never take it. After it, the state is final, even of a payment unknown until then."""

    async def refund(self, payment_id: str, refund_id: str, amount: Money) -> Payment:
        """Give money back. Once per `refund_id`."""

    def since(self, at_ms: int) -> AsyncIterator[Payment]:
        """Every payment of ours that began at `at_ms` or later, page by page, in no particular order."""

    def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        """What a webhook says. Raises WebhookForged."""
