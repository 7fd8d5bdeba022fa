"""The negative controls in virtual time: each defence, and the faults under which its absence must show.

Most are taken away in the books, the gatebox or the network, which know them by name; `patch` is for the desk itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from checkout import desk, outbox, shelf, till
from checkout.confirming import Confirming
from checkout.core.confirming import Undecided
from checkout.truth import sql

UNSYNCED = "what is written down is on the disk before it is told"


@dataclass(frozen=True)
class Removed:
    faults: tuple[str, ...]
    also: tuple[str, ...] = ()
    """Defences that stand behind it: either alone is enough."""
    patch: tuple[tuple[Any, str, Callable], ...] = ()


def _fresh(prefix: str, *_: object) -> str:
    return desk.new_id(prefix)


async def _nothing(*_: object, **__: object) -> None:
    return None


async def _said_before_it_is_said(self: outbox.Outbox, entry: Any) -> None:
    await self._truth.fetch(sql("outbox_done"), entry["outbox_id"])
    try:
        await {"capture": self._capture, "refund": self._give_back, "cancel": self._cancel}[entry["kind"]](entry)
    except (outbox.ProviderFailed, outbox.ProviderRefused):
        return


def _trusting(self: shelf.Shelf) -> None:
    """What the gate may have missed is not looked into."""


REMOVED = {
    "Postgres counts for itself": Removed(("redis emptied", "redis down", "redis drops"), also=("never oversold",)),
    "limit in Postgres": Removed(("redis emptied", "redis down", "redis drops")),
    "a hold ends once": Removed(("requests cancelled", "retry storm", "postgres drops")),
    "a hold that is paid for does not expire": Removed(("provider delays", "provider times out after success")),
    "void authorizations are cancelled": Removed(
        ("provider delays", "provider down"), also=("a hold that is paid for does not expire",)
    ),
    "capture after the sale": Removed(
        ("provider delays", "provider times out after success"), also=("a hold that is paid for does not expire",)
    ),
    "one payment at a time": Removed(("retry storm", "provider delays"), also=("void authorizations are cancelled",)),
    "a payment's id is the provider's key": Removed(("provider times out after success", "retry storm")),
    "a capture is once": Removed(("provider times out after success", "provider duplicates")),
    "a refund is once": Removed(("provider times out after success", "retry storm", "postgres drops")),
    "a commit is on the disk before it is told": Removed(("postgres crashes",)),
    "a webhook is signed": Removed(("webhooks forged",)),
    "a rebuild is once": Removed(("redis duplicates", "redis duplicates", "redis emptied", "redis emptied")),
    "the run of the server": Removed(("redis rolled back",) * 8),
    "a hold's id follows from its key": Removed(
        ("requests cancelled", "retry storm"), patch=((desk, "derived_id", _fresh),)
    ),
    "undecided payments are asked about": Removed(
        ("webhooks dropped", "desk killed"), patch=((till.Till, "poll", _nothing),)
    ),
    "an entry is said until it is answered": Removed(
        ("provider drops", "desk killed"), patch=((outbox.Outbox, "_say", _said_before_it_is_said),)
    ),
    "orphans are fenced and given back": Removed(
        ("postgres down", "postgres drops", "desk killed"), patch=((shelf.Shelf, "_free_orphans", _nothing),)
    ),
    "the gate is reconciled": Removed(
        ("redis rolled back", "redis rolled back", "redis rolled back", "redis delays", "desk killed"),
        patch=((shelf.Shelf, "reconcile", _nothing),),
    ),
    "holds are compared one by one": Removed(("redis down",) * 2 + ("desk killed",) * 16),
    "a gate that may have missed something is rebuilt": Removed(
        ("redis drops", "redis down"),
        patch=((shelf.Shelf, "distrust", _trusting), (shelf.Shelf, "reconcile", _nothing)),
    ),
}


def _backwards(first: Callable) -> Callable:
    def to_replay(self: Undecided, *more: Any) -> list:
        return first(self, *more)[::-1]

    return to_replay


def _never(*_: object) -> bool:
    return False


async def _believe(self: till.Till, payment_id: str, age_ms: int = 0) -> None:
    """Whatever a webhook is about has been paid for."""
    await self._settle(payment_id, "authorized")


REMOVED |= {
    "a bundle is whole": Removed(("redis down", "redis emptied", "redis drops")),
    "a coupon is counted": Removed(("retry storm",)),
    "a coupon's use comes back": Removed(("provider delays",)),
    "a claim lapses": Removed(("desk killed",) * 6 + ("provider delays",)),
    "expiry goes by the clock of Postgres": Removed(("app clock jumps",)),
    "what a clock put off is due": Removed(("postgres clock jumps", "provider drops", "provider delays")),
    "an event is taken once": Removed(("webhooks duplicated",), also=("a payment is decided once",)),
    "the provider is asked, and no event believed": Removed(
        ("webhooks late and reordered",), patch=((till.Till, "look", _believe),)
    ),
    UNSYNCED: Removed(("desk loses its power while taps wait",) * 3),
    "what waits is decided in order": Removed(
        ("postgres down", "postgres down"), patch=((Undecided, "to_replay", _backwards(Undecided.to_replay)),)
    ),
    "nothing overtakes what waits": Removed(("postgres down",) * 3, patch=((Confirming, "waits", _never),)),
}


@contextmanager
def without(name: str) -> Iterator[frozenset[str]]:
    """The names of all that is missing; what is the desk's is missing inside only."""
    if not name:
        yield frozenset()
        return
    removed = REMOVED[name]
    before = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in removed.patch]
    for owner, attribute, instead in removed.patch:
        setattr(owner, attribute, instead)
    try:
        yield frozenset({name, *removed.also})
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)
