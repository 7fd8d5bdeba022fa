"""The catalogue, and what of it is on sale in a show.

Owns: products, variants, and each show's items with their price and limit. How many there are is checkout's.
Invariant: an item's currency is its show's; an item once on sale stays listed, so that orders can name it.
"""

from collections.abc import Mapping, Sequence

import asyncpg

from live.ports import Announcer, StockBook
from live.queries import sql
from live.turns import Connection, Pool, Turns
from schema.errors import Conflict, Invalid, NotFound
from schema.ids import AccountId, ProductId, ShowId, VariantId, new_id
from schema.money import Money
from schema.offers import FlashPrice
from schema.pages import to_cursor
from schema.show import (
    AllocationRequest,
    Item,
    Product,
    ProductPage,
    ProductRequest,
    Stock,
    Variant,
)
from schema.wire import PriceChanged

ITEMS_MAX = 200
"""Of one show. Each may retain a pin and a price, so this stays well below what realtime keeps for a show."""
NO_STOCK = Stock(on_hand=0, held=0, sold=0, available=0)


class Catalog:
    """Products and items, in Postgres."""

    def __init__(self, pool: Pool, turns: Turns, stock: StockBook, announcer: Announcer) -> None:
        self._pool = pool
        self._turns = turns
        self._stock = stock
        self._announcer = announcer

    async def create_product(self, asked: ProductRequest) -> Product:
        """Enter a product with its variants. Raises Conflict if an id is taken, Invalid for a foreign image."""
        if asked.image and (not asked.image.startswith("/") or asked.image.startswith("//")):
            raise Invalid("An image is a path on this server, such as /media/pot.webp", pointer="/image")
        product_id = ProductId(asked.product_id or new_id("prod"))
        ids = [variant.variant_id or new_id("var") for variant in asked.variants]
        async with self._pool.acquire() as pg, pg.transaction():
            made = await pg.fetchval(sql("product_insert"), product_id, asked.title, asked.description, asked.image)
            if made is None:
                raise Conflict(f"There is a product {product_id} already")
            await _insert_variants(pg, product_id, asked, ids)
        page = await self._products(None, 1, product_id)
        return page[0]

    async def products(self, after: ProductId | None, limit: int) -> ProductPage:
        """One page of the catalogue, by product id."""
        found = await self._products(after, limit + 1, None)
        more = len(found) > limit
        items = found[:limit]
        return ProductPage(items=items, next_cursor=to_cursor((items[-1].product_id,)) if more else None)

    async def _products(self, after: ProductId | None, limit: int, only: ProductId | None) -> list[Product]:
        rows = await self._pool.fetch(sql("products_page"), after, limit, only)
        return [_product(row) for row in rows]

    async def items(self, show: ShowId) -> list[Item]:
        """What is on sale in a show, in its order, with its stock."""
        rows = await self._pool.fetch(sql("items_of"), show, None)
        stocks = await self._stock.stocks(show) if rows else {}
        return [_item(row, stocks) for row in rows]

    async def item(self, show: ShowId, variant: VariantId) -> Item:
        """One item of a show. Raises NotFound."""
        row = await self._pool.fetchrow(sql("items_of"), show, variant)
        if row is None:
            raise NotFound(f"{variant} is not on sale in {show}")
        return _item(row, await self._stock.stocks(show))

    async def allocate(self, show: ShowId, asked: AllocationRequest) -> Item:
        """Put a variant on sale in a show with its opening stock.

        Raises NotFound (show or variant), Invalid (another currency), Conflict (on sale already, or ITEMS_MAX items
        are). Asking again after a failure between item and stock completes what was begun.
        """
        async with self._turns.of(show) as pg:
            async with pg.transaction():
                made = await pg.fetchval(
                    sql("item_insert"), show, asked.variant_id, asked.price_amount, asked.limit_per_buyer
                )
                if made is None:
                    await self._refuse_allocation(pg, show, asked.variant_id)
                elif await pg.fetchval(sql("items_count"), show) > ITEMS_MAX:
                    raise Conflict(f"A show has at most {ITEMS_MAX} items", limit=ITEMS_MAX)
                version = await pg.fetchval(sql("show_touch"), show)
            await self._stock.open(show, asked.variant_id, asked.opening_stock)
            await self._announcer.announce(show, version)
        return await self.item(show, asked.variant_id)

    async def _refuse_allocation(self, pg: Connection, show: ShowId, variant: VariantId) -> None:
        currency = await pg.fetchval(sql("variant_currency"), variant)
        row = await pg.fetchrow(sql("show_get"), show)
        if row is None:
            raise NotFound(f"There is no show {show}")
        if currency is None:
            raise NotFound(f"There is no variant {variant}")
        if currency != row["currency"]:
            raise Invalid(f"{variant} is priced in {currency}, the show in {row['currency']}", pointer="/variant_id")
        if variant in await self._stock.stocks(show):
            raise Conflict(f"{variant} is on sale in {show} already; restock it instead")

    async def set_price(self, show: ShowId, variant: VariantId, amount: int) -> Item:
        """A new price from now on, told to everybody. Raises NotFound."""
        async with self._turns.of(show) as pg:
            async with pg.transaction():
                currency = await pg.fetchval(sql("item_set_price"), show, variant, amount)
                if currency is None:
                    raise NotFound(f"{variant} is not on sale in {show}")
                version = await pg.fetchval(sql("show_touch"), show)
            return await self._announce_price(show, variant, version)

    async def tell_price(self, show: ShowId, variant: VariantId) -> Item:
        """Tell everybody the price of the moment, after a flash price began or ended. Raises NotFound."""
        async with self._turns.of(show) as pg:
            version = await pg.fetchval(sql("show_touch"), show)
            return await self._announce_price(show, variant, version)

    async def _announce_price(self, show: ShowId, variant: VariantId, version: int) -> Item:
        item = await self.item(show, variant)
        await self._announcer.announce(show, version, PriceChanged(variant_id=variant, price=item.price))
        return item

    async def restock(self, show: ShowId, variant: VariantId, units: int, *, by: AccountId, key: str = "") -> Item:
        """Add units that arrived during the show; with a key, once. Raises NotFound, IdempotencyMismatch."""
        await self.item(show, variant)
        await self._stock.restock(show, variant, units, by=by, key=key)
        return await self.item(show, variant)

    async def withdraw(
        self, show: ShowId, variant: VariantId, units: int, reason: str, *, by: AccountId, key: str = ""
    ) -> Item:
        """Take units off the shelf unsold; with a key, once. Raises NotFound, Conflict, IdempotencyMismatch."""
        await self.item(show, variant)
        await self._stock.withdraw(show, variant, units, reason, by=by, key=key)
        return await self.item(show, variant)


async def _insert_variants(pg: Connection, product_id: ProductId, asked: ProductRequest, ids: Sequence[str]) -> None:
    try:
        await pg.execute(
            sql("variants_insert"),
            product_id,
            asked.currency,
            ids,
            [variant.option for variant in asked.variants],
            [variant.sku for variant in asked.variants],
            [variant.price_amount for variant in asked.variants],
        )
    except asyncpg.UniqueViolationError:
        raise Conflict("A variant_id is taken already") from None


def _product(row: asyncpg.Record) -> Product:
    columns = zip(row["variant_ids"], row["options"], row["skus"], row["amounts"], row["currencies"], strict=True)
    return Product(
        product_id=row["product_id"],
        title=row["title"],
        description=row["description"],
        image=row["image"],
        variants=[
            Variant(variant_id=variant, option=option, sku=sku, price=Money(amount=amount, currency=currency))
            for variant, option, sku, amount, currency in columns
        ],
    )


def flash_of(row: asyncpg.Record) -> FlashPrice | None:
    """The flash price of a row of items_of.sql, if one runs."""
    if row["flash_until_ms"] is None:
        return None
    return FlashPrice(
        price=Money(amount=row["flash_amount"], currency=row["currency"]),
        instead_of=Money(amount=row["price_amount"], currency=row["currency"]),
        quantity=row["flash_quantity"],
        remaining=row["flash_remaining"],
        ends_at_ms=row["flash_until_ms"],
        limit_per_buyer=row["flash_limit"],
    )


def _item(row: asyncpg.Record, stocks: Mapping[VariantId, Stock]) -> Item:
    flash = flash_of(row)
    ordinary = Money(amount=row["price_amount"], currency=row["currency"])
    return Item(
        variant_id=row["variant_id"],
        product_id=row["product_id"],
        title=row["title"],
        option=row["option"],
        price=flash.price if flash and flash.remaining else ordinary,
        flash=flash,
        limit_per_buyer=row["limit_per_buyer"],
        image=row["image"],
        position=row["position"],
        stock=stocks.get(row["variant_id"], NO_STOCK),
    )
