"""Shows: scheduled, run, paused, ended; and the switches that stop sales, chat and video.

Owns: the `shows` rows. The table of moves is `live/core/lifecycle.py`'s.
Invariant: checkout sells exactly while `lifecycle.sells` says so of the stored row; what viewers were told last is
what is stored. `live/republish.py` makes both true again whatever was lost.
"""

import asyncpg
import msgspec
import structlog
from msgspec import Struct

from live.bundles import BundleBook
from live.catalog import Catalog
from live.core import lifecycle
from live.offers import Offers
from live.pins import Pins
from live.ports import Announcer, Presence, StockBook, VideoTap
from live.queries import sql
from live.turns import Connection, Pool, Turns
from schema.errors import Conflict, Invalid, NotFound, PreconditionFailed
from schema.ids import ShowId, VariantId, new_id
from schema.pages import to_cursor
from schema.show import Pin, Show, ShowPage, ShowRequest, ShowState, ShowSummary, VideoSwitch
from schema.wire import Event, SalesChanged, ShowChanged

log = structlog.get_logger()


class Position(Struct, frozen=True, array_like=True):
    """Where a page of shows ends."""

    starts_at_ms: int
    show_id: str


class ShowRow(Struct, frozen=True, kw_only=True):
    """A row of `shows`."""

    show_id: ShowId
    title: str
    description: str
    state: ShowState
    starts_at_ms: int
    currency: str
    slow_mode_ms: int
    sales_open: bool
    chat_open: bool = True
    video_open: bool = True
    video_reason: str = ""
    run: tuple[VariantId, ...] = ()
    version: int
    rehearsal_of: ShowId | None = None

    @property
    def sells(self) -> bool:
        """True if new holds may be taken. A show that ended goes on with its replay; a rehearsal has none."""
        is_over = self.rehearsal_of is not None and self.state is ShowState.ENDED
        return lifecycle.sells(self.state, sales_open=self.sales_open) and not is_over

    @property
    def shown(self) -> dict[str, object]:
        """The state keys every viewer holds."""
        told: dict[str, object] = {"show": self.state, "sales": self.sales_open, "slow": self.slow_mode_ms}
        return told | {"chat": self.chat_open, "video": self.video, "run": self.run}

    @property
    def video(self) -> VideoSwitch:
        """The switch for its video."""
        return VideoSwitch(open=self.video_open, reason=self.video_reason)


class ShowService:
    """The shows, in Postgres."""

    def __init__(
        self,
        pool: Pool,
        turns: Turns,
        *,
        catalog: Catalog,
        pins: Pins,
        bundles: BundleBook,
        offers: Offers,
        stock: StockBook,
        video: VideoTap,
        presence: Presence,
        announcer: Announcer,
    ) -> None:
        self._pool = pool
        self._turns = turns
        self._catalog = catalog
        self._pins = pins
        self._bundles, self._offers = bundles, offers
        self._stock = stock
        self._video = video
        self._presence = presence
        self._announcer = announcer

    async def get(self, show: ShowId) -> Show:
        """A show as everybody may see it, with items, stock and pins. Raises NotFound."""
        return await self._full(await self.row(show))

    async def row(self, show: ShowId) -> ShowRow:
        """A show's own row. Raises NotFound."""
        return _row(await self._pool.fetchrow(sql("show_get"), show), show)

    async def page(self, after: Position | None, limit: int) -> ShowPage:
        """One page of shows, the latest start first."""
        seen = (after.starts_at_ms, after.show_id) if after else (None, None)
        rows = await self._pool.fetch(sql("shows_page"), *seen, limit + 1)
        items = [
            ShowSummary(
                host_present=self._presence.host_present(ShowId(row["show_id"])), **msgspec.to_builtins(dict(row))
            )
            for row in rows[:limit]
        ]
        more = len(rows) > limit
        return ShowPage(
            items=items, next_cursor=to_cursor((items[-1].starts_at_ms, items[-1].show_id)) if more else None
        )

    async def create(self, asked: ShowRequest) -> Show:
        """Schedule a show. Raises Conflict if its id is taken."""
        show = ShowId(asked.show_id or new_id("show"))
        made = await self._pool.fetchval(
            sql("show_insert"), show, asked.title, asked.description, asked.starts_at_ms, asked.currency
        )
        if made is None:
            raise Conflict(f"There is a show {show} already")
        return await self.introduce(show)

    async def introduce(self, show: ShowId) -> Show:
        """Make a show known that has just been stored."""
        row = await self.row(show)
        await self.settle_sales(row)
        self._announcer.state(show, row.shown)
        await self._announcer.announce(show, row.version)
        return await self._full(row)

    async def set_state(self, show: ShowId, state: ShowState, versions: frozenset[int] | None = None) -> Show:
        """Move a show along its life. Raises NotFound, Conflict (no such move), PreconditionFailed."""
        async with self._turns.of(show) as pg:
            row = await self._read(pg, show, versions)
            after = msgspec.structs.replace(row, state=lifecycle.move(row.state, state))
            return await self._write(pg, row, after, ShowChanged(state=state))

    async def set_sales(self, show: ShowId, *, open: bool, versions: frozenset[int] | None = None) -> Show:  # noqa: A002
        """Throw the kill switch, or lift it. Raises NotFound, PreconditionFailed."""
        async with self._turns.of(show) as pg:
            row = await self._read(pg, show, versions)
            after = msgspec.structs.replace(row, sales_open=open)
            return await self._write(pg, row, after, SalesChanged(open=open))

    async def set_chat(self, show: ShowId, *, open: bool, versions: frozenset[int] | None = None) -> Show:  # noqa: A002
        """Pause the chat, or let it go on. Raises NotFound, PreconditionFailed."""
        async with self._turns.of(show) as pg:
            row = await self._read(pg, show, versions)
            return await self._write(pg, row, msgspec.structs.replace(row, chat_open=open))

    async def set_video(self, show: ShowId, asked: VideoSwitch, versions: frozenset[int] | None = None) -> Show:
        """Stop the video, or let it go on. Raises NotFound, PreconditionFailed."""
        reason = "" if asked.open else asked.reason.strip()
        async with self._turns.of(show) as pg:
            row = await self._read(pg, show, versions)
            after = msgspec.structs.replace(row, video_open=asked.open, video_reason=reason)
            return await self._write(pg, row, after)

    async def set_run(self, show: ShowId, run: list[VariantId], versions: frozenset[int] | None = None) -> Show:
        """In which order things will be shown. Raises NotFound, Invalid (none of this show's), PreconditionFailed."""
        items, bundles = await self._catalog.items(show), await self._bundles.of(show)
        known = {one.variant_id for one in items} | {one.bundle_id for one in bundles}
        if len(set(run)) < len(run) or not known.issuperset(run):
            raise Invalid("Each must be an item or a bundle of this show, once", pointer="/variant_ids")
        async with self._turns.of(show) as pg:
            row = await self._read(pg, show, versions)
            return await self._write(pg, row, msgspec.structs.replace(row, run=tuple(run)))

    async def set_slow_mode(self, show: ShowId, slow_mode_ms: int, versions: frozenset[int] | None = None) -> Show:
        """The least time between two messages of one account. Raises NotFound, PreconditionFailed."""
        async with self._turns.of(show) as pg:
            row = await self._read(pg, show, versions)
            return await self._write(pg, row, msgspec.structs.replace(row, slow_mode_ms=slow_mode_ms))

    async def _read(self, pg: Connection, show: ShowId, versions: frozenset[int] | None) -> ShowRow:
        row = _row(await pg.fetchrow(sql("show_get"), show), show)
        if versions is not None and row.version not in versions:
            raise PreconditionFailed(f"The show is at version {row.version}", version=row.version)
        return row

    async def _write(self, pg: Connection, before: ShowRow, after: ShowRow, *events: Event) -> Show:
        """Store, then tell: checkout first (it decides about money), the viewers after."""
        if after != before:
            switches = (after.sales_open, after.slow_mode_ms, after.chat_open, after.video_open, after.video_reason)
            values = (after.show_id, before.version, after.state, *switches, after.run)
            version = await pg.fetchval(sql("show_set"), *values)
            # Pins and prices raise the version under the same turn, so nobody can have come between.
            assert version is not None, "the show's turn was not held"
            after = msgspec.structs.replace(after, version=version)
        # Said again even if nothing changed: asking twice mends what a crash left half done.
        self._video.set_video(after.show_id, open=after.video_open, reason=after.video_reason)
        await self.settle_sales(after)
        self._announcer.state(after.show_id, after.shown)
        if after != before:
            await self._announcer.announce(after.show_id, after.version, *events)
        return await self._full(after)

    async def settle_sales(self, row: ShowRow) -> None:
        """Make checkout sell, or not, as the row says."""
        await self._stock.set_sales(row.show_id, open=row.sells)

    async def pins(self, show: ShowId) -> list[Pin]:
        """What is pinned, the oldest first."""
        return await self._pins.board(show)

    async def _full(self, row: ShowRow) -> Show:
        pins = await self._pins.board(row.show_id)
        return Show(
            show_id=row.show_id,
            title=row.title,
            description=row.description,
            state=row.state,
            starts_at_ms=row.starts_at_ms,
            currency=row.currency,
            sales_open=row.sales_open,
            chat_open=row.chat_open,
            video=row.video,
            run=list(row.run),
            host_present=self._presence.host_present(row.show_id),
            slow_mode_ms=row.slow_mode_ms,
            version=row.version,
            rehearsal_of=row.rehearsal_of,
            pins=[pin.variant_id for pin in pins],
            items=await self._catalog.items(row.show_id),
            bundles=await self._bundles.of(row.show_id),
            coupon=await self._offers.coupon(row.show_id),
        )


def _row(found: asyncpg.Record | None, show: ShowId) -> ShowRow:
    if found is None:
        raise NotFound(f"There is no show {show}")
    return msgspec.convert(dict(found), ShowRow)
