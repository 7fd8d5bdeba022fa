"""The file in which one desk writes down what waits for Postgres, as its disk has it.

What a process wrote outlives the process; what it has not synced does not outlive the power. The journal of
checkout/journal.py runs on it unchanged: this is the `os`, the `fcntl` and the threads that it sees.
"""

import asyncio
import errno
import json
import os
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

SLOWEST_S = 0.01


class Folder:
    def mkdir(self, **_: object) -> None: ...


class File:
    """A path and what stands there. `synced` is what a power cut leaves for sure."""

    parent = Folder()

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.data = self.synced = b""
        self.is_full = False
        self.holder = -1
        self.on_its_way: bytes = b""

    def read_bytes(self) -> bytes:
        return self.data

    def kill(self) -> None:
        """Its process dies: what it was just writing is there, in part, or not."""
        if self.on_its_way and self.dice.random() < 0.7:
            self.data += self.on_its_way[: self.dice.randint(0, len(self.on_its_way))]
        self.holder, self.on_its_way = -1, b""

    def lose_power(self) -> None:
        """Of what was not synced some is there, or zeros in its place, or nothing; one cut short may be long again."""
        if self.data.startswith(self.synced):
            tail = self.data[len(self.synced) :]
            tail = tail[: self.dice.randint(0, len(tail))]
            self.data = self.synced + self.dice.choice((b"", tail, b"\0" * len(tail)))
        else:
            self.data = self.dice.choice((self.synced, self.data[: self.dice.randint(0, len(self.data))]))
        self.synced = self.data

    def undecided(self) -> list[str]:
        """The hold ids that are written down, and whose end is not."""
        left: dict[str, None] = {}
        for line in self.data.split(b"\n")[:-1]:
            said = json.loads(line)
            if said["type"] == "tap":
                left[said["entry"]["tap"]["hold_id"]] = None
            else:
                for hold_id in said["hold_ids"]:
                    left.pop(hold_id, None)
        return list(left)


class System:
    """The calls that the journal makes, by descriptor. One of a dead process answers EBADF."""

    O_RDWR, O_CREAT, O_CLOEXEC, O_RDONLY, SEEK_SET = os.O_RDWR, os.O_CREAT, os.O_CLOEXEC, os.O_RDONLY, os.SEEK_SET

    def __init__(self, *, syncs: bool = True) -> None:
        self._open: dict[int, File | Folder] = {}
        self._syncs, self._next = syncs, 100

    def open(self, path: File | Folder, _flags: int, _mode: int = 0) -> int:
        self._next += 1
        self._open[self._next] = path
        return self._next

    def flock(self, number: int, _how: int) -> None:
        file = self._open[number]
        if file.holder >= 0:
            raise BlockingIOError(errno.EAGAIN, "another process has it open")
        file.holder = number

    def _file(self, number: int) -> File:
        file = self._open.get(number)
        if not isinstance(file, File) or file.holder != number:
            raise OSError(errno.EBADF, "its process is dead")
        return file

    def write(self, number: int, data: bytes) -> int:
        file, data = self._file(number), bytes(data)
        if file.is_full:
            some = file.dice.randint(0, len(data) - 1)
            if not some:
                raise OSError(errno.ENOSPC, "no space left on the device")
            data = data[:some]
        file.data += data
        return len(data)

    def ftruncate(self, number: int, size: int) -> None:
        file = self._file(number)
        file.data = file.data[:size]

    def lseek(self, number: int, at: int, _how: int) -> None:
        assert at == len(self._file(number).data), "the journal writes at its end only"

    def fsync(self, number: int) -> None:
        if isinstance(self._open.get(number), Folder):
            return
        file = self._file(number)
        if self._syncs:
            file.synced = file.data

    def close(self, number: int) -> None:
        file = self._open.pop(number, None)
        if isinstance(file, File) and file.holder == number:
            file.holder = -1

    async def to_thread(self, act: Callable, number: int, data: bytes) -> None:
        """It goes on when its caller leaves, as a thread does. One of a dead process answers nothing."""
        loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        file = self._open[number]
        assert isinstance(file, File)
        if file.holder == number:
            file.on_its_way = data

        def write() -> None:
            if file.holder != number:
                done.cancel()
                return
            file.on_its_way = b""
            try:
                act(number, data)
            except OSError as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        loop.call_later(0.0005 + file.dice.random() * SLOWEST_S, write)
        await done

    @property
    def modules(self) -> dict[str, Any]:
        """What to put into checkout.journal."""
        tools = {name: getattr(asyncio, name) for name in ("Lock", "ensure_future", "shield")}
        return {
            "os": self,
            "fcntl": SimpleNamespace(flock=self.flock, LOCK_EX=2, LOCK_NB=4),
            "asyncio": SimpleNamespace(**tools, to_thread=self.to_thread),
        }
