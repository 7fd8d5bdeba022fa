"""A payment network of our own: enough of one to sell with, and every fault of one to test with.

An ASGI app with its state in one SQLite file. Methods: `fake_ok`, `fake_declined`, `fake_slow` (decides after two
seconds and says so by a signed webhook, standardwebhooks.com), `fake_capture_fails`. Each is a card of the buyer's own;
`fake_ok:4242` names the card, and whoever pays with that name pays with the same one.

Owns: the file, and the task that delivers webhooks.
Invariant: a payment id is decided once; captured <= authorized; refunded <= captured.
"""

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec
import structlog
from msgspec import Struct
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from checkout.clock import wall_ms
from checkout.payments import Payment, PaymentState
from schema.ids import new_id

log = structlog.get_logger()

METHODS: dict[str, PaymentState] = {
    "fake_ok": PaymentState.AUTHORIZED,
    "fake_declined": PaymentState.DECLINED,
    "fake_slow": PaymentState.PENDING,
    "fake_capture_fails": PaymentState.AUTHORIZED,
}
"""What becomes of an authorization, at first."""
PAGE = 100
SLOW_MS = 2_000
DELIVERY_ATTEMPTS = 12
DELIVERY_TIMEOUT_S = 5.0
EVENTS_AT_ONCE = 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
    payment_id TEXT PRIMARY KEY, reference TEXT NOT NULL, method TEXT NOT NULL, currency TEXT NOT NULL,
    amount INTEGER NOT NULL, state TEXT NOT NULL, decide_at_ms INTEGER NOT NULL,
    captured INTEGER NOT NULL DEFAULT 0, refunded INTEGER NOT NULL DEFAULT 0,
    authorizations INTEGER NOT NULL DEFAULT 0, captures INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL DEFAULT 0,
    CHECK (captured <= amount AND refunded <= captured)
);
CREATE INDEX IF NOT EXISTS by_reference ON payments (reference);
CREATE INDEX IF NOT EXISTS undecided ON payments (decide_at_ms) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS refunds (refund_id TEXT PRIMARY KEY, payment_id TEXT NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    event_id TEXT PRIMARY KEY, payment_id TEXT NOT NULL, due_at_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'pending'
);
CREATE INDEX IF NOT EXISTS undelivered ON events (due_at_ms) WHERE state = 'pending';
"""


class Authorize(Struct, frozen=True, kw_only=True):
    """Body of POST /payments."""

    payment_id: str
    amount: int
    currency: str
    method: str
    reference: str


class PaymentList(Struct, frozen=True, kw_only=True):
    """Answer of GET /payments, in the order of their ids."""

    items: list[Payment]
    more: bool
    """True: go on after the last one's id."""


class Amount(Struct, frozen=True, kw_only=True):
    """Body of a capture or a refund."""

    amount: int
    refund_id: str = ""


class EventBody(Struct, frozen=True, kw_only=True):
    """Body of a webhook. It says that something happened, and leaves what to a retrieve."""

    event_id: str
    payment_id: str
    type: str = "payment.decided"


@dataclass
class Faults:
    """What goes wrong next. Counts run down to nought; they change no decision of the network."""

    error_500: int = 0
    """Answer this many calls with 500, before doing anything."""
    timeout_after_success: int = 0
    """Do this many calls, and answer 504 all the same."""
    cancels_ignored: int = 0
    """Answer this many cancels with the payment as it is, not cancelled."""
    lists_fail: int = 0
    """Answer this many lists of payments with 500; they have a count of their own, for they come on a timer."""
    duplicate_webhooks: int = 0
    drop_webhooks: int = 0
    late_webhooks_ms: int = 0
    """Every webhook comes this much later."""


class FakePay:
    """The network. `.app` is its ASGI app; `async with` runs the deliveries.

    `post` sends one webhook and answers with its HTTP status; by default over the network to `webhook_url`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        webhook_url: str,
        secret: str,
        clock: Callable[[], int] = wall_ms,
        post: Callable[[str, bytes, dict[str, str]], Awaitable[int]] | None = None,
        slow_ms: int = SLOW_MS,
    ) -> None:
        self.faults = Faults()
        self._webhook_url, self._signer, self._clock, self._slow_ms = webhook_url, Webhook(secret), clock, slow_ms
        self._post = post or _post
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=2000;" + _SCHEMA
        )
        with contextlib.suppress(sqlite3.OperationalError):  # it is there, but in a file of an older network
            self._db.execute("ALTER TABLE payments ADD COLUMN created_at_ms INTEGER NOT NULL DEFAULT 0")
        self._deliveries: asyncio.Task[None] | None = None
        self.app = Starlette(
            routes=[
                Route("/payments", self._authorize, methods=["POST"]),
                Route("/payments", self._list, methods=["GET"]),
                Route("/payments/{payment}", self._retrieve, methods=["GET"]),
                Route("/payments/{payment}/capture", self._capture, methods=["POST"]),
                Route("/payments/{payment}/cancel", self._cancel, methods=["POST"]),
                Route("/payments/{payment}/refunds", self._refund, methods=["POST"]),
            ]
        )

    async def __aenter__(self) -> Self:
        self._deliveries = asyncio.create_task(self._deliver())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._deliveries is not None
        self._deliveries.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._deliveries
        self._db.close()

    def count(self, column: str, reference: str) -> int:
        """How often money really moved for one reference: `authorizations`, `captures`, `captured`, `refunded`."""
        assert column in {"authorizations", "captures", "captured", "refunded"}
        row = self._db.execute(f"SELECT sum({column}) FROM payments WHERE reference = ?", (reference,))  # noqa: S608
        return int(row.fetchone()[0] or 0)

    # -- operations ---------------------------------------------------------------------------------------------

    async def _authorize(self, request: Request) -> Response:
        ask = msgspec.json.decode(await request.body(), type=Authorize)

        def act() -> int:
            state = METHODS.get(kind_of(ask.method), PaymentState.DECLINED)
            wait_ms = self._slow_ms if state is PaymentState.PENDING else 0
            self._db.execute(
                "INSERT INTO payments (payment_id, reference, method, currency, amount, state, decide_at_ms,"
                " authorizations, created_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    ask.payment_id,
                    ask.reference,
                    ask.method,
                    ask.currency,
                    ask.amount,
                    state,
                    self._clock() + wait_ms,
                    int(state == "authorized"),
                    self._clock(),
                ),
            )
            return 200

        return self._answer(ask.payment_id, act)

    async def _retrieve(self, request: Request) -> Response:
        return self._answer(request.path_params["payment"], lambda: 200)

    async def _list(self, request: Request) -> Response:
        if self.faults.lists_fail:
            self.faults.lists_fail -= 1
            return Response(status_code=500)
        self._decide_due()
        query = request.query_params
        rows = self._db.execute(
            "SELECT * FROM payments WHERE created_at_ms >= ? AND payment_id > ? ORDER BY payment_id LIMIT ?",
            (int(query.get("since_ms", "0")), query.get("after", ""), PAGE + 1),
        ).fetchall()
        return _json(PaymentList(items=[_payment(row) for row in rows[:PAGE]], more=len(rows) > PAGE))

    async def _capture(self, request: Request) -> Response:
        ask = msgspec.json.decode(await request.body(), type=Amount)
        payment_id = request.path_params["payment"]

        def act() -> int:
            row = self._row(payment_id)
            if row is None or row["state"] not in {"authorized", "captured"} or _cannot_be_taken(row):
                return 409
            self._db.execute(
                "UPDATE payments SET state = 'captured', captured = ?, captures = captures + 1"
                " WHERE payment_id = ? AND state = 'authorized'",
                (ask.amount, payment_id),
            )
            return 200

        return self._answer(payment_id, act)

    async def _cancel(self, request: Request) -> Response:
        payment_id = request.path_params["payment"]

        def act() -> int:
            if self.faults.cancels_ignored:
                self.faults.cancels_ignored -= 1
                return 200
            # A payment never heard of is cancelled too: an authorization that is still on its way finds it so.
            self._db.execute(
                "INSERT INTO payments (payment_id, reference, method, currency, amount, state, decide_at_ms,"
                " created_at_ms) VALUES (?, '', '', '', 0, 'cancelled', 0, ?) ON CONFLICT (payment_id) DO UPDATE"
                " SET state = 'cancelled' WHERE state IN ('pending', 'authorized')",
                (payment_id, self._clock()),
            )
            return 200

        return self._answer(payment_id, act)

    async def _refund(self, request: Request) -> Response:
        ask = msgspec.json.decode(await request.body(), type=Amount)
        payment_id = request.path_params["payment"]

        def act() -> int:
            row = self._row(payment_id)
            if self._db.execute("SELECT 1 FROM refunds WHERE refund_id = ?", (ask.refund_id,)).fetchone():
                return 200
            if row is None or ask.amount > row["captured"] - row["refunded"]:
                return 409
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO refunds VALUES (?, ?, ?)", (ask.refund_id, payment_id, ask.amount))
            self._db.execute(
                "UPDATE payments SET refunded = refunded + ? WHERE payment_id = ?", (ask.amount, payment_id)
            )
            self._db.execute("COMMIT")
            return 200

        return self._answer(payment_id, act)

    # -- inside -------------------------------------------------------------------------------------------------

    def _answer(self, payment_id: str, act: Callable[[], int]) -> Response:
        if self._fails():
            return Response(status_code=500)
        self._decide_due()
        status = act()
        if self.faults.timeout_after_success:
            self.faults.timeout_after_success -= 1
            return Response(status_code=504)
        row = self._row(payment_id)
        if row is None:
            return Response(status_code=404)
        return _json(_payment(row), status)

    def _fails(self) -> bool:
        if not self.faults.error_500:
            return False
        self.faults.error_500 -= 1
        return True

    def _row(self, payment_id: str) -> Any:
        return self._db.execute("SELECT * FROM payments WHERE payment_id = ?", (payment_id,)).fetchone()

    def _decide_due(self) -> None:
        """Slow payments whose time has come are authorized, and an event is due for each."""
        now = self._clock()
        due = self._db.execute(
            "UPDATE payments SET state = 'authorized', authorizations = 1"
            " WHERE state = 'pending' AND decide_at_ms <= ? RETURNING payment_id",
            (now,),
        ).fetchall()
        for row in due:
            self._say(row["payment_id"], now + self.faults.late_webhooks_ms)

    def _say(self, payment_id: str, due_at_ms: int) -> None:
        if self.faults.drop_webhooks:
            self.faults.drop_webhooks -= 1
            return
        self._db.execute(
            "INSERT INTO events (event_id, payment_id, due_at_ms) VALUES (?, ?, ?)",
            (new_id("evt"), payment_id, due_at_ms),
        )

    async def _deliver(self) -> None:
        while True:
            try:
                delivered = await self._deliver_due()
            except sqlite3.Error as error:  # locked by another process for too long: the next round
                log.warning("webhooks_wait", error=str(error))
                delivered = 0
            await asyncio.sleep(0.02 if delivered else 0.1)

    async def _deliver_due(self) -> int:
        self._decide_due()
        rows = self._db.execute(
            "SELECT * FROM events WHERE state = 'pending' AND due_at_ms <= ? ORDER BY due_at_ms LIMIT ?",
            (self._clock(), EVENTS_AT_ONCE),
        ).fetchall()
        for row in rows:
            await self._send(row["event_id"], row["payment_id"], row["attempts"])
        return len(rows)

    async def _send(self, event_id: str, payment_id: str, attempts: int) -> None:
        body, headers = self.signed(event_id, payment_id)
        times = 1
        if self.faults.duplicate_webhooks:
            self.faults.duplicate_webhooks -= 1
            times = 2
        status = 0
        for _ in range(times):
            try:
                status = await self._post(self._webhook_url, body, headers)
            except Exception as error:  # noqa: BLE001 - whatever the receiver does, the others get theirs
                log.info("webhook_not_delivered", event_id=event_id, error=type(error).__name__)
        again = "pending" if attempts + 1 < DELIVERY_ATTEMPTS else "given_up"
        state = "done" if 200 <= status < 300 else again
        # Standard Webhooks: the same id on every try, with growing pauses.
        self._db.execute(
            "UPDATE events SET attempts = attempts + 1, state = ?, due_at_ms = ? WHERE event_id = ?",
            (state, self._clock() + 250 * 2**attempts, event_id),
        )

    def signed(self, event_id: str, payment_id: str) -> tuple[bytes, dict[str, str]]:
        """A webhook's body and headers."""
        body = msgspec.json.encode(EventBody(event_id=event_id, payment_id=payment_id))
        now = datetime.fromtimestamp(int(self._clock() / 1000), tz=UTC)
        return body, {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(event_id, now, body.decode()),
        }


async def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with httpx2.AsyncClient(timeout=DELIVERY_TIMEOUT_S) as client:
        status: int = (await client.post(url, content=body, headers=headers)).status_code
        return status


def kind_of(method: str) -> str:
    """What a method does: all before the colon, behind which a card may be named."""
    return method.partition(":")[0]


def _cannot_be_taken(row: Any) -> bool:
    return kind_of(row["method"]) == "fake_capture_fails"


def _fingerprint(method: str) -> str:
    """A card's, as real networks give it: it names no number, and is the same for whoever pays with the card."""
    card = method.partition(":")[2]
    return hashlib.sha256(card.encode()).hexdigest()[:16] if card else ""


def _payment(row: Any) -> Payment:
    return Payment(
        payment_id=row["payment_id"],
        state=PaymentState(row["state"]),
        amount=row["amount"],
        captured=row["captured"],
        refunded=row["refunded"],
        fingerprint=_fingerprint(row["method"]),
        reference=row["reference"],
        currency=row["currency"],
        created_at_ms=row["created_at_ms"],
    )


def _json(body: Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
