"""What the scripted viewers do: each decision drawn from the seed, the viewer's number and what just happened.

Owns: the temperaments. No clock, no socket: an event goes in, deeds with their delays come out, so the same seed
makes the same crowd, whoever the host is.
"""

from random import Random
from typing import Final

from msgspec import Struct

from live.demo.shop import COOKBOOK, KNIFE, POT_BLUE, SPICE
from schema.ids import VariantId

RUSH_S: Final = 2.0
DECLINED_CARDS: Final = 3
"""So many of the knife's first holders have a card that is declined; their knives go to those who came too late."""

CLAIM: Final = "BUY POT BLUE 2"
_WORDS: Final = (
    "hello from Lisbon!",
    "good evening everybody",
    "is it dishwasher safe?",
    "love the colour",
    "how heavy is it?",
    "do you ship to Finland?",
    "got this one last year, still great",
    "what about induction?",
    "my mother would want that",
    "first time here, hi!",
    "how long does it keep?",
    "the sound is great tonight",
)
_ON_PIN: Final = ("oh nice", "finally!", "is that the big one?", "tempting…", "want", "how many are left?")
_SPAM: Final = ("CHEAP FOLLOWERS", "look at my page!!!", "win a phone now", "first first first")


class Say(Struct, frozen=True):
    """Say this after a while."""

    after_s: float
    text: str


class Buy(Struct, frozen=True):
    """Tap after a while; pay `think_s` later."""

    after_s: float
    variant: VariantId
    quantity: int
    think_s: float


class Vote(Struct, frozen=True):
    """Vote after a while."""

    after_s: float
    option: int


class Crowd:
    """`size` viewers, numbered from 0."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size

    def _dice(self, viewer: int, *about: object) -> Random:
        return Random(":".join(map(str, (self.seed, viewer, *about))))  # noqa: S311 - a script, not a secret

    def arrival_s(self, viewer: int) -> float:
        """When a viewer comes in: most within the first half minute."""
        return min(self._dice(viewer, "arrival").expovariate(1 / 8), 60.0)

    def small_talk(self, viewer: int, minute: int) -> list[Say]:
        """What a viewer says in one minute of the show on their own account; all together about one line in 3 s."""
        dice = self._dice(viewer, "talk", minute)
        chatty = dice.random() < 20 / max(self.size, 20)
        return [Say(dice.uniform(0, 60), dice.choice(_WORDS))] if chatty else []

    def on_pin(self, viewer: int, variant: VariantId) -> list[Say | Buy]:
        """An item was pinned: a word now and then, and an eighth of the room buys. The knife waits for its price."""
        dice = self._dice(viewer, "pin", variant)
        deeds: list[Say | Buy] = []
        if dice.random() < 4 / max(self.size, 8):
            deeds.append(Say(dice.uniform(0.5, 6), dice.choice(_ON_PIN)))
        if variant == POT_BLUE and viewer == self.size // 2:
            deeds.append(Say(3.0, CLAIM))
        if variant != KNIFE and dice.random() < self._appetite(variant):
            quantity = 2 if dice.random() < 0.1 and variant != COOKBOOK else 1
            deeds.append(Buy(dice.uniform(1, 40), variant, quantity, dice.uniform(2, 15)))
        return deeds

    def _appetite(self, variant: VariantId) -> float:
        """Such that about a dozen of the whole room tap, or for the cookbook two dozen."""
        wanted = {SPICE: 16, COOKBOOK: 24}.get(variant, 5)
        return min(0.5, wanted / max(self.size, 1))

    def on_price(self, viewer: int, variant: VariantId) -> list[Say | Buy]:
        """A price fell: everybody wants one at once."""
        dice = self._dice(viewer, "price", variant)
        return [Buy(dice.uniform(0, RUSH_S), variant, 1, dice.uniform(1, 10))]

    def on_poll(self, viewer: int, poll: str, options: int) -> list[Vote]:
        """Two thirds of the room vote, most of them for the first half of what there is."""
        dice = self._dice(viewer, "poll", poll)
        return [Vote(dice.uniform(1, 25), int(options * dice.random() ** 1.6))] if dice.random() < 2 / 3 else []

    def on_slow_mode(self, viewer: int) -> list[Say | Buy]:
        """A wave of spam, which the slow mode thins out."""
        dice = self._dice(viewer, "spam")
        if dice.random() > 10 / max(self.size, 10):
            return []
        return [Say(dice.uniform(0, 30), dice.choice(_SPAM)) for _ in range(4)]
