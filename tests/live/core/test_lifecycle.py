"""The life of a show: every pair of states, one by one."""

import itertools

import pytest

from live.core.lifecycle import ENDED, LIVE, MOVES, PAUSED, SCHEDULED, move, sells
from schema.errors import Conflict
from schema.show import ShowState

ALLOWED = {
    (SCHEDULED, LIVE),
    (SCHEDULED, ENDED),
    (LIVE, PAUSED),
    (LIVE, ENDED),
    (PAUSED, LIVE),
    (PAUSED, ENDED),
}


@pytest.mark.parametrize(("state", "wanted"), list(itertools.product(ShowState, ShowState)))
def test_each_pair_of_states_is_a_move_or_a_conflict(state, wanted):
    if state is wanted or (state, wanted) in ALLOWED:
        assert move(state, wanted) is wanted
    else:
        with pytest.raises(Conflict) as refused:
            move(state, wanted)
        assert refused.value.extra == {"state": state}


def test_an_ended_show_is_never_left():
    assert MOVES[ENDED] == frozenset()


@pytest.mark.parametrize("state", ShowState)
def test_a_show_sells_from_its_start_on_unless_the_switch_is_thrown(state):
    assert sells(state, sales_open=True) is (state is not SCHEDULED)
    assert not sells(state, sales_open=False)
