"""Bundles and coupons in the books: what is sold together, and what takes something off, so many times."""

from faults.virtual.stockbooks import Row, StockBooks

NO_COUPON = dict.fromkeys(("show_id", "code", "percent_bp", "amount", "minimum", "uses", "uses_per_buyer", "used"))


class BundleBooks(StockBooks):
    """A bundle draws its parts' stock, all of them or none."""

    def add_bundle(self, show: str, bundle: str, price: int, parts: dict[str, int]) -> None:
        self.bundles[show, bundle] = {"price_amount": price, "parts": dict(sorted(parts.items()))}

    def q_bundle(self, show: str, bundle: str) -> list[Row]:
        found = self.bundles.get((show, bundle))
        return [{"variant_id": variant, "units": units} for variant, units in found["parts"].items()] if found else []

    def q_bundle_of(self, first: str) -> list[Row]:
        rows = (dict(row) for row in self.holds.values() if row["bundle_hold_id"] == first)
        return sorted(rows, key=lambda row: row["variant_id"])

    def reserve_bundle(self, show, bundle, holds, buyer, name, quantity, hold_ms) -> Row:
        found = self.bundles.get((show, bundle))
        if found is None:
            return {"code": None, "made": None, "items": None}
        parts = {variant: units * quantity for variant, units in found["parts"].items()}
        made = [self.holds[hold] for hold in holds if hold in self.holds]
        if made:
            whose = (show, bundle, buyer)
            same = all((h["show_id"], h["bundle_id"], h["buyer_id"]) == whose for h in made)
            code = 2 if same and all(h["quantity"] == parts[h["variant_id"]] for h in made) else -4
        elif any(hold in self.fences for hold in holds) and "fences" not in self.removed:
            code = -5
        else:
            code = self._decide_bundle(show, buyer, parts)
        if code == 1:
            made = self._take_bundle(show, bundle, parts, holds, buyer, name, quantity, hold_ms)
        rows = [dict(row) for row in sorted(made, key=lambda row: row["variant_id"])]
        return {"code": code, "made": rows or None, "items": [self._item(show, variant) for variant in parts]}

    def _decide_bundle(self, show: str, buyer: str, parts: dict[str, int]) -> int:
        codes = [self._decide_part(show, variant, buyer, units) for variant, units in parts.items()]
        return codes[0] if "a bundle is whole" in self.removed else min(codes)

    def _decide_part(self, show: str, variant: str, buyer: str, units: int) -> int:
        item = self.stock[show, variant]
        if not item["open"]:
            return -3
        if units + self.buyers.get((show, variant, buyer), 0) > self.items[show, variant]["limit_per_buyer"]:
            return -2
        return -1 if item["waiting"] or units > item["stocked"] - item["taken"] else 1

    def _take_bundle(self, show, bundle, parts, holds, buyer, name, quantity, hold_ms) -> list[Row]:
        rest = self.bundles[show, bundle]["price_amount"] * quantity
        alone = {variant: self.items[show, variant]["price_amount"] * units for variant, units in parts.items()}
        rest_alone, made, now = sum(alone.values()), [], self.clock()
        for hold_id, (variant, units) in zip(holds, parts.items(), strict=True):
            share = (2 * rest * alone[variant] + rest_alone) // (2 * rest_alone) if rest_alone else rest
            rest, rest_alone = rest - share, rest_alone - alone[variant]
            if "a bundle is whole" in self.removed and self._decide_part(show, variant, buyer, units) != 1:
                continue
            goods = self.items[show, variant]
            row = self._hold(hold_id, show, variant, buyer, name, units, goods, now, hold_ms)
            row.update(unit_amount=share // units, goods=share, bundle_id=bundle, bundle_hold_id=holds[0])
            self._move(row, taken=units)
            self._take(row)
            made.append(row)
        return made


class CouponBooks(BundleBooks):
    """A use of a coupon is reserved with a payment, and comes back with its order."""

    def add_coupon(self, show: str, code: str, **terms: int) -> None:
        nothing = dict.fromkeys(("percent_bp", "amount", "uses", "uses_per_buyer"))
        self.coupons[show, code] = nothing | {"show_id": show, "code": code, "minimum": 0, "used": 0} | terms

    def q_coupon_for(self, show: str, code: str, buyer: str, goods: int) -> list[Row]:
        coupon = self.coupons.get((show, code))
        return [(coupon or NO_COUPON) | {"refusal": self._coupon_refusal(coupon, buyer, goods)}]

    def _coupon_refusal(self, coupon: Row | None, buyer: str, goods: int) -> str | None:
        if coupon is None:
            return "coupon_unknown"
        if goods < coupon["minimum"]:
            return "coupon_minimum"
        if "a coupon is counted" in self.removed:
            return None
        if coupon["uses"] is not None and coupon["used"] >= coupon["uses"]:
            return "coupon_used_up"
        mine = sum(
            (use["code"], use["buyer_id"]) == (coupon["code"], buyer) and use["state"] != "returned"
            for use in self.coupon_uses.values()
        )
        return "coupon_used" if coupon["uses_per_buyer"] is not None and mine >= coupon["uses_per_buyer"] else None

    def _take_coupon(self, show: str, code: str, buyer: str, payment_id: str, goods: int) -> str:
        coupon = self.coupons.get((show, code))
        if refusal := self._coupon_refusal(coupon, buyer, goods):
            return refusal
        coupon["used"] += 1
        self.coupon_uses[payment_id] = {
            "payment_id": payment_id, "show_id": show, "code": code, "buyer_id": buyer, "state": "reserved",
        }  # fmt: skip
        return "ok"

    def _settle_coupon(self, payment_id: str, sold: bool) -> None:
        self._move_use(payment_id, "reserved", "used" if sold else "returned")

    def _coupon_comes_back(self, order: Row) -> None:
        """With an order of which nothing is left."""
        if "a coupon's use comes back" not in self.removed:
            self._move_use(order["payment_id"], "used", "returned")

    def _move_use(self, payment_id: str, before: str, after: str) -> None:
        use = self.coupon_uses.get(payment_id)
        if use is None or use["state"] != before:
            return
        use["state"] = after
        if after == "returned":
            self.coupons[use["show_id"], use["code"]]["used"] -= 1


def goods_of(hold: Row) -> int:
    """What a hold costs before anything is taken off."""
    return hold["unit_amount"] * hold["quantity"] if hold["goods"] is None else hold["goods"]
