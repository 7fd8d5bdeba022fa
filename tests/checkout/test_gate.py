"""The real scripts on a real server, alone and against a model in Python."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.core.taps import Code, Tap
from checkout.gate import SCRIPTS, WAS_MS, Gate, GateDown, Product

POT = Product("gala", "pot")
HELD, KNOWN, SOLD_OUT, OVER_LIMIT, CLOSED, MISMATCH, FENCED = (
    Code.HELD, Code.KNOWN, Code.SOLD_OUT, Code.OVER_LIMIT, Code.CLOSED, Code.MISMATCH, Code.FENCED,
)  # fmt: skip


def tap(hold_id: str, buyer: str = "ann", quantity: int = 1) -> Tap:
    return Tap(hold_id=hold_id, buyer_id=buyer, buyer_name=buyer, quantity=quantity)


@pytest.fixture
def now():
    """A clock that a test may set."""
    return [1_000_000_000_000]


@pytest.fixture
def gate(redis, now):
    return Gate(redis, clock=lambda: now[0])


async def build(gate, *, epoch=1, available=5, limit=2, is_open=True, holds=(), buyers=(), product=POT):
    await gate.rebuild(
        product, epoch=epoch, available=available, is_open=is_open, limit=limit, holds=list(holds), buyers=list(buyers)
    )


async def decide(gate, product, epoch, taps):
    verdict = await gate.reserve_many(product, epoch, taps)
    return verdict.codes if verdict else None


async def test_one_batch_is_decided_in_order(gate):
    await build(gate, available=3, limit=2)
    taps = [tap("h1"), tap("h2"), tap("h3"), tap("h4", "bob", 2), tap("h5", "cat"), tap("h1"), tap("h1", quantity=2)]
    assert await decide(gate, POT, 1, taps) == [HELD, HELD, OVER_LIMIT, SOLD_OUT, HELD, KNOWN, MISMATCH]
    look = await gate.look(POT)
    assert (look.available, look.pending_units) == (0, 3)


async def test_the_full_batch_fits_and_is_all_or_nothing(gate):
    await build(gate, available=1000)
    codes = await decide(gate, POT, 1, [tap(f"hold_{i:026d}", f"account_{i:026d}") for i in range(500)])
    assert codes == [HELD] * 500
    assert (await gate.look(POT)).available == 500


async def test_another_epoch_or_none_decides_nothing(gate):
    assert await decide(gate, POT, 1, [tap("h1")]) is None
    await build(gate, epoch=7)
    assert await decide(gate, POT, 6, [tap("h1")]) is None
    assert not await gate.settle_many(POT, 6, [(tap("h1"), HELD)])
    assert not await gate.release_many(POT, 6, [("h1", 1)])
    assert not await gate.adjust(POT, 6, units=5, is_open=False)
    look = await gate.look(POT)
    assert (look.epoch, look.available, look.pending) == (7, 5, [])
    assert await decide(gate, POT, 7, [tap("h1")]) == [HELD]


async def test_closed_is_closed_and_opens_again(gate):
    await build(gate, is_open=False)
    assert await decide(gate, POT, 1, [tap("h1")]) == [CLOSED]
    await gate.adjust(POT, 1, is_open=True)
    assert await decide(gate, POT, 1, [tap("h2")]) == [HELD]


async def test_a_refusal_is_remembered_for_a_minute_or_two_and_then_forgotten(gate, now):
    await build(gate, available=0)
    assert await decide(gate, POT, 1, [tap("h1")]) == [SOLD_OUT]
    await gate.adjust(POT, 1, units=5)
    now[0] += 60_000
    assert await decide(gate, POT, 1, [tap("h1")]) == [SOLD_OUT]
    now[0] += 120_000
    assert await decide(gate, POT, 1, [tap("h1")]) == [HELD]


async def test_no_unit_is_ever_freed_by_time(gate, now, redis):
    await build(gate, available=1)
    await decide(gate, POT, 1, [tap("h1")])
    assert {await redis.ttl(f"sf:{{gala}}:gate:pot{part}") for part in ("", ":holds", ":buyers", ":pending")} == {-1}
    now[0] += 100 * WAS_MS
    assert await decide(gate, POT, 1, [tap("h2", "bob")]) == [SOLD_OUT]


async def test_a_release_gives_back_once_and_is_remembered(gate):
    await build(gate, available=1, limit=1)
    await decide(gate, POT, 1, [tap("h1")])
    await gate.settle_many(POT, 1, [(tap("h1"), HELD)])
    for _ in range(2):
        assert await gate.release_many(POT, 1, [("h1", 1)])
    assert (await gate.look(POT)).available == 1
    assert await decide(gate, POT, 1, [tap("h1"), tap("h1", quantity=2), tap("h2")]) == [KNOWN, MISMATCH, HELD]


async def test_a_fenced_id_is_refused_and_its_unit_is_free(gate):
    await build(gate, available=1)
    await decide(gate, POT, 1, [tap("h1")])
    await gate.release_many(POT, 1, [("h1", 1)], fenced=True)
    assert await decide(gate, POT, 1, [tap("h1"), tap("h2")]) == [FENCED, HELD]


async def test_what_went_straight_to_the_truth_is_added_once(gate):
    await build(gate, available=5)
    for _ in range(2):
        await gate.settle_many(POT, 1, [(tap("h1", quantity=2), HELD)])
    assert (await gate.look(POT)).available == 3
    assert await decide(gate, POT, 1, [tap("h2")]) == [OVER_LIMIT]


async def test_a_release_that_overtakes_its_beginning_leaves_nothing(gate):
    await build(gate, available=5)
    await gate.release_many(POT, 1, [("h1", 2)])
    await gate.settle_many(POT, 1, [(tap("h1", quantity=2), HELD)])
    assert (await gate.look(POT)).available == 5


@pytest.mark.parametrize("code", [SOLD_OUT, OVER_LIMIT, CLOSED, FENCED, Code.OFF_SHELF, MISMATCH])
async def test_what_the_truth_refused_gives_its_unit_back_once(gate, code):
    await build(gate, available=1, limit=1)
    await decide(gate, POT, 1, [tap("h1")])
    for _ in range(2):
        await gate.settle_many(POT, 1, [(tap("h1"), code)])
    look = await gate.look(POT)
    assert (look.available, look.pending) == (1, [])
    again = (await decide(gate, POT, 1, [tap("h1")]))[0]
    assert again == (KNOWN if code is Code.OFF_SHELF else code)
    assert await decide(gate, POT, 1, [tap("h2")]) == [HELD]


async def test_a_rebuild_keeps_what_somebody_may_still_be_committing(gate, redis):
    await build(gate, available=5)
    await decide(gate, POT, 1, [tap("decided"), tap("in the air", "bob", 2)])
    await build(gate, epoch=2, available=4, holds=[("decided", "ann", 1)], buyers=[("ann", 1)])
    look = await gate.look(POT)
    assert (look.epoch, look.available, look.pending_units) == (2, 2, 2)
    assert await decide(gate, POT, 2, [tap("more", "bob"), tap("in the air", "bob", 2)]) == [OVER_LIMIT, KNOWN]
    assert await redis.ttl("sf:{gala}:gate:pot:holds") == -1


async def test_a_rebuild_of_many_holds_comes_in_pieces(gate):
    holds = [(f"h{i}", f"b{i}", 1) for i in range(4500)]
    await build(gate, available=1, holds=holds, buyers=[(buyer, 1) for _, buyer, _ in holds])
    assert await decide(gate, POT, 1, [tap("h4499", "b4499"), tap("x"), tap("y", "bob")]) == [
        KNOWN,
        HELD,
        SOLD_OUT,
    ]


async def test_every_key_carries_its_show_as_hash_tag(gate, redis):
    await build(gate, available=1)
    await decide(gate, POT, 1, [tap("h1"), tap("h2", "bob")])
    await gate.release_many(POT, 1, [("h1", 1)])
    keys = await redis.keys("*")
    assert keys
    assert all(key.startswith(b"sf:{gala}:") for key in keys)


async def test_a_server_that_does_not_answer_is_left_alone_for_a_moment(shop):
    gate = Gate(shop.dead_redis(), clock=lambda: 0)
    assert not gate.is_down
    with pytest.raises(GateDown):
        await gate.look(POT)
    assert gate.is_down
    with pytest.raises(GateDown):
        await gate.reserve_many(POT, 1, [tap("h1")])


class Model:
    """What the scripts do, in a few lines of Python."""

    def __init__(self, available: int, limit: int) -> None:
        self.available, self.limit = available, limit
        self.live: dict[str, tuple[str, int]] = {}
        self.ended: dict[str, int] = {}
        self.said: dict[str, tuple[Code, int]] = {}

    def reserve(self, tap: Tap) -> Code:
        hold, buyer, n = tap.hold_id, tap.buyer_id, tap.quantity
        if hold in self.said and self.said[hold][1] != n:
            return MISMATCH
        if hold in self.live or hold in self.ended:
            return KNOWN
        if hold in self.said and self.said[hold][0] < 0:
            return self.said[hold][0]
        has = sum(units for who, units in self.live.values() if who == buyer)
        code = OVER_LIMIT if has + n > self.limit else SOLD_OUT if n > self.available else HELD
        if code is HELD:
            self.live[hold] = (buyer, n)
            self.available -= n
        self.said[hold] = (code, n)
        return code

    def release(self, hold: str) -> None:
        if hold in self.live:
            self.available += self.live[hold][1]
            self.ended[hold] = self.live.pop(hold)[1]


taps = st.builds(
    tap, st.sampled_from([f"h{i}" for i in range(12)]), st.sampled_from(["ann", "bob", "cat"]), st.integers(1, 3)
)
steps = st.one_of(st.lists(taps, min_size=1, max_size=6), st.sampled_from([f"h{i}" for i in range(12)]))


async def test_the_scripts_agree_with_the_model(redis):
    numbers = iter(range(10**6))

    async def check(program, available, limit):
        product = Product("gala", f"v{next(numbers)}-{random.randrange(10**9)}")
        gate = Gate(redis, clock=lambda: 1_000_000_000_000)
        await build(gate, available=available, limit=limit, product=product)
        model = Model(available, limit)
        prefix = product.variant_id
        for step in program:
            if isinstance(step, str):
                model.release(step)
                units = model.ended.get(step)
                if units:
                    await gate.release_many(product, 1, [(f"{prefix}{step}", units)])
                continue
            # Whose hold it is follows from its id, as it does in the desk.
            asked = [tap(t.hold_id, "ann" if int(t.hold_id[1:]) % 2 else "bob", t.quantity) for t in step]
            expected = [model.reserve(t) for t in asked]
            sent = [tap(f"{prefix}{t.hold_id}", t.buyer_id, t.quantity) for t in asked]
            assert await decide(gate, product, 1, sent) == expected
            await gate.settle_many(
                product, 1, [(t, HELD) for t, code in zip(sent, expected, strict=True) if code is HELD]
            )
            look = await gate.look(product)
            assert (look.available, look.pending) == (model.available, [])

    await every_example(check)


async def every_example(check) -> None:
    """Hypothesis draws the programs first; they run on this loop afterwards."""
    drawn = []

    @settings(max_examples=60, database=None)
    @given(st.lists(steps, max_size=12), st.integers(0, 8), st.integers(1, 4))
    def draw(program, available, limit):
        drawn.append((program, available, limit))

    draw()
    assert Counter(bool(program) for program, _, _ in drawn)[True] > 20
    for program, available, limit in drawn:
        await check(program, available, limit)


def test_every_script_is_loaded_from_its_file():
    assert set(SCRIPTS) == {
        "reserve_many",
        "settle_many",
        "committed_many",
        "release_many",
        "adjust",
        "rebuild",
        "look",
        "holds",
        "sold_out",
        "confirm_many",
    }


async def test_a_rebuild_that_the_wire_repeats_leaves_what_it_built(gate, redis):
    await build(gate, epoch=3, available=4, holds=[("h1", "ann", 1)], buyers=[("ann", 1)])
    await gate.rebuild(POT, epoch=3, available=4, is_open=True, limit=2, holds=[], buyers=[])  # its keys were renamed
    assert (await gate.look(POT)).available == 4
    assert await decide(gate, POT, 3, [tap("h1"), tap("h2", "ann", 2)]) == [KNOWN, OVER_LIMIT]


async def test_a_gate_of_another_run_of_the_server_has_no_epoch(gate, redis):
    await build(gate, epoch=3)
    assert (await gate.look(POT)).epoch == 3
    await redis.hset("sf:{gala}:gate:pot", "run", "of a server that was restarted since")
    assert (await gate.look(POT)).epoch is None
