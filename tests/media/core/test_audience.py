"""Rows of an audience."""

from hypothesis import given
from hypothesis import strategies as st

from media.core.audience import ROW, Audience


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=400))
def test_everybody_who_came_and_has_not_left_stands_in_one_row(steps):
    audience, here = Audience(), set()
    for comes, who in steps:
        (audience.add if comes else audience.discard)(who)
        (here.add if comes else here.discard)(who)
        rows = audience.rows
        assert sorted(who for row in rows for who in row) == sorted(here) == sorted(audience)
        assert all(0 < len(row) <= ROW for row in rows)
        assert len(rows) <= 2 * -(-len(here) // ROW) + 1
        assert len(audience) == len(here)
        assert (who in audience) is (who in here)


def test_a_row_is_the_same_object_until_somebody_comes_to_it_or_leaves_it():
    audience = Audience()
    for who in range(3 * ROW):
        audience.add(who)
    before = audience.rows
    audience.discard(ROW)
    after = audience.rows
    assert [one is other for one, other in zip(before, after, strict=True)] == [True, False, True]
    audience.add(ROW)
    assert [one is other for one, other in zip(after, audience.rows, strict=True)] == [True, False, True]
    audience.add(ROW)  # is there already
    assert len(audience) == 3 * ROW
    assert before[0] is audience.rows[0]


def test_when_most_have_left_the_others_close_up():
    audience = Audience()
    for who in range(20 * ROW):
        audience.add(who)
    for who in range(20 * ROW):
        if who % ROW:
            audience.discard(who)
    assert len(audience) == 20
    assert len(audience.rows) <= 3


def test_what_is_kept_with_a_row_goes_with_it():
    audience = Audience()
    audience.add(1)
    row = audience.rows[0]
    assert row.twin is None
    row.twin = "kept"
    assert audience.rows[0].twin == "kept"
    audience.add(2)
    assert audience.rows[0].twin is None
