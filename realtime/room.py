"""One show's viewers in this process, and the tick that feeds them.

Owns: the viewers of one channel and the row of frames on their way to them.
Invariant: frames leave in order, at most one every `early_ms`; no send is awaited; after `SLICE_MS` of sends the loop
runs before the next ones.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from realtime.core.channel import Channel, Kind, Publication, Tick, Verdict
from realtime.core.frames import Op, frame
from schema.ids import AccountId, ShowId

if TYPE_CHECKING:
    from realtime.viewer import Viewer

SLICE_MS = 4
"""How long viewers are written to before the loop may do something else."""
STRIDE = 32
"""Viewers between two looks at the clock: 0.4 ms of sends, where a look costs a tenth of a microsecond."""
FRAME_MAX_BYTES = 48 * 1024
"""Events beyond this do not wait for the tick, so that a frame stays below a viewer's bound."""
PREBUILT_MAX = 64

_json = msgspec.json.Decoder()
_msgpack = msgspec.msgpack.Encoder()


def transcode(payload: bytes) -> bytes:
    """The same frame for viewers of the msgpack subprotocol; done once a tick for all of them."""
    return _msgpack.encode(_json.decode(payload))


def seal(payload: bytes, *, binary: bool) -> bytes:
    """A payload as the WebSocket frame of one of the two subprotocols."""
    return frame(transcode(payload), Op.BINARY) if binary else frame(payload)


class _Outgoing(NamedTuple):
    serial: int
    tick: Tick
    sealed: list[bytes | None]
    """The frame as JSON, and as msgpack, once somebody needs it."""
    viewers: "list[Viewer]"


class Room:
    """`reload` is called when the channel must be loaded (again)."""

    def __init__(
        self, show: ShowId, *, tick_ms: int, clock: Callable[[], int], reload: Callable[["Room"], None]
    ) -> None:
        self.show = show
        self.channel = Channel()
        self.viewers: set[Viewer] = set()
        self._by_account: dict[AccountId, tuple[Viewer, ...]] = {}
        """The same viewers, the oldest of an account first. A tuple of one costs 48 bytes."""
        self.ready = asyncio.Event()
        self.loading = False
        self.owed_load = False
        """True: a load must follow, since the last one failed or a subscription began after it did."""
        self.idle_since_ms = clock()
        self._tick_ms = tick_ms
        self._early_ms = max(1, tick_ms // 4)
        self._clock = clock
        self._reload = reload
        self._serial = 0
        self._flushed_ms = -tick_ms
        self._timer: asyncio.TimerHandle | None = None
        self._due_ms = 0
        self._row: deque[_Outgoing] = deque()
        self._cursor = 0
        self._writing = False
        self._prebuilt: dict[tuple[bool, bytes], bytes] = {}

    # -- what comes in ------------------------------------------------------------------------------------------

    def on_publication(self, epoch: str, publication: Publication) -> None:
        verdict = self.channel.receive(epoch, publication)
        if verdict is Verdict.GAP:
            self._reload(self)
        elif verdict is Verdict.TAKEN:
            self._expect_flush(publication.kind)

    def on_state(self, epoch: str, version: int, values: dict[str, bytes]) -> None:
        if self.channel.receive_state(epoch, version, values) is Verdict.GAP:
            self._reload(self)
        self._expect_flush(None)

    def note_stale(self, *, stale: bool) -> None:
        """Tell everybody that what they see may be old, or no longer is."""
        if self.channel.note_stale(stale=stale):
            self._expect_flush(None)

    def on_loaded(self, *, unbroken: bool) -> None:
        """The channel was loaded: tell everybody what changed, or, after a break, everything."""
        self.ready.set()
        if not unbroken:
            self._send_snapshots()
        self._expect_flush(Kind.EVENT)

    def _expect_flush(self, kind: Kind | None) -> None:
        """See to it that a flush comes: at once if the last tick was empty, early for *must*, else on the tick."""
        if not self.channel.waiting:
            return
        if self.channel.pending_bytes > FRAME_MAX_BYTES:
            self.flush()
            return
        must = kind not in {None, Kind.CHAT, Kind.ROUTINE}
        due = self._flushed_ms + (self._early_ms if must else self._tick_ms)
        if self._timer is not None:
            if due >= self._due_ms:
                return
            self._timer.cancel()
        self._due_ms = due
        wait_s = max(0, due - self._clock()) / 1000
        self._timer = asyncio.get_running_loop().call_later(wait_s, self.flush)

    # -- what goes out ------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what waits to everybody."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tick = self.channel.flush()
        if tick is None:
            return
        self._flushed_ms = self._clock()
        self._prebuilt.clear()
        self._serial += 1
        self._row.append(_Outgoing(self._serial, tick, [None, None], list(self.viewers)))
        if not self._writing:
            self._write_slice()

    def _write_slice(self) -> None:
        began_ms = now_ms = self._clock()
        viewers = self._row[0].viewers
        while self._cursor < len(viewers) and now_ms - began_ms < SLICE_MS:
            self._write_stride(self._row[0], now_ms)
            self._cursor += STRIDE
            now_ms = self._clock()
        if self._cursor >= len(viewers):
            self._row.popleft()
            self._cursor = 0
        self._writing = bool(self._row)
        if self._writing:
            asyncio.get_running_loop().call_soon(self._write_slice)

    def _write_stride(self, outgoing: _Outgoing, now_ms: int) -> None:
        """To each viewer that waits for nothing else by one call of the kernel; whoever is behind decides itself."""
        serial, tick, sealed, viewers = outgoing
        write = os.write
        for viewer in viewers[self._cursor : self._cursor + STRIDE]:
            data = sealed[viewer.binary]
            if data is None:
                data = sealed[viewer.binary] = seal(tick.payload, binary=viewer.binary)
            number = viewer.fd
            if number < 0 or viewer.serial >= serial:
                if viewer.room is not None and viewer.offer(serial, tick.epoch, tick.before, now_ms):
                    viewer.send(data)
                continue
            viewer.serial = serial
            try:
                sent = write(number, data)
            except OSError:
                sent = 0
            if sent < len(data):
                viewer.transport.write(data[sent:])

    def _send_snapshots(self) -> None:
        self._prebuilt.clear()
        self._serial += 1
        self._row.clear()  # whoever did not get these frames yet gets the snapshot instead
        payload = self.channel.resume("", 0)[0]
        tick = Tick(payload, "", 0, self.channel.sent)
        self._row.append(_Outgoing(self._serial, tick, [None, None], list(self.viewers)))
        self._cursor = 0
        if not self._writing:
            self._write_slice()

    def aclose(self) -> None:
        """Forget the timer; nobody is left in the room."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- viewers ------------------------------------------------------------------------------------------------

    def seat(self, viewer: "Viewer", most: int) -> "Viewer | None":
        """Let a viewer sit; returns the oldest of its account's if there are now more than `most`."""
        account = viewer.principal.account_id
        own = self._by_account[account] = (*self._by_account.get(account, ()), viewer)
        self.viewers.add(viewer)
        return own[0] if len(own) > most else None

    def unseat(self, viewer: "Viewer") -> None:
        """A viewer that sits here goes."""
        self.viewers.discard(viewer)
        account = viewer.principal.account_id
        left = tuple(one for one in self._by_account[account] if one is not viewer)
        if left:
            self._by_account[account] = left
        else:
            del self._by_account[account]

    def of(self, account: AccountId) -> "tuple[Viewer, ...]":
        """An account's viewers, the oldest first."""
        return self._by_account.get(account, ())

    def whisper(self, account: AccountId, event: bytes) -> None:
        """Tell one account's viewers; one that does not read misses it."""
        payload = b'{"private":%b}' % event
        for viewer in self.of(account):
            if not viewer.paused:
                viewer.reply(transcode(payload) if viewer.binary else payload)

    @property
    def serial(self) -> int:
        """The number of the last frame that was sent."""
        return self._serial

    def welcome(self, *, binary: bool, epoch: str | None, offset: int) -> bytes:
        """The first frame of a socket: the snapshot, or, where `epoch` is given, what it missed since `offset`."""
        if epoch is not None and epoch == self.channel.epoch and self.channel.sent < offset <= self.channel.received:
            self.flush()  # another process was a tick ahead of this one
        if epoch is None:
            return self._sealed(self.channel.join(), binary=binary)
        return self.catch_up(binary=binary, epoch=epoch, offset=offset)

    def catch_up(self, *, binary: bool, epoch: str, offset: int) -> bytes:
        """What a viewer that stands at `offset` needs to stand where the room does."""
        return self._sealed(self.channel.resume(epoch, offset)[0], binary=binary)

    def _sealed(self, payload: bytes, *, binary: bool) -> bytes:
        # The channel gives the same object until something changes, so one frame serves a storm of joins.
        key = (binary, payload)
        made = self._prebuilt.get(key)
        if made is None:
            if len(self._prebuilt) >= PREBUILT_MAX:
                self._prebuilt.clear()
            made = self._prebuilt[key] = seal(payload, binary=binary)
        return made
