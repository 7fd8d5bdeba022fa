"""The functions of Postgres, against the same model as the gate's scripts."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.core.taps import Code, Tap
from checkout.counts import Counts
from checkout.gate import Product
from checkout.truth import Truth
from schema.errors import Invalid, Unavailable

POT = Product("gala", "pot")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def truth(shop, desk) -> AsyncIterator[Truth]:
    truth = Truth(shop.pg, Counts())
    yield truth
    await truth.close()


def tap(hold_id: str, buyer: str = "ann", quantity: int = 1) -> Tap:
    return Tap(hold_id=hold_id, buyer_id=buyer, buyer_name=buyer, quantity=quantity)


async def codes(truth: Truth, *taps: Tap) -> list[Code]:
    return [decision.code for decision in (await truth.reserve_many(POT, taps, 60_000)).decisions]


async def test_a_batch_is_decided_in_order_and_a_large_wish_does_not_bar_a_small_one(shop, truth):
    await shop.item(stock=4, limit=3)
    asked = [tap("h1", "ann", 2), tap("h2", "ann", 2), tap("h3", "bob", 3), tap("h4", "ann"), tap("h5", "cat")]
    assert await codes(truth, *asked) == [Code.HELD, Code.OVER_LIMIT, Code.SOLD_OUT, Code.HELD, Code.HELD]
    assert (await shop.stock()).held == 4


async def test_the_same_hold_twice_in_a_batch_is_one(shop, truth):
    await shop.item(stock=4)
    assert await codes(truth, tap("h1"), tap("h1")) == [Code.HELD, Code.HELD]
    assert (await shop.stock()).held == 1


async def test_one_hold_asked_for_with_two_quantities_in_a_batch_is_one_and_a_mismatch(shop, truth):
    await shop.item(stock=4, limit=4)
    assert await codes(truth, tap("h1", quantity=1), tap("h1", quantity=2)) == [Code.HELD, Code.MISMATCH]
    assert (await shop.stock()).held == 1


async def test_a_batch_that_is_held_as_a_whole_is_decided_in_sets(shop, truth):
    await shop.item(stock=500, limit=2)
    await shop.pg.execute("DROP FUNCTION reserve_one_by_one")
    assert await codes(truth, *(tap(f"h{i}", f"b{i}") for i in range(400))) == [Code.HELD] * 400
    assert await codes(truth, *(tap(f"i{i}", f"b{i}") for i in range(100))) == [Code.HELD] * 100
    for refused in ([tap("j1", "b0")], [tap("j2", "x"), tap("j3", "x")], [tap("h1", "b1")]):
        with pytest.raises(asyncpg.UndefinedFunctionError):  # over the limit, one buyer twice, known: tap after tap
            await codes(truth, *refused)
    assert (await shop.stock()).held == 500


async def test_what_the_sets_began_is_undone_before_the_loop_decides(shop, truth):
    await shop.item(stock=9, limit=2)
    await codes(truth, tap("h1", "ann", 2))
    assert await codes(truth, tap("h2", "bob", 2), tap("h3", "ann", 1)) == [Code.HELD, Code.OVER_LIMIT]
    assert await codes(truth, tap("h4", "cat"), tap("h1", "ann", 2)) == [Code.HELD, Code.KNOWN]
    assert await shop.pg.fetch("SELECT buyer_id, units FROM buyers ORDER BY 1") == [("ann", 2), ("bob", 2), ("cat", 1)]
    assert (await shop.stock()).held == 5


async def test_names_of_any_kind_arrive_as_they_are(shop, truth):
    await shop.item(stock=9)
    names = ["", "NULL", 'a"b', "a\\b", "{a,b}", " x ", "ä🍲", "a\nb", "\\", '"']
    taps = [Tap(hold_id=f"h{i}", buyer_id=f"b{i}", buyer_name=name, quantity=1) for i, name in enumerate(names)][:9]
    await truth.reserve_many(POT, taps, 60_000)
    kept = await shop.pg.fetch("SELECT buyer_name FROM holds ORDER BY hold_id")
    assert [row["buyer_name"] for row in kept] == names[:9]


async def test_500_taps_of_one_buyer_stop_at_the_limit(shop, truth):
    await shop.item(stock=1000, limit=7)
    assert (await codes(truth, *(tap(f"h{i}") for i in range(500)))).count(Code.HELD) == 7
    assert await shop.pg.fetchval("SELECT units FROM buyers") == 7


async def test_a_product_without_stock_row_is_sold_out_and_not_there(truth):
    batch = await truth.reserve_many(POT, [tap("h1")], 1)
    assert (batch.decisions[0].code, batch.item) == (Code.SOLD_OUT, None)


async def test_a_fenced_id_can_never_be_reserved_and_a_hold_can_never_be_fenced(shop, truth):
    await shop.item(stock=4)
    await codes(truth, tap("h1"))
    known, _ = await truth.fence(POT, ["h1", "h2"])
    assert known == [True, False]
    assert await codes(truth, tap("h1"), tap("h2")) == [Code.KNOWN, Code.FENCED]


async def test_fencing_and_reserving_at_once_end_in_one_of_the_two(shop, truth):
    await shop.item(stock=100, limit=100)
    for i in range(20):
        (known, _), decided = await asyncio.gather(truth.fence(POT, [f"h{i}"]), codes(truth, tap(f"h{i}")))
        assert (known, decided) in [([True], [Code.HELD]), ([False], [Code.FENCED])]


async def test_what_postgres_cannot_hold_is_invalid(truth):
    with pytest.raises(Invalid):
        await truth.fetch("SELECT $1::text", "\x00")
    with pytest.raises(Invalid):
        await truth.fetch("SELECT $1::int", 2**40)
    with pytest.raises(Invalid):
        await truth.fetch("SELECT $1::int + 1", 2**31 - 1)
    assert not truth.is_down  # a caller's mistake closes the shop for nobody


async def test_a_call_that_fails_is_repeated_and_not_for_ever():
    tries = 0

    class Broken:
        def acquire(self, **_):
            nonlocal tries
            tries += 1
            raise OSError

    truth = Truth(Broken(), Counts())
    with pytest.raises(Unavailable):
        await truth.fetch("SELECT 1")
    assert truth.is_down
    assert tries == 3


def test_every_function_of_the_migrations_names_a_caller_that_exists():
    migrations = sorted((ROOT / "schema" / "migrations").glob("*.sql"))
    migration = "\n".join(each.read_text(encoding="utf-8") for each in migrations)
    rooms = [ROOT / "checkout", ROOT / "live"]
    source = "\n".join(module.read_text(encoding="utf-8") for room in rooms for module in room.rglob("*.py"))
    queries = "\n".join(query.read_text(encoding="utf-8") for room in rooms for query in room.rglob("sql/*.sql"))
    # Of one that was made anew the last words count.
    found = re.findall(r"((?:^--.*\n)+)CREATE (?:OR REPLACE )?FUNCTION (\w+)", migration, re.MULTILINE)
    functions = {name: comment for comment, name in found}
    assert len(functions) > 10
    for name, comment in functions.items():
        if re.search(rf"(?:FUNCTION|PROCEDURE) {name}\(\);", migration):
            continue  # a trigger
        said = re.search(r"Caller: (.*)", comment, re.DOTALL)
        assert said, f"{name} does not say who calls it"
        if "functions below" in said[1] or "its tests" in said[1]:
            continue
        calls = rf"(?<!FUNCTION )\b{name}\("
        assert re.search(calls, source + queries + migration), f"nothing calls {name}"
        named = re.findall(r"\b([A-Z]\w+)(?:\.([a-z_]\w*))?", said[1])
        others = [each for each in re.findall(r"\b[a-z_]{4,}\b", said[1]) if each in functions]
        files = re.findall(r"\bsql/\w+\.sql\b", said[1])
        assert named or others or files, f"{name}: who is {said[1]}?"
        assert all(any((room / file).exists() for room in rooms) for file in files), f"{name}: {files}"
        for kind, method in named:
            body = re.search(rf"^class {kind}\b.*?(?=^class |\Z)", source, re.MULTILINE | re.DOTALL)
            assert body, f"{name}: there is no class {kind}"
            assert not method or re.search(rf"def {method}\b", body[0]), f"{name}: there is no {kind}.{method}"


async def test_no_two_of_the_functions_wait_for_each_other(shop, desk):
    """Everything at once on two products: a deadlock would be an error of Postgres's within a second."""
    await shop.item(stock=30, limit=30)
    await shop.item("mug", stock=30, limit=30)

    async def life(i: int) -> None:
        variant = ("pot", "mug")[i % 2]
        hold = await shop.tap(f"b{i % 5}", variant=variant)
        if i % 3 == 0:
            await desk.release(shop.viewer(f"b{i % 5}"), hold.hold_id)
        else:
            order = await shop.pay_for(f"b{i % 5}", hold)
            await desk.refund(shop.operator, order.order_id)

    async def noise() -> None:
        for _ in range(10):
            await desk.set_sales(shop.show_id, open=True)
            await desk.restock(shop.show_id, "pot", 1)

    await asyncio.gather(noise(), *(life(i) for i in range(40)))
    assert desk.counts.truth_retries == 0
    assert await shop.pg.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
    assert (await shop.verify()).problems == []


steps = st.lists(
    st.lists(
        st.tuples(st.integers(0, 11), st.sampled_from(["ann", "bob", "cat"]), st.integers(1, 3)), min_size=1, max_size=8
    ),
    max_size=6,
)


async def test_reserve_many_agrees_with_the_model(shop, truth):
    programs = []

    @settings(max_examples=40, database=None)
    @given(steps, st.integers(0, 8), st.integers(1, 4))
    def draw(program, available, limit):
        programs.append((program, available, limit))

    draw()
    for number, (program, available, limit) in enumerate(programs):
        variant = f"v{number}"
        await shop.item(variant, stock=available, limit=limit)
        free, has, live = available, {}, set()
        for step in program:
            taps = {f"{variant}-{hold}": tap(f"{variant}-{hold}", buyer, units) for hold, buyer, units in step}
            expected = []
            for each in taps.values():
                if each.hold_id in live:
                    expected.append(Code.KNOWN)
                elif has.get(each.buyer_id, 0) + each.quantity > limit:
                    expected.append(Code.OVER_LIMIT)
                elif each.quantity > free:
                    expected.append(Code.SOLD_OUT)
                else:
                    free -= each.quantity
                    has[each.buyer_id] = has.get(each.buyer_id, 0) + each.quantity
                    live.add(each.hold_id)
                    expected.append(Code.HELD)
            made = await shop.pg.fetchrow(
                "SELECT * FROM reserve_many('gala', $1, $2, $3, $3, $4, 60000)",
                variant,
                list(taps),
                [each.buyer_id for each in taps.values()],
                [each.quantity for each in taps.values()],
            )
            assert made["codes"] == expected
            assert made["item"]["stocked"] - made["item"]["taken"] == free
    assert (await shop.verify()).problems == []


async def test_the_check_holds_whatever_a_statement_tries(shop, desk):
    await shop.item(stock=3)
    for statement in ("taken = 4", "taken = -1", "sold = 1", "returned = 1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await shop.pg.execute(f"UPDATE stock SET {statement}")


class TestDecidedInSets:
    """Without the functions that decide tap after tap, only what is decided in sets is decided at all."""

    @pytest.fixture
    async def in_sets(self, shop, truth) -> Truth:
        await shop.item(stock=500, limit=2)
        await shop.pg.execute("DROP FUNCTION reserve_one_by_one; DROP FUNCTION reserve_flash")
        return truth

    async def test_taps_that_say_the_price_they_see(self, in_sets):
        seen = [Tap(hold_id=f"h{i}", buyer_id=f"b{i}", buyer_name="B", quantity=1, price_seen=4900) for i in range(99)]
        assert await codes(in_sets, *seen, tap("one who does not say", "x")) == [Code.HELD] * 100

    async def test_one_that_saw_another_price_is_not(self, in_sets):
        other = Tap(hold_id="h", buyer_id="b", buyer_name="B", quantity=1, price_seen=4800)
        with pytest.raises(asyncpg.UndefinedFunctionError):
            await codes(in_sets, other)

    async def test_taps_that_all_fit_into_a_flash_price_and_those_after_it(self, shop, in_sets):
        await shop.pg.execute("SELECT begin_flash('f', 'gala', 'pot', 3900, 5, NULL, clock_ms() + 600000, 0)")
        assert await codes(in_sets, *(tap(f"h{i}", f"b{i}") for i in range(3))) == [Code.HELD] * 3
        with pytest.raises(asyncpg.UndefinedFunctionError):  # two of them fit, and one does not
            await codes(in_sets, *(tap(f"i{i}", f"c{i}") for i in range(3)))
        assert await codes(in_sets, *(tap(f"i{i}", f"c{i}") for i in range(2))) == [Code.HELD] * 2
        assert await codes(in_sets, tap("after", "dan")) == [Code.HELD]
        kept = await shop.pg.fetch("SELECT unit_amount, flash_id, count(*) FROM holds GROUP BY 1, 2 ORDER BY 1")
        assert kept == [(3900, "f", 5), (4900, None, 1)]
        assert (await shop.verify()).problems == []

    async def test_more_than_the_limit_of_a_flash_price_is_not(self, shop, in_sets):
        await shop.pg.execute("SELECT begin_flash('f', 'gala', 'pot', 3900, 9, 1, clock_ms() + 600000, 0)")
        assert await codes(in_sets, tap("h1", "ann")) == [Code.HELD]
        with pytest.raises(asyncpg.UndefinedFunctionError):
            await codes(in_sets, tap("h2", "ann"))

    async def test_a_fence_concerns_its_own_id_alone(self, in_sets):
        await in_sets.fence(POT, ["lost"])
        assert await codes(in_sets, tap("h1")) == [Code.HELD]
        with pytest.raises(asyncpg.UndefinedFunctionError):
            await codes(in_sets, tap("lost"))


priced = st.tuples(
    st.integers(0, 11), st.sampled_from(["ann", "bob", "cat"]), st.integers(1, 3), st.sampled_from([None, 4900, 3900])
)
at_prices = st.lists(st.lists(priced, min_size=1, max_size=6, unique_by=lambda each: each[0]), max_size=6)


async def test_reserve_many_says_what_tap_after_tap_says_whatever_price_runs_and_was_seen(shop, truth):
    programs = []

    @settings(max_examples=40, database=None)
    @given(at_prices, st.integers(0, 8), st.integers(1, 4), st.integers(0, 6), st.sampled_from([None, 1, 2]))
    def draw(program, stock, limit, quantity, flash_limit):
        programs.append((program, stock, limit, quantity, flash_limit))

    draw()
    for number, (program, stock, limit, quantity, flash_limit) in enumerate(programs):
        told = []
        for way in ("reserve_many", "reserve_flash"):
            variant = f"{way}-{number}"
            await shop.item(variant, stock=stock, limit=limit)
            if quantity:
                begin = "SELECT code FROM begin_flash($1, 'gala', $1, 3900, $2, $3, clock_ms() + 600000, 0)"
                await shop.pg.execute(begin, variant, quantity, flash_limit)
            told.append([await decided_by(shop.pg, way, variant, step) for step in program])
            rows = "SELECT split_part(hold_id, '/', 2), unit_amount, flash_id IS NULL FROM holds WHERE variant_id = $1"
            told[-1].append(sorted(map(tuple, await shop.pg.fetch(rows, variant))))
        assert told[0] == told[1]
    assert (await shop.verify()).problems == []


async def decided_by(pg: asyncpg.Pool, way: str, variant: str, step: list[tuple]) -> list[int]:
    """The codes; what was left undecided at one price is asked for again, as Truth does."""
    said: dict[int, int] = {}
    while rest := [each for each in step if each[0] not in said]:
        holds, buyers, units, seen = zip(*rest, strict=True)
        ids = [f"{variant}/{hold}" for hold in holds]
        made = await pg.fetchval(
            f"SELECT codes FROM {way}('gala', $1, $2, $3, $3, $4, 60000, $5)", variant, ids, buyers, units, seen
        )
        said |= {hold: code for hold, code in zip(holds, made, strict=True) if code}
    return list(said.values())
