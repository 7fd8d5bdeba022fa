"""What a reconciliation looks like in print."""

from msgspec.structs import replace

from checkout.verify import Line, Report
from live.verdict import verdict

LINE = Line(
    show_id="demo",
    variant_id="pot-blue",
    opening=8,
    restocked=10,
    returned=1,
    sold=4,
    withdrawn=1,
    on_hand=14,
    held=2,
    available=12,
    captured=19600,
    refunded=4900,
    entries=9,
    currency="EUR",
)


def test_a_good_ledger_shows_its_arithmetic_and_passes():
    report = Report(ok=True, lines=[LINE], problems=[], ledger_hash="ab", pending_captures=1, pending_refunds=0)
    shown = [" ".join(line.split()) for line in verdict(report).splitlines()]
    assert shown == [
        "show/item opening restocked returned sold withdrawn on hand available held entries captured refunded",
        "demo/pot-blue 8 10 1 4 1 14 12 2 9 196.00 EUR 49.00 EUR",
        "on the way: 1 captures, 0 refunds",
        "PASS 1 items reconcile; ledger ab",
    ]


def test_money_has_the_decimals_of_its_currency():
    shown = [
        verdict(
            Report(
                ok=True,
                lines=[replace(LINE, currency=each)],
                problems=[],
                ledger_hash="",
                pending_captures=0,
                pending_refunds=0,
            )
        )
        for each in ("JPY", "KWD")
    ]
    assert "19600 JPY" in shown[0]
    assert "19.600 KWD" in shown[1]


def test_each_problem_has_its_line_and_the_last_one_fails():
    problems = ["demo/pot-blue: entry 3 does not follow entry 2", "a hold without stock: hold_1"]
    report = Report(ok=False, lines=[], problems=problems, ledger_hash="ab", pending_captures=0, pending_refunds=0)
    assert verdict(report).splitlines() == [
        *(f"FAIL  {problem}" for problem in problems),
        "FAIL  2 problems; ledger ab",
    ]
