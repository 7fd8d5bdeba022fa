"""Webhooks out: what happened is told to the merchant's own systems, signed, until they have taken it.

Events are written by triggers, in the transaction of the fact (0007_hands.sql). One courier an endpoint takes what is
due there and posts it; a receiver that is slow, or down, keeps no other waiting. Standard Webhooks: the id of an event
is the same on every try, its body the same bytes, its signature made anew with the time of the try.

Owns: endpoints, events, deliveries, and the couriers.
Invariant: what committed is told at least once to whoever wanted it then, or its delivery says why not.
"""

import asyncio
import base64
import random
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from standardwebhooks import Webhook

from checkout.audit import Audit
from checkout.clock import wall_ms
from checkout.core.retries import ATTEMPTS, BASE_MS, PATIENCE_MS, pause_ms
from checkout.postman import Postman, Unreachable
from checkout.rows import Row, order_of, refund_of
from checkout.truth import Truth, sql
from schema.errors import Conflict, Invalid, NotFound, ShowfloorError
from schema.ids import AccountId, EndpointId, new_id
from schema.pages import from_cursor, to_cursor
from schema.people import Principal, Role
from schema.webhooks import (
    Delivery,
    DeliveryPage,
    DeliveryState,
    Endpoint,
    EndpointList,
    EndpointRequest,
    EndpointState,
    EventType,
    Message,
)

log = structlog.get_logger()

ENDPOINTS_MAX = 20
AT_ONCE = 4
"""Of one endpoint."""
LEASE_MS = 30_000
LOOK_S = 0.25
TIDY_S = 3_600.0
KEPT_MS = 30 * 86_400_000
"""Deliveries and their bodies, which name buyers, are kept for so long."""
SYSTEM = Principal(account_id=AccountId("system"), role=Role.OPERATOR, name="Showfloor")

_encode = msgspec.json.Encoder().encode


class Pace(Struct, frozen=True, kw_only=True):
    """How patient deliveries are."""

    look_s: float = LOOK_S
    base_ms: int = BASE_MS
    attempts: int = ATTEMPTS
    patience_ms: int = PATIENCE_MS


class Webhooks:
    """`leads`: whether it is this process that delivers. Raises Unavailable when Postgres does not answer."""

    def __init__(
        self,
        truth: Truth,
        postman: Postman,
        audit: Audit,
        *,
        leads: Callable[[], Awaitable[bool]],
        pace: Pace | None = None,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        self._truth, self._postman, self._audit, self._leads = truth, postman, audit, leads
        self._pace, self._clock = pace or Pace(), clock
        self._busy: set[str] = set()
        self.delivered = 0
        self.refused = 0
        self.given_up = 0
        """Endpoints; since this process started."""

    # -- endpoints ----------------------------------------------------------------------------------------------

    async def make(self, asked: EndpointRequest) -> Endpoint:
        """A new endpoint, with its secret. Raises Invalid for an address that is not to be told, Conflict."""
        try:
            await self._postman.find(asked.url)
        except Unreachable as error:
            raise Invalid(str(error), pointer="/url") from None
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        types = sorted({*asked.types, EventType.PING})
        row = await self._truth.one(
            sql("webhook_make"), new_id("whe"), asked.url, secret, [each.value for each in types], ENDPOINTS_MAX
        )
        if row is None:
            raise Conflict(f"There are {ENDPOINTS_MAX} endpoints already", limit=ENDPOINTS_MAX)
        return msgspec.structs.replace(endpoint_of(row), secret=secret)

    async def endpoints(self) -> EndpointList:
        """All of them, the oldest first."""
        return EndpointList(items=[endpoint_of(row) for row in await self._truth.fetch(sql("webhook_endpoints"))])

    async def switch(self, endpoint: EndpointId, *, enabled: bool) -> Endpoint:
        """Go on telling an endpoint, also one that was given up, or stop. Raises NotFound."""
        state = EndpointState.ENABLED if enabled else EndpointState.DISABLED
        return endpoint_of(await self._set(endpoint, state.value))

    async def delete(self, endpoint: EndpointId) -> None:
        """Forget an endpoint and what was on its way there. Twice is once."""
        await self._truth.one(sql("webhook_set"), endpoint, "deleted")

    async def ping(self, endpoint: EndpointId) -> Delivery:
        """Tell an endpoint that it is told. Raises NotFound."""
        row = await self._truth.one(sql("webhook_ping"), endpoint, new_id("evt"), new_id("dlv"))
        if row is None:
            raise _no_endpoint()
        return delivery_of(row)

    async def deliveries(self, endpoint: EndpointId, cursor: str | None = None, limit: int = 50) -> DeliveryPage:
        """What was told to an endpoint, newest first."""
        (last,) = from_cursor(cursor, tuple[str]) or ("",)
        rows = await self._truth.fetch(sql("webhook_deliveries"), endpoint, last, limit + 1)
        items = [delivery_of(row) for row in rows[:limit]]
        return DeliveryPage(items=items, next_cursor=to_cursor((items[-1].delivery_id,)) if len(rows) > limit else None)

    async def replay(self, endpoint: EndpointId, delivery_id: str) -> Delivery:
        """Tell it again, at once and under the same id. Raises NotFound."""
        row = await self._truth.one(sql("webhook_replay"), endpoint, delivery_id)
        if row is None:
            raise NotFound("There is no such delivery")
        return delivery_of(row)

    async def _set(self, endpoint: EndpointId, state: str) -> Row:
        row: Row | None = await self._truth.one(sql("webhook_set"), endpoint, state)
        if row is None:
            raise _no_endpoint()
        return row

    # -- couriers -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver for ever, while this process leads; its owner cancels it."""
        loop = asyncio.get_running_loop()
        tidy_at = loop.time()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    if await self._leads():
                        for endpoint in await self._due():
                            self._busy.add(endpoint)
                            group.create_task(self._courier(endpoint))
                        if loop.time() >= tidy_at:
                            tidy_at = loop.time() + TIDY_S
                            await self._truth.fetch(sql("webhook_tidy"), KEPT_MS)
                except ShowfloorError as error:
                    log.warning("webhooks_wait", error=type(error).__name__)
                await asyncio.sleep(self._pace.look_s)

    async def _due(self) -> list[str]:
        rows = await self._truth.fetch(sql("webhook_due"), list(self._busy), ENDPOINTS_MAX)
        return [row["endpoint_id"] for row in rows]

    async def _courier(self, endpoint: str) -> None:
        """Take what is due at one endpoint, until nothing is."""
        try:
            while rows := await self._claim(endpoint):
                async with asyncio.TaskGroup() as group:
                    for row in rows:
                        group.create_task(self._deliver(row))
        except* Exception as errors:  # noqa: BLE001 - its lease brings it back; the other couriers go on
            log.warning("courier_failed", endpoint=endpoint, error=repr(errors.exceptions[0])[:300])
        finally:
            self._busy.discard(endpoint)

    async def _claim(self, endpoint: str) -> list[Row]:
        return await self._truth.fetch("SELECT * FROM claim_deliveries($1, $2, $3)", endpoint, AT_ONCE, LEASE_MS)

    async def _deliver(self, delivery: Row) -> None:
        address = await self._truth.one(sql("webhook_told"), delivery["event_id"], delivery["endpoint_id"])
        if address is None:
            return  # deleted meanwhile
        body = address["body"] or await self._body(address)
        posted = await self._postman.post(address["url"], body.encode(), self._signed(address, body))
        self.delivered += posted.taken
        self.refused += not posted.taken
        pace, attempts = self._pace, delivery["attempts"]
        settled = await self._truth.one(
            "SELECT * FROM settle_delivery($1, $2, $3, $4, $5, $6, $7, $8)",
            delivery["delivery_id"], posted.status, posted.error, posted.taken, posted.gone,
            pause_ms(attempts, random.random(), pace.base_ms), pace.attempts, pace.patience_ms,  # noqa: S311 - a spread
        )  # fmt: skip
        log.info("webhook_told", event_id=delivery["event_id"], endpoint=delivery["endpoint_id"],
            status=posted.status, attempt=attempts, error=posted.error)  # fmt: skip
        if settled["given_up"]:
            await self._alarm(delivery["endpoint_id"], posted.error)

    async def _alarm(self, endpoint: str, error: str | None) -> None:
        self.given_up += 1
        log.error("webhook_endpoint_given_up", endpoint=endpoint, error=error)
        await self._audit.write("giveUpWebhookEndpoint", f"webhook-endpoints/{endpoint}", SYSTEM, {"error": error})

    async def _body(self, event: Row) -> str:
        """The body of an event, made once: whoever comes second finds the first one's."""
        happened = datetime.fromtimestamp(event["created_at_ms"] / 1000, tz=UTC)
        message = Message(
            type=EventType(event["type"]),
            timestamp=happened.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            data=await self._data(event),
            test=event["test"],
        )
        row = await self._truth.one(sql("webhook_body"), event["event_id"], _encode(message).decode())
        body: str = row["body"]
        return body

    async def _data(self, event: Row) -> Any:
        data = msgspec.json.decode(event["data"])
        if "order_id" not in data:
            return data
        order = order_of(await self._truth.one(sql("order"), data["order_id"], None, None))
        if "refund_id" not in data:
            return order
        refund = refund_of(await self._truth.one(sql("refund"), data["refund_id"]))
        return {"order": order, "refund": refund}

    def _signed(self, address: Row, body: str) -> dict[str, str]:
        """The headers of one try. The library signs the seconds of a time without its zone."""
        now = datetime.fromtimestamp(self._clock() // 1000, tz=UTC)
        return {
            "Content-Type": "application/json",
            "User-Agent": "Showfloor",
            "webhook-id": address["event_id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(address["secret"]).sign(address["event_id"], now, body),
        }


def _no_endpoint() -> NotFound:
    return NotFound("There is no such endpoint")


def endpoint_of(row: Row) -> Endpoint:
    """A row of `webhook_endpoints`, without its secret."""
    return Endpoint(
        endpoint_id=row["endpoint_id"],
        url=row["url"],
        types=[EventType(each) for each in row["types"]],
        state=EndpointState(row["state"]),
        failing_since_ms=row["failing_since_ms"],
        created_at_ms=row["created_at_ms"],
    )


def delivery_of(row: Row) -> Delivery:
    """A delivery with its event."""
    return Delivery(
        delivery_id=row["delivery_id"],
        event_id=row["event_id"],
        type=EventType(row["type"]),
        object_id=row["object_id"],
        test=row["test"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        due_at_ms=row["due_at_ms"],
        status=row["status"],
        error=row["error"],
        created_at_ms=row["created_at_ms"],
        delivered_at_ms=row["delivered_at_ms"],
    )
