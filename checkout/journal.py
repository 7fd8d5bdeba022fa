"""A file of admitted taps that Postgres could not be told of: what is in it survives the process, and the machine.

Owns: one file of JSON lines, one for a tap, one for its end, and the lock on it.
Invariant: `append` returns when its lines are on disk, or raises Unavailable with the file as it was. A last line that
was cut short was acknowledged to nobody.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from checkout.core.confirming import Entry
from schema.errors import Unavailable

log = structlog.get_logger()


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """These were decided."""

    hold_ids: list[str]


class Written(Struct, frozen=True, kw_only=True, tag="tap"):
    """This one was admitted."""

    entry: Entry


class GivenBack(Struct, frozen=True, kw_only=True, tag="given_back"):
    """Their buyers do not want these any more."""

    hold_ids: list[str]


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """The truth had none for these: whatever it has later, they are not asked about again."""

    hold_ids: list[str]


_encode = msgspec.json.Encoder().encode
_lines = msgspec.json.Decoder(Written | Ended | GivenBack | Refused)


class Journal:
    """Opened by `open`, which answers with what another process of this name has left undecided."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._size = 0
        self._writing = asyncio.Lock()
        self.given_back: frozenset[str] = frozenset()
        """Which of those that `open` found are not wanted any more."""
        self.refused: frozenset[str] = frozenset()
        """Which of them were refused."""

    @property
    def is_open(self) -> bool:
        """True while it can be written."""
        return self._file >= 0

    def open(self) -> list[Entry]:
        """The undecided entries, in order. Raises OSError, also where another process has it open."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            kept, entries, self.given_back, self.refused = _read(self._path.read_bytes())
            os.ftruncate(file, kept)
            os.lseek(file, kept, os.SEEK_SET)
            os.fsync(file)
            _sync_folder(self._path.parent)
        except BaseException:
            os.close(file)
            raise
        self._file, self._size = file, kept
        return entries

    def close(self) -> None:
        """Let go of it."""
        if self.is_open:
            os.close(self._file)
            self._file = -1

    async def append(self, entries: Iterable[Entry]) -> None:
        """Write these down. Raises Unavailable: then none of them is."""
        await self._write(b"".join(_encode(Written(entry=entry)) + b"\n" for entry in entries))

    async def give_back(self, hold_id: str) -> None:
        """Write down that this one is not wanted any more. Raises Unavailable: then it is."""
        await self._write(_encode(GivenBack(hold_ids=[hold_id])) + b"\n")

    async def refuse(self, hold_ids: list[str]) -> None:
        """Write down that these were refused, before anybody hears so. Raises Unavailable: then they were not."""
        await self._write(_encode(Refused(hold_ids=hold_ids)) + b"\n")

    async def end(self, hold_ids: list[str], *, nothing_left: bool) -> None:
        """These were decided; with nothing left the file begins anew. What is lost of this is replayed, and known."""
        if nothing_left:
            await self._empty()
        else:
            await self._write(_encode(Ended(hold_ids=hold_ids)) + b"\n")

    async def _write(self, data: bytes) -> None:
        await self._writing.acquire()
        if not self.is_open:
            self._writing.release()
            raise Unavailable("Stock cannot be confirmed right now", retry_after_ms=1000)
        # Shielded: a caller that leaves must not leave half a line behind that a later one goes on with. And its turn
        # ends with the write, not with the caller: else the next one's line might come before this one.
        writing = asyncio.ensure_future(self._append_bytes(data))
        writing.add_done_callback(lambda _: self._writing.release())
        await asyncio.shield(writing)

    async def _append_bytes(self, data: bytes) -> None:
        try:
            await asyncio.to_thread(_write_all, self._file, data)
            self._size += len(data)
        except OSError as error:
            log.error("journal_not_written", error=repr(error)[:200])
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise Unavailable("Stock cannot be confirmed right now", retry_after_ms=1000) from error

    async def _empty(self) -> None:
        async with self._writing:
            if self.is_open:
                os.ftruncate(self._file, 0)
                os.lseek(self._file, 0, os.SEEK_SET)
                self._size = 0


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _read(data: bytes) -> tuple[int, list[Entry], frozenset[str], frozenset[str]]:
    """How much of it is whole lines, what they leave undecided, and what of that was given back or refused."""
    entries: dict[str, Entry] = {}
    given_back: set[str] = set()
    refused: set[str] = set()
    kept = 0
    for line in data.splitlines(keepends=True):
        try:
            said = _lines.decode(line) if line.endswith(b"\n") else None
        except msgspec.DecodeError:
            said = None
        if said is None:
            log.warning("journal_cut", bytes_left_out=len(data) - kept)
            break
        kept += len(line)
        if isinstance(said, Written):
            entries.setdefault(said.entry.tap.hold_id, said.entry)
        elif isinstance(said, GivenBack):
            given_back.update(said.hold_ids)
        elif isinstance(said, Refused):
            refused.update(said.hold_ids)
        else:
            for hold_id in said.hold_ids:
                entries.pop(hold_id, None)
    return kept, list(entries.values()), frozenset(given_back & entries.keys()), frozenset(refused & entries.keys())
