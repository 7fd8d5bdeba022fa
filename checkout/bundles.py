"""Bundles: what is sold together at a price of its own, and draws the stock of its parts.

Owns: how a bundle is taken. What is in one stands in `bundles` and `bundle_parts`: `live` enters it once for good.
Invariant: all parts are held or none is. The gates are asked one after the other, by variant; what the earlier ones
admitted goes back when a later one refuses, and one function of Postgres commits all. A bundle is never
"confirming" and has no waitlist: while a tap on a part waits for Postgres, or somebody waits for a part, there is none.
"""

from msgspec import Struct

from checkout.core.idempotency import derived_id
from checkout.core.taps import BY_NUMBER, Code, Tap, refusal
from checkout.gate import Product
from checkout.givebacks import ShelfOf
from checkout.rows import Row, bundle_hold_of, gate_code_of, hold_of, promised
from checkout.truth import Truth, sql
from schema.errors import NotFound, Unavailable
from schema.hold import Hold, HoldRequest
from schema.ids import ShowId
from schema.people import Principal

ATTEMPTS = 4


class Part(Struct, frozen=True, kw_only=True):
    """So many units of a variant."""

    variant_id: str
    units: int


class Bundles:
    """Takes bundles. Raises Unavailable while Postgres does not answer."""

    def __init__(self, truth: Truth, shelf_of: ShelfOf, hold_ms: int) -> None:
        self._truth, self._shelf_of, self._hold_ms = truth, shelf_of, hold_ms
        self._parts: dict[Product, list[Part]] = {}

    async def parts(self, show_id: ShowId, bundle_id: str) -> list[Part]:
        """What is in a bundle, by variant; nothing where there is no such bundle."""
        name = Product(show_id, bundle_id)
        if name not in self._parts:
            rows = await self._truth.fetch(sql("bundle"), show_id, bundle_id)
            if not rows:
                return []
            self._parts[name] = [Part(variant_id=row["variant_id"], units=row["units"]) for row in rows]
        return self._parts[name]

    async def hold(self, principal: Principal, show_id: ShowId, request: HoldRequest, key: str) -> Hold:
        """The first part's hold, which names the others; the errors are Desk.hold's."""
        parts = await self.parts(show_id, request.variant_id)
        if not parts:
            raise NotFound("This is not on sale in this show")
        for attempt in range(ATTEMPTS):
            taps = _taps(principal, show_id, parts, request.quantity, (key, attempt))
            code, holds = await self._take(show_id, request, taps)
            if code is Code.FENCED:
                continue
            if error := refusal(code):
                raise error
            return bundle_hold_of([promised(hold) for hold in holds])
        raise Unavailable("This key failed too often; take another", retry_after_ms=1000)

    async def whole(self, hold: Hold) -> Hold:
        """A hold as it is now, with its bundle if it is a part of one."""
        if hold.bundle_hold_id is None:
            return hold
        holds = [hold_of(row) for row in await self._truth.fetch(sql("bundle_of"), hold.bundle_hold_id)]
        return bundle_hold_of(holds, shown=hold)

    async def _take(self, show_id: ShowId, request: HoldRequest, taps: dict[str, Tap]) -> tuple[Code, list[Row]]:
        if not all(self._shelf_of(Product(show_id, variant)).can_decide_now for variant in taps):
            raise Unavailable("Stock cannot be confirmed right now", retry_after_ms=1000)
        admitted: dict[str, Tap] = {}
        for variant, tap in taps.items():
            code = await self._shelf_of(Product(show_id, variant)).admit(tap)
            if code is not None and code < 0:
                await self._tell(show_id, admitted, code, [])
                return code, []
            admitted[variant] = tap
        first = next(iter(taps.values()))
        made = await self._truth.one(
            "SELECT * FROM reserve_bundle($1, $2, $3, $4, $5, $6, $7)",
            show_id,
            request.variant_id,
            [tap.hold_id for tap in taps.values()],
            first.buyer_id,
            first.buyer_name,
            request.quantity,
            self._hold_ms,
        )
        code = BY_NUMBER[made["code"]]
        await self._tell(show_id, taps, code, made["items"], made["made"] or [])
        return code, made["made"] or []

    async def _tell(
        self, show_id: ShowId, taps: dict[str, Tap], code: Code, items: list[Row], holds: list[Row] | None = None
    ) -> None:
        """What became of the whole, to each part's shelf."""
        by_variant = {item["variant_id"]: item for item in items}
        states = {hold["variant_id"]: hold for hold in holds or []}
        for variant, tap in taps.items():
            for_gate = code
            if code is Code.KNOWN:
                for_gate = gate_code_of(states[variant])
            await self._shelf_of(Product(show_id, variant)).decided(tap, code, for_gate, by_variant.get(variant))


def _taps(
    principal: Principal, show_id: ShowId, parts: list[Part], quantity: int, key: tuple[str, int]
) -> dict[str, Tap]:
    """A tap on each part. The first has the id that a plain tap under this key would have: one key, one wish."""
    names = (principal.account_id, show_id, *key)
    return {
        part.variant_id: Tap(
            hold_id=derived_id("hold", *names, *([part.variant_id] if number else [])),
            buyer_id=principal.account_id,
            buyer_name=principal.name.replace("\0", ""),
            quantity=part.units * quantity,
        )
        for number, part in enumerate(parts)
    }
