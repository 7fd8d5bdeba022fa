from hypothesis import given
from hypothesis import strategies as st

from realtime.core.returning import BASE_MS, CAP_MS, DIRECTED_MAX_MS, Position, pause_ms, stays_away


def test_a_newcomer_asks_for_nothing_and_takes_the_whole_first_frame():
    position = Position()
    assert position.query == {}
    assert position.advance("a", 5, snapshot=True) == -1
    assert position.query == {"epoch": "a", "offset": "5"}


def test_what_was_heard_before_is_not_new():
    position = Position("a", 5)
    assert position.advance("a", 7, snapshot=False) == 5
    assert position.advance("a", 7, snapshot=False) == 7
    assert position.offset == 7


def test_a_late_frame_does_not_move_the_place_back():
    position = Position("a", 5)
    assert position.advance("a", 3, snapshot=False) == 5
    assert position.offset == 5


def test_a_snapshot_is_new_from_its_first_event_though_its_offset_is_lower():
    position = Position("a", 50)
    assert position.advance("a", 9, snapshot=True) == -1
    assert position.offset == 9


def test_offsets_of_another_epoch_mean_nothing():
    position = Position("a", 50)
    assert position.advance("b", 2, snapshot=False) == -1
    assert position.query == {"epoch": "b", "offset": "2"}


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=20), st.data())
def test_whatever_is_repeated_each_event_is_new_once_and_in_order(steps, data):
    """A sender that repeats any part of what it said, as one does whose confirmations were lost."""
    position, said, heard = Position("a", 0), 0, []
    for step in steps:
        said += sum(step)
        again = data.draw(st.integers(0, position.offset))
        seen = position.advance("a", said, snapshot=False)
        heard += [at for at in range(again + 1, said + 1) if at > seen]
    assert heard == list(range(1, said + 1))


def test_only_close_codes_from_4500_to_4999_mean_stay_away():
    assert [code for code in (1000, 1006, 4000, 4499, 4500, 4999, 5000) if stays_away(code)] == [4500, 4999]


def test_pauses_grow_to_a_cap_and_are_never_nothing():
    assert [pause_ms(n, 0) for n in (0, 1, 5, 50)] == [50, 100, 1600, 3000]
    assert [pause_ms(n, 1) for n in (0, 1, 5, 50)] == [BASE_MS, 500, 8000, CAP_MS]


def test_the_servers_direction_counts_for_the_first_attempt_alone():
    assert pause_ms(0, 0.5, directed_ms=640) == 640
    assert pause_ms(0, 0.5, directed_ms=0) == 0
    assert pause_ms(1, 0, directed_ms=640) == 100
    assert pause_ms(0, 0, directed_ms=10**9) == DIRECTED_MAX_MS
    assert pause_ms(0, 0, directed_ms=-5) == 0


def test_a_server_that_names_a_least_pause_gets_it():
    assert pause_ms(0, 0.5, at_least_ms=3000) == 3000
    assert pause_ms(9, 1, at_least_ms=3000) == CAP_MS
