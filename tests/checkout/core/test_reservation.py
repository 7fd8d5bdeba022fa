"""The life of a reservation: its table, and the same moves in Postgres."""

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from checkout.core.reservation import TERMINAL, TRANSITIONS, HoldEvent, keeps_units, move
from schema.errors import Conflict
from schema.hold import HoldState

ROWS = [state for state in HoldState if state is not HoldState.CONFIRMING]  # that one is no row yet
EVERY_MOVE = [(before, after) for before in ROWS for after in ROWS if before != after]


@pytest.mark.parametrize("state", sorted(TERMINAL))
@pytest.mark.parametrize("event", HoldEvent)
def test_a_terminal_state_is_never_left(state, event):
    with pytest.raises(Conflict):
        move(state, event)


def test_the_terminal_states_are_the_three():
    assert {HoldState.SOLD, HoldState.EXPIRED, HoldState.RELEASED} == TERMINAL


@pytest.mark.parametrize("event", [HoldEvent.LAPSE, HoldEvent.RELEASE, HoldEvent.PAY])
def test_paying_is_left_by_the_providers_word_alone(event):
    with pytest.raises(Conflict):
        move(HoldState.PAYING, event)


@pytest.mark.parametrize(("event", "after"), [(HoldEvent.DECLINED, "held"), (HoldEvent.DECLINED_LATE, "released")])
def test_a_decline_gives_the_hold_back_while_its_time_lasts(event, after):
    assert move(HoldState.PAYING, event) == after


@given(st.lists(st.sampled_from(HoldEvent)))
def test_no_path_sells_what_was_not_being_paid_for(events):
    state, paying = HoldState.HELD, False
    for event in events:
        try:
            after = move(state, event)
        except Conflict:
            continue
        assert after is not HoldState.SOLD or paying
        state, paying = after, after is HoldState.PAYING


@pytest.mark.parametrize(
    ("state", "returned", "off_shelf"),
    [
        ("held", False, True),
        ("paying", False, True),
        ("sold", False, True),
        ("sold", True, False),
        ("expired", False, False),
        ("released", False, False),
    ],
)
def test_units_are_off_the_shelf_until_the_hold_ends_or_they_come_back(state, returned, off_shelf):
    assert keeps_units(HoldState(state), returned=returned) is off_shelf


async def test_postgres_allows_the_moves_of_the_table_and_no_other(shop, desk):
    await shop.item(stock=1)
    await shop.tap("ann")
    allowed = set()
    for before, after in EVERY_MOVE:
        await shop.pg.execute("ALTER TABLE holds DISABLE TRIGGER holds_move")
        await shop.pg.execute("UPDATE holds SET state = $1", before)
        await shop.pg.execute("ALTER TABLE holds ENABLE TRIGGER holds_move")
        try:
            await shop.pg.execute("UPDATE holds SET state = $1", after)
        except asyncpg.CheckViolationError:
            continue
        allowed.add((before, after))
    assert allowed == {(before, after) for (before, _), after in TRANSITIONS.items()}


class OneProduct(RuleBasedStateMachine):
    """Holds on five units in virtual time, with units counted by hand: the model that Postgres follows."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.available = 0, 5
        self.holds: list[tuple[HoldState, int]] = []

    def step(self, number: int, event: HoldEvent) -> None:
        state, until = self.holds[number]
        try:
            after = move(state, event)
        except Conflict:
            return
        if keeps_units(state, returned=False) and not keeps_units(after, returned=False):
            self.available += 1
        self.holds[number] = (after, until)

    @precondition(lambda self: self.available)
    @rule(lasts=st.integers(1, 5))
    def tap(self, lasts):
        self.available -= 1
        self.holds.append((HoldState.HELD, self.now + lasts))

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), event=st.sampled_from([HoldEvent.PAY, HoldEvent.RELEASE, HoldEvent.AUTHORIZED]))
    def act(self, data, event):
        self.step(data.draw(st.integers(0, len(self.holds) - 1)), event)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def decline(self, data):
        number = data.draw(st.integers(0, len(self.holds) - 1))
        late = self.holds[number][1] <= self.now
        self.step(number, HoldEvent.DECLINED_LATE if late else HoldEvent.DECLINED)

    @rule(passes=st.integers(1, 3))
    def time(self, passes):
        self.now += passes
        for number, (_, until) in enumerate(self.holds):
            if until <= self.now:
                self.step(number, HoldEvent.LAPSE)

    @invariant()
    def units_add_up(self):
        out = sum(keeps_units(state, returned=False) for state, _ in self.holds)
        assert self.available + out == 5
        assert self.available >= 0

    @invariant()
    def nothing_held_has_lapsed(self):
        assert all(until > self.now for state, until in self.holds if state is HoldState.HELD) or not self.now


TestOneProduct = OneProduct.TestCase
