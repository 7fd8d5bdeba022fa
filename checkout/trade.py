"""What everyone works with who moves goods and money at once.

Owns: nothing.
"""

from msgspec import Struct

from checkout.counts import Counts
from checkout.givebacks import ShelfOf
from checkout.payments import PaymentProvider
from checkout.truth import Truth


class Trade(Struct, frozen=True, kw_only=True):
    """The truth, who moves the money, and the shelves to be told; of one desk."""

    truth: Truth
    provider: PaymentProvider
    counts: Counts
    shelf_of: ShelfOf
