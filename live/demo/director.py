"""The host and the operator of the demo: carry out the running order through the public interface.

Owns: the place in the running order, kept in a file of the data directory so that a demo that was interrupted
goes on where it stood. Invariant: a cue that fails is logged and never stops the show.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import structlog
from msgspec import Struct

from live.demo import running_order
from live.demo.running_order import Cue

log = structlog.get_logger()

BEAT_S = 0.25
PLACE_FILE = "demo-place.json"


class Place(Struct, frozen=True, kw_only=True):
    """How far a show has come."""

    show: str
    at_s: float


class Director:
    """Directs one show with a host's and an operator's client."""

    def __init__(self, show: str, host: httpx2.AsyncClient, operator: httpx2.AsyncClient, data_dir: Path) -> None:
        self._show, self._host, self._operator = show, host, operator
        self._path = data_dir / PLACE_FILE
        self._api = f"/api/v1/shows/{show}"

    async def direct(self) -> bool:
        """Every cue in its time, from where the show stood. False if it stood at the end already."""
        at_s = self._stood_at_s()
        if at_s >= running_order.CUES[-1].at_s:
            return False
        began_s = time.monotonic() - max(at_s, 0)
        while at_s < running_order.CUES[-1].at_s:
            now_s = time.monotonic() - began_s
            for cue in running_order.due(at_s, now_s):
                await self._carry_out(cue)
                self._remember(cue.at_s)
            at_s = now_s
            await asyncio.sleep(BEAT_S)
        return True

    async def go_live(self) -> None:
        """Open the show; one that has ended stays so."""
        answer = await self._host.put(f"{self._api}/state", json={"state": "live"})
        if answer.status_code != 409:
            answer.raise_for_status()

    def _stood_at_s(self) -> float:
        try:
            place = msgspec.json.decode(self._path.read_bytes(), type=Place)
        except (OSError, msgspec.DecodeError):
            return -1
        return place.at_s if place.show == self._show else -1

    def _remember(self, at_s: float) -> None:
        aside = self._path.with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(Place(show=self._show, at_s=at_s)))
        aside.replace(self._path)

    async def _carry_out(self, cue: Cue) -> None:
        try:
            answer = await self._do(cue)
            if answer.is_error:
                log.warning("cue_refused", deed=cue.deed, variant=cue.variant, status=answer.status_code)
        except (httpx2.HTTPError, LookupError) as error:
            log.warning("cue_failed", deed=cue.deed, variant=cue.variant, error=repr(error))

    async def _do(self, cue: Cue) -> httpx2.Response:  # noqa: C901, PLR0911 - one for each deed
        host, operator, api = self._host, self._operator, self._api
        value: Any = cue.value
        match cue.deed:
            case "say":
                return await host.post(f"{api}/chat", json={"text": value})
            case "pin":
                return await host.post(f"{api}/pins", json={"variant_id": cue.variant})
            case "unpin":
                return await host.delete(f"{api}/pins/{cue.variant}")
            case "flash":
                return await self._flash(cue)
            case "poll":
                poll = {"question": value, "options": list(cue.options), "duration_s": int(cue.lasts_s)}
                return await host.post(f"{api}/polls", json=poll)
            case "announce":
                return await host.put(f"{api}/announcement", json={"text": value, "duration_s": int(cue.lasts_s)})
            case "coupon":
                return await host.put(f"{api}/coupon", json={"code": value})
            case "slow":
                return await host.put(f"{api}/chat-settings", json={"slow_mode_ms": value})
            case "restock":
                return await operator.post(f"{api}/items/{cue.variant}/restock", json={"quantity": value})
            case "refund":
                return await self._refund(str(cue.variant))
            case "sales":
                return await operator.put(f"{api}/sales", json={"open": value})
            case "state":
                return await host.put(f"{api}/state", json={"state": value})

    async def _flash(self, cue: Cue) -> httpx2.Response:
        ends_at_ms = time.time_ns() // 1_000_000 + int(cue.lasts_s * 1000)
        flash = {"price_amount": cue.value, "quantity": cue.units, "ends_at_ms": ends_at_ms}
        headers = {"Idempotency-Key": f"demo-{cue.at_s}"}
        return await self._host.put(f"{self._api}/items/{cue.variant}/flash-price", json=flash, headers=headers)

    async def _refund(self, variant: str) -> httpx2.Response:
        """The newest captured order of one item comes back. LookupError if nobody bought any."""
        orders = (await self._operator.get(f"{self._api}/orders", params={"limit": 200})).raise_for_status().json()
        bought = [each for each in orders["items"] if each["variant_id"] == variant and each["state"] == "captured"]
        order = bought[0]["order_id"]
        headers = {"Idempotency-Key": f"demo-{order}"}
        return await self._operator.post(f"/api/v1/orders/{order}/refund", json={}, headers=headers)
