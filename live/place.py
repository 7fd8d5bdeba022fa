"""Where one process stands among those that serve together: its number, and the sockets by which it finds the others.

Owns: the names of those sockets. Invariant: the folder is open to nobody else, so whoever speaks there is one of us.
"""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from live.stores.embedded import make_private, sockets_dir
from live.stores.server import is_running


class Place(Struct, frozen=True, kw_only=True):
    """Worker `worker` of `workers`, counted from 0."""

    worker: int
    workers: int
    folder: Path

    def http(self, worker: int) -> Path:
        """Where a worker answers the requests that another one got for it."""
        return self.folder / f"{worker}.http"

    def of(self, worker: int) -> "Place":
        """The place of another one."""
        return msgspec.structs.replace(self, worker=worker)

    @property
    def others(self) -> list[int]:
        """The other workers."""
        return [number for number in range(self.workers) if number != self.worker]


def make_folder(data_dir: Path) -> Path:
    """A folder for the sockets of this process's workers, mode 0700; what killed ones have left goes. StoreError."""
    sockets = sockets_dir(data_dir)
    make_private(sockets)
    for left in sockets.glob("w[0-9]*"):
        if not is_running(int(left.name[1:])):
            remove_folder(left)
    folder = sockets / f"w{os.getpid()}"
    make_private(folder)
    return folder


def remove_folder(folder: Path) -> None:
    """Take it away, with the sockets in it."""
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
    folder.rmdir()
