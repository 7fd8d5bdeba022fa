"""Payments, orders, refunds, the outbox and keys, as a few dicts: the other half of the truth.

Baskets have as many holds as one likes. Shipping and taxes change prices only, and are left out.
"""

import msgspec
from faults.virtual.bundlebooks import CouponBooks, goods_of
from faults.virtual.stockbooks import ALIVE, Row, owned

from checkout.core.pricing import apportion

NEVER_MS = 1 << 50
ORDER_OF_HOLD = (
    "hold_id", "show_id", "variant_id", "buyer_id", "buyer_name", "quantity", "unit_amount", "currency",
)  # fmt: skip


class Books(CouponBooks):
    """The whole truth."""

    # -- payments -----------------------------------------------------------------------------------------------

    def begin_basket(
        self, buyer, payment_id, provider, method, pay_ms, check_ms, ids, goods, discounts, shippings, taxes,
        coupon, country, shipping_method,
    ) -> Row:  # fmt: skip
        basket, now = (
            [self.holds[i] for i in ids if i in self.holds and self.holds[i]["buyer_id"] == buyer],
            self.clock(),
        )
        if len(basket) != len(ids):
            return {"code": "none", "hold": None, "payment": None, "basket": []}
        hold = basket[0]
        together = all((h["state"], h["payment_id"]) == (hold["state"], hold["payment_id"]) for h in basket)
        again = "one payment at a time" in self.removed
        if together and (hold["state"] == "sold" or (hold["state"] == "paying" and not again)):
            return self._begun(hold["state"], basket, self.payments[hold["payment_id"]])
        if any(h["state"] == "sold" or (h["state"] == "paying" and not again) for h in basket):
            return self._begun("busy", basket, None)
        if any(h["state"] not in ALIVE or (h["state"] == "held" and h["expires_at_ms"] <= now) for h in basket):
            return self._begun("lapsed", basket, None)
        if any(part["hold_id"] not in ids for h in basket for part in self._with(h)):
            return self._begun("part", basket, None)
        if coupon and (refusal := self._take_coupon(hold["show_id"], coupon, buyer, payment_id, sum(goods))) != "ok":
            return self._begun(refusal, basket, None)
        lines = list(zip(basket, goods, discounts, shippings, taxes, strict=True))
        payment = self.payments[payment_id] = {
            "payment_id": payment_id, "hold_id": hold["hold_id"], "provider": provider, "method": method,
            "amount": sum(g - d + s for _, g, d, s, _ in lines), "currency": hold["currency"], "state": "authorizing",
            "created_at_ms": now, "check_at_ms": now + check_ms, "coupon": coupon, "country": country,
            "shipping_method": shipping_method, "refusal": None,
        }  # fmt: skip
        self.lines[payment_id] = [
            {
                "payment_id": payment_id, "hold_id": h["hold_id"], "show_id": h["show_id"],
                "bundle_id": h["bundle_id"], "variant_id": h["variant_id"], "quantity": h["quantity"],
                "unit_amount": h["unit_amount"], "goods": g,
                "discount": d, "shipping": s, "tax": t, "total": g - d + s, "refunded": 0,
            }
            for h, g, d, s, t in lines
        ]  # fmt: skip
        for h in basket:
            until = h["expires_at_ms"]
            if "a hold that is paid for does not expire" not in self.removed:
                until = max(until, now + pay_ms)
            h.update(state="paying", payment_id=payment_id, expires_at_ms=until)
        return self._begun("ok", basket, payment)

    @staticmethod
    def _begun(code: str, basket: list[Row], payment: Row | None) -> Row:
        rows = [dict(hold) for hold in basket]
        return {"code": code, "hold": rows[0], "payment": payment and dict(payment), "basket": rows}

    def _basket(self, payment_id: str) -> dict:
        """The holds and the stock rows of a payment's lines, as they are now."""
        holds = [dict(self.holds[line["hold_id"]]) for line in self.lines[payment_id]]
        names = sorted({self._names(line) for line in self.lines[payment_id]})
        return {"basket": holds, "items": [self._item(*name) for name in names], "item": self._item_of(holds[0])}

    def settle_payment(self, payment_id: str, outcome: str, order_id: str) -> Row:
        payment = self.payments.get(payment_id)
        if payment is None:
            return dict.fromkeys(("hold", "item", "basket", "items")) | {"code": "none"}
        if payment["state"] != "authorizing" and "a payment is decided once" not in self.removed:
            code = "settled"
        else:
            payment["state"] = outcome
            code = self._decide(payment, outcome, order_id)
        after = self._basket(payment_id)
        return after | {"hold": after["basket"][0], "code": code or after["basket"][0]["state"]}

    def _decide(self, payment: Row, outcome: str, order_id: str) -> str:
        mine = [self.holds[line["hold_id"]] for line in self.lines[payment["payment_id"]]]
        ours = [h for h in mine if (h["state"], h["payment_id"]) == ("paying", payment["payment_id"])]
        if outcome == "authorized" and len(ours) == len(mine):
            self._sell(payment, order_id)
            self._settle_coupon(payment["payment_id"], sold=True)
            return "sold"
        self._settle_coupon(payment["payment_id"], sold=False)
        for hold in ours:
            if hold["held_until_ms"] > self.clock():
                hold.update(state="held", expires_at_ms=hold["held_until_ms"])
            else:
                hold["state"] = "released"
                self._free(hold)
        if outcome == "authorized" and "void authorizations are cancelled" not in self.removed:
            self._enter("cancel", payment)
        return "" if len(ours) == len(mine) else "void"

    def _sell(self, payment: Row, order_id: str) -> None:
        first = self.holds[payment["hold_id"]]
        self.orders[order_id] = {name: first[name] for name in ORDER_OF_HOLD} | {
            "order_id": order_id, "payment_id": payment["payment_id"], "state": "paid", "total": payment["amount"],
            "refunded": 0, "created_at_ms": self.clock(),
        }  # fmt: skip
        for line in self.lines[payment["payment_id"]]:
            self.holds[line["hold_id"]].update(state="sold", order_id=order_id)
            self._move(line, sold=line["quantity"])
            self._note(*self._names(line), "sold", line["quantity"], line["total"], order_id, line["hold_id"])
        self._enter("capture", payment, order_id)

    def _enter(self, kind: str, payment: Row, order=None, refund=None, amount=None) -> None:
        number = len(self.outbox) + 1
        self.outbox[number] = {
            "outbox_id": number, "kind": kind, "payment_id": payment["payment_id"], "order_id": order,
            "refund_id": refund, "amount": payment["amount"] if amount is None else amount,
            "currency": payment["currency"], "state": "pending", "attempts": 0, "due_at_ms": self.clock(),
        }  # fmt: skip

    def settle_capture(self, order_id: str, captured: bool) -> Row:
        order = self.orders[order_id]
        code = "settled"
        if order["state"] == "paid":
            code = "ok"
            order["state"] = self.payments[order["payment_id"]]["state"] = "captured" if captured else "capture_failed"
            if not captured:
                self._coupon_comes_back(order)
            for line in self.lines[order["payment_id"]]:
                if captured:
                    self._note(*self._names(line), "capture", 0, line["total"], order_id, line["hold_id"])
                else:
                    self._return(order, line)
        return self._basket(order["payment_id"]) | {"code": code, "hold_id": order["hold_id"]}

    def _return(self, order: Row, line: Row) -> None:
        self.holds[line["hold_id"]]["returned"] = True
        self.buyers[(*self._names(line), order["buyer_id"])] -= line["quantity"]
        self._move(line, stocked=line["quantity"], returned=line["quantity"])
        self._note(*self._names(line), "returned", line["quantity"], 0, order["order_id"], line["hold_id"])

    def refund_order(self, order_id: str, amount: int | None, refund_id: str, holds=None, amounts=None) -> Row:
        assert holds is None, "line by line is not in these books"
        nothing = dict.fromkeys(("o", "r", "item", "basket", "items"))
        order = self.orders.get(order_id)
        if order is None:
            return nothing | {"code": "none"}
        if refund_id in self.refunds and "a refund is once" not in self.removed:
            known = {"code": "known", "o": dict(order), "r": dict(self.refunds[refund_id])}
            return nothing | self._basket(order["payment_id"]) | {"item": None} | known
        left = order["total"] - order["refunded"]
        given = left if amount is None else amount
        early = {"paid": "pending", "capture_failed": "failed", "refunded": "refunded"}
        code = early.get(order["state"]) or ("too_much" if given > left else "ok")
        if code != "ok":
            return nothing | {"code": code, "o": dict(order)}
        empties = given == left
        order["refunded"] += given
        order["state"] = "refunded" if empties else "partially_refunded"
        if empties:
            self._coupon_comes_back(order)
        lines = self.lines[order["payment_id"]]
        shares = apportion(given, [line["total"] - line["refunded"] for line in lines])
        for line, share in zip(lines, shares, strict=True):
            line["refunded"] += share
            if share:
                self._note(*self._names(line), "refund", 0, share, order_id, line["hold_id"], refund_id)
            if empties:
                self._return(order, line)
        refund = self.refunds[refund_id] = {
            "refund_id": refund_id, "order_id": order_id, "asked": amount, "amount": given,
            "currency": order["currency"], "units_returned": sum(line["quantity"] for line in lines) if empties else 0,
            "order_state": order["state"], "state": "pending", "created_at_ms": self.clock(),
            "asked_holds": None, "asked_amounts": None,
        }  # fmt: skip
        self._enter("refund", self.payments[order["payment_id"]], order_id, refund_id, given)
        return self._basket(order["payment_id"]) | {"code": "ok", "o": dict(order), "r": dict(refund)}

    # -- what must still be said, and keys ------------------------------------------------------------------------

    def claim_outbox(self, most: int, lease_ms: int) -> list[Row]:
        now = self.clock()
        due = [row for row in self.outbox.values() if row["state"] == "pending" and self._is_due(row["due_at_ms"])]
        due = sorted(due, key=lambda row: row["due_at_ms"])[:most]
        lasts_ms = NEVER_MS if "a claim lapses" in self.removed else lease_ms
        for row in due:
            row.update(attempts=row["attempts"] + 1, due_at_ms=now + lasts_ms)
        return [dict(row) for row in due]

    def claim_undecided(self, most: int, lease_ms: int) -> list[Row]:
        now = self.clock()
        due = [
            row for row in self.payments.values() if row["state"] == "authorizing" and self._is_due(row["check_at_ms"])
        ]
        due = sorted(due, key=lambda row: row["check_at_ms"])[:most]
        for row in due:
            row["check_at_ms"] = now + lease_ms
        return [{"payment_id": row["payment_id"], "age_ms": now - row["created_at_ms"]} for row in due]

    def claim_key(self, account: str, operation: str, key: str, fingerprint: str, lease_ms: int) -> Row:
        now, name = self.clock(), (account, operation, key)
        saved = self.keys.get(name)
        if saved is None:
            self.keys[name] = {
                "fingerprint": fingerprint,
                "lease_until_ms": now + lease_ms,
                "status": None,
                "answer": None,
            }
            return {"code": "mine", "saved": None}
        if saved["fingerprint"] != fingerprint:
            code = "mismatch"
        elif saved["status"] is not None:
            code = "replay"
        elif now < saved["lease_until_ms"] <= now + lease_ms:
            code = "in_flight"
        else:
            code = "mine"
            saved["lease_until_ms"] = now + lease_ms
        return {"code": code, "saved": dict(saved)}

    def cancel_order(self, order_id: str) -> Row:
        order = self.orders.get(order_id)
        if order is None:
            return {"code": "none", "o": None, "basket": None, "items": None}
        code = {"paid": "ok", "cancelled": "known"}.get(order["state"], "late")
        if code == "ok":
            order["state"] = "cancelled"
            self._coupon_comes_back(order)
            payment = self.payments[order["payment_id"]]
            for row in self.outbox.values():
                if (row["order_id"], row["kind"]) == (order_id, "capture"):
                    row["state"] = "done"
            self._enter("cancel", payment, order_id)
            for line in self.lines[order["payment_id"]]:
                self._return(order, line)
        return self._basket(order["payment_id"]) | {"code": code, "o": dict(order)}

    def claim_payer(self, payment_id: str, _card: str, amount: int) -> Row:
        """Nobody is a guest here: a buyer is an account."""
        payment = self.payments[payment_id]
        code = "ok" if payment["amount"] == amount else "amount_mismatch"
        if code != "ok":
            payment["refusal"] = code
        return {"code": code}

    # -- queries ------------------------------------------------------------------------------------------------

    def q_basket_holds(self, ids: list[str], buyer: str) -> list[Row]:
        mine = [self.holds[i] for i in ids if i in self.holds and self.holds[i]["buyer_id"] == buyer]
        found = {row["hold_id"]: row for hold in mine for row in self._with(hold)}
        place = {hold_id: number for number, hold_id in reversed(list(enumerate(ids)))}

        def order(row: Row) -> tuple:
            first = row["bundle_hold_id"] or row["hold_id"]
            return place.get(first, len(ids)), place.get(row["hold_id"], len(ids)), row["hold_id"]

        return [row | {"goods_amount": goods_of(row)} for row in sorted(found.values(), key=order)]

    def q_charges(self, _show: str) -> list[Row]:
        return []

    def q_order(self, order_id: str, buyer: str | None, show: str | None) -> list[Row]:
        rows = owned(self.orders.get(order_id), buyer, show)
        for row in rows:
            payment, lines = self.payments[row["payment_id"]], self.lines[row["payment_id"]]
            row |= {name: payment[name] for name in ("coupon", "country", "shipping_method")}
            told = [line | {"returned": self.holds[line["hold_id"]]["returned"]} for line in lines]
            row["lines"] = msgspec.json.encode(told).decode()
        return rows

    def q_new_event(self, provider: str, event_id: str, payment_id: str) -> list[Row]:
        if (provider, event_id) in self.events and "an event is taken once" not in self.removed:
            return []
        self.events.add((provider, event_id))
        return [{"event_id": event_id}]

    def q_outbox_done(self, number: int) -> list[Row]:
        if self.outbox[number]["state"] == "pending":
            self.outbox[number]["state"] = "done"
        return []

    def q_outbox_later(self, number: int, wait_ms: int, park: bool, why: str) -> list[Row]:
        entry, state = self.outbox[number], "parked" if park else "pending"
        if entry["state"] == "pending":
            entry.update(due_at_ms=self.clock() + wait_ms, state=state, why=why)
        return []

    def q_outbox_unpark(self) -> list[Row]:
        if "a claim lapses" in self.removed:
            return []
        for row in self.outbox.values():
            if row["state"] in {"parked", "pending"}:
                row.update(state="pending", attempts=0, due_at_ms=self.clock())
        return []

    def q_payment_cancelled(self, payment_id: str) -> list[Row]:
        if self.payments[payment_id]["state"] == "authorized":
            self.payments[payment_id]["state"] = "cancelled"
        return []

    def q_refund_settled(self, refund_id: str) -> list[Row]:
        self.refunds[refund_id]["state"] = "settled"
        return []

    def q_drop_key(self, *name: str) -> list[Row]:
        if name in self.keys and self.keys[name]["status"] is None:
            del self.keys[name]
        return []

    def q_finish_key(self, account: str, operation: str, key: str, status: int, answer: str) -> list[Row]:
        saved = self.keys.get((account, operation, key))
        if saved and saved["status"] is None:
            saved.update(status=status, answer=answer)
        return []

    def _is_due(self, at_ms: int) -> bool:
        """Also what a clock that ran ahead has put off."""
        now_ms = self.clock()
        put_off = at_ms > now_ms + 60_000 and "what a clock put off is due" not in self.removed
        return at_ms <= now_ms or (put_off and at_ms < now_ms + NEVER_MS // 2)
