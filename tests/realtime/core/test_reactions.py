"""The tally of reactions: everything allowed is counted once, and nobody counts for more than their share."""

from hypothesis import given
from hypothesis import strategies as st

from realtime.core.reactions import ACCOUNTS_MAX, BURST, INTERVAL_MS, Tally
from schema.ids import AccountId

ANN, BOB = AccountId("ann"), AccountId("bob")


def test_what_is_taken_is_what_was_counted_and_then_nothing():
    tally = Tally()
    assert [tally.add(ANN, "heart", 3, 0), tally.add(BOB, "heart", 2, 0), tally.add(BOB, "fire", 1, 0)] == [0, 0, 0]
    assert tally.take() == {"heart": 5, "fire": 1}
    assert tally.take() == {}


def test_one_account_above_its_share_waits_and_the_others_do_not():
    tally = Tally()
    assert tally.add(ANN, "heart", BURST, 1000) == 0
    assert tally.add(ANN, "heart", 1, 1000) == INTERVAL_MS
    assert tally.add(BOB, "heart", BURST, 1000) == 0
    assert tally.add(ANN, "heart", 1, 1000 + INTERVAL_MS) == 0
    assert tally.take() == {"heart": 2 * BURST + 1}


def test_what_could_not_be_told_is_told_with_the_next():
    tally = Tally()
    tally.add(ANN, "wow", 2, 0)
    taken = tally.take()
    tally.add(ANN, "wow", 1, 0)
    tally.put_back(taken)
    assert tally.take() == {"wow": 3}


def test_it_remembers_a_bounded_number_of_accounts_and_nobody_for_ever():
    tally = Tally()
    for number in range(ACCOUNTS_MAX + 100):
        tally.add(AccountId(f"acc{number}"), "clap", 1, 0)
    assert len(tally._spent_until_ms) <= ACCOUNTS_MAX
    assert tally.take() == {"clap": ACCOUNTS_MAX + 100}
    assert not tally.idle(0)
    assert tally.idle(INTERVAL_MS)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, BURST)), max_size=60))
def test_in_any_time_nobody_counts_for_more_than_the_burst_and_the_rate(taps):
    tally, now_ms, counted = Tally(), 0, 0
    for pause_ms, count in taps:
        now_ms += pause_ms
        if tally.add(ANN, "heart", count, now_ms) == 0:
            counted += count
        assert counted <= BURST + now_ms / INTERVAL_MS
    assert tally.take() == ({"heart": counted} if counted else {})
