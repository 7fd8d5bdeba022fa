"""The demo's shop and show: what is on sale, and how it gets there through the public interface.

Owns: nothing but data. Invariant: entering it again changes nothing; stock that was sold stays sold.
"""

from typing import Final

import httpx2
from msgspec import Struct

from schema.ids import VariantId

TITLE: Final = "Kitchen Friday"
DESCRIPTION: Final = "Spices, a good knife and three pots, live from the counter."
CURRENCY: Final = "EUR"
SHOWS_MAX: Final = 1000


class Goods(Struct, frozen=True, kw_only=True):
    """One product with its variants (option -> opening stock); price in minor units."""

    product_id: str
    title: str
    price_amount: int
    stock: dict[str, int]
    limit_per_buyer: int = 10

    def variants(self) -> dict[VariantId, tuple[str, int]]:
        """By variant id: the option and the opening stock."""
        return {
            VariantId(f"{self.product_id}-{option}" if option else self.product_id): (option, units)
            for option, units in self.stock.items()
        }


SPICE, KNIFE, APRON, COOKBOOK = VariantId("spice-set"), VariantId("knife"), VariantId("apron"), VariantId("cookbook")
POT_RED, POT_BLUE, POT_CREAM = VariantId("pot-red"), VariantId("pot-blue"), VariantId("pot-cream")

SHOP: Final = (
    Goods(product_id="spice-set", title="Spice set", price_amount=1800, stock={"": 40}),
    Goods(product_id="knife", title="Chef's knife", price_amount=5900, stock={"": 20}, limit_per_buyer=1),
    Goods(product_id="pot", title="Cast iron pot", price_amount=4900, stock={"red": 12, "blue": 8, "cream": 5}),
    Goods(product_id="apron", title="Linen apron", price_amount=2400, stock={"": 30}),
    Goods(product_id="cookbook", title="Signed cookbook", price_amount=3500, stock={"": 1}, limit_per_buyer=1),
)

BUNDLE: Final = VariantId("pot-and-apron")
BUNDLES: Final = (
    {
        "bundle_id": BUNDLE,
        "title": "Red pot and apron",
        "image": "/images/pot.svg",
        "price_amount": 6500,
        "parts": [{"variant_id": POT_RED}, {"variant_id": APRON}],
    },
)
COUPON: Final = "KITCHEN10"
COUPONS: Final = ({"code": COUPON, "percent_bp": 1000, "minimum": 2000, "uses": 50, "uses_per_buyer": 1},)
CHARGES: Final = {
    "home_country": "DE",
    "tax": [{"country": "DE", "rate_bp": 1900}, {"country": "AT", "rate_bp": 2000}],
    "shipping": [
        {"country": "DE", "method": "standard", "amount": 0},
        {"country": "DE", "method": "express", "amount": 990},
        {"country": "AT", "method": "standard", "amount": 690, "free_from": 10000},
    ],
}
"""Prices contain the tax; what goes to Germany ships for nothing, so that the price on the card is the total."""


class SetUpError(RuntimeError):
    """The shop could not be entered; the message has the server's words."""


async def set_up(http: httpx2.AsyncClient, now_ms: int, *, resume_ended: bool) -> str:
    """The id of the show to run: the last one, or a new one if that has ended and is not to be resumed.

    `http` carries an operator's token.

    Raises SetUpError.
    """
    await _enter_products(http)
    for number in range(1, SHOWS_MAX):
        show = "demo" if number == 1 else f"demo-{number}"
        found = await http.get(f"/api/v1/shows/{show}")
        if found.status_code == 404:
            await _create(http, show, now_ms)
        elif _ok(found).json()["state"] == "ended" and not resume_ended:
            continue
        await _allocate(http, show)
        return show
    raise SetUpError(f"There are {SHOWS_MAX} demo shows already; choose another data directory")


async def _enter_products(http: httpx2.AsyncClient) -> None:
    for goods in SHOP:
        variants = [
            {"variant_id": variant, "option": option, "price_amount": goods.price_amount}
            for variant, (option, _) in goods.variants().items()
        ]
        product = {
            "product_id": goods.product_id,
            "title": goods.title,
            "currency": CURRENCY,
            "image": f"/images/{goods.product_id}.svg",
            "variants": variants,
        }
        _ok(await http.post("/api/v1/products", json=product), 409)


async def _create(http: httpx2.AsyncClient, show: str, now_ms: int) -> None:
    body = {
        "show_id": show,
        "title": TITLE,
        "description": DESCRIPTION,
        "currency": CURRENCY,
        "starts_at_ms": now_ms,
    }
    _ok(await http.post("/api/v1/shows", json=body))


async def _allocate(http: httpx2.AsyncClient, show: str) -> None:
    """Whatever an interrupted set-up left out; what is on sale already is a conflict, and stays as it is."""
    for goods in SHOP:
        for variant, (_, units) in goods.variants().items():
            body = {"variant_id": variant, "opening_stock": units, "limit_per_buyer": goods.limit_per_buyer}
            _ok(await http.post(f"/api/v1/shows/{show}/items", json=body), 409)
    for bundle in BUNDLES:
        _ok(await http.post(f"/api/v1/shows/{show}/bundles", json=bundle), 409)
    for coupon in COUPONS:
        _ok(await http.post(f"/api/v1/shows/{show}/coupons", json=coupon), 409)
    _ok(await http.put(f"/api/v1/shows/{show}/charges", json=CHARGES))


def _ok(answer: httpx2.Response, *also: int) -> httpx2.Response:
    if answer.is_success or answer.status_code in also:
        return answer
    raise SetUpError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}")
