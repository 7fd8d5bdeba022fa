"""The limit per buyer over fresh guest sessions: by card and by mailbox, at paying."""

import asyncio
from collections import Counter

import pytest

from checkout.payers import Payers
from schema.errors import LimitReached
from schema.order import Order

CARD = "fake_ok:4242"
SESSIONS = 30
FEW = 5


async def sessions_pay(shop, methods, emails=("",), sessions=FEW) -> Counter[str]:
    """A fresh guest session each: all hold first, then all pay at once."""
    await shop.item(stock=sessions, limit=1)
    holds = [await shop.tap(f"guest_{number}") for number in range(sessions)]
    work = (
        shop.outcome(shop.pay_for(f"guest_{n}", hold, methods[n % len(methods)], email=emails[n % len(emails)]))
        for n, hold in enumerate(holds)
    )
    return Counter(await asyncio.gather(*work))


async def test_thirty_fresh_guest_sessions_of_one_card_get_exactly_one_order(shop, desk):
    assert await sessions_pay(shop, [CARD], sessions=SESSIONS) == {"ok": 1, "limit_reached": SESSIONS - 1}
    await shop.all_said()
    assert await shop.pg.fetchval("SELECT count(*) FROM orders") == 1
    states = Counter(shop.pay._db.execute("SELECT state FROM payments").fetchall()[n][0] for n in range(SESSIONS))
    assert states == {"captured": 1, "cancelled": SESSIONS - 1}  # nothing of theirs is authorized any more
    assert (await shop.stock()).sold == 1
    assert desk.counts.payers_refused == SESSIONS - 1
    assert (await shop.verify()).problems == []


async def test_without_the_look_at_the_card_each_session_gets_one(shop, desk, monkeypatch):
    async def blind(self, seen) -> str:
        return ""

    monkeypatch.setattr(Payers, "refusal", blind)
    assert await sessions_pay(shop, [CARD]) == {"ok": FEW}


async def test_fresh_guest_sessions_of_one_mailbox_get_exactly_one_order(shop, desk):
    spellings = ["ann@shop.example", "Ann@Shop.example", "ann+knife@shop.example"]
    assert await sessions_pay(shop, ["fake_ok"], spellings) == {"ok": 1, "limit_reached": FEW - 1}


async def test_a_slow_bank_changes_nothing_about_it(shop, desk):
    await sessions_pay(shop, ["fake_slow:4242"])

    async def decided() -> bool:
        return not await shop.pg.fetchval("SELECT count(*) FROM holds WHERE state = 'paying'")

    await shop.eventually(decided, within_s=30)
    assert await shop.pg.fetchval("SELECT count(*) FROM orders") == 1
    lost = await shop.pg.fetchval("SELECT hold_id FROM payments WHERE refusal = 'limit_reached' LIMIT 1")
    step = await desk.payment_step(shop.operator, lost)
    assert (step.hold_state, step.state, step.code) == ("held", "declined", "limit_reached")


async def test_cards_and_mailboxes_of_their_own_do_not_count_together(shop, desk):
    cards = [f"fake_ok:{number}" for number in range(FEW)]
    mails = [f"guest{number}@shop.example" for number in range(FEW)]
    assert await sessions_pay(shop, cards, mails) == {"ok": FEW}


async def test_a_card_without_a_name_is_a_card_of_ones_own(shop, desk):
    assert await sessions_pay(shop, ["fake_ok"]) == {"ok": FEW}


async def test_an_account_is_a_buyer_whatever_card_it_uses(shop, desk):
    await shop.item(stock=3, limit=1)
    for who in ("ann", "bob"):
        assert isinstance(await shop.pay_for(who, await shop.tap(who), CARD), Order)


async def test_a_key_gets_the_same_refusal_again_and_the_hold_is_still_theirs(shop, desk):
    await shop.item(stock=3, limit=1)
    await shop.pay_for("guest_a", await shop.tap("guest_a"), CARD)
    hold = await shop.tap("guest_b")
    refusals = []
    for _ in range(2):
        with pytest.raises(LimitReached) as refused:
            await shop.pay_for("guest_b", hold, CARD, key="k")
        refusals.append(refused.value.extra)
    assert refusals[0] == refusals[1] == {"hold_state": "held", "expires_at_ms": hold.expires_at_ms}
    assert isinstance(await shop.pay_for("guest_b", hold, "fake_ok:5555"), Order)


async def test_what_was_given_back_counts_no_more(shop, desk):
    await shop.item(stock=3, limit=1)
    order = await shop.pay_for("guest_a", await shop.tap("guest_a"), CARD)
    await desk.refund(shop.operator, order.order_id)
    assert isinstance(await shop.pay_for("guest_b", await shop.tap("guest_b"), CARD), Order)


async def test_another_amount_than_was_asked_for_is_let_go_of(shop, desk):
    await shop.item(stock=1, limit=1)
    hold, payment_id = await shop.authorized("ann")
    shop.pay._db.execute("UPDATE payments SET amount = amount - 1")
    await desk._till.check(payment_id)
    assert await shop.hold_state(hold) == "held"
    assert (await shop.provider.retrieve(payment_id)).state == "cancelled"
    assert desk.counts.amount_mismatches == 1
    assert await shop.pg.fetchval("SELECT count(*) FROM orders") == 0
