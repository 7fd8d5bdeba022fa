"""What the races count: each round by itself, from the shops' books, and from what buyers were told."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from race_shops import ORDERED, Books, Buyer, Goods
from races import Round, one_unit, sold_out, tally


def books(ordered=0, charged=0, charged_without_order=0) -> Books:
    return Books(ordered=ordered, charged=charged, charged_without_order=charged_without_order)


@pytest.mark.parametrize(
    ("found", "oversold", "unsold", "without_goods"),
    [
        ([books(1, 1)], 0, 0, 0),
        ([books(0, 0)], 0, 1, 0),
        ([books(3, 3)], 2, 0, 2),
        ([books(0, 0), books(2, 2)], 1, 1, 1),  # one round does not make good what the other did
        ([books(1, 2, 1)], 0, 0, 1),
        ([books(1, 1), books(1, 1)], 0, 0, 0),
    ],
)
def test_a_round_is_counted_by_itself(found, oversold, unsold, without_goods):
    added = tally([Round(answers=[ORDERED], books=each) for each in found])
    assert (added.oversold, added.unsold, added.charged_without_goods) == (oversold, unsold, without_goods)
    assert added.charged_without_order == sum(each.charged_without_order for each in found)
    assert added.rounds == len(found)
    assert added.ordered == sum(each.ordered for each in found)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr("races.LOOK_S", 0)


class Careless:
    """A shop in memory that sells, and may look at its stock before."""

    name = "careless"

    def __init__(self, *, looks: bool) -> None:
        self.sold, self._looks = 0, looks

    async def goods(self) -> Goods:
        return Goods("pot")

    async def comes(self, goods: Goods) -> Buyer:
        return Buyer(goods)

    lingers = comes

    async def buys(self, _buyer: Buyer) -> str:
        if self._looks and self.sold:
            return "sold out"
        self.sold += 1
        return ORDERED

    pays = buys

    async def books(self, _goods: Goods) -> Books:
        return books(self.sold, self.sold)


@pytest.mark.parametrize(("looks", "oversold"), [(True, 0), (False, 9)])
async def test_who_sells_without_looking_is_found_out_in_a_rush(looks, oversold):
    added = tally([await one_unit(Careless(looks=looks), 10)])
    assert added.oversold == added.charged_without_goods == oversold
    assert added.answers == Counter({ORDERED: 1, "sold out": 9} if looks else {ORDERED: 10})


@pytest.mark.parametrize(("looks", "later"), [(True, "sold out"), (False, ORDERED)])
async def test_who_sells_to_somebody_that_pays_later_is_found_out(looks, later):
    added = tally([await sold_out(Careless(looks=looks))])
    assert added.answers == Counter([f"last unit: {ORDERED}", f"paid later: {later}"])
    assert added.oversold == (not looks)


async def test_what_a_shop_takes_back_after_its_answer_is_not_held_against_it():
    shop = Careless(looks=False)
    said = [books(2, 2), books(2, 2, 1), books(1, 1), books(1, 1), books(9, 9)]

    async def slowly(_goods: Goods) -> Books:
        return said.pop(0)

    shop.books = slowly
    assert (await one_unit(shop, 2)).books == books(1, 1)
