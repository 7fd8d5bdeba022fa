"""A show and what is on sale in it."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schema.ids import ProductId, ShowId, Slug, VariantId
from schema.money import Currency, MinorUnits, Money
from schema.offers import Bundle, FlashPrice, PinnedCoupon

Title = Annotated[str, Meta(min_length=1, max_length=200)]
Quantity = Annotated[int, Meta(ge=1, le=1000)]
Units = Annotated[int, Meta(ge=1, le=1_000_000)]


CountryCode = Annotated[str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2.")]


class ShowState(StrEnum):
    """The life of a show; `live.core.lifecycle` holds the table of moves."""

    SCHEDULED = "scheduled"
    LIVE = "live"
    PAUSED = "paused"
    ENDED = "ended"


class Stock(Struct, frozen=True, kw_only=True):
    """The four columns of one variant in one show.

    Invariant: on_hand = available + held, and none is negative.
    `sold` counts every unit ever sold; a unit that comes back raises `returned` and on_hand,
    so opening + restocked + returned - sold - withdrawn = on_hand at all times.
    """

    on_hand: int
    held: int
    sold: int
    available: int
    returned: int = 0


class Item(Struct, frozen=True, kw_only=True):
    """One variant on sale in one show, with its stock."""

    variant_id: VariantId
    product_id: ProductId
    title: str
    option: str
    """What sets this variant apart from its product's others, "blue"; empty where there is only one."""
    price: Money
    limit_per_buyer: int
    image: str
    """A path on this server, or empty."""
    position: int
    stock: Stock
    flash: FlashPrice | None = None
    """Running now; `price` is its price while some of it is left."""


class VideoSwitch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kill switch for the video: false lets nothing of it reach anybody, and viewers read why."""

    open: bool
    reason: Annotated[str, Meta(max_length=200)] = ""
    """For everybody to read; may be empty."""


class Show(Struct, frozen=True, kw_only=True):
    """A show as everybody may see it."""

    show_id: ShowId
    title: str
    description: str
    state: ShowState
    starts_at_ms: int
    currency: Currency
    sales_open: bool
    chat_open: bool = True
    """False: the chat is paused, for all but the staff."""
    video: VideoSwitch = VideoSwitch(open=True)
    host_present: bool
    slow_mode_ms: int
    version: int
    """Rises with each write; the ETag."""
    pins: list[VariantId]
    """Of items and of bundles."""
    items: list[Item]
    bundles: list[Bundle] = []
    coupon: PinnedCoupon | None = None
    run: list[VariantId] = []
    """In which order the host means to show items and bundles; what is not named comes after, by its position."""
    rehearsal_of: ShowId | None = None
    """The show that this one rehearses: nothing is really sold here."""


class ShowSummary(Struct, frozen=True, kw_only=True):
    """A show in a list."""

    show_id: ShowId
    title: str
    description: str
    state: ShowState
    starts_at_ms: int
    currency: Currency
    host_present: bool


class ShowRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Schedule a show."""

    title: Title
    starts_at_ms: Annotated[int, Meta(ge=0)]
    currency: Currency = "EUR"
    description: Annotated[str, Meta(max_length=2000)] = ""
    show_id: Slug | None = None
    """Chosen by the caller, else minted."""


class VariantRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One variant of a product, as the merchant enters it."""

    option: Annotated[str, Meta(max_length=60)] = ""
    price_amount: MinorUnits
    variant_id: Slug | None = None
    sku: Annotated[str, Meta(max_length=64)] = ""


class ProductRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product with its variants."""

    title: Title
    currency: Currency = "EUR"
    description: Annotated[str, Meta(max_length=5000)] = ""
    image: Annotated[str, Meta(max_length=500)] = ""
    product_id: Slug | None = None
    variants: Annotated[list[VariantRequest], Meta(min_length=1, max_length=100)]


class Variant(Struct, frozen=True, kw_only=True):
    """One variant in the catalogue."""

    variant_id: VariantId
    option: str
    price: Money
    sku: str


class Product(Struct, frozen=True, kw_only=True):
    """A product in the catalogue."""

    product_id: ProductId
    title: str
    description: str
    image: str
    variants: list[Variant]


class AllocationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put a variant on sale in a show, with its opening stock."""

    variant_id: VariantId
    opening_stock: Annotated[int, Meta(ge=0, le=1_000_000)]
    limit_per_buyer: Annotated[int, Meta(ge=1, le=1000)] = 10
    price_amount: MinorUnits | None = None
    """The price in this show; None: the catalogue's."""


class StateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Move a show to another state."""

    state: ShowState


class SalesRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kill switch for sales: false refuses new holds, and touches nothing already promised."""

    open: bool


class ChatSwitch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kill switch for the chat: false refuses what viewers say; slow mode and sanctions stay as they are."""

    open: bool


class RunRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The run of a show: in which order the host means to show things. Numbers that the chat buys by stay."""

    variant_ids: Annotated[list[VariantId], Meta(max_length=400)]


class ChatSettingsRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Slow mode: the least time between two messages of one account; 0 is off."""

    slow_mode_ms: Annotated[int, Meta(ge=0, le=600_000)]


class WithdrawRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that are not for sale after all: broken, promised elsewhere, miscounted."""

    quantity: Units
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class LowStockRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At how few units left the operator is told; 0: never."""

    low_at: Annotated[int, Meta(ge=0, le=1_000_000)]


class LowStock(Struct, frozen=True, kw_only=True):
    """The low-stock alert of one item."""

    variant_id: VariantId
    low_at: int
    low_since_ms: int | None
    """When it was told; null while there is nothing to tell. Units that come onto the shelf arm it again."""
    available: int


class LowStocks(Struct, frozen=True, kw_only=True):
    """The low-stock alerts of a show."""

    items: list[LowStock]


class RestockRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that arrived during the show."""

    quantity: Units


class PriceRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new price for a variant in this show; holds already taken keep theirs."""

    price_amount: MinorUnits


class TaxRate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tax that prices contain when the goods go to this country."""

    country: CountryCode
    rate_bp: Annotated[int, Meta(ge=0, le=10_000, description="Basis points: 1900 is 19 %.")]


class ShippingRate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one way to send goods to a country costs, whatever is in the parcel."""

    country: CountryCode
    method: Annotated[str, Meta(min_length=1, max_length=60)]
    amount: MinorUnits
    free_from: MinorUnits | None = None
    """Goods less discount of so much ship free."""


class Charges(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a show adds to the price of its goods, and what is contained in it. Each country in the merchant's order."""

    home_country: CountryCode | None = None
    """Whose tax an order without a country contains."""
    shipping_required: bool = False
    """True: nobody pays without naming a country, so holds are paid for as baskets only."""
    tax: Annotated[list[TaxRate], Meta(max_length=250)] = []
    shipping: Annotated[list[ShippingRate], Meta(max_length=500)] = []


class PinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Show this item beside the video."""

    variant_id: VariantId
    captured_at_ms: Annotated[float, Meta(ge=0, le=1e14)] | None = None
    """The moment of the video that the pin belongs to, on the publishing page's own clock; None: what arrived last."""


class Pin(Struct, frozen=True, kw_only=True):
    """An item shown beside the video."""

    variant_id: VariantId
    pinned_at_ms: int


class ShowPage(Struct, frozen=True, kw_only=True):
    """One page of shows."""

    items: list[ShowSummary]
    next_cursor: str | None = None


class ProductPage(Struct, frozen=True, kw_only=True):
    """One page of products."""

    items: list[Product]
    next_cursor: str | None = None
