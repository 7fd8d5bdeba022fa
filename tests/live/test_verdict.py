"""What a reconciliation looks like in print."""

from checkout.verify import Line, Report
from live.verdict import verdict

LINE = Line(
    show_id="demo",
    variant_id="pot-blue",
    opening=8,
    restocked=10,
    returned=1,
    sold=4,
    on_hand=15,
    held=2,
    available=13,
    captured=19600,
    refunded=4900,
    entries=9,
    currency="EUR",
)


def test_a_good_ledger_shows_its_arithmetic_and_passes():
    report = Report(ok=True, lines=[LINE], problems=[], ledger_hash="ab", pending_captures=1, pending_refunds=0)
    assert verdict(report).splitlines() == [
        (
            "      demo/pot-blue: 8 + 10 restocked + 1 returned - 4 sold = 15 = 13 available + 2 held; "
            "captured 19600, refunded 4900 EUR minor units; 9 entries"
        ),
        "      on the way: 1 captures, 0 refunds",
        "PASS  1 items reconcile; ledger ab",
    ]


def test_each_problem_has_its_line_and_the_last_one_fails():
    problems = ["demo/pot-blue: entry 3 does not follow entry 2", "a hold without stock: hold_1"]
    report = Report(ok=False, lines=[], problems=problems, ledger_hash="ab", pending_captures=0, pending_refunds=0)
    assert verdict(report).splitlines() == [
        *(f"FAIL  {problem}" for problem in problems),
        "FAIL  2 problems; ledger ab",
    ]
