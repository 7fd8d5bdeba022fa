"""Two races that carts lose, over the public interfaces of three shops in one run: ours, Medusa and Vendure.

    one unit        N buyers, each before the call that decides, all released together
    sold out        somebody lingers at the payment; another buys the last unit; then the first one pays

Medusa and Vendure are started by hand, each on loopback with PostgreSQL behind it, and named by address; whoever is not
named is left out. Each round has a product of its own with one unit. What is counted are the shops' books: orders that
stand, and money that is reserved or taken.

    python benchmarks/races.py [--medusa URL,EMAIL,PASSWORD] [--vendure URL,NAME,PASSWORD] [--rounds 5] [--buyers 50]
"""

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from race_peers import medusa, vendure
from race_shops import ORDERED, PREPARED_AT_ONCE, Books, Buyer, Goods, Shop, showfloor

UNITS = 1
HOLD_S = 5
LOOK_S, LOOKS_MOST = 2.0, 10


@dataclass(frozen=True, kw_only=True)
class Round:
    """One product: what its buyers were told, and what the shop's books say."""

    answers: list[str]
    books: Books


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The rounds of one race in one shop, added up."""

    rounds: int
    ordered: int
    oversold: int
    """Units in orders beyond those there were."""
    unsold: int
    """Units that nobody got, though everybody wanted them."""
    charged_without_order: int
    charged_without_goods: int
    """Buyers who were charged beyond the units there were, with an order or without."""
    answers: Counter[str]


def tally(rounds: Sequence[Round], units: int = UNITS) -> Tally:
    """Add up; a round never makes good what another one did."""
    books = [each.books for each in rounds]
    return Tally(
        rounds=len(rounds),
        ordered=sum(each.ordered for each in books),
        oversold=sum(max(0, each.ordered - units) for each in books),
        unsold=sum(max(0, units - each.ordered) for each in books),
        charged_without_order=sum(each.charged_without_order for each in books),
        charged_without_goods=sum(max(0, each.charged - units) for each in books),
        answers=Counter(answer for each in rounds for answer in each.answers),
    )


async def one_unit(shop: Shop, buyers: int) -> Round:
    """All at once."""
    goods = await shop.goods()
    await _come(shop, goods, buyers)
    doors = asyncio.Event()

    async def one(buyer: Buyer) -> str:
        await doors.wait()
        return await _told(shop.buys(buyer))

    waiting = [asyncio.create_task(one(buyer)) for buyer in goods.buyers]
    await asyncio.sleep(0)
    doors.set()
    return Round(answers=await asyncio.gather(*waiting), books=await _settled(shop, goods))


async def sold_out(shop: Shop) -> Round:
    """One after the other. The answers: of who bought the last unit, and of who paid after that."""
    goods = await shop.goods()
    late = await shop.lingers(goods)
    last = await shop.comes(goods)
    goods.buyers += [late, last]
    said = [f"last unit: {await _told(shop.buys(last))}", f"paid later: {await _told(shop.pays(late))}"]
    return Round(answers=said, books=await _settled(shop, goods))


async def _come(shop: Shop, goods: Goods, buyers: int) -> None:
    room = asyncio.Semaphore(PREPARED_AT_ONCE)

    async def come() -> Buyer:
        async with room:
            return await shop.comes(goods)

    goods.buyers += await asyncio.gather(*(come() for _ in range(buyers)))


async def _settled(shop: Shop, goods: Goods) -> Books:
    """The books once they have stood still: what a shop takes back after its answer is not held against it."""
    books = await shop.books(goods)
    for _ in range(LOOKS_MOST):
        await asyncio.sleep(LOOK_S)
        before, books = books, await shop.books(goods)
        if books == before:
            break
    return books


async def _told(work: Awaitable[str]) -> str:
    try:
        return await work
    except (OSError, RuntimeError) as error:
        return type(error).__name__


@asynccontextmanager
async def shops(given: argparse.Namespace) -> AsyncIterator[list[Shop]]:
    found: list[Shop] = []
    with tempfile.TemporaryDirectory(prefix="sf-") as folder:
        async with showfloor(Path(folder), HOLD_S) as ours:
            found.append(ours)
            if given.medusa:
                found.append(await medusa(*given.medusa.split(",")))
            if given.vendure:
                found.append(await vendure(*given.vendure.split(",")))
            yield found


def show(title: str, results: dict[str, Tally]) -> None:
    print(f"\n### {title}\n")
    print("| shop | rounds | orders | oversold | charged without order | charged without goods | unsold | answers |")
    print("|---|---|---|---|---|---|---|---|")
    for name, each in results.items():
        answers = "; ".join(f"{count} {answer}" for answer, count in each.answers.most_common())
        numbers = (each.rounds, each.ordered, each.oversold, each.charged_without_order, each.charged_without_goods)
        print(f"| {name} | {' | '.join(map(str, numbers))} | {each.unsold} | {answers} |", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medusa", default="", metavar="URL,EMAIL,PASSWORD")
    parser.add_argument("--vendure", default="", metavar="URL,NAME,PASSWORD")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--buyers", type=int, default=50)
    given = parser.parse_args()
    async with shops(given) as found:
        rush: dict[str, list[Round]] = {shop.name: [] for shop in found}
        late: dict[str, list[Round]] = {shop.name: [] for shop in found}
        for _ in range(given.rounds):  # they take turns, so that a noisy machine hits them alike
            for shop in found:
                rush[shop.name].append(await one_unit(shop, given.buyers))
                late[shop.name].append(await sold_out(shop))
    show(f"{given.buyers} buyers, one unit", {name: tally(rounds) for name, rounds in rush.items()})
    show("Paying after it sold out", {name: tally(rounds) for name, rounds in late.items()})
    won = sum(answer == ORDERED for rounds in rush.values() for each in rounds for answer in each.answers)
    print(f"\n{won} buyers were told of an order in the first race")


if __name__ == "__main__":
    asyncio.run(main())
