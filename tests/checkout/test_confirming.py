"""Postgres gone in the middle of a sale: "confirming", then yours, or no; never a unit sold twice or lost."""

import asyncio

import asyncpg
import pytest
from faults.stores import Stores

from checkout.clock import wall_ms
from checkout.desk import Pace
from checkout.gate import SCRIPTS, Gate, GateDown, Product, key_of
from checkout.shelf import Shelf
from schema.errors import HoldConfirming, NotFound, Unavailable

QUICK = Pace(confirm_s=0.05, reconcile_s=0.05, orphan_ms=0)
STILL = Pace(sweep_s=3600, confirm_s=3600, poll_s=3600, outbox_s=3600, reconcile_s=3600)
PAY = "fake_ok"


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "confirming-0.jsonl"


@pytest.fixture
async def gone(shop, pg_wire, journal):
    """A shop with five units whose Postgres has just gone."""
    await shop.open(pool=pg_wire.pool, pace=QUICK, journal=journal)
    await shop.item(stock=5, limit=2)
    pg_wire.cut()
    return shop


async def becomes(shop, who: str, hold, state: str) -> None:
    async def is_so() -> bool:
        try:
            return (await shop.desk.get_hold(shop.viewer(who), hold.hold_id)).state == state
        except Unavailable:
            return False

    await shop.eventually(is_so)


async def gate_has(shop, units: int) -> None:
    async def is_so() -> bool:
        return await shop.gate_available() == units

    await shop.eventually(is_so)


async def test_a_tap_is_confirming_and_yours_once_postgres_is_back(gone, pg_wire):
    hold = await gone.tap("ann", key="k")
    assert hold.state == "confirming"
    assert hold.total.amount == 4900
    assert await gone.tap("ann", key="k") == hold
    assert (await gone.desk.get_hold(gone.viewer("ann"), hold.hold_id)).state == "confirming"
    assert await gone.pg.fetchval("SELECT count(*) FROM holds") == 0
    pg_wire.mend()
    await becomes(gone, "ann", hold, "held")
    again = await gone.tap("ann", key="k")
    assert (again.hold_id, again.state) == (hold.hold_id, "held")
    await gate_has(gone, 4)
    counts = gone.desk.counts
    assert (counts.confirming, counts.confirmed, counts.unconfirmed) == (1, 1, 0)
    assert (await gone.verify()).problems == []


async def test_nothing_is_authorized_before_it_is_yours(gone, pg_wire):
    hold = await gone.tap("ann")
    with pytest.raises(HoldConfirming):
        await gone.pay_for("ann", hold)
    pg_wire.mend()
    await becomes(gone, "ann", hold, "held")
    assert (await gone.pay_for("ann", hold)).hold_id == hold.hold_id


async def test_nobody_sees_anothers(gone):
    hold = await gone.tap("ann")
    with pytest.raises(NotFound):
        await gone.desk.get_hold(gone.viewer("bob"), hold.hold_id)
    with pytest.raises(NotFound):
        await gone.desk.release(gone.viewer("bob"), hold.hold_id)
    assert (await gone.desk.get_hold(gone.operator, hold.hold_id)).state == "confirming"


async def test_the_gate_goes_on_refusing_and_no_more_are_admitted_than_there_are(gone, pg_wire):
    said = await asyncio.gather(*(gone.outcome(gone.tap(f"b{i}")) for i in range(20)))
    assert (said.count("ok"), said.count("sold_out")) == (5, 15)
    pg_wire.mend()

    async def all_held() -> bool:
        return (await gone.stock()).held == 5

    await gone.eventually(all_held)
    assert (await gone.verify()).problems == []


async def test_they_are_decided_in_the_order_in_which_they_came(gone, pg_wire):
    holds = [await gone.tap(f"b{i}") for i in range(4)]
    await gone.pg.execute("UPDATE stock SET stocked = 2")  # the truth has fewer than the gate believed
    pg_wire.mend()
    for i, state in enumerate(["held", "held", "expired", "expired"]):
        await becomes(gone, f"b{i}", holds[i], state)
    assert gone.desk.counts.unconfirmed == 2

    async def the_refused_are_fenced() -> bool:
        fences = await gone.pg.fetch("SELECT hold_id FROM fences")
        return {row["hold_id"] for row in fences} == {hold.hold_id for hold in holds[2:]}

    await gone.eventually(the_refused_are_fenced)


async def test_the_unit_of_one_who_was_refused_comes_back_though_the_gate_did_not_hear_of_it(
    shop, pg_wire, journal, monkeypatch
):
    """Or it would stay off the shelf for the minute of its mark."""
    await shop.open(pool=pg_wire.pool, pace=shop.idle, journal=journal)
    await shop.item(stock=5)
    pg_wire.cut()
    await shop.tap("ann")
    await shop.pg.execute("UPDATE stock SET open = false")
    pg_wire.mend()
    await shop.desk._truth.fetch("SELECT 1")
    monkeypatch.setattr(Gate, "settle_many", unheard)
    await shop.desk._confirming.replay()
    monkeypatch.undo()
    assert await shop.gate_available() == 5
    assert not shop.desk._confirming.is_needed


async def test_the_unit_of_one_who_was_refused_comes_back_though_the_gate_was_rolled_back(gone, pg_wire):
    hold = await gone.tap("ann")
    await gone.desk.release(gone.viewer("ann"), hold.hold_id)
    pg_wire.mend()

    async def is_fenced_or_over() -> bool:
        return not gone.desk._confirming.is_needed

    await gone.eventually(is_fenced_or_over)
    await gate_has(gone, 5)
    base = key_of(Product("gala", "pot"))
    await gone.redis.hset(f"{base}:holds", hold.hold_id, "1:ann")
    await gone.redis.hset(f"{base}:pending", hold.hold_id, wall_ms() + 60_000)
    await gone.redis.hincrby(base, "available", -1)
    await gate_has(gone, 5)


@pytest.fixture
async def refused(shop, pg_wire, journal, monkeypatch):
    """A buyer who was told no by the truth, which then fell silent: the hold id is not fenced yet."""
    await shop.open(pool=pg_wire.pool, pace=STILL, journal=journal)
    await shop.item(stock=5)
    pg_wire.cut()
    hold = await shop.tap("ann", key="k")
    await shop.pg.execute("UPDATE stock SET open = false")
    pg_wire.mend()
    await shop.desk._truth.fetch("SELECT 1")
    monkeypatch.setattr(Shelf, "give_up", silent)
    await shop.desk._confirming.replay()
    monkeypatch.undo()
    return shop, hold


async def silent(*_: object) -> list[str]:
    raise Unavailable


async def is_over(shop) -> bool:
    return not shop.desk._confirming.is_needed


async def test_one_who_was_refused_stays_so_when_the_desk_dies(refused, journal):
    shop, hold = refused
    assert (await shop.desk.get_hold(shop.viewer("ann"), hold.hold_id)).state == "expired"
    await shop.desk.abandon()
    await shop.pg.execute("UPDATE stock SET open = true")  # the next one could have it
    await shop.open(pace=QUICK, journal=journal)
    await shop.eventually(lambda: is_over(shop))
    assert await shop.pg.fetchval("SELECT count(*) FROM holds") == 0
    assert await shop.pg.fetchval("SELECT array_agg(hold_id) FROM fences") == [hold.hold_id]
    await gate_has(shop, 5)


async def test_a_refusal_that_cannot_be_written_down_is_told_to_nobody(shop, pg_wire, journal, monkeypatch):
    """Neither in the hold nor by the gate, which is asked first when the buyer tries again."""
    await shop.open(pool=pg_wire.pool, pace=STILL, journal=journal)
    await shop.item(stock=5)
    pg_wire.cut()
    first, second = await shop.tap("ann"), await shop.tap("bob", key="k")
    await shop.pg.execute("UPDATE stock SET stocked = 1")
    pg_wire.mend()
    await shop.desk._truth.fetch("SELECT 1")
    with monkeypatch.context() as full:
        full.setattr("checkout.journal._write_all", no_space)
        await shop.desk._confirming.replay()
        await shop.desk._confirming.replay()
    assert (await shop.desk.get_hold(shop.viewer("ann"), first.hold_id)).state == "held"
    assert await shop.tap("bob", key="k") == second
    assert (await shop.desk.get_hold(shop.viewer("bob"), second.hold_id)).state == "confirming"
    await shop.desk._confirming.replay()
    assert (await shop.desk.get_hold(shop.viewer("bob"), second.hold_id)).state == "expired"
    assert not shop.desk._confirming.is_needed


async def test_while_the_truth_is_silent_its_gate_is_not_doubted(shop, pg_wire, journal):
    await shop.open(pool=pg_wire.pool, pace=STILL, journal=journal)
    await shop.item(stock=5)
    pg_wire.cut()
    with pytest.raises(Unavailable):
        await shop.desk._truth.fetch("SELECT 1")  # repeated, which is a doubt
    shop.desk._truth._down_until = 0.0  # it has been left alone for long enough
    await shop.desk.upkeep.doubt()
    shop.desk._truth._down_until = 0.0
    assert (await shop.tap("ann")).state == "confirming"
    pg_wire.mend()
    await shop.desk._truth.fetch("SELECT 1")
    await shop.desk._confirming.replay()
    built, shop.desk._truth._down_until = shop.desk.counts.rebuilds, 0.0
    await shop.desk.upkeep.doubt()
    await shop.desk.upkeep.reconcile()
    assert shop.desk.counts.rebuilds == built + 1


async def unheard(*_: object) -> bool:
    raise GateDown


async def test_while_some_wait_a_later_tap_stands_behind_them(shop, pg_wire, journal):
    await shop.open(pool=pg_wire.pool, pace=Pace(confirm_s=3600, reconcile_s=3600), journal=journal)
    await shop.item(stock=5)
    pg_wire.cut()
    await shop.tap("ann")
    pg_wire.mend()
    await shop.desk._truth.fetch("SELECT 1")
    assert (await shop.tap("bob")).state == "confirming"
    await shop.desk._confirming.replay()
    assert await shop.pg.fetchval("SELECT array_agg(buyer_id ORDER BY xmin::text::bigint, ctid) FROM holds") == [
        "ann",
        "bob",
    ]
    assert (await shop.tap("cat")).state == "held"
    assert journal.read_bytes() == b""


async def test_a_desk_that_dies_leaves_them_to_the_next_one(gone, pg_wire, journal):
    hold = await gone.tap("ann")
    await gone.desk.abandon()
    pg_wire.mend()
    await gone.open(pace=QUICK, journal=journal)
    await becomes(gone, "ann", hold, "held")
    assert (await gone.verify()).problems == []


async def test_without_its_journal_the_next_one_knows_nothing_of_them(gone, pg_wire, tmp_path):
    hold = await gone.tap("ann")
    await gone.desk.abandon()
    pg_wire.mend()
    await gone.open(pace=gone.idle, journal=tmp_path / "another")
    await gone.desk._confirming.replay()
    assert await gone.pg.fetchval("SELECT count(*) FROM holds") == 0
    assert (await gone.desk.get_hold(gone.viewer("ann"), hold.hold_id)).state == "confirming"  # shared by the dead one


async def test_another_desk_leaves_their_units_alone_and_tells_their_buyers(gone, tmp_path):
    hold = await gone.tap("ann")
    dying = gone.desk
    await dying.abandon()
    other = await gone.open(pace=QUICK, journal=tmp_path / "another")
    assert (await other.get_hold(gone.viewer("ann"), hold.hold_id)).state == "confirming"
    for _ in range(3):
        await other.upkeep.reconcile()
    assert await gone.gate_available() == 4
    assert await gone.pg.fetchval("SELECT count(*) FROM fences") == 0


async def test_unmarked_they_would_be_taken_for_orphans(shop, pg_wire, journal):
    unmarked = SCRIPTS | {"confirm_many": "return 0"}
    await shop.open(pool=pg_wire.pool, pace=QUICK, journal=journal, scripts=unmarked)
    await shop.item(stock=5)
    pg_wire.cut()
    await shop.tap("ann")
    await shop.desk.abandon()
    await shop.open(pace=QUICK)
    await gate_has(shop, 5)
    assert await shop.pg.fetchval("SELECT count(*) FROM fences") == 1


class TestTheBound:
    @pytest.fixture
    async def late(self, shop, pg_wire, journal):
        """A buyer who has been in doubt for more than a minute."""
        now = [1_790_000_000_000]
        await shop.open(pool=pg_wire.pool, pace=QUICK, journal=journal, clock=lambda: now[0])
        await shop.item(stock=5)
        pg_wire.cut()
        hold = await shop.tap("ann", key="k")
        now[0] += 60_001
        return shop, hold

    async def test_the_buyer_is_told_no_and_the_unit_comes_back_only_with_its_fence(self, late, pg_wire):
        shop, hold = late
        await becomes(shop, "ann", hold, "expired")
        assert await shop.gate_available() == 4  # Postgres has not said that it is nobody's
        assert await shop.outcome(shop.tap("ann", key="k")) == "unavailable"
        pg_wire.mend()
        await gate_has(shop, 5)
        assert await shop.pg.fetchval("SELECT array_agg(hold_id) FROM fences") == [hold.hold_id]
        assert (await shop.desk.get_hold(shop.viewer("ann"), hold.hold_id)).state == "expired"
        again = await shop.tap("ann", key="k")
        assert again.hold_id != hold.hold_id
        await becomes(shop, "ann", again, "held")  # at once, unless the other taps of the outage are still being told
        assert (await shop.verify()).problems == []

    async def test_who_was_told_no_stays_so_for_the_next_desk_though_the_clock_is_set_back(self, late, journal):
        shop, hold = late
        await becomes(shop, "ann", hold, "expired")
        await shop.desk.abandon()
        await shop.open(pace=QUICK, journal=journal, clock=lambda: hold.created_at_ms)
        await shop.eventually(lambda: is_over(shop))
        assert await shop.pg.fetchval("SELECT count(*) FROM holds") == 0
        assert await shop.pg.fetchval("SELECT array_agg(hold_id) FROM fences") == [hold.hold_id]

    async def test_one_that_was_committed_after_all_is_left_to_its_buyer(self, late, pg_wire):
        shop, hold = late
        await becomes(shop, "ann", hold, "expired")
        late_commit = "SELECT codes FROM reserve_many('gala', 'pot', $1, '{ann}', '{Ann}', '{1}', 300000)"
        await shop.pg.execute(late_commit, [hold.hold_id])
        pg_wire.mend()
        await becomes(shop, "ann", hold, "held")
        assert await shop.pg.fetchval("SELECT count(*) FROM fences") == 0
        assert await shop.gate_available() == 4


async def test_one_given_back_is_fenced_and_its_unit_is_sold_again(gone, pg_wire):
    hold = await gone.tap("ann")
    await gone.desk.release(gone.viewer("ann"), hold.hold_id)
    assert (await gone.desk.get_hold(gone.viewer("ann"), hold.hold_id)).state == "released"
    assert await gone.gate_available() == 4
    pg_wire.mend()
    await gate_has(gone, 5)
    assert await gone.pg.fetchval("SELECT count(*) FROM holds WHERE state <> 'released'") == 0


async def test_one_given_back_does_not_stand_though_an_earlier_question_has_committed_it(gone, pg_wire):
    hold = await gone.tap("ann")
    await gone.desk.release(gone.viewer("ann"), hold.hold_id)
    late_commit = "SELECT codes FROM reserve_many('gala', 'pot', $1, '{ann}', '{Ann}', '{1}', 300000)"
    await gone.pg.execute(late_commit, [hold.hold_id])
    pg_wire.mend()
    await gate_has(gone, 5)
    assert await gone.pg.fetchval("SELECT state FROM holds") == "released"
    assert (await gone.verify()).problems == []


async def test_one_given_back_while_the_truth_is_being_asked_does_not_stand(shop, pg_wire, journal, monkeypatch):
    await shop.open(pool=pg_wire.pool, pace=shop.idle, journal=journal)
    await shop.item(stock=5)
    pg_wire.cut()
    hold = await shop.tap("ann")
    pg_wire.mend()
    await shop.desk._truth.fetch("SELECT 1")
    decide = Shelf.decide

    async def and_meanwhile(self, taps):
        codes = await decide(self, taps)
        await shop.desk.release(shop.viewer("ann"), hold.hold_id)
        return codes

    monkeypatch.setattr(Shelf, "decide", and_meanwhile)
    await shop.desk._confirming.replay()
    assert await shop.pg.fetchval("SELECT state FROM holds") == "released"
    await gate_has(shop, 5)


async def test_one_given_back_stays_so_when_the_desk_dies(gone, pg_wire, journal):
    hold = await gone.tap("ann")
    await gone.desk.release(gone.viewer("ann"), hold.hold_id)
    await gone.desk.abandon()
    pg_wire.mend()
    await gone.open(pace=QUICK, journal=journal)
    await gate_has(gone, 5)
    assert await gone.pg.fetchval("SELECT count(*) FROM holds WHERE state <> 'released'") == 0


async def test_what_is_decided_does_not_wait_for_its_mark_where_the_gate_was_not_told(gone, pg_wire):
    """The mark of one who waits says for a minute that nobody is to ask about it."""
    hold = await gone.tap("ann")
    product = Product("gala", "pot")
    pg_wire.mend()
    await becomes(gone, "ann", hold, "held")
    await gone.desk.release(gone.viewer("ann"), hold.hold_id)
    await gate_has(gone, 5)
    base = key_of(product)
    await gone.redis.hset(f"{base}:holds", hold.hold_id, "1:ann")  # as if neither word had arrived
    await gone.redis.hset(f"{base}:pending", hold.hold_id, wall_ms() + 60_000)
    await gone.redis.hincrby(base, "available", -1)
    await gate_has(gone, 5)
    assert await gone.redis.hlen(f"{base}:pending") == 0


@pytest.mark.parametrize("without", ["journal", "gate", "disk"])
async def test_without_journal_gate_or_disk_there_is_no_answer_rather_than_a_promise(
    shop, pg_wire, journal, monkeypatch, without
):
    options = {"pool": pg_wire.pool, "pace": shop.idle}
    if without == "gate":
        options["redis"] = shop.dead_redis()
    if without != "journal":
        options["journal"] = journal
    await shop.open(**options)
    await shop.item(stock=5)
    if without == "disk":
        monkeypatch.setattr("checkout.journal._write_all", no_space)
    pg_wire.cut()
    assert await shop.outcome(shop.tap("ann")) == "unavailable"
    assert not journal.exists() or journal.read_bytes() == b""


def no_space(file: int, data: bytes) -> None:
    raise OSError(28, "No space left on device")


async def test_http_says_202_and_then_the_hold(gone, pg_wire):
    async with gone.client("viewer:ann") as http:
        body = {"variant_id": "pot", "quantity": 1}
        answer = await http.post("/api/v1/shows/gala/holds", json=body, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["state"]) == (202, "confirming")
        where = answer.headers["Location"]
        assert (await http.get(where)).json()["state"] == "confirming"
        paid = await http.post(f"{where}/pay", json={"payment_method": PAY}, headers={"Idempotency-Key": "p"})
        assert (paid.status_code, paid.json()["code"]) == (409, "hold_confirming")
        pg_wire.mend()

        async def is_held() -> bool:
            found = await http.get(where)
            return found.status_code == 200 and found.json()["state"] == "held"

        await gone.eventually(is_held)


async def test_a_real_postgres_that_is_killed_and_started_again(shop, redis, journal, tmp_path):
    async with (
        Stores(tmp_path / "s") as stores,
        asyncpg.create_pool(stores.database_url, min_size=1, max_size=4) as pool,
    ):
        await pool.execute("INSERT INTO shows VALUES ('gala', 'Gala', '', 'live', 0, 'EUR')")
        shop.pg = pool
        await shop.open(pool=pool, pace=QUICK, journal=journal)
        await shop.item(stock=3)
        await stores.kill("postgres")
        said = await asyncio.gather(*(shop.tap(f"b{i}") for i in range(3)))
        assert {hold.state for hold in said} == {"confirming"}
        assert await shop.outcome(shop.tap("late")) == "sold_out"
        await stores.start_postgres()
        for i in range(3):
            await becomes(shop, f"b{i}", said[i], "held")
        assert (await shop.stock()).held == 3
        await shop.desk.abandon()


async def test_what_is_yours_is_never_confirming_again(gone, pg_wire):
    pg_wire.mend()
    hold = await tap_until_it_is_answered(gone, "ann", "k")
    pg_wire.cut()
    assert await gone.outcome(gone.tap("ann", key="k")) == "unavailable"
    assert gone.desk.counts.confirming == 0
    pg_wire.mend()
    assert await tap_until_it_is_answered(gone, "ann", "k") == hold


async def tap_until_it_is_answered(shop, who: str, key: str):
    found = []

    async def is_answered() -> bool:
        try:
            found.append(await shop.tap(who, key=key))
        except Unavailable:
            return False
        return True

    await shop.eventually(is_answered)
    assert found[0].state == "held"
    return found[0]
