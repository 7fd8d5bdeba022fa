"""The negative controls: each defence, how it is taken away, and the faults under which its absence must show.

Some are taken away in the service's own processes, others in Postgres. Where two lines stand behind each other and
either is enough, both are taken away.
"""

from collections.abc import Callable
from dataclasses import dataclass

from faults.plan import STEP


@dataclass(frozen=True)
class Removed:
    """`sql` is run on the database; `patch` in each process of the service."""

    faults: tuple[str, ...]
    workers: int = 1
    sql: tuple[str, ...] = ()
    patch: Callable[[], None] | None = None


def rewritten(function: str, *changes: tuple[str, str]) -> str:
    """SQL that replaces texts in the body of a function, and fails where one of them is not there."""
    steps = "".join(
        f"IF position({_quoted(old)} IN body) = 0 THEN RAISE EXCEPTION 'not found in {function}'; END IF;"
        f"body := replace(body, {_quoted(old)}, {_quoted(new)});"
        for old, new in changes
    )
    body = f"body text := pg_get_functiondef('{function}'::regproc);"
    return f"DO $outer$ DECLARE {body} BEGIN {steps} EXECUTE body; END $outer$"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _fresh_ids() -> None:
    from checkout import desk
    from schema.ids import new_id

    desk.derived_id = lambda prefix, *_: new_id(prefix)


def _fresh_payment_ids() -> None:
    from checkout.fake_client import FakeProvider
    from schema.ids import new_id

    first = FakeProvider.authorize

    async def authorize(self, _payment_id, *more):
        return await first(self, new_id("pay"), *more)

    FakeProvider.authorize = authorize


def _nothing(module: str, owner: str, name: str) -> Callable[[], None]:
    def patch() -> None:
        import importlib

        async def nothing(*_, **__):
            return None

        assert hasattr(getattr(importlib.import_module(module), owner), name)
        setattr(getattr(importlib.import_module(module), owner), name, nothing)

    return patch


def _say_once() -> None:
    """An entry counts as said before it is said."""
    from checkout.outbox import Outbox
    from checkout.truth import sql

    first = Outbox._say

    async def say(self, entry):
        await self._truth.fetch(sql("outbox_done"), entry["outbox_id"])
        later, self._later = self._later, _quiet
        try:
            await first(self, entry)
        finally:
            self._later = later

    async def _quiet(*_, **__):
        return None

    Outbox._say = say


def _believe_webhooks() -> None:
    import msgspec

    from checkout.fake_client import FakeProvider
    from checkout.fakepay import EventBody
    from checkout.payments import ProviderEvent

    def verify(self, body, headers):
        payment_id = msgspec.json.decode(body, type=EventBody).payment_id
        return ProviderEvent(event_id=headers["webhook-id"], payment_id=payment_id)

    FakeProvider.verify_webhook = verify


def _do_not_sync() -> None:
    """Neither is what was synced before taken for more than it is: the file was empty when it was opened."""
    from checkout import journal

    def write_all(file, data):
        while data:
            data = data[journal.os.write(file, data) :]

    journal._write_all = write_all


def _overtake() -> None:
    from checkout.confirming import Confirming

    Confirming.waits = lambda *_: False


def _backwards() -> None:
    from checkout.core.confirming import Undecided

    first = Undecided.to_replay
    Undecided.to_replay = lambda self, *more: first(self, *more)[-1:]


def _expire_by_own_clock() -> None:
    from checkout.clock import wall_ms
    from checkout.upkeep import Upkeep

    first = Upkeep.sweep

    async def sweep(self):
        due = "UPDATE holds SET expires_at_ms = 0 WHERE state = 'held' AND expires_at_ms <= $1"
        await self._truth.fetch(due, wall_ms())
        await first(self)

    Upkeep.sweep = sweep


def _keep_claims() -> None:
    """An entry that somebody claimed is theirs, also if they die; nor does a desk that starts look for such."""
    from checkout import upkeep

    first = upkeep.sql
    upkeep.sql = lambda name: "SELECT 1" if name == "outbox_unpark" else first(name)


CLAIMED = "due_at_ms = 1::bigint << 60"
REDIS = ("redis emptied", "redis killed", "redis rolled back")
"""While the gate is away taps go straight to Postgres."""

REMOVED = {
    "a commit is on the disk before it is told": Removed(
        ("postgres cut",),
        sql=(
            "ALTER SYSTEM SET synchronous_commit = off",
            "ALTER SYSTEM SET wal_writer_delay = '10s'",
            "SELECT pg_reload_conf()",
        ),
    ),
    "Postgres counts for itself": Removed(
        REDIS,
        sql=(
            "ALTER TABLE stock DROP CONSTRAINT never_oversold",
            rewritten("reserve_one_by_one", ("tap.quantity > free", "false")),
            rewritten("reserve_at_price", ("wanted <= product.free", "true")),
        ),
    ),
    "Postgres knows the limit": Removed(
        REDIS,
        sql=(
            rewritten("reserve_one_by_one", ("had + tap.quantity > most", "false")),
            rewritten("reserve_at_price", ("HAVING sum(h.quantity) > product.limit_per_buyer", "HAVING false")),
        ),
    ),
    "a hold's id follows from its key": Removed(("requests cancelled", "retry storm"), patch=_fresh_ids),
    "a payment's id is the provider's key": Removed(
        ("provider times out after success", "retry storm"), patch=_fresh_payment_ids
    ),
    "undecided payments are asked about": Removed(
        ("webhooks dropped", STEP + "the provider has authorized"), patch=_nothing("checkout.till", "Till", "poll")
    ),
    "an entry is said until it is answered": Removed(
        ("provider answers 500", STEP + "the order is committed"), patch=_say_once
    ),
    "orphans are fenced and given back": Removed(
        (STEP + "the gate has admitted",), patch=_nothing("checkout.shelf", "Shelf", "_free_orphans")
    ),
    "what is written down is on the disk before it is told": Removed(
        (STEP + "the tap is written down",), patch=_do_not_sync
    ),
    "a wish is one hold": Removed((STEP + "the gate was told",), patch=_fresh_ids),
    "expiry goes by the clock of Postgres": Removed(("app clock jumps",), patch=_expire_by_own_clock),
    "a claim lapses": Removed(
        (STEP + "the order is committed", "worker killed"),
        workers=2,
        sql=(
            rewritten(
                "claim_outbox",
                ("due_at_ms = clock_ms() + p_lease_ms", CLAIMED),
                ("OR due_at_ms > clock_ms() + 60000", "OR due_at_ms BETWEEN clock_ms() + 60000 AND (1::bigint << 59)"),
            ),
        ),
        patch=_keep_claims,
    ),
    "what a clock put off is due": Removed(
        ("postgres clock jumps", "provider answers 500"),
        sql=(
            rewritten("claim_outbox", ("OR due_at_ms > clock_ms() + 60000", "")),
            rewritten("claim_undecided", ("OR q.check_at_ms > clock_ms() + 60000", "")),
        ),
    ),
    "what waits is decided in order": Removed(("postgres stopped",), patch=_backwards),
    "a webhook is signed": Removed(("webhooks forged",), patch=_believe_webhooks),
}


def remove(name: str) -> None:
    """In this process. Raises KeyError for a name that is none."""
    if patch := REMOVED[name].patch:
        patch()
