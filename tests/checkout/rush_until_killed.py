"""A desk in a process of its own that sells as fast as it can and prints each hold it promised, until it is killed.

Arguments: the database's address, Redis's address, how many buyers.
"""

import asyncio
import itertools
import sys

import asyncpg
import redis.asyncio

from checkout.desk import Desk
from schema.errors import SoldOutError
from schema.hold import HoldRequest
from schema.ids import AccountId, ShowId, VariantId
from schema.people import Principal, Role


class Silent:
    def stock_changed(self, show_id, variant_id, stock, version) -> None:
        pass

    def stock_low(self, show_id, variant_id, since_ms, version) -> None:
        pass


class NoProvider:
    """Nobody pays."""

    name = "none"

    async def since(self, at_ms):
        return
        yield


async def main(database_url: str, redis_url: str, buyers: int) -> None:
    numbers = itertools.count()
    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool,
        redis.asyncio.from_url(redis_url) as client,
        Desk(pool, client, NoProvider(), Silent()) as desk,
    ):

        async def buyer() -> None:
            while True:
                number = next(numbers)
                who = Principal(account_id=AccountId(f"b{number}"), role=Role.VIEWER, name="B")
                try:
                    hold = await desk.hold(who, ShowId("gala"), HoldRequest(variant_id=VariantId("pot")), f"k{number}")
                except SoldOutError:
                    return
                print(hold.hold_id, flush=True)  # noqa: T201 - the promise

        await asyncio.gather(*(buyer() for _ in range(buyers)))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
