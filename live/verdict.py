"""What `showfloor verify` prints.

Owns: nothing. Invariant: the last line begins with PASS or FAIL, and FAIL lines above it say why.
"""

from checkout.verify import Line, Report


def verdict(report: Report) -> str:
    """The report for people: a line a product, a line a problem, and the verdict."""
    lines = [_product(line) for line in report.lines]
    lines += [f"FAIL  {problem}" for problem in report.problems]
    if report.pending_captures or report.pending_refunds:
        lines.append(f"      on the way: {report.pending_captures} captures, {report.pending_refunds} refunds")
    found = f"{len(report.problems)} problems" if report.problems else f"{len(report.lines)} items reconcile"
    lines.append(f"{'PASS' if report.ok else 'FAIL'}  {found}; ledger {report.ledger_hash}")
    return "\n".join(lines)


def _product(line: Line) -> str:
    """The arithmetic of its units as one equation, and its money in minor units."""
    return (
        f"      {line.show_id}/{line.variant_id}: "
        f"{line.opening} + {line.restocked} restocked + {line.returned} returned - {line.sold} sold = "
        f"{line.on_hand} = {line.available} available + {line.held} held; "
        f"captured {line.captured}, refunded {line.refunded} {line.currency} minor units; {line.entries} entries"
    )
