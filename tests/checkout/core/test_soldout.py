"""What one process may refuse by itself."""

from checkout.core.soldout import KEEP_MOST, KEEP_MS, TRUST_MS, Refusals, SoldOut, SoldOutHere
from checkout.core.taps import Tap

WORD = SoldOut(epoch=3, turn=7, limit=2, holds=frozenset({"known"}), buyers=frozenset({"ann"}))


def tap(hold_id: str = "new", buyer: str = "bob", quantity: int = 1) -> Tap:
    return Tap(hold_id=hold_id, buyer_id=buyer, buyer_name=buyer, quantity=quantity)


def knowing() -> SoldOutHere:
    here = SoldOutHere()
    here.learn(WORD, asked_ms=1000, news=0)
    return here


def test_it_refuses_nothing_before_it_was_told():
    assert not SoldOutHere().refuses(tap(), 1000)


def test_it_refuses_whom_the_gate_does_not_know_and_leaves_the_rest_to_it():
    here = knowing()
    assert here.refuses(tap(), 1000)
    assert here.refuses(tap(quantity=2), 1000)
    for left in (tap("known"), tap(buyer="ann"), tap(quantity=3)):
        assert not here.refuses(left, 1000)


def test_its_word_is_trusted_for_so_long_and_again_from_each_confirmation():
    here = knowing()
    assert here.refuses(tap(), 1000 + TRUST_MS - 1)
    assert not here.refuses(tap(), 1000 + TRUST_MS)
    assert here.confirm(3, 7, asked_ms=2000)
    assert here.refuses(tap(), 2000 + TRUST_MS - 1)
    assert here.confirm(3, 7, asked_ms=1500)  # an older answer that comes later
    assert here.refuses(tap(), 2000 + TRUST_MS - 1)


def test_another_turn_or_epoch_is_another_word():
    for epoch, turn in ((3, 8), (4, 7)):
        here = knowing()
        assert not here.confirm(epoch, turn, asked_ms=1001)
        assert not here.refuses(tap(), 1001)


def test_a_word_that_news_overtook_is_not_believed():
    here = SoldOutHere()
    asked_at = here.news
    here.forget()
    here.learn(WORD, asked_ms=1000, news=asked_at)
    assert not here.refuses(tap(), 1000)
    here.learn(WORD, asked_ms=1000, news=here.news)
    assert here.refuses(tap(), 1000)
    here.forget()
    assert not here.refuses(tap(), 1000)


def test_a_refusal_is_remembered_for_one_to_two_minutes():
    refusals = Refusals()
    refusals.remember(tap("first", quantity=2), "pot", 100_000)
    refusals.remember(tap("second"), "pot", 100_000 + KEEP_MS)
    assert refusals.of("first", 100_000 + KEEP_MS) == ("pot", 2)
    assert refusals.of("second", 100_000 + 2 * KEEP_MS - 1) == ("pot", 1)
    assert refusals.of("first", 100_000 + 2 * KEEP_MS) is None
    assert refusals.of("second", 100_000 + 3 * KEEP_MS) is None
    assert refusals.of("never", 100_000) is None


def test_what_is_older_than_both_is_gone_when_the_next_comes():
    refusals = Refusals()
    refusals.remember(tap("first"), "pot", 100_000)
    refusals.remember(tap("second"), "pot", 100_000 + 5 * KEEP_MS)
    assert refusals.of("first", 100_000 + 5 * KEEP_MS) is None


def test_it_remembers_so_many_and_no_more():
    refusals = Refusals()
    for i in range(2 * KEEP_MOST + 1):
        refusals.remember(tap(f"h{i}"), "pot", 100_000)
    assert refusals.of("h0", 100_000) is None
    assert refusals.of(f"h{2 * KEEP_MOST}", 100_000) == ("pot", 1)
    assert len(refusals._now) + len(refusals._before) <= 2 * KEEP_MOST
