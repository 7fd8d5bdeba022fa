"""The limit per buyer where it cannot be dodged: at paying, by the card and the mailbox behind a guest session.

Owns: what is known of the person behind a payment. A fresh guest session is a fresh account, so the limit at the tap
starts anew with it; the provider's fingerprint of the card and the e-mail address do not.
Invariant: over all guest sessions that pay with one card, or under one mailbox, no more units are sold than the limit;
what was authorized beyond it is let go of before anybody is told that it is theirs.
"""

import structlog

from checkout.core.payer import mailbox
from checkout.counts import Counts
from checkout.payments import Payment, PaymentState
from checkout.truth import Truth, sql

log = structlog.get_logger()


class Payers:
    """Of one desk. Raises Unavailable when Postgres does not answer."""

    def __init__(self, truth: Truth, counts: Counts) -> None:
        self._truth, self._counts = truth, counts

    async def note(self, payment_id: str, email: str) -> None:
        """Remember under which address somebody pays, before the provider is asked."""
        if email:
            await self._truth.fetch(sql("payment_email"), payment_id, email, mailbox(email))

    async def refusal(self, seen: Payment) -> str:
        """Why an authorized payment must not become a sale: `limit_reached` or `amount_mismatch`; empty: it may."""
        if seen.state is not PaymentState.AUTHORIZED:
            return ""
        claim = "SELECT * FROM claim_payer($1, $2, $3)"
        code: str = (await self._truth.one(claim, seen.payment_id, seen.fingerprint, seen.amount))["code"]
        if code == "ok":
            return ""
        self._counts.payers_refused += code == "limit_reached"
        self._counts.amount_mismatches += code == "amount_mismatch"
        log.log(40 if code == "amount_mismatch" else 20, "payer_refused", payment=seen.payment_id, why=code)
        return code
