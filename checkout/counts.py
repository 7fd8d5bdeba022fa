"""What the desk has done since it started: numbers for `/metrics` and for tests.

Owns: the counters. Invariant: they only rise.
"""

from dataclasses import dataclass


@dataclass
class Counts:
    """Plain counters of one desk; `live` exports each as `showfloor_checkout_<name>_total`."""

    taps: int = 0
    refused_here: int = 0
    """Taps answered by this process alone, which knew that the product is sold out."""
    gate_refused: int = 0
    """Taps answered by the gate alone."""
    truth_decided: int = 0
    """Taps that came to Postgres: `taps` is the sum of these three, and of those answered with an error."""
    truth_transactions: int = 0
    """Postgres transactions opened to decide taps."""
    truth_retries: int = 0
    straight_to_truth: int = 0
    """Taps decided without the gate."""
    confirming: int = 0
    """Taps written down because Postgres did not answer."""
    confirmed: int = 0
    """Of these, holds once it did."""
    unconfirmed: int = 0
    """Of these, told no: after a minute, or because the truth had none left."""
    holds: int = 0
    offers: int = 0
    """Holds made for the head of a waitlist."""
    expired: int = 0
    released: int = 0
    rebuilds: int = 0
    drift_units: int = 0
    """Units by which the gate and the truth were found apart."""
    orphans: int = 0
    """Units that a gate had admitted and nobody had committed."""
    orders: int = 0
    captures: int = 0
    captures_failed: int = 0
    """Authorizations that could not be taken any more, such as after their seven days: the units went back."""
    refunds: int = 0
    cancellations: int = 0
    """Orders undone before their capture."""
    payers_refused: int = 0
    """Payments let go of because their card or mailbox had reached the limit in other guest sessions."""
    amount_mismatches: int = 0
    """Payments let go of because the provider had another amount than was asked for."""
    stray_captures: int = 0
    """Money taken without an order, and given back."""
    payment_differences: int = 0
    """Payments newly found apart between the provider's record and ours."""
    parked: int = 0
    """Outbox entries that ran out of tries and wait for an operator."""
