"""What `showfloor verify` prints.

Owns: nothing. Invariant: the last line begins with PASS or FAIL, and FAIL lines above it say why.
"""

from checkout.verify import Line, Report
from schema.money import decimal_of

COLUMNS = ("opening", "restocked", "returned", "sold", "withdrawn", "on_hand", "available", "held", "entries")


def verdict(report: Report) -> str:
    """The report for people: a line a product, a line a problem, and the verdict."""
    lines = _table(report.lines) if report.lines else []
    lines += [f"FAIL  {problem}" for problem in report.problems]
    if report.pending_captures or report.pending_refunds:
        lines.append(f"on the way: {report.pending_captures} captures, {report.pending_refunds} refunds")
    found = f"{len(report.problems)} problems" if report.problems else f"{len(report.lines)} items reconcile"
    lines.append(f"{'PASS' if report.ok else 'FAIL'}  {found}; ledger {report.ledger_hash}")
    return "\n".join(lines)


def _table(products: list[Line]) -> list[str]:
    """A row a product, and the money.

    opening + restocked + returned - sold - withdrawn = on hand = available + held.
    """
    head = ["show/item", *(name.replace("_", " ") for name in COLUMNS), "captured", "refunded"]
    rows = [head, *(_row(line) for line in products)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _row(line: Line) -> list[str]:
    units = [str(getattr(line, name)) for name in COLUMNS]
    money = [f"{decimal_of(amount, line.currency)} {line.currency}" for amount in (line.captured, line.refunded)]
    return [f"{line.show_id}/{line.variant_id}", *units, *money]
