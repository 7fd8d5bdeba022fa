"""A flood of chat: do pins and stock still come in time.

Owns: nothing. Invariant: the age of a pin is from before its POST to the frame at a viewer, so that what the flood does
to the service's HTTP counts too.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable

from relay.window import share_of
from websockets.asyncio.client import ClientConnection, connect

from fanout import SHOW, cpu_ns
from fanout.contenders import Ours, World
from fanout.load import Load
from schema.people import Role

VARIANT, SCOUTS, EVERY_S, LATE_S = "flood-item", 10, 0.25, 20
TEXT = '{"t":"chat","text":"% is what I said"}'


class Scout:
    """A viewer of ours that notes when it was told what."""

    def __init__(self) -> None:
        self.pins: list[float] = []
        self.stock: dict[int, float] = {}
        self.chat = 0

    async def watch(self, path: str, base: str) -> None:
        async with connect(base + path, compression=None, max_size=None, ping_interval=None) as socket:
            await self._read(socket)

    async def _read(self, socket: ClientConnection) -> None:
        first = True
        async for text in socket:
            now, frame = time.monotonic(), json.loads(text)
            for event in [] if first else frame.get("ev", ()):
                if event["t"] == "pin":
                    self.pins.append(now)
                self.chat += event["t"] == "chat"
            stock = frame.get("st", {}).get(f"stock.{VARIANT}")
            if stock:
                self.stock.setdefault(stock["on_hand"], now)
            first = False


class Ages:
    """In milliseconds, of what the scouts were told."""

    def __init__(self) -> None:
        self.pins: list[float] = []
        self.stock: list[float] = []
        self.lost = 0


async def flood(world: World, of: Ours, accounts: int, watching: int, rate: int, seconds: float) -> None:
    """The table: without the flood and with it."""
    await _prepare(of)
    paths = await of.paths(accounts + watching + SCOUTS)
    talkers = await Load.start(world.folder, of.url, paths[:accounts], first_frame=True)
    others = await Load.start(world.folder, of.url, paths[accounts : accounts + watching], first_frame=True)
    scouts = [Scout() for _ in range(SCOUTS)]
    base = of.url.partition("/ws/")[0]
    tasks = [asyncio.create_task(one.watch(path, base)) for one, path in zip(scouts, paths[-SCOUTS:], strict=True)]
    try:
        await talkers.open(accounts)
        await others.open(watching)
        print(
            f"\n{accounts} accounts, each with a socket, say {rate} messages a second together, for {seconds:g} s; "
            f"{accounts + watching} viewers, of whom {SCOUTS} are asked; the limits as they ship\n"
        )
        print("| said | pins: ms p50, p99, most | stock: ms p50, p99, most | not heard | chat came, a second | core |")
        print("|---|---|---|---|---|---|")
        for number in (0, rate):
            await asyncio.sleep(2)
            await _row(of, scouts, talkers, number, seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await talkers.stop()
        await others.stop()


async def _prepare(of: Ours) -> None:
    """A live show with one item."""
    product = {"title": "Flood", "variants": [{"price_amount": 100, "variant_id": VARIANT}]}
    async with of.http(Role.OPERATOR) as http:
        for path, body in (
            ("/api/v1/products", product),
            (f"/api/v1/shows/{SHOW}/items", {"variant_id": VARIANT, "opening_stock": 10}),
        ):
            answer = await http.post(path, json=body)
            if answer.status_code not in {201, 409}:
                raise SystemExit(f"{path}: {answer.text}")
        await http.put(f"/api/v1/shows/{SHOW}/state", json={"state": "live"})


async def _row(of: Ours, scouts: list[Scout], talkers: Load, rate: int, seconds: float) -> None:
    chat, cpu, began = scouts[0].chat, cpu_ns(of.pid), time.monotonic()
    talk = asyncio.create_task(talkers.talk(rate, seconds, TEXT)) if rate else None
    ages = await _taps(of, scouts, seconds)
    said = await talk if talk else 0
    took = time.monotonic() - began
    cells = [
        f"{said / seconds:,.0f} messages a second" if rate else "nothing",
        *(f"{share_of(one, 0.5):.0f}, {share_of(one, 0.99):.0f}, {one[-1]:.0f}" for one in (ages.pins, ages.stock)),
        str(ages.lost),
        f"{(scouts[0].chat - chat) / took:.0f}",
        f"{(cpu_ns(of.pid) - cpu) / 1e9 / took:.0%}",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


async def _taps(of: Ours, scouts: list[Scout], seconds: float) -> Ages:
    """Pin, restock and unpin, again and again; each waits until it was heard."""
    ages, until = Ages(), time.monotonic() + seconds
    async with of.http(Role.OPERATOR) as http:
        while time.monotonic() < until:
            heard = [len(one.pins) for one in scouts]
            tapped = time.monotonic()
            (await http.post(f"/api/v1/shows/{SHOW}/pins", json={"variant_id": VARIANT})).raise_for_status()
            await _heard(
                ages,
                ages.pins,
                tapped,
                lambda heard=heard: [
                    one.pins[was] for one, was in zip(scouts, heard, strict=True) if len(one.pins) > was
                ],
            )
            tapped = time.monotonic()
            answer = await http.post(f"/api/v1/shows/{SHOW}/items/{VARIANT}/restock", json={"quantity": 1})
            on_hand = answer.raise_for_status().json()["stock"]["on_hand"]
            await _heard(
                ages,
                ages.stock,
                tapped,
                lambda on_hand=on_hand: [one.stock[on_hand] for one in scouts if on_hand in one.stock],
            )
            (await http.delete(f"/api/v1/shows/{SHOW}/pins/{VARIANT}")).raise_for_status()
            await asyncio.sleep(EVERY_S)
    ages.pins.sort()
    ages.stock.sort()
    return ages


async def _heard(ages: Ages, into: list[float], tapped: float, found: Callable[[], list[float]]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LATE_S):
            while len(found()) < SCOUTS:
                await asyncio.sleep(0.01)
    times = found()
    ages.lost += SCOUTS - len(times)
    into.extend((one - tapped) * 1000 for one in times)
