"""A receipt: what was bought, so that anybody can check it without the shop."""

from msgspec import Struct

from schema.ids import OrderId, ShowId, VariantId
from schema.money import Money


class ReceiptLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of the order, and where the ledger has it."""

    variant_id: VariantId
    title: str
    quantity: int
    price_seen: Money
    """Of one unit, as it stood beside the video at the tap."""
    total: Money
    """What of the order's total is this line's."""
    ledger_seq: int
    """The entry of the sale in this item's ledger, and its hash: `seq` and `entry` of the public ledger."""
    ledger_hash: str


class Receipt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file is this, in this order, as JSON without blanks; any other byte breaks the signature."""

    format: str
    show_id: ShowId
    order_id: OrderId
    number: int
    """Of the order in its show, from 1, without gaps."""
    lines: list[ReceiptLine]
    total: Money
    tapped_at_ms: int
    """When the first of its units was held."""
    sold_at_ms: int
    video_second: float | None
    """How far into the show's video the tap was; null for a show that had not begun."""
    test: bool
    """True: of a rehearsal. Nothing was sold."""
    salt: str
    """sha256 of this and the order's id is the order's name in the public ledger."""
    key: str = ""
    """The shop's public key, Ed25519, base64url; `/.well-known/jwks.json` must have the same."""
    signature: str = ""
    """Of all the above, as the file has it with this field empty."""
