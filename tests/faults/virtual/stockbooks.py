"""The truth as a few dicts: what the functions and queries of the migrations and of checkout/sql do, one by one.

Here: stock, holds, waitlist; money.py has the rest. A differential test (test_books.py) runs the same calls on the real
PostgreSQL. `removed` names defences that are taken away for a negative control.
"""

import copy
from collections.abc import Callable
from typing import Any

import asyncpg

Row = dict[str, Any]
ALIVE = {"held", "paying"}
FIELDS = ("stock", "sales", "holds", "fences", "buyers", "payments", "lines", "orders", "refunds", "restocks",
          "withdrawals", "outbox", "events", "keys", "ledger", "waitlist", "items", "bundles", "coupons",
          "coupon_uses")  # fmt: skip


class StockBooks:
    """Stock, holds and the waitlist, and all tables. Every method is one atomic statement of that name."""

    def __init__(self, clock: Callable[[], int], removed: frozenset[str] = frozenset()) -> None:
        self.clock, self.removed = clock, removed
        self.items: dict[tuple, Row] = {}
        self.stock: dict[tuple, Row] = {}
        self.sales: dict[str, bool] = {}
        self.holds: dict[str, Row] = {}
        self.fences: dict[str, int] = {}
        self.buyers: dict[tuple, int] = {}
        self.payments: dict[str, Row] = {}
        self.lines: dict[str, list[Row]] = {}
        self.orders: dict[str, Row] = {}
        self.refunds: dict[str, Row] = {}
        self.restocks: dict[str, Row] = {}
        self.withdrawals: dict[str, Row] = {}
        self.outbox: dict[int, Row] = {}
        self.events: set[tuple] = set()
        self.keys: dict[tuple, Row] = {}
        self.ledger: list[Row] = []
        self.waitlist: dict[str, Row] = {}
        self.bundles: dict[tuple, Row] = {}
        self.coupons: dict[tuple, Row] = {}
        self.coupon_uses: dict[str, Row] = {}
        self._noted: set[tuple] = set()
        self.expiry_clock = clock
        self.epochs = 0

    def copy(self) -> dict[str, Any]:
        return {name: copy.deepcopy(getattr(self, name)) for name in FIELDS}

    def restore(self, kept: dict[str, Any]) -> None:
        for name, value in kept.items():
            setattr(self, name, copy.deepcopy(value))

    # -- stock --------------------------------------------------------------------------------------------------

    def add_item(self, show: str, variant: str, price: int, limit: int) -> None:
        self.items[show, variant] = {"price_amount": price, "currency": "EUR", "limit_per_buyer": limit}

    def next_epoch(self) -> int:
        self.epochs += 1
        return self.epochs

    def allocate(self, show: str, variant: str, opening: int) -> Row:
        if (show, variant) in self.stock:
            return {"code": "exists", "item": None}
        self.stock[show, variant] = {
            "show_id": show, "variant_id": variant, "stocked": opening, "taken": 0, "sold": 0, "returned": 0,
            "open": self.sales.get(show, False), "epoch": self.next_epoch(), "version": 1, "waiting": 0,
            "withdrawn": 0, "low_at": 5, "low_since_ms": None,
        }  # fmt: skip
        self._note(show, variant, "opening", opening)
        return {"code": "ok", "item": self._item(show, variant)}

    def _item(self, show: str, variant: str) -> Row | None:
        item = self.stock.get((show, variant))
        return dict(item) if item else None

    def _move(self, row: Row, **by: int) -> None:
        """Change the stock row of `row` under its CHECKs."""
        item = self.stock[row["show_id"], row["variant_id"]]
        after = {name: item[name] + change for name, change in by.items()}
        taken, stocked = after.get("taken", item["taken"]), after.get("stocked", item["stocked"])
        sold, returned = after.get("sold", item["sold"]), after.get("returned", item["returned"])
        if not (0 <= taken <= stocked) and "never oversold" not in self.removed:
            raise asyncpg.CheckViolationError("never_oversold")
        if not (0 <= sold <= taken and 0 <= returned <= sold) and "sums are checked" not in self.removed:
            raise asyncpg.CheckViolationError("held_not_negative or returned_was_sold")
        item.update(after, version=item["version"] + 1)

    def _note(self, show, variant, kind, units=0, amount=0, order=None, hold=None, refund=None) -> None:
        """An entry of the ledger, with its two unique indexes."""
        once = (order, kind, hold, refund)
        if order and once in self._noted:
            raise asyncpg.UniqueViolationError("ledger_once")
        self._noted.add(once)
        self.ledger.append({
            "show_id": show, "variant_id": variant, "kind": kind, "units": units, "amount": amount,
            "order_id": order, "hold_id": hold, "refund_id": refund,
        })  # fmt: skip

    def restock(self, show: str, variant: str, units: int, restock: str) -> Row:
        item = self._item(show, variant)
        if item is None:
            return {"code": "none", "item": None}
        asked = {"show_id": show, "variant_id": variant, "units": units}
        if restock in self.restocks:
            return {"code": "known" if self.restocks[restock] == asked else "mismatch", "item": item}
        self.restocks[restock] = asked
        self._move(item, stocked=units)
        self._note(show, variant, "restocked", units)
        return {"code": "ok", "item": self._item(show, variant)}

    def withdraw(self, show: str, variant: str, units: int, _reason: str, withdrawal: str) -> Row:
        item = self._item(show, variant)
        if item is None:
            return {"code": "none", "item": None}
        asked = {"show_id": show, "variant_id": variant, "units": units}
        if withdrawal in self.withdrawals:
            return {"code": "known" if self.withdrawals[withdrawal] == asked else "mismatch", "item": item}
        if units > item["stocked"] - item["taken"]:
            return {"code": "short", "item": item}
        self.withdrawals[withdrawal] = asked
        self._move(item, stocked=-units, withdrawn=units)
        self._note(show, variant, "withdrawn", units)
        return {"code": "ok", "item": self._item(show, variant)}

    def set_sales(self, show: str, is_open: bool) -> list[Row]:
        self.sales[show] = is_open
        for (of, _), item in self.stock.items():
            if of == show:
                item.update(open=is_open, version=item["version"] + 1)
        return [dict(item) for (of, _), item in sorted(self.stock.items()) if of == show]

    @staticmethod
    def _names(row: Row) -> tuple[str, str]:
        return row["show_id"], row["variant_id"]

    # -- holds --------------------------------------------------------------------------------------------------

    def reserve_many(self, show, variant, holds, buyers, names, quantities, hold_ms, seen=None) -> Row:
        assert seen is None, "nobody here says which price they saw"
        item = self._item(show, variant)
        if item is None:
            return dict.fromkeys(("codes", "at_ms", "unit_amount", "currency", "item"))
        goods, now = self.items[show, variant], self.clock()
        free = 0 if item["waiting"] else item["stocked"] - item["taken"]
        had: dict[str, int] = {}
        codes, made = [], []
        for hold, buyer, name, n in zip(holds, buyers, names, quantities, strict=True):
            units = had.setdefault(buyer, self.buyers.get((show, variant, buyer), 0))
            if hold in self.holds:
                code = 2
            elif hold in self.fences and "fences" not in self.removed:
                code = -5
            elif not item["open"]:
                code = -3
            elif units + n > goods["limit_per_buyer"] and "limit in Postgres" not in self.removed:
                code = -2
            elif n > free and "Postgres counts for itself" not in self.removed:
                code = -1
            else:
                code, free = 1, free - n
                had[buyer] += n
                made.append(self._hold(hold, show, variant, buyer, name, n, goods, now, hold_ms))
            codes.append(code)
        if made:
            self._move(item, taken=sum(row["quantity"] for row in made))
        for row in made:
            self._take(row)
        return {"codes": codes, "at_ms": now, "unit_amount": goods["price_amount"], "currency": goods["currency"],
                "item": self._item(show, variant)}  # fmt: skip

    @staticmethod
    def _hold(hold, show, variant, buyer, name, n, goods, now, hold_ms) -> Row:
        return {
            "hold_id": hold, "show_id": show, "variant_id": variant, "buyer_id": buyer, "buyer_name": name,
            "quantity": n, "state": "held", "unit_amount": goods["price_amount"], "currency": goods["currency"],
            "created_at_ms": now, "held_until_ms": now + hold_ms, "expires_at_ms": now + hold_ms,
            "payment_id": None, "order_id": None, "returned": False, "goods": None, "bundle_id": None,
            "bundle_hold_id": None,
        }  # fmt: skip

    def _take(self, row: Row) -> None:
        self.holds[row["hold_id"]] = row
        name = row["show_id"], row["variant_id"], row["buyer_id"]
        self.buyers[name] = self.buyers.get(name, 0) + row["quantity"]

    def fence_many(self, show: str, variant: str, holds: list[str]) -> Row:
        known = [hold in self.holds for hold in holds]
        for hold, is_hold in zip(holds, known, strict=True):
            if not is_hold:
                self.fences.setdefault(hold, self.clock())
        return {"known": known, "item": self._item(show, variant)}

    def _free(self, hold: Row) -> None:
        self.buyers[hold["show_id"], hold["variant_id"], hold["buyer_id"]] -= hold["quantity"]
        self._move(hold, taken=-hold["quantity"])

    def _item_of(self, row: Row) -> Row | None:
        return self._item(row["show_id"], row["variant_id"])

    def release_hold(self, hold_id: str) -> Row:
        hold = self.holds.get(hold_id)
        if hold is None:
            return {"code": "none", "hold": None, "item": None, "basket": None, "items": None}
        if hold["state"] != "held" and "a hold ends once" not in self.removed:
            code = "busy" if hold["state"] in {"paying", "sold"} else "gone"
            return {"code": code, "hold": dict(hold), "item": None, "basket": None, "items": None}
        ended = [row for row in self._with(hold) if row is hold or row["state"] == "held"]
        for row in ended:
            row["state"] = "released"
            self._free(row)
        items = [self._item(*name) for name in sorted(set(map(self._names, ended)))]
        basket = [dict(row) for row in ended]
        return {"code": "ok", "hold": dict(hold), "item": self._item_of(hold), "basket": basket, "items": items}

    def _with(self, hold: Row) -> list[Row]:
        """It, and the other parts of its bundle."""
        first = hold["bundle_hold_id"]
        rows = self.holds.values()
        return [row for row in rows if row is hold or (first and row["bundle_hold_id"] == first)]

    def expire_holds(self, show: str, variant: str, most: int) -> Row:
        due = {"held", "paying"} if "a hold that is paid for does not expire" in self.removed else {"held"}
        rows = [
            row for row in self.holds.values()
            if row["state"] in due and row["expires_at_ms"] <= self.expiry_clock()
            and (row["show_id"], row["variant_id"]) == (show, variant)
        ]  # fmt: skip
        rows = sorted(rows, key=lambda row: row["expires_at_ms"])[:most]
        for row in rows:
            row["state"] = "expired"
            self._free(row)
        return {
            "expired": [row["hold_id"] for row in rows] or None,
            "item": self._item(show, variant) if rows else None,
        }

    # -- waitlist -------------------------------------------------------------------------------------------------

    def join_waitlist(self, show, variant, buyer, name, quantity, entry_id, most, network="", share=0) -> Row:
        item = self._item(show, variant)
        if item is None:
            return {"code": "none", "entry": None, "item": None}
        for entry in self._waiting(show, variant):
            if entry["buyer_id"] == buyer:
                return {"code": "waiting", "entry": dict(entry), "item": item}
        units = self.buyers.get((show, variant, buyer), 0)
        if not item["open"]:
            code = "closed"
        elif units + quantity > self.items[show, variant]["limit_per_buyer"]:
            code = "limit"
        elif not item["waiting"] and item["stocked"] - item["taken"] >= quantity:
            code = "stock"
        else:
            code = "full" if item["waiting"] >= most else "waiting"
            neighbours = [each for each in self._waiting(show, variant) if each["network"] == network]
            if code == "waiting" and network and len(neighbours) >= share:
                code = "network"
        if code != "waiting":
            return {"code": code, "entry": None, "item": item}
        if entry_id in self.waitlist:
            raise asyncpg.UniqueViolationError("waitlist_pkey")
        entry = self.waitlist[entry_id] = {
            "entry_id": entry_id, "place": len(self.waitlist) + 1, "show_id": show, "variant_id": variant,
            "buyer_id": buyer, "buyer_name": name, "quantity": quantity, "state": "waiting", "hold_id": None,
            "created_at_ms": self.clock(), "network": network,
        }  # fmt: skip
        self._move(item, waiting=1)
        return {"code": "waiting", "entry": dict(entry), "item": self._item(show, variant)}

    def _waiting(self, show: str, variant: str) -> list[Row]:
        rows = [e for e in self.waitlist.values() if self._names(e) == (show, variant) and e["state"] == "waiting"]
        return sorted(rows, key=lambda entry: entry["place"])

    def leave_waitlist(self, entry_id: str) -> Row:
        entry = self.waitlist.get(entry_id)
        if entry is None:
            return {"code": "none", "entry": None, "item": None}
        if entry["state"] != "waiting":
            code = "offered" if entry["state"] == "offered" else "gone"
            return {"code": code, "entry": dict(entry), "item": self._item_of(entry)}
        entry["state"] = "left"
        self._move(entry, waiting=-1)
        return {"code": "left", "entry": dict(entry), "item": self._item_of(entry)}

    def offer_waiting(self, show: str, variant: str, offer_ms: int, most: int) -> Row:
        item, goods, made = self.stock[show, variant], self.items[show, variant], []
        for entry in self._waiting(show, variant)[:most] if item["open"] else []:
            if entry["quantity"] > item["stocked"] - item["taken"]:
                break
            units = self.buyers.get((show, variant, entry["buyer_id"]), 0)
            if units + entry["quantity"] > goods["limit_per_buyer"]:
                entry["state"] = "passed"
                self._move(entry, waiting=-1)
                continue
            who = entry["buyer_id"], entry["buyer_name"], entry["quantity"]
            hold_id = "hold_" + entry["entry_id"].partition("_")[2]
            hold = self._hold(hold_id, show, variant, *who, goods, self.clock(), offer_ms)
            self._move(entry, taken=entry["quantity"], waiting=-1)
            self._take(hold)
            entry.update(state="offered", hold_id=hold_id)
            made.append(dict(hold))
        return {"made": made, "item": dict(item)}

    # -- queries of checkout/sql ----------------------------------------------------------------------------------

    def q_stock(self, show: str, variant: str | None) -> list[Row]:
        rows = [(self.items[of, v], row) for (of, v), row in self.stock.items() if of == show and variant in {None, v}]
        return [dict(row) | {name: goods[name] for name in ("price_amount", "currency")} for goods, row in rows]

    def q_hold(self, hold_id: str, buyer: str | None, show: str | None) -> list[Row]:
        return owned(self.holds.get(hold_id), buyer, show)

    def q_holds_by_id(self, ids: list[str]) -> list[Row]:
        return [dict(self.holds[hold]) for hold in ids if hold in self.holds]

    def q_fenced(self, ids: list[str]) -> list[Row]:
        return [{"hold_id": hold_id} for hold_id in ids if hold_id in self.fences]

    def q_holds_out(self, show: str, variant: str) -> list[tuple]:
        out = (row for row in self.holds.values() if self._names(row) == (show, variant) and is_out(row))
        return [(row["hold_id"], row["buyer_id"], row["quantity"]) for row in out]

    def q_buyers(self, show: str, variant: str) -> list[tuple]:
        return [(b, units) for (s, v, b), units in self.buyers.items() if (s, v) == (show, variant) and units > 0]

    def q_due(self) -> list[Row]:
        now = self.expiry_clock()
        due = {"held", "paying"} if "a hold that is paid for does not expire" in self.removed else {"held"}
        rows = (row for row in self.holds.values() if row["state"] in due and row["expires_at_ms"] <= now)
        return [{"show_id": show, "variant_id": variant} for show, variant in dict.fromkeys(map(self._names, rows))]

    def q_on_sale(self) -> list[Row]:
        return [{"show_id": s, "variant_id": v} for (s, v), row in self.stock.items() if row["open"]]

    def q_old_fences(self) -> list[Row]:
        self.fences = {hold: at for hold, at in self.fences.items() if at >= self.clock() - 86_400_000}
        return []

    def q_waitlist_entry(self, entry_id: str, buyer: str | None, show: str | None) -> list[Row]:
        rows = owned(self.waitlist.get(entry_id), buyer, show)
        for row in rows:
            ahead = sum(entry["place"] < row["place"] for entry in self._waiting(*self._names(row)))
            row["ahead"] = ahead if row["state"] == "waiting" else 0
        return rows


def is_out(hold: Row) -> bool:
    """Its units are off the shelf."""
    return hold["state"] in ALIVE or (hold["state"] == "sold" and not hold["returned"])


def owned(row: Row | None, buyer: str | None, show: str | None) -> list[Row]:
    if row is None or (buyer is not None and row["buyer_id"] != buyer) or show not in {None, row["show_id"]}:
        return []
    return [dict(row)]
