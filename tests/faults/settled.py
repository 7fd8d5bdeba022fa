"""Whether everything that a fault left half done has been finished, and the two stores agree."""

import json
from pathlib import Path
from typing import Any

import asyncpg
import redis.asyncio

from checkout.gate import Gate, Product

OPEN = {
    "holds paying": "SELECT count(*) FROM holds WHERE state = 'paying'",
    "holds overdue": "SELECT count(*) FROM holds WHERE state = 'held' AND expires_at_ms < clock_ms() - 5000",
    "payments undecided": "SELECT count(*) FROM payments WHERE state = 'authorizing'",
    "orders not captured": "SELECT count(*) FROM orders WHERE state = 'paid'",
    "refunds not given": "SELECT count(*) FROM refunds WHERE state = 'pending'",
    "outbox entries": "SELECT count(*) FROM outbox WHERE state <> 'done'",
}
OUT = """SELECT variant_id, hold_id, quantity FROM holds
    WHERE state IN ('held', 'paying') OR (state = 'sold' AND NOT returned)"""


async def unsettled(database_url: str, redis_url: str) -> list[str]:
    """What is still open, in words. Read while nobody buys."""
    connection = await asyncpg.connect(database_url, timeout=3)
    client = redis.asyncio.from_url(redis_url, socket_timeout=3)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            left = {what: await connection.fetchval(query) for what, query in OPEN.items()}
            stock = await connection.fetch("SELECT * FROM stock")
            out = await connection.fetch(OUT)
        open_ = [f"{count} {what}" for what, count in left.items() if count]
        for item in stock:
            mine = {row["hold_id"]: row["quantity"] for row in out if row["variant_id"] == item["variant_id"]}
            open_ += [f"gate of {item['variant_id']}: {what}" for what in await _apart(client, item, mine)]
        return open_
    finally:
        await connection.close()
        await client.aclose()


def not_confirmed(folder: Path) -> list[str]:
    """Taps that are written down in the files of `folder`, and whose end is not."""
    found = []
    for file in folder.glob("confirming-*.jsonl"):
        left: set[str] = set()
        for line in file.read_bytes().split(b"\n")[:-1]:
            said = json.loads(line)
            if said["type"] == "tap":
                left.add(said["entry"]["tap"]["hold_id"])
            else:
                left -= set(said["hold_ids"])
        found += [f"{len(left)} taps not confirmed in {file.name}"] if left else []
    return found


async def _apart(client: Any, item: Any, mine: dict[str, int]) -> list[str]:
    """Where the gate differs from the truth: epoch, units, and each single hold."""
    product = Product(item["show_id"], item["variant_id"])
    look = await Gate(client, clock=lambda: 0).look(product)
    free = item["stocked"] - item["taken"]
    found = []
    if look.epoch != item["epoch"]:
        found.append(f"epoch {look.epoch} and {item['epoch']}")
    if look.pending:
        found.append(f"{len(look.pending)} pending")
    if look.available != free:
        found.append(f"{look.available} available and {free}")
    kept = await client.hgetall(f"sf:{{{product.show_id}}}:gate:{product.variant_id}:holds")
    theirs = {name.decode(): int(value.split(b":")[0]) for name, value in kept.items()}
    if theirs != mine:
        found.append(f"holds {dict(theirs.items() ^ mine.items())} are not the same")
    return found
