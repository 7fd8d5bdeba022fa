"""The books against the real PostgreSQL: the same calls, the same answers, the same rows."""

import random
import time

import pytest
from faults.virtual.books import Books
from faults.virtual.bundlebooks import goods_of

from checkout.truth import sql

SHOW, VARIANTS, BUYERS = "gala", ("pan", "pot"), ("ann", "bob", "cat")
STEPS = 80
PRICES = {"pan": 1900, "pot": 1333}
COUPONS = ("TENTH", "ONCE", "NONE")
TERMS = {
    "TENTH": {"percent_bp": 1000, "uses": 2},
    "ONCE": {"amount": 700, "minimum": 3000, "uses_per_buyer": 1},
}
HOUR_MS = 3_600_000
CALLS = {
    "reserve_many": "SELECT * FROM reserve_many($1, $2, $3::text[], $4::text[], $5::text[], $6, $7)",
    "reserve_bundle": "SELECT * FROM reserve_bundle($1, $2, $3, $4, $5, $6, $7)",
    "fence_many": "SELECT * FROM fence_many($1, $2, $3)",
    "release_hold": "SELECT * FROM release_hold($1)",
    "expire_holds": "SELECT * FROM expire_holds($1, $2, $3)",
    "begin_basket": "SELECT * FROM begin_basket($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    "settle_payment": "SELECT * FROM settle_payment($1, $2, $3)",
    "settle_capture": "SELECT * FROM settle_capture($1, $2)",
    "refund_order": "SELECT * FROM refund_order($1, $2, $3, $4, $5)",
    "cancel_order": "SELECT * FROM cancel_order($1)",
    "claim_payer": "SELECT * FROM claim_payer($1, $2, $3)",
    "withdraw": "SELECT * FROM withdraw($1, $2, $3, $4, $5)",
    "restock": "SELECT * FROM restock($1, $2, $3, $4)",
    "set_sales": "SELECT * FROM set_sales($1, $2)",
    "claim_key": "SELECT * FROM claim_key($1, $2, $3, $4, $5)",
    "join_waitlist": "SELECT * FROM join_waitlist($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    "leave_waitlist": "SELECT * FROM leave_waitlist($1)",
    "offer_waiting": "SELECT * FROM offer_waiting($1, $2, $3, $4)",
    "q_payment_cancelled": sql("payment_cancelled"),
    "q_refund_settled": sql("refund_settled"),
    "q_finish_key": sql("finish_key"),
    "q_drop_key": sql("drop_key"),
    "q_new_event": sql("new_event"),
    "q_fenced": sql("fenced"),
    "q_holds_out": sql("holds_out"),
    "q_buyers": sql("buyers"),
    "q_due": sql("due"),
    "q_basket_holds": sql("basket_holds"),
    "q_bundle": sql("bundle"),
    "q_bundle_of": sql("bundle_of"),
    "q_coupon_for": sql("coupon_for"),
}
TABLES = {
    "stock": ("stocked", "taken", "sold", "returned", "withdrawn", "open", "waiting", "version"),
    "holds": (
        "hold_id",
        "variant_id",
        "buyer_id",
        "quantity",
        "state",
        "payment_id",
        "order_id",
        "returned",
        "unit_amount",
        "goods",
        "bundle_id",
        "bundle_hold_id",
    ),
    "orders": ("order_id", "hold_id", "payment_id", "state", "total", "refunded"),
    "payments": ("payment_id", "hold_id", "method", "amount", "state", "refusal"),
    "refunds": ("refund_id", "order_id", "asked", "amount", "units_returned", "order_state", "state"),
    "outbox": ("kind", "payment_id", "order_id", "refund_id", "amount", "state"),
    "waitlist": ("entry_id", "buyer_id", "quantity", "state", "hold_id", "network"),
    "fences": ("hold_id",),
    "coupons": ("code", "used"),
    "coupon_uses": ("payment_id", "code", "buyer_id", "state"),
    "payment_lines": ("payment_id", "hold_id", "bundle_id", "quantity", "goods", "total", "refunded"),
    "ledger": ("variant_id", "kind", "units", "amount", "order_id", "hold_id", "refund_id"),
}
# Rows inside an answer are compared where they stand, in their tables; times and epochs differ by nature.
IGNORED = {
    "at_ms", "saved", "created_at_ms", "held_until_ms", "expires_at_ms", "bundle_hold_id", "bundle_id", "goods", "o",
    "r", "entry", "made", "hold", "item", "items", "basket", "payment", "epoch", "ledger_seq", "ledger_hash",
    "low_at", "low_since_ms", "flash_id", "from_ms", "until_ms", "pinned",
}  # fmt: skip


def a_call(dice: random.Random, step: int) -> tuple[str, list]:
    hold, variant, buyer = f"h{dice.randrange(14)}", dice.choice(VARIANTS), dice.choice(BUYERS)
    pay, order, entry = f"p{dice.randrange(10)}", f"o{dice.randrange(8)}", f"wait_{dice.randrange(6)}"
    several = dice.sample([f"h{n}" for n in range(14)], dice.randint(1, 4))
    name = dice.choice(
        [*CALLS, *["reserve_many", "begin_basket", "settle_payment", "settle_capture"] * 3, *["reserve_bundle"] * 2]
    )
    count = len(several)
    arguments = {
        "reserve_many": [SHOW, variant, several, [dice.choice(BUYERS) for _ in several], ["N"] * count,
                         [dice.choice((1, 1, 2)) for _ in several], dice.choice((0, HOUR_MS, HOUR_MS))],
        "reserve_bundle": [SHOW, dice.choice(("set", "set", "set", "none")), [hold, f"{hold}+pot"], buyer, "N",
                           dice.choice((1, 1, 2)), dice.choice((0, HOUR_MS, HOUR_MS))],
        "fence_many": [SHOW, variant, several],
        "release_hold": [hold],
        "expire_holds": [SHOW, variant, dice.choice((1, 500))],
        "settle_payment": [pay, dice.choice(("authorized", "authorized", "declined")), f"o{step}"],
        "settle_capture": [order, dice.random() < 0.8],
        "refund_order": [order, dice.choice((None, 700)), f"r{dice.randrange(6)}", None, None],
        "cancel_order": [order],
        "claim_payer": [pay, "", dice.choice((1900, 3800))],
        "withdraw": [SHOW, variant, dice.choice((1, 3)), "broken", f"w{dice.randrange(4)}"],
        "restock": [SHOW, variant, 2, f"s{dice.randrange(4)}"],
        "set_sales": [SHOW, dice.random() < 0.8],
        "claim_key": ["ann", "pay", f"k{dice.randrange(3)}", dice.choice("ab"), 60_000],
        "join_waitlist": [SHOW, variant, buyer, "N", dice.choice((1, 2)), f"wait_{step}", 3, dice.choice(["", "n"]), 1],
        "leave_waitlist": [entry],
        "offer_waiting": [SHOW, variant, HOUR_MS, 5],
        "q_payment_cancelled": [pay],
        "q_refund_settled": [f"r{dice.randrange(6)}"],
        "q_finish_key": ["ann", "pay", f"k{dice.randrange(3)}", 200, "{}"],
        "q_drop_key": ["ann", "pay", f"k{dice.randrange(3)}"],
        "q_new_event": ["fake", f"e{dice.randrange(3)}", pay],
        "q_fenced": [several],
        "q_holds_out": [SHOW, variant],
        "q_buyers": [SHOW, variant],
        "q_due": [],
        "q_basket_holds": [several, buyer],
        "q_bundle": [SHOW, dice.choice(("set", "none"))],
        "q_bundle_of": [hold],
        "q_coupon_for": [SHOW, dice.choice(COUPONS), buyer, dice.choice((100, 4000))],
    }  # fmt: skip
    return name, arguments.get(name, [hold, several, buyer])


def basket(books: Books, dice: random.Random, step: int, hold: str, several: list[str], buyer: str) -> list:
    """The arguments of begin_basket for holds of one buyer, at what they cost."""
    mine = [h for h in dict.fromkeys([hold, *several]) if h in books.holds and books.holds[h]["buyer_id"] == buyer][:2]
    ids = mine or [hold]
    if dice.random() < 0.8:  # all parts of a bundle, as the code has it
        ids = [row["hold_id"] for row in books.q_basket_holds(ids, buyer)] or ids
    goods = [goods_of(books.holds[h]) if h in books.holds else 1 for h in ids]
    nothing = [0] * len(ids)
    coupon = dice.choice((None, None, *COUPONS))
    return [buyer, f"p{step % 10}x{step}", "fake", "fake_ok", 600_000, 2000, ids, goods, nothing, nothing, nothing,
            coupon, None, None]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
async def test_the_same_calls_have_the_same_answers_and_leave_the_same_rows(pg, seed):
    dice, books = random.Random(seed), Books(lambda: time.time_ns() // 1_000_000)
    async with pg.acquire() as connection:
        await open_both(connection, books)
        for step in range(STEPS):
            name, args = a_call(dice, step)
            if name == "begin_basket":
                args = basket(books, dice, step, *args)
            args = [existing(books, dice, arg) for arg in args]
            if ends_badly(books, name, args):
                continue
            theirs = await connection.fetch(CALLS[name], *args)
            ours = getattr(books, name)(*args)
            ours = ours if isinstance(ours, list) else [ours]
            if ours and isinstance(ours[0], tuple):
                theirs = [tuple(row) for row in theirs]
            assert as_told(theirs) == as_told(ours), (seed, step, name, args)
            if step % 5 == 4:
                await same_rows(connection, books, (seed, step, name))


def existing(books: Books, dice: random.Random, arg: object) -> object:
    """Payments and orders have names of their own: one of those that there are."""
    if isinstance(arg, str) and arg[:1] in {"p", "o"} and arg[1:].isdigit() and int(arg[1:]) < 10:
        rows = list(books.payments if arg[0] == "p" else books.orders)
        return rows[int(arg[1:]) % len(rows)] if rows else arg
    return arg


def ends_badly(books: Books, name: str, args: list) -> bool:
    """Calls that the code never makes: they raise in both, each in its own words."""
    if name == "settle_capture" and args[0] not in books.orders:
        return True
    if name == "refund_order":
        order = books.orders.get(args[0])
        return order is not None and order["state"] == "cancelled"
    if name in {"claim_payer", "settle_payment", "q_payment_cancelled"}:
        return args[0] not in books.payments
    return name == "q_refund_settled" and args[0] not in books.refunds


def as_told(rows) -> list:
    told = []
    for row in rows:
        items = dict(row) if not isinstance(row, tuple) else dict(enumerate(row))
        told.append(sorted((str(name), value) for name, value in items.items() if name not in IGNORED))
    return sorted(map(repr, told))


async def open_both(connection, books: Books) -> None:
    await connection.execute("INSERT INTO shows VALUES ($1, 'Gala', '', 'live', 0, 'EUR')", SHOW)
    for variant in VARIANTS:
        await connection.execute("INSERT INTO products VALUES ($1, $1)", variant)
        await connection.execute(
            "INSERT INTO variants (variant_id, product_id, price_amount, currency) VALUES ($1, $1, $2, 'EUR')",
            variant,
            PRICES[variant],
        )
        await connection.execute(
            "INSERT INTO show_items VALUES ($1, $2, 0, $3, 'EUR', 3)", SHOW, variant, PRICES[variant]
        )
        await connection.execute("SELECT * FROM allocate($1, $2, 5)", SHOW, variant)
        books.add_item(SHOW, variant, PRICES[variant], 3)
        books.allocate(SHOW, variant, 5)
    await open_bundle_and_coupons(connection, books)
    await connection.execute("SELECT * FROM set_sales($1, true)", SHOW)
    books.set_sales(SHOW, True)


async def open_bundle_and_coupons(connection, books: Books) -> None:
    await connection.execute("INSERT INTO bundles VALUES ($1, 'set', 'Set', '', 4501, 'EUR', 0)", SHOW)
    await connection.execute("INSERT INTO bundle_parts VALUES ($1, 'set', 'pan', 1), ($1, 'set', 'pot', 2)", SHOW)
    books.add_bundle(SHOW, "set", 4501, {"pan": 1, "pot": 2})
    nothing = dict.fromkeys(("percent_bp", "amount", "uses", "uses_per_buyer"))
    for code, terms in TERMS.items():
        columns = nothing | {"minimum": 0} | terms
        await connection.fetch(
            sql("coupon_insert"), SHOW, code, columns["percent_bp"], columns["amount"], columns["minimum"], 0, None,
            columns["uses"], columns["uses_per_buyer"],
        )  # fmt: skip
        books.add_coupon(SHOW, code, **terms)


async def same_rows(connection, books: Books, where: object) -> None:
    for table, columns in TABLES.items():
        ours = getattr(books, "lines" if table == "payment_lines" else table)
        if table == "fences":
            mine = [(hold,) for hold in ours]
        else:
            rows = ours if isinstance(ours, list) else ours.values()
            rows = [row for several in rows for row in several] if table == "payment_lines" else rows
            mine = [tuple(row.get(column) for column in columns) for row in rows]
        theirs = [tuple(row) for row in await connection.fetch(f"SELECT {', '.join(columns)} FROM {table}")]
        assert sorted(map(repr, theirs)) == sorted(map(repr, mine)), (where, table)
