"""Units taken off the shelf, and the alert when few are left."""

import asyncio

import pytest

from schema.errors import Conflict, IdempotencyMismatch, NotFound, SoldOutError


async def test_withdrawn_units_are_gone_from_the_shelf_the_gate_and_the_sums(shop, desk):
    await shop.item(stock=10, limit=5)
    await shop.tap("ann", quantity=2)
    stock = await desk.stockroom.withdraw(shop.show_id, "pot", 3, "broken in the van")
    assert (stock.on_hand, stock.held, stock.available) == (7, 2, 5)
    assert await shop.gate_available() == 5
    (line,) = (report := await shop.verify()).lines
    assert report.problems == []
    assert (line.opening, line.withdrawn, line.on_hand, line.available, line.held) == (10, 3, 7, 5, 2)


async def test_never_a_held_unit_and_the_refusal_says_how_many_could_be(shop, desk):
    await shop.item(stock=5, limit=5)
    await shop.tap("ann", quantity=3)
    with pytest.raises(Conflict) as refused:
        await desk.stockroom.withdraw(shop.show_id, "pot", 3, "broken")
    assert refused.value.extra == {"available": 2}
    assert (await shop.stock()).on_hand == 5
    await desk.stockroom.withdraw(shop.show_id, "pot", 2, "broken")
    assert (await shop.stock()).available == 0
    with pytest.raises(SoldOutError):
        await shop.tap("bob")
    assert (await shop.verify()).ok


async def test_a_retry_withdraws_once_and_another_request_under_its_key_is_refused(shop, desk):
    await shop.item(stock=10)
    for _ in range(2):
        await desk.stockroom.withdraw(shop.show_id, "pot", 4, "broken", account_id="op", key="k")
    assert (await shop.stock()).on_hand == 6
    with pytest.raises(IdempotencyMismatch):
        await desk.stockroom.withdraw(shop.show_id, "pot", 5, "broken", account_id="op", key="k")
    with pytest.raises(NotFound):
        await desk.stockroom.withdraw(shop.show_id, "mug", 1, "broken")


async def test_taps_and_withdrawals_at_once_share_what_there_is(shop, desk):
    await shop.item(stock=40, limit=1)
    withdrawals = [shop.outcome(desk.stockroom.withdraw(shop.show_id, "pot", 1, "broken")) for _ in range(30)]
    done, taken = await asyncio.gather(asyncio.gather(*withdrawals), shop.rush(buyers=60, taps=60))
    assert done.count("ok") + taken["ok"] == 40
    report = await shop.verify()
    assert report.problems == []
    assert (report.lines[0].available, report.lines[0].withdrawn) == (0, done.count("ok"))


async def test_a_withdrawal_denied_in_the_stock_row_is_found(shop, desk):
    await shop.item(stock=10)
    await desk.stockroom.withdraw(shop.show_id, "pot", 4, "broken")
    await shop.pg.execute("UPDATE stock SET withdrawn = 3")
    assert any("withdrawn" in problem for problem in (await shop.verify()).problems)


async def test_the_alert_comes_once_when_stock_runs_low_and_again_only_after_a_restock(shop, desk):
    await shop.item(stock=8, limit=8)
    told = shop.listener.low
    await shop.tap("ann", quantity=2)
    assert told == []
    hold = await shop.tap("bob")
    assert [variant for variant, since in told if since] == ["pot"]
    await desk.release(shop.viewer("bob"), hold.hold_id)
    await shop.tap("cat", quantity=3)
    assert len(told) == 1  # down again without a restock: nothing new
    await desk.restock(shop.show_id, "pot", 10)
    assert told[1:] == [("pot", None)]
    await shop.tap("dan", quantity=8)
    assert len(told) == 3
    assert told[2][1] is not None


async def test_the_threshold_can_be_set_and_taken_away(shop, desk):
    await shop.item(stock=8, limit=8)
    assert (await desk.stockroom.set_low(shop.show_id, "pot", 7)).low_at == 7
    await shop.tap("ann")
    (low,) = (await desk.stockroom.low(shop.show_id)).items
    assert (low.variant_id, low.low_at, low.available, low.low_since_ms is not None) == ("pot", 7, 7, True)
    off = await desk.stockroom.set_low(shop.show_id, "pot", 0)
    assert off.low_since_ms is None
    await shop.tap("bob", quantity=7)
    assert (await desk.stockroom.low(shop.show_id)).items[0].low_since_ms is None
    with pytest.raises(NotFound):
        await desk.stockroom.set_low(shop.show_id, "mug", 1)
