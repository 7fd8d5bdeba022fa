"""A price that was wrong for a while: everything it led to, and taking it back in one action.

Owns: nothing; a sale is taken back by a refund like any other, an open hold by its release.
Invariant: called again, with any key or none, it goes on where it stopped: nothing is given back twice.
"""

import asyncio
from collections.abc import Sequence

from checkout.core.idempotency import derived_id
from checkout.desk import Desk
from checkout.rows import Row
from checkout.truth import Truth, sql
from schema.errors import Conflict, NotFound, ShowfloorError
from schema.hold import HoldState
from schema.ids import HoldId, OrderId, ShowId
from schema.money import Money
from schema.order import OrderState, RefundLine
from schema.pages import from_cursor, to_cursor
from schema.people import Principal
from schema.price_error import (
    Affected,
    AffectedKind,
    AffectedPage,
    PriceErrorRequest,
    Rollback,
    RollbackOutcome,
    RollbackResult,
)

AT_ONCE = 8


class PriceErrors:
    """Raises Unavailable when Postgres does not answer."""

    def __init__(self, truth: Truth, desk: Desk) -> None:
        self._truth, self._desk = truth, desk

    async def affected(
        self, show_id: ShowId, wrong: PriceErrorRequest, cursor: str | None = None, limit: int = 50
    ) -> AffectedPage:
        """What was tapped at the wrong price: open holds, and orders with something to give back; oldest first."""
        seen = from_cursor(cursor, tuple[int, str]) or (-1, "")
        total = await self._totals(show_id, wrong)
        rows = await self._rows(show_id, wrong, seen, limit + 1)
        items = [affected_of(row) for row in rows[:limit]]
        last = items[-1] if len(rows) > limit else None
        return AffectedPage(
            items=items,
            orders=total["orders"],
            holds=total["holds"],
            amount=Money(amount=total["amount"], currency=total["currency"]),
            next_cursor=to_cursor((last.tapped_at_ms, last.hold_id)) if last else None,
        )

    async def roll_back(self, principal: Principal, show_id: ShowId, wrong: PriceErrorRequest) -> Rollback:
        """Refund the orders and release the holds, at most `wrong.limit` of them, and say what became of each."""
        await self._totals(show_id, wrong)
        # What is being paid for would keep the others waiting: it is listed, and taken back once it has ended.
        rows = await self._rows(show_id, wrong, (-1, ""), wrong.limit, only_settled=True)
        results: list[RollbackResult] = []
        for at in range(0, len(rows), AT_ONCE):
            results += await self._take_back(principal, [affected_of(row) for row in rows[at : at + AT_ONCE]])
        total = await self._totals(show_id, wrong)
        return Rollback(results=results, left=total["orders"] + total["holds"])

    async def _totals(self, show_id: ShowId, wrong: PriceErrorRequest) -> Row:
        row: Row | None = await self._truth.one(sql("price_error_totals"), show_id, *_what(wrong))
        if row is None:
            raise NotFound("This variant is not on sale in this show")
        return row

    async def _rows(
        self,
        show_id: ShowId,
        wrong: PriceErrorRequest,
        seen: tuple[int, str],
        most: int,
        *,
        only_settled: bool = False,
    ) -> Sequence[Row]:
        return await self._truth.fetch(sql("price_errors"), show_id, *_what(wrong), *seen, most, only_settled)

    async def _take_back(self, principal: Principal, some: list[Affected]) -> list[RollbackResult]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(principal, each)) for each in some]
        return [task.result() for task in tasks]

    async def _one(self, principal: Principal, one: Affected) -> RollbackResult:
        try:
            if one.order_id is None:
                await self._desk.release(principal, one.hold_id)
                return _result(one, RollbackOutcome.RELEASED)
            line = RefundLine(hold_id=one.hold_id)  # of a basket, this item alone
            refund = await self._desk.refund(principal, one.order_id, None, _key(one), [line])
            return _result(one, RollbackOutcome.REFUNDED, refund.amount)
        except Conflict as error:
            again = one.order_state is OrderState.PAID or one.order_id is None
            return _result(one, RollbackOutcome.LATER if again else RollbackOutcome.ALREADY, why=error.detail)
        except ShowfloorError as error:
            return _result(one, RollbackOutcome.FAILED, why=error.detail)


def _what(wrong: PriceErrorRequest) -> tuple[str, int, int, int]:
    return wrong.variant_id, wrong.amount, wrong.from_ms, wrong.to_ms


def _key(one: Affected) -> str:
    """Follows from what is given back: who asks again names the same refund."""
    return derived_id("price-error", one.hold_id, one.to_refund.amount)


def _result(one: Affected, outcome: RollbackOutcome, amount: Money | None = None, why: str = "") -> RollbackResult:
    return RollbackResult(
        kind=one.kind, hold_id=one.hold_id, order_id=one.order_id, outcome=outcome, amount=amount, why=why
    )


def affected_of(row: Row) -> Affected:
    """A hold at the wrong price, with its order if it was sold."""
    currency = row["currency"]
    return Affected(
        kind=AffectedKind.ORDER if row["order_id"] else AffectedKind.HOLD,
        hold_id=HoldId(row["hold_id"]),
        order_id=OrderId(row["order_id"]) if row["order_id"] else None,
        buyer_name=row["buyer_name"],
        quantity=row["quantity"],
        unit_price=Money(amount=row["unit_amount"], currency=currency),
        to_refund=Money(amount=row["to_refund"], currency=currency),
        hold_state=HoldState(row["state"]),
        order_state=OrderState(row["order_state"]) if row["order_state"] else None,
        tapped_at_ms=row["created_at_ms"],
    )
