"""The shelves of one desk, one a product that was ever asked for here.

Owns: which shelf is whose.
Invariant: a shelf is made for a product that has a stock row, so there are never more shelves than such rows.
"""

import asyncio
from collections.abc import Callable

from checkout.gate import Product, key_of
from checkout.shelf import Shelf
from checkout.truth import Truth, sql
from schema.errors import NotFound


class Shelves:
    """`make` makes a product's shelf."""

    def __init__(self, truth: Truth, make: Callable[[Product], Shelf]) -> None:
        self._truth, self._make = truth, make
        self._shelves: dict[Product, Shelf] = {}
        self._by_key: dict[str, Shelf] = {}
        self._cold = asyncio.Lock()

    def get(self, product: Product) -> Shelf | None:
        """The shelf, if there is one here."""
        return self._shelves.get(product)

    def of(self, product: Product) -> Shelf:
        """The shelf of a product that is known to have a stock row."""
        if product not in self._shelves:
            self._shelves[product] = self._by_key[key_of(product)] = self._make(product)
        return self._shelves[product]

    def all(self) -> list[Shelf]:
        """Every shelf of this desk."""
        return list(self._shelves.values())

    async def on_sale(self, product: Product) -> Shelf:
        """The shelf of a product that somebody asks for; ready to decide. Raises NotFound, Unavailable."""
        if product not in self._shelves:
            # One at a time, and before the first tap: a rush that begins cold would go to Postgres as a whole.
            async with self._cold:
                if product not in self._shelves:
                    if await self._truth.one(sql("stock"), product.show_id, product.variant_id) is None:
                        raise NotFound("This variant is not on sale in this show")
                    await self.of(product).refresh()
        return self.of(product)

    async def all_on_sale(self) -> list[Shelf]:
        """The shelves of what can be bought, also of what another process put on sale."""
        rows = await self._truth.fetch(sql("on_sale"))
        return [self.of(Product(row["show_id"], row["variant_id"])) for row in rows]

    def heard(self, key: str) -> None:
        """A gate has something to sell again; `key` is its meta key."""
        if shelf := self._by_key.get(key):
            shelf.heard()

    def missed(self) -> None:
        """Any gate may have had something to sell again."""
        for shelf in self._shelves.values():
            shelf.heard()
