"""The demo show's running order: what the host and the operator do, and when.

Owns: the table. Reads no clock: the director asks what is due.
"""

from typing import Final, Literal

from msgspec import Struct

from live.demo.shop import APRON, BUNDLE, COOKBOOK, COUPON, KNIFE, POT_BLUE, POT_CREAM, POT_RED, SPICE
from schema.ids import VariantId

Deed = Literal[
    "pin", "unpin", "flash", "coupon", "restock", "say", "slow", "refund", "sales", "state", "poll", "announce"
]


class Cue(Struct, frozen=True):
    """At `at_s` into the show, do this; `value` is minor units, units, ms, a text, or a state, as the deed has it."""

    at_s: float
    deed: Deed
    variant: VariantId | None = None
    value: int | str | bool | None = None
    units: int = 0
    """Of a flash price."""
    lasts_s: float = 0
    options: tuple[str, ...] = ()
    """Of a poll."""


CUES: Final = (
    Cue(0, "say", value="Good evening, and welcome to Kitchen Friday!"),
    Cue(30, "pin", SPICE),
    Cue(31, "say", value="First the spice set: four jars, ground this week."),
    Cue(90, "poll", value="Which colour next for the pot?", lasts_s=45, options=("Green", "Yellow", "Black")),
    Cue(91, "say", value="Your turn: which colour next? You see the result from ten votes on."),
    Cue(140, "say", value="In ten seconds: the chef's knife for 39. One each, twenty of them."),
    Cue(149, "pin", KNIFE),
    Cue(150, "flash", KNIFE, 3900, units=20, lasts_s=80),
    Cue(235, "unpin", SPICE),
    Cue(236, "unpin", KNIFE),
    Cue(240, "pin", POT_BLUE),
    Cue(241, "pin", POT_RED),
    Cue(242, "pin", POT_CREAM),
    Cue(243, "say", value="Now the pots. Blue goes first, it always does."),
    Cue(300, "restock", POT_BLUE, 10),
    Cue(301, "say", value="Ten more blue ones just came up from the cellar."),
    Cue(360, "unpin", POT_RED),
    Cue(361, "unpin", POT_CREAM),
    Cue(362, "pin", APRON),
    Cue(363, "say", value="And an apron to go with the pot: both together for 65."),
    Cue(364, "pin", BUNDLE),
    Cue(390, "coupon", value=COUPON),
    Cue(390.5, "announce", value="Ten per cent off from twenty euros, until the end of the show", lasts_s=200),
    Cue(391, "say", value="Ten per cent off from twenty euros, for everybody who is here now. Nothing to type."),
    Cue(420, "slow", value=10_000),
    Cue(421, "say", value="You are many tonight! Slow mode for a minute, so that everybody can be read."),
    Cue(475, "slow", value=0),
    Cue(480, "pin", COOKBOOK),
    Cue(481, "say", value="The one signed cookbook. There is no second."),
    Cue(540, "refund", POT_BLUE),
    Cue(570, "sales", value=False),
    Cue(572, "say", value="The till takes a breath. Whatever you have paid for is yours."),
    Cue(590, "sales", value=True),
    Cue(592, "say", value="Thank you all. Good night!"),
    Cue(600, "state", value="ended"),
)


def due(after_s: float, until_s: float) -> list[Cue]:
    """The cues with `after_s` < at_s <= `until_s`, in order."""
    return [cue for cue in CUES if after_s < cue.at_s <= until_s]
