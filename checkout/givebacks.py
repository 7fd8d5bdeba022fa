"""Tells the shelves of a basket what the truth did with it.

Owns: nothing. Invariant: each product's row is told once, with all of that product's holds that ended.
"""

from collections.abc import Callable, Collection, Sequence

from checkout.gate import Product
from checkout.rows import Row
from checkout.shelf import Shelf

ShelfOf = Callable[[Product], Shelf]


def tell(shelf_of: ShelfOf, items: Sequence[Row]) -> None:
    """The stock rows of a basket, right after it was sold."""
    for item in items:
        shelf_of(Product(item["show_id"], item["variant_id"])).tell(item)


async def give_back(shelf_of: ShelfOf, items: Sequence[Row], ended: Collection[Row]) -> None:
    """These holds' units are on the shelf again; products of which none is are left alone."""
    for item in items:
        mine = [(hold["hold_id"], hold["quantity"]) for hold in ended if hold["variant_id"] == item["variant_id"]]
        if mine:
            await shelf_of(Product(item["show_id"], item["variant_id"])).ended(item, mine)
