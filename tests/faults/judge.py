"""The history checker: what clients were told, against the rows of Postgres and the record of the payment provider.

It believes nothing that the service computed: sums are made anew from single holds, orders and payments.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

Rows = list[dict[str, Any]]
OFF_SHELF = {"held", "paying", "sold"}
REFUSED = {"sold_out", "limit_reached", "sales_closed"}
FORGOTTEN_S = 110.0
"""So long, and a little more, is said elsewhere what became of a tap that is no row."""


@dataclass(frozen=True)
class Told:
    """One answer that a client got."""

    op: str
    """hold, look, pay, release, refund, restock."""
    who: str
    key: str
    status: int
    code: str = ""
    variant_id: str = ""
    hold_id: str = ""
    order_id: str = ""
    quantity: int = 0
    amount: int = 0
    expires_at_ms: int = 0
    state: str = ""
    asked_s: float = 0.0
    told_s: float = 0.0


@dataclass
class Found:
    """What stands in the stores when everything is over."""

    now_ms: int
    holds: Rows
    orders: Rows
    payments: Rows
    refunds: Rows
    restocks: Rows
    charges: Rows
    """The provider's payments."""
    opening: dict[str, int]
    """By variant."""
    limit: int
    lines: Rows = field(default_factory=list)
    """Which holds a payment is for."""
    clock_jumped: bool = False
    """The clock of Postgres, by which holds expire, was moved."""
    gate_forgot: bool = False
    """Redis may have lost what one process let the others know of those who wait."""
    offers: frozenset[str] = frozenset()
    """Holds that the waitlist made."""
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    """What is in each bundle."""
    coupons: Rows = field(default_factory=list)
    coupon_uses: Rows = field(default_factory=list)
    one_line: bool = False
    """There was one process, so that taps have an order that must be kept."""


@dataclass
class Verdict:
    """Each finding names what it is about."""

    oversold: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Acknowledged, and not there or ended by nobody."""
    duplicate: list[str] = field(default_factory=list)
    """Two holds for one key, two orders for one hold or key."""
    charged_without_order: list[str] = field(default_factory=list)
    charged_twice: list[str] = field(default_factory=list)
    money: list[str] = field(default_factory=list)
    """Sums that differ."""
    over_limit: list[str] = field(default_factory=list)
    in_pieces: list[str] = field(default_factory=list)
    """A bundle of which one part became something else than the others."""
    coupons: list[str] = field(default_factory=list)
    """Used too often, or otherwise than the orders say."""
    overtaken: list[str] = field(default_factory=list)
    """Told to wait, and somebody who came later was served first."""

    @property
    def findings(self) -> dict[str, list[str]]:
        return {name: value for name, value in vars(self).items() if value}


def judge(told: list[Told], found: Found) -> Verdict:
    verdict = Verdict()
    holds = {row["hold_id"]: row for row in found.holds}
    orders = {row["order_id"]: row for row in found.orders}
    charges = _by_hold(found)
    _stock(found, verdict)
    _holds(told, found, holds, charges, verdict)
    _bundles(found, verdict)
    _coupons(found, verdict)
    _confirming(told, found, holds, verdict)
    _orders(told, found, orders, verdict)
    _money(told, found, orders, charges, verdict)
    return verdict


def _by_hold(found: Found) -> dict[str, Rows]:
    """The provider knows a hold as the reference of an authorization; of one that never came it has the id alone."""
    of_payment = defaultdict(set)
    for row in (*found.payments, *found.lines):
        of_payment[row["payment_id"]].add(row["hold_id"])
    charges = defaultdict(list)
    for charge in found.charges:
        for hold_id in of_payment[charge["payment_id"]] | {charge["reference"]}:
            charges[hold_id].append(charge)
    return charges


def _stock(found: Found, verdict: Verdict) -> None:
    ever = Counter(found.opening)
    for row in found.restocks:
        ever[row["variant_id"]] += row["units"]
    out, by_buyer = Counter(), Counter()
    for row in found.holds:
        if row["state"] in OFF_SHELF and not row["returned"]:
            out[row["variant_id"]] += row["quantity"]
            by_buyer[row["variant_id"], row["buyer_id"]] += row["quantity"]
    verdict.oversold += [f"{v}: {out[v]} of {ever[v]} units promised" for v in out if out[v] > ever[v]]
    verdict.over_limit += [f"{who} has {n} of {v}" for (v, who), n in by_buyer.items() if n > found.limit]


def _holds(told, found, holds, charges, verdict) -> None:
    by_key = defaultdict(set)
    released = {each.hold_id for each in told if each.op == "release"}
    for each in told:
        if each.op != "hold" or each.status != 201:
            continue
        by_key[each.who, each.key].add(each.hold_id)
        row = holds.get(each.hold_id)
        if row is None:
            verdict.lost.append(f"{each.hold_id} was promised to {each.who} and is not there")
            continue
        promised = (each.who, each.variant_id, each.quantity, each.expires_at_ms)
        if promised != (row["buyer_id"], row["variant_id"], row["quantity"], row["held_until_ms"]):
            verdict.lost.append(f"{each.hold_id} is not what was promised: {promised}")
        if why := _ended_by_nobody(row, found, released, charges[each.hold_id]):
            verdict.lost.append(f"{each.hold_id} {why}")
    verdict.duplicate += [f"{key} got the holds {sorted(ids)}" for key, ids in by_key.items() if len(ids) > 1]
    _wishes(told, found, verdict)


def _is_further_part(row) -> bool:
    return row.get("bundle_hold_id") not in {None, row["hold_id"]}


def _wishes(told, found, verdict) -> None:
    """One wish is one hold at most, also where its buyer never heard of it."""
    open_ = defaultdict(set)
    mine = [row for row in found.holds if row["hold_id"] not in found.offers and not _is_further_part(row)]
    asked = {each.who for each in told}
    had = Counter(row["buyer_id"] for row in mine if row["buyer_id"] in asked)
    for each in told:
        if each.op == "hold" and each.code not in REFUSED:
            open_[each.who].add(each.key)
    verdict.duplicate += [
        f"{who} has {n} holds of {len(open_[who])} wishes" for who, n in had.items() if n > len(open_[who])
    ]


def _bundles(found, verdict) -> None:
    together = defaultdict(list)
    for row in found.holds:
        if row.get("bundle_hold_id"):
            together[row["bundle_hold_id"]].append(row)
    for first, rows in together.items():
        parts = found.parts.get(rows[0]["bundle_id"])
        times = {row["quantity"] / parts[row["variant_id"]] for row in rows} if parts else {1}
        # A clock that ran ahead has ended one part perhaps, before it was set back.
        stays = OFF_SHELF - {"held"} if found.clock_jumped else OFF_SHELF
        # Parts end one after the other, each with its product's round: what is due counts as ended.
        ended = {row["hold_id"] for row in rows if row["state"] == "held" and row["expires_at_ms"] <= found.now_ms}
        states = {
            (
                "" if row["hold_id"] in ended or row["state"] not in stays else row["state"],
                row["order_id"],
                row["returned"],
            )
            for row in rows
        }
        whole = parts is None or {row["variant_id"] for row in rows} == set(parts)
        if len(states) > 1 or len(times) > 1 or not whole:
            verdict.in_pieces.append(f"{first}: {[(row['variant_id'], row['state']) for row in rows]}")


def _coupons(found, verdict) -> None:
    payments = {row["payment_id"]: row for row in found.payments}
    orders = {row["payment_id"]: row for row in found.orders}
    counted, by_buyer = Counter(), Counter()
    for use in found.coupon_uses:
        payment, order = payments[use["payment_id"]], orders.get(use["payment_id"])
        gone = order is None or order["state"] in {"refunded", "cancelled", "capture_failed"}
        due = "reserved" if payment["state"] == "authorizing" else "returned" if gone else "used"
        if use["state"] != due:
            verdict.coupons.append(f"{use['code']} of {use['payment_id']} is {use['state']} and not {due}")
        if due != "returned":
            counted[use["code"]] += 1
            by_buyer[use["code"], use["buyer_id"]] += 1
    for coupon in found.coupons:
        code, most, each = coupon["code"], coupon["uses"], coupon["uses_per_buyer"]
        if coupon["used"] != counted[code] or (most is not None and counted[code] > most):
            verdict.coupons.append(f"{code} counts {coupon['used']} uses of {most}; there are {counted[code]}")
        many = [who for (of, who), n in by_buyer.items() if of == code and each is not None and n > each]
        verdict.coupons += [f"{who} used {code} more than {each} times" for who in many]


def _confirming(told, found, holds, verdict) -> None:
    """Whoever was told to wait has it, or was told no, and those who came later have waited behind them."""
    waited = {each.hold_id: each for each in reversed(told) if each.op == "hold" and each.state == "confirming"}
    for hold_id, each in waited.items():
        row = holds.get(hold_id)
        if row is None:
            if not _was_told_no(each, told, found):
                verdict.lost.append(f"{hold_id} was to be confirmed to {each.who}, and nobody ever decided")
        elif (each.who, each.variant_id, each.quantity) != (row["buyer_id"], row["variant_id"], row["quantity"]):
            verdict.lost.append(f"{hold_id} is not what was to be confirmed")
    for each in told:
        row = holds.get(each.hold_id) if each.op == "look" else None
        if row and each.state in {"expired", "released"} and row["state"] in OFF_SHELF:
            verdict.lost.append(f"{each.hold_id} was told to be {each.state}, and is {row['state']}")
    verdict.lost += [
        f"{each.hold_id} was given back by {each.who}, and is held"
        for each in told
        if each.op == "release" and each.status in {200, 204} and holds.get(each.hold_id, {}).get("state") == "held"
    ]
    if found.one_line:
        patient = [each for each in waited.values() if each.hold_id in holds and not _was_told_no(each, told, found)]
        _overtaken(told, holds, patient, verdict)


def _was_told_no(waiting, told, found) -> bool:
    for each in told:
        if each.hold_id == waiting.hold_id and each.op == "release":
            return True
        if each.hold_id == waiting.hold_id and each.op == "look":
            if each.state in {"expired", "released"}:
                return True
            late = each.told_s - waiting.told_s > FORGOTTEN_S
            if (found.gate_forgot or late) and (each.status == 404 or each.state == "confirming"):
                return True
        same_wish = (each.op, each.who, each.key) == ("hold", waiting.who, waiting.key)
        if same_wish and (each.hold_id not in {"", waiting.hold_id} or each.code in REFUSED):
            return True
    return False


def _overtaken(told, holds, patient, verdict) -> None:
    asked = {}
    for each in told:
        if each.op == "hold":
            asked[each.who, each.key] = min(each.asked_s, asked.get((each.who, each.key), each.asked_s))
    served = {each.hold_id: each for each in told if each.op == "hold" and each.hold_id in holds}
    for first in patient:
        for later in served.values():
            behind = asked[later.who, later.key] > first.told_s and later.variant_id == first.variant_id
            if behind and _decided(holds[later.hold_id]) < _decided(holds[first.hold_id]):
                verdict.overtaken.append(f"{first.hold_id} waited, and {later.hold_id}, asked for later, came first")


def _decided(row) -> int:
    return row.get("decided", row["created_at_ms"])


def _ended_by_nobody(row, found, released, charges) -> str:
    declined = any(charge["state"] in {"declined", "cancelled"} for charge in charges)
    if row["state"] == "released" and row["hold_id"] not in released and not declined:
        return "was released by nobody"
    if row["state"] == "expired" and row["held_until_ms"] > found.now_ms and not found.clock_jumped:
        return "expired before its time"
    undone = [charge for charge in charges if charge["state"] not in {"declined", "cancelled"}]
    if row["state"] in {"expired", "released"} and undone:
        return f"was {row['state']} while it was being paid for"
    return ""


def _orders(told, found, orders, verdict) -> None:
    by_key, by_hold = defaultdict(set), defaultdict(set)
    for each in told:
        if each.op != "pay" or each.status != 200:
            continue
        by_key[each.who, each.key].add(each.order_id)
        by_hold[each.hold_id].add(each.order_id)
        row = orders.get(each.order_id)
        if row is None:
            verdict.lost.append(f"{each.order_id} was told to {each.who} and is not there")
        elif (row["buyer_id"], row["hold_id"], row["total"]) != (each.who, each.hold_id, each.amount):
            verdict.lost.append(f"{each.order_id} is not what was told")
    for row in (*found.orders, *(row for row in found.holds if row["order_id"])):
        by_hold[row["hold_id"]].add(row["order_id"])
    for what, ids in (*by_key.items(), *by_hold.items()):
        if len(ids) > 1:
            verdict.duplicate.append(f"{what} has the orders {sorted(ids)}")
    sold = [row for row in found.holds if row["state"] == "sold"]
    thrown_away = [row for row in found.payments if row["state"] in {"authorized", "cancelled"}]
    paid = {row["payment_id"] for row in found.orders}
    verdict.lost += [
        f"{row['hold_id']} was paid for with {row['payment_id']}, and gone"
        for row in thrown_away
        if row["payment_id"] not in paid
    ]
    verdict.lost += [f"{row['hold_id']} is sold without an order" for row in sold if row["order_id"] not in orders]


def _money(told, found, orders, charges, verdict) -> None:
    by_payment = {row["payment_id"]: row for row in found.orders}
    known = {row["payment_id"] for row in found.payments}
    for charge in found.charges:
        order = by_payment.get(charge["payment_id"])
        name = f"{charge['payment_id']} ({charge['reference']})"
        if charge["captured"] and order is None:
            verdict.charged_without_order.append(name)
        if charge["state"] == "authorized" and order is None:
            verdict.charged_without_order.append(f"{name} is still authorized")
        if charge["captures"] > 1 or charge["captured"] > charge["amount"]:
            verdict.charged_twice.append(f"{name} captured {charge['captures']} times")
        if charge["captured"] and charge["payment_id"] not in known:
            verdict.money.append(f"{name} is unknown here")
        if order:
            _one_order(order, charge, verdict)
        if order and charge["state"] == "declined":
            verdict.money.append(f"{name} was declined, and is sold")
    for hold_id, several in charges.items():
        if hold_id and sum(charge["captured"] > 0 for charge in several) > 1:
            verdict.charged_twice.append(f"{hold_id} was paid for {len(several)} times")
    paid = {charge["payment_id"] for charge in found.charges if charge["captured"]}
    for row in found.orders:
        if row["state"] in {"captured", "partially_refunded", "refunded"} and row["payment_id"] not in paid:
            verdict.money.append(f"{row['order_id']} is {row['state']} and nobody paid")
    verdict.money += [
        f"{each.hold_id}: {each.who} was told of a decline, and paid"
        for each in told
        if each.op == "pay"
        and each.status == 402
        and any(c["captured"] and c["payment_id"] not in by_payment for c in charges[each.hold_id])
    ]


def _one_order(order, charge, verdict) -> None:
    due = 0 if order["state"] in {"paid", "capture_failed", "cancelled"} else order["total"]
    moved = (charge["captured"], charge["refunded"])
    if order["state"] == "cancelled":
        if charge["state"] == "authorized":
            verdict.charged_without_order.append(f"{charge['payment_id']}, of a cancelled order, is still authorized")
        moved = (moved[0] - moved[1], 0)  # a capture that was on its way is given back
    if moved != (due, order["refunded"]):
        verdict.money.append(
            f"{order['order_id']} is {order['state']} over {order['total']}, {order['refunded']} given back; the"
            f" provider took {charge['captured']} and gave back {charge['refunded']}"
        )
