"""The pictures in the documentation are drawn from the tables."""

import re
from pathlib import Path

import pytest

from checkout.core import order, reservation
from checkout.core.diagram import mermaid
from schema.hold import HoldState
from schema.order import OrderState

PAGE = Path(__file__).resolve().parents[3] / "docs" / "checkout.md"
DRAWN = {
    "hold": mermaid(reservation.TRANSITIONS, start=HoldState.HELD, terminal=reservation.TERMINAL),
    "order": mermaid(order.TRANSITIONS, start=OrderState.PAID, terminal=order.TERMINAL),
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_picture_in_the_documentation_is_the_table(name):
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- drawn from the table: {name} -->\n```mermaid\n(.*?)\n```", page, re.DOTALL)
    assert found, "the picture is missing"
    assert found[1] == DRAWN[name], f"docs/checkout.md drifted; it should read:\n{DRAWN[name]}"


def test_every_move_is_a_line():
    assert DRAWN["hold"].splitlines()[:3] == ["stateDiagram-v2", "    [*] --> held", "    held --> paying: pay"]
    assert DRAWN["hold"].count("-->") == 1 + len(reservation.TRANSITIONS) + len(reservation.TERMINAL)
