"""One seed's shop in virtual time: books, gatebox, payment network, and one or two real desks on lines to them."""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

from faults.judge import Found
from faults.virtual.books import Books
from faults.virtual.disk import File, System
from faults.virtual.gatebox import Gatebox
from faults.virtual.line import Line, Weather
from faults.virtual.loop import PROCESS, outside
from faults.virtual.ports import Channels, Client, Pool, RowLock
from faults.virtual.provider import Network, Provider
from faults.virtual.stockbooks import is_out

from checkout import gate, journal, shelf, truth
from checkout.desk import Desk, Pace
from checkout.payments import WebhookForged
from schema.errors import ShowfloorError, Unavailable

SHOW = "gala"
OPENING = {"pot": 5, "pan": 3}
BUNDLE, BUNDLE_PRICE, PARTS = "set", 5000, {"pan": 1, "pot": 2}
COUPONS = {
    "TENTH": {"percent_bp": 1000, "uses": 2},
    "ONCE": {"amount": 700, "minimum": 3000, "uses_per_buyer": 1},
}
LIMIT = 2
PACE = Pace(sweep_s=1.0, poll_s=1.0, outbox_s=1.0, reconcile_s=2.0)
PATIENCE_S = 8.0


class Silent:
    def stock_changed(self, *_: object) -> None: ...


class Process:
    """A desk and the requests it is answering. `disk`: where it writes down what waits for Postgres."""

    def __init__(self, shop: "Shop", disk: File) -> None:
        self._shop, self.disk, dice = shop, disk, shop.dice
        self._context = copy_context()
        self._context.run(PROCESS.set, self)
        self.lines = [
            Line(dice, shop.postgres, ConnectionResetError),
            Line(dice, shop.redis, ConnectionResetError, longest=2.0),
            Line(dice, shop.network.weather, ConnectionResetError),
        ]
        self.desk = self._desk()
        self.requests: set[asyncio.Task] = set()
        self.is_up = False

    def _desk(self) -> Desk:
        shop, (to_postgres, to_redis, to_network) = self._shop, self.lines
        return Desk(
            Pool(shop.books, to_postgres, shop.lock),
            Client(shop.box, to_redis, shop.channels),
            Provider(shop.network, to_network),
            Silent(),
            hold_ms=shop.hold_ms,
            clock=shop.app_clock,
            pace=PACE,
            journal=self.disk,
        )

    async def start(self) -> None:
        await self._shop.loop.create_task(self._start(), context=self._context)

    async def _start(self) -> None:
        """As often as it takes: Postgres may be down."""
        while not self.lines[0].is_cut:
            try:
                await self.desk.__aenter__()
            except Unavailable:
                await self.desk.abandon()
                await asyncio.sleep(0.3)
                self.desk = self._desk()
            else:
                self.is_up = True
                return

    def freeze(self) -> None:
        self._shop.loop.freeze(self)

    def thaw(self) -> None:
        self._shop.loop.thaw(self)

    def answer(self, work: Awaitable[Any]) -> asyncio.Task:
        task = self._shop.loop.create_task(work, context=self._context)
        self.requests.add(task)
        task.add_done_callback(self._answered)
        return task

    def _answered(self, task: asyncio.Task) -> None:
        self.requests.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, also where its client has gone

    async def kill(self, *, power: bool = True) -> None:
        """kill -9: nothing it would still say gets through."""
        self.is_up = False
        for line in self.lines:
            line.cut()
        self.disk.kill()
        if not power:
            self.disk.lose_power()
        self.thaw()  # nothing is frozen in death
        for task in list(self.requests):
            task.cancel()
        await self.desk.abandon()


class Shop:
    def __init__(self, seed: int, names: frozenset[str] = frozenset()) -> None:
        self.seed, self.dice, self.removed = seed, random.Random(seed), names
        self.loop = asyncio.get_running_loop()
        self.app_jump_ms = self.books_jump_ms = 0
        self.books = Books(lambda: self._ms() + self.books_jump_ms, names)
        if "expiry goes by the clock of Postgres" in names:
            self.books.expiry_clock = self.app_clock
        self.box, self.lock, self.channels = Gatebox(names), RowLock(), Channels()
        self.box.publish = self.channels.publish
        self.network = Network(self.dice, names)
        self.network.send = self._post
        self.postgres, self.redis = Weather(), Weather()
        self.hold_ms = self.dice.choice((3_000, 300_000))
        disks = [File(random.Random(f"disk {seed} {n}")) for n in range(self.dice.choice((1, 1, 2)))]
        self.processes = [Process(self, disk) for disk in disks]
        self.forged_taken = self.forged_sent = 0
        self.kept: list[tuple[float, dict]] = []

    def _ms(self) -> int:
        return int(self.loop.time() * 1000)

    def app_clock(self) -> int:
        return self._ms() + self.app_jump_ms

    async def open(self) -> None:
        for variant, units in OPENING.items():
            self.books.add_item(SHOW, variant, 1900, LIMIT)
            self.books.allocate(SHOW, variant, units)
        self.books.add_bundle(SHOW, BUNDLE, BUNDLE_PRICE, PARTS)
        for code, terms in COUPONS.items():
            self.books.add_coupon(SHOW, code, **terms)
        self.books.set_sales(SHOW, True)
        for process in self.processes:
            await process.start()

    def calm(self) -> None:
        """The last fault has ended, whatever several of them at once have left of the weather."""
        for weather in (self.postgres, self.redis, self.network.weather, self.network.mail):
            weather.__dict__.update(vars(Weather()))

    async def close(self) -> None:
        for process in self.processes:
            await process.kill()

    async def restart(self, number: int, after_s: float, *, power: bool = True) -> None:
        """`power`: whether its machine keeps it; without, what was not synced is lost too."""
        before = self.processes[number]
        await before.kill(power=power)
        await asyncio.sleep(after_s)
        if self.processes[number] is before:  # and no other fault has started it meanwhile
            self.processes[number] = Process(self, before.disk)
            await self.processes[number].start()

    async def crash_postgres(self) -> None:
        """Whoever was told of a commit finds it again; the others may or may not."""
        self.postgres.down, self.lock.holder = True, None
        if self.kept:  # a store that says "committed" before it is on the disk
            self.books.restore(self.kept[-1][1])
        await asyncio.sleep(0.2 + self.dice.random())
        self.postgres.down = False

    async def call(self, op: Callable[[Desk], Awaitable[Any]], patience_s: float = PATIENCE_S) -> Any:
        """One request. Raises OSError where its client hears nothing."""
        up = [process for process in self.processes if process.is_up]
        if not up:
            raise ConnectionRefusedError
        process = self.dice.choice(up)
        task = process.answer(op(process.desk))
        done, _ = await asyncio.wait({task}, timeout=patience_s)
        if not done and self.dice.random() < 0.5:
            task.cancel()  # the server noticed that nobody waits any more
        if not done or task.cancelled():
            raise ConnectionResetError
        return task.result()

    def _post(self, event_id: str, payment_id: str, good: bool) -> None:
        async def post() -> None:
            headers = {"webhook-id": event_id, "signature": "good" if good else "forged"}
            try:
                await self.call(lambda desk: desk.webhook(payment_id.encode(), headers))
            except (OSError, ShowfloorError, WebhookForged):
                return
            self.forged_taken += not good

        self.forged_sent += not good
        task = self.loop.create_task(post(), context=outside())
        self.mail = [*(t for t in getattr(self, "mail", []) if not t.done()), task]

    # -- what is there ------------------------------------------------------------------------------------------

    def found(self, *, clock_jumped: bool, gate_forgot: bool) -> Found:
        books = self.books
        return Found(
            now_ms=books.clock(),
            holds=[row | {"decided": number} for number, row in enumerate(books.holds.values())],
            orders=list(books.orders.values()),
            payments=list(books.payments.values()),
            refunds=list(books.refunds.values()),
            restocks=list(books.restocks.values()),
            lines=[line for lines in books.lines.values() for line in lines],
            charges=list(self.network.payments.values()),
            opening=OPENING,
            limit=LIMIT,
            clock_jumped=clock_jumped,
            gate_forgot=gate_forgot,
            parts={BUNDLE: PARTS},
            coupons=list(books.coupons.values()),
            coupon_uses=list(books.coupon_uses.values()),
            offers=frozenset(entry["hold_id"] for entry in books.waitlist.values() if entry["hold_id"]),
            one_line=len(self.processes) == 1,
        )

    def unsettled(self) -> list[str]:
        """What a fault left half done."""
        books, now = self.books, self.books.clock()
        left = {
            "holds paying": sum(row["state"] == "paying" for row in books.holds.values()),
            "holds overdue": sum(
                row["state"] == "held" and row["expires_at_ms"] < now - 5000 for row in books.holds.values()
            ),
            "payments undecided": sum(row["state"] == "authorizing" for row in books.payments.values()),
            "orders not captured": sum(row["state"] == "paid" for row in books.orders.values()),
            "refunds not given": sum(row["state"] == "pending" for row in books.refunds.values()),
            "outbox entries": sum(row["state"] != "done" for row in books.outbox.values()),
            "taps not confirmed": sum(len(process.disk.undecided()) for process in self.processes),
        }
        return [f"{count} {what}" for what, count in left.items() if count] + self._gate_apart()

    def _gate_apart(self) -> list[str]:
        found = []
        for (show, variant), item in self.books.stock.items():
            base = f"sf:{{{show}}}:gate:{variant}"
            epoch, available, _, pending, waiting = self.box.look([base, f"{base}:holds", f"{base}:pending"], [])
            held = {hold.decode(): int(v.split(b":")[0]) for hold, v in self.box.keys.get(f"{base}:holds", {}).items()}
            mine = {
                row["hold_id"]: row["quantity"]
                for row in self.books.holds.values()
                if row["variant_id"] == variant and is_out(row)
            }
            theirs = (int(epoch or -1), available, bool(pending), bool(waiting), held)
            ours = (item["epoch"], item["stocked"] - item["taken"], False, item["waiting"] > 0, mine)
            found += [f"the gate of {variant}: {theirs} and not {ours}"] if theirs != ours else []
        return found


@contextmanager
def virtual_time(loop: asyncio.AbstractEventLoop, *, syncs: bool = True) -> Iterator[None]:
    """The room's clocks and ids go by this loop and by counting, so that a seed repeats itself."""
    numbers = iter(range(1, 1 << 60))
    changed: list[tuple[Any, str, Any]] = []

    def put(module: Any, name: str, value: Any) -> None:
        changed.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    clock = SimpleNamespace(monotonic=loop.time, monotonic_ns=lambda: int(loop.time() * 1e9))
    for module in (truth, gate, shelf):
        put(module, "time", clock)
    for name, tool in System(syncs=syncs).modules.items():
        put(journal, name, tool)
    for name, module in list(sys.modules.items()):
        if name.startswith("checkout.") and hasattr(module, "new_id"):
            put(module, "new_id", lambda prefix: f"{prefix}_{next(numbers):08d}")
    try:
        yield
    finally:
        for module, name, value in reversed(changed):
            setattr(module, name, value)
