"""`showfloor verify`: does everything agree with the ledger? Needs Postgres alone.

Owns: the rules of reconciliation.
Invariant: reads one snapshot and changes nothing.
"""

import hashlib
from typing import Any

import asyncpg
from msgspec import Struct

from checkout.core import audit
from checkout.core.ledger import Entry, Sums, broken_links, sums
from checkout.truth import sql

RULES = {
    "one_sold_entry": "a line has exactly one sold entry, of its own units and total",
    "sold_has_order": "an entry about money has an order with that line",
    "hold_has_order": "a sold hold has its order, and no other has one",
    "captured_once": "money taken is captured once, and no other is",
    "units_come_back": "units come back exactly with a refunded line or an uncaptured order",
    "refunds_add_up": "an order's refunds add up, as a whole and line by line",
    "payment_follows": "a payment's state is its order's",
    "price_is_the_holds": "an order costs what its lines come to, and a line's goods what its hold does",
    "bundles_whole": "the parts of a bundle are sold together",
    "flash_units": "a flash price was given to as many units as it counts",
    "coupons_used": "a coupon was used as often as its payments say",
    "within_limit": "a buyer is within the limit",
}
"""Files of sql/verify/, each of which answers with the rows that break its rule."""


AUDIT_AT_ONCE = 5_000


class Line(Struct, frozen=True, kw_only=True):
    """One product in one show: units, and money in minor units."""

    show_id: str
    variant_id: str
    opening: int
    restocked: int
    returned: int
    sold: int
    withdrawn: int = 0
    on_hand: int
    held: int
    available: int
    captured: int
    refunded: int
    entries: int
    currency: str


class Report(Struct, frozen=True, kw_only=True):
    """What `verify` found."""

    ok: bool
    lines: list[Line]
    problems: list[str]
    ledger_hash: str
    """sha256 over the heads of all chains; hex."""
    pending_captures: int
    pending_refunds: int
    """Decided, and not yet said to the provider."""
    audited: int = 0
    """Entries of the audit log, of all shows: it is one chain."""


async def verify(database_url: str, show_id: str | None = None) -> Report:
    """Reconcile ledger, stock, holds, buyers, orders, refunds and payments of one show, or of all."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _verify(connection, show_id)
    finally:
        await connection.close()


async def _verify(connection: Any, show_id: str | None) -> Report:
    stock = await connection.fetch(sql("verify/stock_rows"), show_id)
    lines, problems, heads = [], [], hashlib.sha256()
    for row in stock:
        line, found = await _product(connection, row)
        lines.append(line)
        problems += [f"{row['show_id']}/{row['variant_id']}: {problem}" for problem in found]
        heads.update(row["ledger_hash"])
    for name, rule in RULES.items():
        broken = await connection.fetch(sql(f"verify/{name}"), show_id)
        problems += [f"{rule}: {', '.join(map(str, row.values()))}" for row in broken]
    audited, found = await _audit(connection)
    problems += found
    pending = await connection.fetchrow(sql("verify/unsettled"), show_id)
    return Report(
        ok=not problems,
        lines=lines,
        problems=problems,
        ledger_hash=heads.hexdigest(),
        pending_captures=pending["captures"],
        pending_refunds=pending["refunds"],
        audited=audited,
    )


async def _audit(connection: Any) -> tuple[int, list[str]]:
    """How long the audit log is, and what is wrong with it."""
    chain, problems, seen = audit.Chain(), list[str](), 0
    while rows := await connection.fetch(sql("verify/audit_entries"), seen, AUDIT_AT_ONCE):
        problems += chain.problems(audit.Entry(**dict(row)) for row in rows)
        seen = rows[-1]["seq"]
    end = await connection.fetchrow(sql("verify/audit_ends"))
    return seen, [*problems, *chain.ends(end["seq"], end["hash"])]


async def _product(connection: Any, row: Any) -> tuple[Line, list[str]]:
    names = (row["show_id"], row["variant_id"])
    chain = [Entry(**dict(entry)) for entry in await connection.fetch(sql("verify/chain"), *names)]
    total = sums(chain)
    holds = await connection.fetchrow(sql("verify/holds_and_orders"), *names)
    problems = [*broken_links(chain, last_seq=row["ledger_seq"], last_hash=row["ledger_hash"])]
    problems += _apart(row, holds, total)
    line = Line(
        show_id=names[0],
        variant_id=names[1],
        opening=total.opening,
        restocked=total.restocked,
        returned=total.returned,
        sold=total.sold,
        withdrawn=total.withdrawn,
        on_hand=total.on_hand,
        held=row["taken"] - row["sold"],
        available=row["stocked"] - row["taken"],
        captured=total.captured,
        refunded=total.refunded,
        entries=len(chain),
        currency=row["currency"],
    )
    return line, problems


def _apart(row: Any, holds: Any, total: Sums) -> list[str]:
    """Each pair of figures that ought to be equal and is not."""
    available = row["stocked"] - row["taken"]
    pairs = {
        "opening + restocked + returned - sold - withdrawn against available + held": (
            total.on_hand,
            available + holds["held"],
        ),
        "units sold in the ledger against the stock row": (total.sold, row["sold"]),
        "units returned in the ledger against the stock row": (total.returned, row["returned"]),
        "units withdrawn in the ledger against the stock row": (total.withdrawn, row["withdrawn"]),
        "units held against the stock row": (holds["held"], row["taken"] - row["sold"]),
        "units of sold holds against the ledger": (holds["sold"], total.sold),
        "money captured against the orders": (total.captured, holds["captured"]),
        "money refunded against the orders": (total.refunded, holds["refunded"]),
        "money refunded against the refunds": (total.refunded, holds["given_back"]),
    }
    problems = [f"{what}: {left} != {right}" for what, (left, right) in pairs.items() if left != right]
    if available < 0:
        problems.append(f"{-available} units oversold")
    return problems
