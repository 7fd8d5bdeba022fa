"""As whom the servers run: PostgreSQL refuses root.

Owns: the command prefix that sheds root, and the owner the data must then have.
Invariant: as a plain user nothing is changed; permissions of directories above the data are never touched.
"""

import os
import subprocess
from pathlib import Path

from msgspec import Struct

NOBODY = 65534

_USER_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
_SETPRIV = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
_ACCESS_TOO = "--securebits=+no_setuid_fixup"
"""Otherwise access(2), by which PostgreSQL looks for its own programs, ignores the capabilities of all but root."""


class Identity(Struct, frozen=True, kw_only=True):
    """Who a server runs as, seen from our side of any namespace."""

    how: str
    prefix: tuple[str, ...]
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make `path` and all below it this identity's. As a plain user there is nothing to do."""
        if os.geteuid() != 0 or path.lstat().st_uid == self.uid:
            return
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        for folder, folders, files in os.walk(path):
            for name in folders + files:
                os.chown(Path(folder, name), self.uid, self.gid, follow_symlinks=False)


def current(reach: Path | None = None) -> Identity:
    """As a plain user, ourselves. As root a user namespace; where one is refused (chroots, many containers), nobody.

    `reach` is a directory that it must be able to enter: a namespace shuts root out of other people's.

    `nobody` keeps the one capability to walk through directories closed to it, since the virtual environment and
    the data may stand below `/root`; without it, both must be within its reach.
    """
    if os.geteuid() != 0:
        return Identity(how="plain user", prefix=(), uid=os.geteuid(), gid=os.getegid())
    if _works(_USER_NAMESPACE, reach):
        return Identity(how="user namespace", prefix=_USER_NAMESPACE, uid=0, gid=0)
    return unprivileged(reach)


def unprivileged(reach: Path | None = None) -> Identity:
    """The user nobody, by setpriv, with the most it can be given to reach our files."""
    for capability in ("dac_read_search", "dac_override"):
        prefix = (*_SETPRIV, _ACCESS_TOO, f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}", "--")
        if _works(prefix, reach):
            return Identity(how=f"nobody, with {capability}", prefix=prefix, uid=NOBODY, gid=NOBODY)
    return Identity(how="nobody", prefix=(*_SETPRIV, "--"), uid=NOBODY, gid=NOBODY)


def _works(prefix: tuple[str, ...], reach: Path | None) -> bool:
    probe = ["test", "-x", str(reach)] if reach else ["true"]
    try:
        return subprocess.run([*prefix, *probe], capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603
    except OSError:
        return False
