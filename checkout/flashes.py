"""Flash prices: beginning one, ending it early. Which price a hold gets is decided in Postgres (0012_flash_prices.sql).

Owns: the rule of the rest. Invariant: what was announced stands; a countdown does not begin again.
"""

from checkout.core.idempotency import derived_id
from checkout.truth import Truth
from schema.errors import Conflict, IdempotencyMismatch, Invalid, NotFound
from schema.ids import AccountId, ShowId, VariantId, new_id
from schema.offers import FlashPriceRequest

REST_MS = 600_000
"""So long after its end an item has no other flash price: a countdown that begins again is a lie about the first."""


class Flashes:
    """The flash prices of all shows. Every method raises Unavailable while Postgres does not answer."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def begin(
        self, show_id: ShowId, variant_id: VariantId, asked: FlashPriceRequest, *, by: AccountId, key: str = ""
    ) -> None:
        """From this moment on, to the end or until it is used up. With a key, a retry of the same account begins one.

        Raises NotFound, Conflict (one runs, or ran a moment ago), Invalid (no less than the price, or over by now),
        IdempotencyMismatch.
        """
        row = await self._truth.one(
            "SELECT * FROM begin_flash($1, $2, $3, $4, $5, $6, $7, $8)",
            derived_id("flash", by, show_id, key) if key else new_id("flash"),
            show_id,
            variant_id,
            asked.price_amount,
            asked.quantity,
            asked.limit_per_buyer,
            asked.ends_at_ms,
            REST_MS,
        )
        _refuse(row["code"], row["flash"]["until_ms"] if row["flash"] else 0)

    async def end(self, show_id: ShowId, variant_id: VariantId) -> None:
        """At once; holds keep the price they have. Ending what does not run is no mistake."""
        await self._truth.fetch("SELECT * FROM end_flash($1, $2)", show_id, variant_id)


def _refuse(code: str, until_ms: int) -> None:
    match code:
        case "none":
            raise NotFound("This variant is not on sale in this show")
        case "mismatch":
            raise IdempotencyMismatch
        case "running":
            raise Conflict("A flash price of this item is running: its end stands", ends_at_ms=until_ms)
        case "rest":
            raise Conflict(
                "This item's countdown has just ended; another may not begin yet", not_before_ms=until_ms + REST_MS
            )
        case "dearer":
            raise Invalid("A flash price is less than the item's price", pointer="/price_amount")
        case "over":
            raise Invalid("It would be over before it began", pointer="/ends_at_ms")
    assert code in {"ok", "known"}, code
