"""The provider's record against ours, on real stores and the fake network with its faults."""

import pytest

import checkout.reconciler
from checkout.core.differences import REMEDIES, Remedy
from checkout.payments import ProviderFailed
from schema.money import Money

PRICE = Money(amount=4900, currency="EUR")


@pytest.fixture
async def desk(shop):
    desk = await shop.open(pace=shop.idle)
    await shop.item(stock=2)
    desk._reconciler.grace_ms = -1000
    return desk


async def kinds(shop) -> list[str]:
    return [one.kind for one in (await shop.desk.books.differences(shop.show_id)).items]


async def state_there(shop, payment_id: str) -> str:
    return (await shop.provider.retrieve(payment_id)).state


async def test_when_all_agrees_nothing_is_found_and_nothing_moves(shop, desk):
    order = await shop.buy("ann")
    await desk.refund(shop.operator, order.order_id, 100)
    await shop.all_said()
    await desk._reconciler.look()
    assert await kinds(shop) == []
    assert desk.counts.payment_differences == 0


async def test_authorized_there_and_unknown_here_is_let_go_of(shop, desk):
    await shop.provider.authorize("pay_lost", PRICE, "fake_ok", "hold_lost")
    await desk._reconciler.look()
    (found,) = (await desk.books.differences(shop.show_id)).items
    assert (found.kind, found.remedy, found.here, found.there) == ("stray_authorization", "let_go", "", "authorized")
    assert found.amount == PRICE
    assert await state_there(shop, "pay_lost") == "cancelled"
    await desk._reconciler.look()
    assert await kinds(shop) == []  # settled by the next round
    assert desk.counts.payment_differences == 1


async def test_authorized_there_and_declined_here_is_let_go_of(shop, desk):
    hold, payment_id = await shop.authorized("ann")
    await shop.pg.execute("SELECT * FROM settle_payment($1, 'declined', 'ord_1')", payment_id)
    await desk._reconciler.look()
    assert await kinds(shop) == ["stray_authorization"]
    assert await state_there(shop, payment_id) == "cancelled"
    assert await shop.hold_state(hold) == "held"


async def test_taken_there_without_an_order_here_is_given_back_once(shop, desk):
    await shop.provider.authorize("pay_lost", PRICE, "fake_ok", "hold_lost")
    await shop.provider.capture("pay_lost", PRICE)
    shop.pay.faults.timeout_after_success = 0
    for _ in range(3):
        await desk._reconciler.look()
    assert shop.pay.count("refunded", "hold_lost") == shop.pay.count("captured", "hold_lost") == 4900
    assert desk.counts.stray_captures == 1
    assert await kinds(shop) == []


async def test_an_order_whose_capture_was_never_said_is_captured(shop, desk):
    order_id = await shop.sold_without_capture("ann")
    await shop.pg.execute("UPDATE outbox SET state = 'done'")  # the word is lost
    await desk._reconciler.look()
    assert await kinds(shop) == ["not_captured"]
    await shop.say_what_is_due()
    await shop.all_said()
    assert (await desk.get_order(shop.operator, order_id)).state == "captured"
    await desk._reconciler.look()
    assert await kinds(shop) == []
    assert (await shop.verify()).problems == []


async def test_a_parked_capture_is_said_again(shop, desk):
    order_id = await shop.sold_without_capture("ann")
    await shop.pg.execute("UPDATE outbox SET state = 'parked'")
    await desk._reconciler.look()
    await shop.say_what_is_due()
    await shop.all_said()
    assert (await desk.get_order(shop.operator, order_id)).state == "captured"


async def test_an_authorization_that_ran_out_ends_as_a_failed_capture(shop, desk):
    order_id = await shop.sold_without_capture("ann")
    await shop.pg.execute("UPDATE outbox SET state = 'done'")
    shop.pay._db.execute("UPDATE payments SET state = 'cancelled'")  # by the network, after its days
    await desk._reconciler.look()
    await shop.say_what_is_due()
    await shop.all_said()
    assert (await desk.get_order(shop.operator, order_id)).state == "capture_failed"
    assert (await shop.stock()).available == 2
    assert desk.counts.captures_failed == 1


async def test_what_a_person_has_to_see_is_shown_and_nothing_moves(shop, desk):
    order = await shop.buy("ann")
    await shop.all_said()
    payment_id = await shop.pg.fetchval("SELECT payment_id FROM payments")
    await shop.provider.refund(payment_id, "by hand", Money(amount=900, currency="EUR"))
    await desk._reconciler.look()
    (found,) = (await desk.books.differences(shop.show_id)).items
    assert (found.kind, found.remedy, found.order_id, found.amount.amount) == (
        "refund_unknown", "operator", order.order_id, 900,
    )  # fmt: skip
    shop.pay._db.execute("DELETE FROM payments")
    await desk._reconciler.look()
    assert await kinds(shop) == ["capture_missing"]
    assert (await desk.get_order(shop.operator, order.order_id)).state == "captured"


async def test_what_is_young_or_on_its_way_is_left_alone(shop, desk):
    await shop.sold_without_capture("ann")  # its capture waits in the outbox
    await shop.authorized("bob")  # the poll is at it
    await desk._reconciler.look()
    assert await kinds(shop) == []
    desk._reconciler.grace_ms = 60_000
    await shop.provider.authorize("pay_lost", PRICE, "fake_ok", "hold_lost")
    await desk._reconciler.look()
    assert await kinds(shop) == []
    assert await state_there(shop, "pay_lost") == "authorized"


async def test_a_list_that_breaks_off_settles_nothing(shop, desk):
    await shop.provider.authorize("pay_lost", PRICE, "fake_ok", "hold_lost")
    shop.pay.faults.cancels_ignored = 1
    await desk._reconciler.look()
    shop.pay.faults.lists_fail = 1
    with pytest.raises(ProviderFailed):
        await desk._reconciler.look()
    assert await kinds(shop) == ["stray_authorization"]
    await desk._reconciler.look()
    assert await state_there(shop, "pay_lost") == "cancelled"
    assert desk.counts.payment_differences == 1


async def test_a_look_takes_place_at_the_start(shop):
    await shop.provider.authorize("pay_lost", PRICE, "fake_ok", "hold_lost")
    shop.pay._db.execute("UPDATE payments SET created_at_ms = created_at_ms - 120000")
    await shop.open(pace=shop.idle)

    async def let_go() -> bool:
        return await state_there(shop, "pay_lost") == "cancelled"

    await shop.eventually(let_go)


async def test_without_the_remedies_the_money_stays_where_it_is(shop, desk, monkeypatch):
    monkeypatch.setattr(checkout.reconciler, "REMEDIES", dict.fromkeys(REMEDIES, Remedy.OPERATOR))
    await shop.provider.authorize("pay_a", PRICE, "fake_ok", "a")
    await shop.provider.authorize("pay_b", PRICE, "fake_ok", "b")
    await shop.provider.capture("pay_b", PRICE)
    order_id = await shop.sold_without_capture("ann")
    await shop.pg.execute("UPDATE outbox SET state = 'done'")
    for _ in range(2):
        await desk._reconciler.look()
        await shop.say_what_is_due()
    assert sorted(await kinds(shop)) == ["not_captured", "stray_authorization", "stray_capture"]
    assert await state_there(shop, "pay_a") == "authorized"
    assert shop.pay.count("refunded", "b") == 0
    assert (await desk.get_order(shop.operator, order_id)).state == "paid"
