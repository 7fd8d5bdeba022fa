"""`showfloor verify`: does everything agree with the ledger? Needs Postgres alone.

Owns: the rules of reconciliation.
Invariant: reads one snapshot and changes nothing.
"""

import hashlib
from typing import Any

import asyncpg
from msgspec import Struct

from checkout.core.ledger import Entry, Sums, broken_links, sums


class Line(Struct, frozen=True, kw_only=True):
    """One product in one show: units, and money in minor units."""

    show_id: str
    variant_id: str
    opening: int
    restocked: int
    returned: int
    sold: int
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


async def verify(database_url: str, show_id: str | None = None) -> Report:
    """Reconcile ledger, stock, holds, buyers, orders, refunds and payments of one show, or of all."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _verify(connection, show_id)
    finally:
        await connection.close()


async def _verify(connection: Any, show_id: str | None) -> Report:
    stock = await connection.fetch(f"{_STOCK} ORDER BY s.show_id, s.variant_id", show_id)
    lines, problems, heads = [], [], hashlib.sha256()
    for row in stock:
        line, found = await _product(connection, row)
        lines.append(line)
        problems += [f"{row['show_id']}/{row['variant_id']}: {problem}" for problem in found]
        heads.update(row["ledger_hash"])
    for rule, query in _RULES.items():
        problems += [f"{rule}: {', '.join(map(str, row.values()))}" for row in await connection.fetch(query, show_id)]
    pending = await connection.fetchrow(_PENDING, show_id)
    return Report(
        ok=not problems,
        lines=lines,
        problems=problems,
        ledger_hash=heads.hexdigest(),
        pending_captures=pending["captures"],
        pending_refunds=pending["refunds"],
    )


async def _product(connection: Any, row: Any) -> tuple[Line, list[str]]:
    names = (row["show_id"], row["variant_id"])
    chain = [Entry(**dict(entry)) for entry in await connection.fetch(_CHAIN, *names)]
    total = sums(chain)
    holds = await connection.fetchrow(_HOLDS, *names)
    problems = [*broken_links(chain, last_seq=row["ledger_seq"], last_hash=row["ledger_hash"])]
    problems += _apart(row, holds, total)
    line = Line(
        show_id=names[0],
        variant_id=names[1],
        opening=total.opening,
        restocked=total.restocked,
        returned=total.returned,
        sold=total.sold,
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
        "opening + restocked + returned - sold against available + held": (total.on_hand, available + holds["held"]),
        "units sold in the ledger against the stock row": (total.sold, row["sold"]),
        "units returned in the ledger against the stock row": (total.returned, row["returned"]),
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


_STOCK = """
SELECT s.*, i.currency FROM stock s JOIN show_items i USING (show_id, variant_id)
WHERE ($1::text IS NULL OR s.show_id = $1)
"""
_CHAIN = "SELECT * FROM ledger WHERE show_id = $1 AND variant_id = $2 ORDER BY seq"
_HOLDS = """
SELECT
    coalesce((SELECT sum(quantity) FROM holds h WHERE h.show_id = $1 AND h.variant_id = $2
        AND h.state IN ('held', 'paying')), 0)::bigint AS held,
    coalesce((SELECT sum(quantity) FROM holds h WHERE h.show_id = $1 AND h.variant_id = $2
        AND h.state = 'sold'), 0)::bigint AS sold,
    coalesce((SELECT sum(total) FROM orders o WHERE o.show_id = $1 AND o.variant_id = $2
        AND o.state IN ('captured', 'partially_refunded', 'refunded')), 0)::bigint AS captured,
    coalesce((SELECT sum(refunded) FROM orders o WHERE o.show_id = $1 AND o.variant_id = $2), 0)::bigint AS refunded,
    coalesce((SELECT sum(r.amount) FROM refunds r JOIN orders o USING (order_id)
        WHERE o.show_id = $1 AND o.variant_id = $2), 0)::bigint AS given_back
"""
_PENDING = """
SELECT
    (SELECT count(*) FROM orders o WHERE o.state = 'paid' AND ($1::text IS NULL OR o.show_id = $1)) AS captures,
    (SELECT count(*) FROM refunds r JOIN orders o USING (order_id)
        WHERE r.state = 'pending' AND ($1::text IS NULL OR o.show_id = $1)) AS refunds
"""

# Each query answers with the rows that break its rule.
_RULES = {
    "an order has exactly one sold entry, of its own units and total": """
        SELECT o.order_id FROM orders o
        LEFT JOIN ledger l ON l.order_id = o.order_id AND l.kind = 'sold'
        WHERE ($1::text IS NULL OR o.show_id = $1)
        GROUP BY o.order_id HAVING count(l.seq) <> 1 OR min(l.units) <> min(o.quantity) OR min(l.amount) <> min(o.total)
    """,
    "a sold entry has an order": """
        SELECT l.order_id FROM ledger l LEFT JOIN orders o USING (order_id)
        WHERE l.kind IN ('sold', 'capture', 'refund') AND o.order_id IS NULL AND ($1::text IS NULL OR l.show_id = $1)
    """,
    "a sold hold has its order, and no other has one": """
        SELECT h.hold_id, h.state FROM holds h LEFT JOIN orders o USING (hold_id)
        WHERE (h.state = 'sold') <> (o.order_id IS NOT NULL) AND ($1::text IS NULL OR h.show_id = $1)
    """,
    "money taken is captured once, and no other is": """
        SELECT o.order_id, o.state FROM orders o
        LEFT JOIN ledger l ON l.order_id = o.order_id AND l.kind = 'capture'
        WHERE (o.state IN ('captured', 'partially_refunded', 'refunded')) <> (l.seq IS NOT NULL)
            AND ($1::text IS NULL OR o.show_id = $1)
    """,
    "units come back exactly with a refunded or uncaptured order": """
        SELECT o.order_id, o.state FROM orders o
        LEFT JOIN ledger l ON l.order_id = o.order_id AND l.kind = 'returned'
        WHERE (o.state IN ('refunded', 'capture_failed')) <> (l.seq IS NOT NULL)
            AND ($1::text IS NULL OR o.show_id = $1)
    """,
    "an order's refunds add up": """
        SELECT o.order_id, o.refunded, coalesce(sum(r.amount), 0) FROM orders o LEFT JOIN refunds r USING (order_id)
        WHERE ($1::text IS NULL OR o.show_id = $1)
        GROUP BY o.order_id HAVING o.refunded <> coalesce(sum(r.amount), 0)
    """,
    "a payment's state is its order's": """
        SELECT o.order_id, o.state, p.state FROM orders o JOIN payments p USING (payment_id)
        WHERE p.state <> CASE o.state WHEN 'paid' THEN 'authorized' WHEN 'capture_failed' THEN 'capture_failed'
            ELSE 'captured' END AND ($1::text IS NULL OR o.show_id = $1)
    """,
    "an order's price is its hold's": """
        SELECT o.order_id FROM orders o JOIN holds h USING (hold_id) JOIN payments p ON p.payment_id = o.payment_id
        WHERE (o.total <> h.unit_amount * h.quantity OR p.amount <> o.total) AND ($1::text IS NULL OR o.show_id = $1)
    """,
    "a buyer's units are those of their holds": """
        SELECT show_id, variant_id, buyer_id, b.units, h.units FROM buyers b FULL JOIN (
            SELECT show_id, variant_id, buyer_id, sum(quantity) AS units FROM holds
            WHERE state IN ('held', 'paying') OR (state = 'sold' AND NOT returned) GROUP BY 1, 2, 3
        ) h USING (show_id, variant_id, buyer_id)
        WHERE coalesce(b.units, 0) <> coalesce(h.units, 0) AND ($1::text IS NULL OR show_id = $1)
    """,
    "a buyer is within the limit": """
        SELECT b.show_id, b.variant_id, b.buyer_id, b.units FROM buyers b JOIN show_items i USING (show_id, variant_id)
        WHERE b.units > i.limit_per_buyer AND ($1::text IS NULL OR b.show_id = $1)
    """,
}
