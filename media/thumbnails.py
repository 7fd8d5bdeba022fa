"""A small picture of each live show, a few seconds old: for the hub, and for the operator's console.

Now and then the last whole keyframe of a show goes to `media/decoder.py`, a process of its own, and comes back as a
JPEG. The relay decodes nothing.

Owns: the decoder's process, and the last picture of each show.
Invariant: whatever a bitstream does to the decoder costs thumbnails alone: each answer has a deadline, a process
that dies or hangs is replaced, and a show that made it so is asked again only after a growing pause. A show has a
picture here only while `allowed` says that anyone may see it. A host is asked for a keyframe at most once a minute,
and only while somebody looks at the pictures: a browser sends none unasked, and each costs all who watch.
"""

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Final, Protocol

import msgspec
import structlog
from msgspec import Struct

from media.clock import now_ms
from media.core.history import Packet
from media.core.rtp import strip_padding
from media.decoder import Picture, Request, frame
from schema.ids import ShowId

log = structlog.get_logger()

EVERY_MS: Final = 10_000
STALE_MS: Final = 60_000
"""A keyframe of this age is no live picture any more."""
WANTED_MS: Final = 60_000
"""How long after a look at a picture the next one is expected."""
LOOK_S: Final = 1.0
DEADLINE_S: Final = 10.0
START_DEADLINE_S: Final = 30.0
"""Until the process says that it is ready: on a busy machine the lowest priority waits long for its first 0.1 s."""
IDLE_S: Final = 60.0
MAX_KEYFRAME_BYTES: Final = 2 << 20
MAX_ANSWER: Final = 64 << 10
BLAME_MS: Final = 20_000
MAX_BLAME_MS: Final = 640_000

_pictures = msgspec.msgpack.Decoder(Picture)


class DecoderLost(Exception):  # noqa: N818 - what happened
    """The decoder died, hung, or answered nonsense; the next request gets a new one."""


class Thumbnail(Struct, frozen=True, kw_only=True):
    """A JPEG at most 320 pixels wide and 30 KB large, and the size of the picture that it shows."""

    jpeg: bytes
    width: int
    height: int
    taken_ms: int
    etag: str


class Pictures(Protocol):
    """Where keyframes come from: the relay."""

    def keyframes(self) -> Mapping[ShowId, Sequence[Packet]]:
        """For each show on air the packets since a keyframe began, the keyframe's first; or none."""
        ...

    def want_picture(self, show_id: ShowId) -> None:
        """Ask the host for a keyframe; nobody waits for it."""
        ...


class Decoder:
    """The process, started when it is first needed. `command` is what runs; tests put others there."""

    def __init__(
        self, command: Sequence[str] = (sys.executable, "-m", "media.decoder"), *, deadline_s: float = DEADLINE_S
    ) -> None:
        self._command = tuple(command)
        self._deadline_s = deadline_s
        self._process: asyncio.subprocess.Process | None = None
        self.starts = 0
        self.losses = 0

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid if self._process else None

    async def decode(self, request: Request) -> Picture:
        """One picture, empty if the request is none. Raises DecoderLost. One call at a time."""
        try:
            process = await self._running()
            async with asyncio.timeout(self._deadline_s):
                return await self._exchange(process, frame(request))
        except (TimeoutError, OSError, EOFError, msgspec.DecodeError) as error:
            self.losses += 1
            await self.stop()
            raise DecoderLost(type(error).__name__) from None

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"LANG": "C.UTF-8"},  # no secret of ours is worth having near a decoder
            start_new_session=True,
        )
        self.starts += 1
        async with asyncio.timeout(START_DEADLINE_S):
            await _answer(self._process)
        return self._process

    async def _exchange(self, process: asyncio.subprocess.Process, message: bytes) -> Picture:
        assert process.stdin is not None
        process.stdin.write(message)
        await process.stdin.drain()
        return await _answer(process)

    async def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()


async def _answer(process: asyncio.subprocess.Process) -> Picture:
    assert process.stdout is not None
    size = int.from_bytes(await process.stdout.readexactly(4), "big")
    if size > MAX_ANSWER:
        raise EOFError
    return _pictures.decode(await process.stdout.readexactly(size))


class _Seen:
    """What is known of one show."""

    def __init__(self) -> None:
        self.due_ms = 0
        self.sequence = -1
        """Of the last keyframe that was decoded."""
        self.newest = -1
        self.blame_ms = 0
        self.fresh_ms = 0
        """When the last new keyframe was seen here, or one was asked for."""
        self.wanted_ms = 0
        """When somebody last looked."""
        self.thumbnail: Thumbnail | None = None

    def is_stale(self, packets: Sequence[Packet], now: int) -> bool:
        """True once a minute while it is looked at and no keyframe comes."""
        if packets and packets[0].sequence != self.newest:
            self.newest, self.fresh_ms = packets[0].sequence, now
        if now - self.wanted_ms > WANTED_MS or now - self.fresh_ms < STALE_MS:
            return False
        self.fresh_ms = now
        return True


class Thumbnails:
    """`allowed` says which shows anyone may watch now; `run` takes pictures until it is cancelled."""

    def __init__(
        self, pictures: Pictures, allowed: Callable[[ShowId], Awaitable[bool]], decoder: Decoder | None = None
    ) -> None:
        self._pictures = pictures
        self._allowed = allowed
        self.decoder = decoder or Decoder()
        self._shows: dict[ShowId, _Seen] = {}
        self._used_ms = 0

    def get(self, show: ShowId) -> Thumbnail | None:
        """The last picture, if anyone may see it."""
        seen = self._shows.get(show)
        if seen is None:
            return None
        seen.wanted_ms = now_ms()
        return seen.thumbnail

    async def run(self) -> None:
        """Look once a second; its owner cancels it, and the process ends with it."""
        try:
            while True:
                try:
                    await self.look(now_ms())
                except Exception:
                    log.exception("thumbnails_failed")
                await asyncio.sleep(LOOK_S)
        finally:
            await asyncio.shield(self.decoder.stop())

    async def look(self, now: int) -> None:
        """Take the pictures that are due, one after the other."""
        on_air = self._pictures.keyframes()
        shown = [show for show in on_air if await self._allowed(show)]
        self._shows = {show: self._shows.get(show) or _Seen() for show in shown}
        for show in shown:
            if self._shows[show].is_stale(on_air[show], now):
                self._pictures.want_picture(show)
            if self._shows[show].due_ms <= now:
                await self._take(show, self._shows[show], on_air[show], now)
        if now - self._used_ms > IDLE_S * 1000:
            await self.decoder.stop()

    async def _take(self, show: ShowId, seen: _Seen, packets: Sequence[Packet], now: int) -> None:
        request = keyframe_of(packets)
        if request is None or packets[0].sequence == seen.sequence:
            return
        seen.sequence, seen.due_ms, self._used_ms = packets[0].sequence, now + EVERY_MS, now
        try:
            picture = await self.decoder.decode(request)
        except DecoderLost as error:
            seen.blame_ms = min(MAX_BLAME_MS, seen.blame_ms * 2 or BLAME_MS)
            seen.due_ms = now + seen.blame_ms
            log.warning("decoder_lost", show=show, error=str(error), again_ms=seen.blame_ms)
            return
        if picture.jpeg:
            seen.blame_ms = 0
            seen.thumbnail = _thumbnail(picture, now)


def _thumbnail(picture: Picture, now: int) -> Thumbnail:
    etag = f'"{hashlib.sha256(picture.jpeg).hexdigest()[:16]}"'
    return Thumbnail(jpeg=picture.jpeg, width=picture.width, height=picture.height, taken_ms=now, etag=etag)


def keyframe_of(packets: Iterable[Packet]) -> Request | None:
    """The keyframe that `packets` begin with; None while a part of it is missing, or if it is too large."""
    group = list(packets)
    if not group:
        return None
    first = group[0]
    keyframe = list(takewhile(lambda packet: packet.timestamp == first.timestamp, group))
    last = keyframe[-1]
    if not last.marker or last.sequence - first.sequence + 1 != len(keyframe):
        return None
    payloads = tuple(content for packet in keyframe if (content := _content(packet)))
    if sum(map(len, payloads)) > MAX_KEYFRAME_BYTES:
        return None
    return Request(str(first.codec), payloads)


def _content(packet: Packet) -> bytes | None:
    return strip_padding(packet.payload) if packet.padded else packet.payload
