"""Which faults happen in which seed, in which order. A seed's plan follows from its number alone."""

import random
from dataclasses import dataclass

from faults.steps import STEPS

STEP = "app killed when "
FAULTS = [
    "app killed",
    "app frozen",
    "worker killed",
    "worker frozen",
    *(STEP + name for name in STEPS),
    "redis killed",
    "redis cut",
    "redis emptied",
    "redis rolled back",
    "redis frozen",
    "postgres killed",
    "postgres cut",
    "postgres stopped",
    "postgres frozen",
    "disk full",
    "app clock jumps",
    "postgres clock jumps",
    "webhooks duplicated",
    "webhooks late",
    "webhooks reordered",
    "webhooks dropped",
    "webhooks forged",
    "provider times out after success",
    "provider answers 500",
    "provider killed",
    "provider frozen",
    "retry storm",
    "requests cancelled",
]


@dataclass(frozen=True)
class Pace:
    """Seconds. `stopped`: Postgres down; `frozen`: a process that stands still; `mood`: anything that lasts."""

    warm: float
    stopped: float
    frozen: float
    mood: float
    gap: float
    faults: int
    settle: float = 60.0


LONG = Pace(warm=2.0, stopped=60.0, frozen=10.0, mood=5.0, gap=1.5, faults=3)
SHORT = Pace(warm=1.2, stopped=2.5, frozen=1.5, mood=1.5, gap=0.4, faults=3)


@dataclass(frozen=True)
class Plan:
    seed: int
    faults: tuple[str, ...]
    workers: int
    hold_seconds: int

    @property
    def small_disk(self) -> bool:
        return "disk full" in self.faults

    def __str__(self) -> str:
        return f"{', then '.join(self.faults)}; {self.workers} worker(s), holds of {self.hold_seconds} s"


def plan_of(seed: int, pace: Pace) -> Plan:
    """`pace.faults` in a row; over as many seeds as it takes, each fault once, then all of them in another order."""
    first = seed * pace.faults
    faults = tuple(_at(first + n) for n in range(pace.faults))
    dice = random.Random(seed)
    many = {"worker killed", "worker frozen"} & set(faults) or dice.random() < 0.25
    return Plan(seed=seed, faults=faults, workers=2 if many else 1, hold_seconds=dice.choice((4, 300)))


def _at(place: int) -> str:
    round_, index = divmod(place, len(FAULTS))
    order = list(FAULTS)
    random.Random(round_).shuffle(order)
    return order[index]
