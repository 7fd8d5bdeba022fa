"""The share of one network's guests: no drop is reserved as a whole by fresh ones, and a household notices nothing."""

import asyncio
import itertools
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from checkout import shares
from checkout.core.shares import ON_ITS_WAY_MS
from checkout.shares import Shares
from schema.errors import LimitReached
from schema.hold import HoldRequest
from schema.ids import VariantId

_keys = itertools.count()


async def tap(shop, who: str, *, network: str = "campus", quantity: int = 1, variant: str = "pot", key: str = ""):
    guest = replace(shop.viewer(who), network=network)
    request = HoldRequest(variant_id=VariantId(variant), quantity=quantity)
    return await shop.desk.hold(guest, shop.show_id, request, key or f"share-{next(_keys)}")


async def rush(shop, guests: int, **how) -> Counter[str]:
    return Counter(await asyncio.gather(*(shop.outcome(tap(shop, f"g{i}", **how)) for i in range(guests))))


async def test_fresh_guests_of_one_network_hold_their_share_and_the_rest_is_everybody_elses(shop, desk):
    await shop.item(stock=20)
    assert await rush(shop, 60) == {"ok": 10, "limit_reached": 50}
    with pytest.raises(LimitReached) as refused:
        await tap(shop, "one-more")
    assert refused.value.extra == {"of": "network"}
    assert refused.value.retry_after_ms == 1000
    await tap(shop, "neighbour", network="elsewhere")
    await shop.tap("account")  # whoever has an account has no network
    assert (await shop.stock()).held == 12
    assert (await shop.verify()).problems == []


async def test_without_it_a_script_reserves_the_whole_drop(shop, desk, monkeypatch):
    @asynccontextmanager
    async def unbounded(*_):
        yield

    monkeypatch.setattr(Shares, "taking", unbounded)
    await shop.item(stock=20)
    assert (await rush(shop, 60))["ok"] == 20


async def test_what_is_paid_for_or_given_back_makes_room(shop, desk, monkeypatch):
    monkeypatch.setattr(shares, "REFUSED_S", 0.0)
    await shop.item(stock=8)
    holds = [await tap(shop, f"g{i}") for i in range(4)]
    assert await shop.outcome(tap(shop, "late")) == "limit_reached"
    await shop.pay_for("g0", holds[0])
    await desk.release(shop.viewer("g1"), holds[1].hold_id)
    assert await rush(shop, 6) == {"ok": 2, "limit_reached": 4}


async def test_a_hold_on_its_way_to_the_truth_counts_and_one_that_never_came_does_so_for_a_moment(shop, monkeypatch):
    now_ms = 1_000_000
    monkeypatch.setattr(shares, "REFUSED_S", 0.0)
    await shop.open(clock=lambda: now_ms, pace=shop.idle)
    await shop.item(stock=4)
    one = shares.Want(product=shares.Product(shop.show_id, "pot"), units=2, stocked=4)
    async with shop.desk._shares.taking("campus", "hold_never", [one]):
        assert await shop.outcome(tap(shop, "ann")) == "limit_reached"
    now_ms += ON_ITS_WAY_MS - 1
    assert await shop.outcome(tap(shop, "ann")) == "limit_reached"
    now_ms += 2
    assert await shop.outcome(tap(shop, "ann")) == "ok"


async def test_a_refused_tap_and_a_repeated_one_take_no_room(shop, desk):
    await shop.item(stock=8, limit=1)
    first = await tap(shop, "ann", key="k")
    assert await tap(shop, "ann", key="k") == first
    assert await shop.outcome(tap(shop, "bob", quantity=2)) == "limit_reached"
    await desk.set_sales(shop.show_id, open=False)
    assert await shop.outcome(tap(shop, "bob")) == "sales_closed"
    await desk.set_sales(shop.show_id, open=True)
    assert await rush(shop, 4) == {"ok": 3, "limit_reached": 1}


async def test_a_bundle_counts_against_each_of_its_parts(shop, desk):
    await shop.item("pot", stock=20, limit=5)
    await shop.item("apron", stock=4, limit=5)
    await shop.pg.execute("INSERT INTO bundles VALUES ($1, 'set', 'Set', '', 6500, 'EUR', 0)", shop.show_id)
    for variant in ("pot", "apron"):
        await shop.pg.execute("INSERT INTO bundle_parts VALUES ($1, 'set', $2, 1)", shop.show_id, variant)
    assert await rush(shop, 5, variant="set") == {"ok": 2, "limit_reached": 3}
    assert (await shop.stock("pot")).held == 2
    assert await rush(shop, 12, variant="pot") == {"ok": 8, "limit_reached": 4}  # what was refused counts nowhere


async def test_without_redis_nobody_is_refused_for_it(shop):
    await shop.open(redis=shop.dead_redis())
    await shop.item(stock=6)
    assert await rush(shop, 6) == {"ok": 6}


async def test_a_script_that_goes_on_asks_the_truth_once_in_a_while(shop, desk, monkeypatch):
    monkeypatch.setattr(shares, "REFUSED_S", 3600.0)
    await shop.item(stock=4)
    assert await rush(shop, 2) == {"ok": 2}
    asked = []
    monkeypatch.setattr(Shares, "_forget_ended", lambda *args: asked.append(args) or asyncio.sleep(0, result=False))
    for i in range(20):
        assert await shop.outcome(tap(shop, f"more{i}")) == "limit_reached"
    assert len(asked) == 1
