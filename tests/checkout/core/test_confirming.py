"""The line of those whose tap the truth has not heard of yet."""

from checkout.core.confirming import LAST_CALL_MS, Entry, Undecided
from checkout.core.taps import Tap
from schema.hold import HoldState
from schema.ids import ShowId, VariantId
from schema.money import Money

POT, MUG = (ShowId("gala"), VariantId("pot")), (ShowId("gala"), VariantId("mug"))


def entry(hold_id: str, product=POT, until_ms: int = 60_000) -> Entry:
    tap = Tap(hold_id=hold_id, buyer_id="ann", buyer_name="Ann", quantity=2)
    price = Money(amount=4900, currency="EUR")
    return Entry(tap=tap, show_id=product[0], variant_id=product[1], price=price, at_ms=0, until_ms=until_ms)


def ids(entries) -> list[str]:
    return [each.tap.hold_id for each in entries]


def line(*entries: Entry) -> Undecided:
    undecided = Undecided()
    undecided.add(entries)
    return undecided


def test_a_line_is_replayed_in_order_product_by_product():
    undecided = line(entry("h1"), entry("m1", MUG), entry("h2"), entry("h3"))
    assert undecided.products() == [POT, MUG]
    assert ids(undecided.to_replay(POT, 0, 2)) == ["h1", "h2"]
    assert ids(undecided.to_replay(MUG, 0, 2)) == ["m1"]
    undecided.end(["h1", "h2", "unheard of"])
    assert ids(undecided.to_replay(POT, 0, 2)) == ["h3"]
    assert undecided.waits(*POT)
    undecided.end(["h3"])
    assert not undecided.waits(*POT)
    assert len(undecided) == 1


def test_one_keeps_its_place_when_it_comes_again():
    undecided = line(entry("h1"), entry("h2"), entry("h1", until_ms=90_000))
    assert ids(undecided.to_replay(POT, 0, 9)) == ["h1", "h2"]
    assert undecided.hold("h1").expires_at_ms == 60_000


def test_the_hold_shown_is_confirming_with_price_and_total():
    hold = line(entry("h1")).hold("h1")
    assert (hold.state, hold.total.amount, hold.unit_price.amount) == (HoldState.CONFIRMING, 9800, 4900)
    assert line().hold("h1") is None


def test_after_the_bound_one_is_told_no_and_never_replayed():
    undecided = line(entry("h1", until_ms=50_000), entry("h2"))
    assert undecided.due(49_999) == []
    due = undecided.due(50_000)
    assert ids(due) == ["h1"]
    undecided.refuse_all(due)
    assert undecided.due(50_000) == []  # told once
    assert undecided.hold("h1").state is HoldState.EXPIRED
    assert ids(undecided.to_replay(POT, 0, 9)) == ["h2"]
    assert ids(undecided.to_fence(POT)) == ["h1"]
    assert undecided.to_fence(MUG) == []
    assert "h1" in undecided  # until its id is fenced
    undecided.end(["h1"])
    assert undecided.to_fence(POT) == []


def test_whom_the_truth_refused_is_told_no_once_and_fenced_and_holds_nobody_up():
    undecided = line(entry("h1"))
    assert undecided.waits(*POT)
    undecided.refuse_all([entry("h1")])
    assert undecided.hold("h1").state is HoldState.EXPIRED
    assert undecided.due(99_999) == []
    assert undecided.to_replay(POT, 0, 9) == []
    assert ids(undecided.to_fence(POT)) == ["h1"]
    assert not undecided.waits(*POT)


def test_no_replay_begins_that_may_end_after_the_bound():
    undecided = line(entry("h1"))
    assert ids(undecided.to_replay(POT, 60_000 - LAST_CALL_MS - 1, 9)) == ["h1"]
    assert undecided.to_replay(POT, 60_000 - LAST_CALL_MS, 9) == []


def test_one_given_back_is_released_and_to_be_fenced():
    undecided = line(entry("h1"))
    undecided.refuse("h1", HoldState.RELEASED)
    undecided.refuse("h2", HoldState.RELEASED)
    assert undecided.hold("h1").state is HoldState.RELEASED
    assert undecided.due(99_999) == []
    assert undecided.hold("h1").state is HoldState.RELEASED
    assert ids(undecided.to_fence(POT)) == ["h1"]
