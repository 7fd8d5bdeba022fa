"""`showfloor doctor`: what this machine has, in plain words, and what mends what is missing.

Owns: nothing. Invariant: it starts no store and changes nothing but an empty probe file in the data directory.
"""

import importlib.metadata
import os
import platform
import socket
import tempfile
from enum import StrEnum
from pathlib import Path

import asyncpg
import redis.asyncio
from msgspec import Struct

from live.browser import find_chromium
from live.settings import Settings, is_live
from live.stores import identity
from live.stores.binaries import find, postgres_major, version
from live.stores.embedded import MEND, holder_of
from media.native.loader import load

CONNECT_TIMEOUT_S = 5.0
UDP_SEGMENT = 103
"""SOL_UDP's option for GSO, linux/udp.h; Python 3.11 has no name for it."""


class Verdict(StrEnum):
    """What a finding means."""

    OK = "ok"
    NOTE = "note"
    MISSING = "MISSING"
    """Something needed is not there: the exit status is 1."""


class Finding(Struct, frozen=True, kw_only=True):
    """One line of the report."""

    about: str
    verdict: Verdict
    text: str
    mend: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything that a start depends on."""
    return [
        _python(),
        _packages(),
        await _postgres(settings),
        await _redis(settings),
        _broker(settings),
        _who(settings),
        _data_dir(settings),
        *_ports(settings),
        _gso(),
        _egress(settings),
        _payments(settings),
        _chromium(),
    ]


def report(findings: list[Finding]) -> tuple[str, int]:
    """The text for people, and the exit status: 1 if something needed is missing."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:>8}  {finding.about}: {finding.text}")
        if finding.mend and finding.verdict is not Verdict.OK:
            lines.append(f"{'':>8}  -> {finding.mend}")
    missing = [finding.about for finding in findings if finding.verdict is Verdict.MISSING]
    lines.append(f"Not ready: {', '.join(missing)}." if missing else "Ready: `showfloor serve` or `showfloor demo`.")
    return "\n".join(lines), 1 if missing else 0


def _python() -> Finding:
    text = f"{platform.python_version()} on {platform.system()} {platform.release()} ({platform.machine()})"
    return Finding(about="Python", verdict=Verdict.OK, text=text)


def _packages() -> Finding:
    found = {name: _package_version(name) for name in ("aiortc", "av", "uvicorn", "asyncpg", "redis")}
    ours = _package_version("showfloor")
    text = f"showfloor {ours or 'from the source tree'}, " + ", ".join(f"{n} {v or 'absent'}" for n, v in found.items())
    if all(found.values()):
        return Finding(about="Packages", verdict=Verdict.OK, text=text)
    return Finding(about="Packages", verdict=Verdict.MISSING, text=text, mend="Run `make demo`, which sets them up.")


def _package_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _payments(settings: Settings) -> Finding:
    about = "Payments"
    if settings.payment_provider == "fake":
        text = "the built-in test network: everybody can buy, and no money moves"
        mend = "To take money: SHOWFLOOR_PAYMENT_PROVIDER=stripe, with its keys (docs/payments.md)."
        return Finding(about=about, verdict=Verdict.NOTE, text=text, mend=mend)
    kind = "live: money moves" if is_live(settings.stripe_secret_key) else "test keys: no money moves"
    if settings.stripe_webhook_secret:
        return Finding(about=about, verdict=Verdict.OK, text=f"Stripe, {kind}")
    text = f"Stripe, {kind}; without webhooks a slow bank's answer is asked for every two seconds"
    return Finding(about=about, verdict=Verdict.NOTE, text=text, mend="Set SHOWFLOOR_STRIPE_WEBHOOK_SECRET.")


async def _postgres(settings: Settings) -> Finding:
    about = "PostgreSQL"
    if settings.database_url:
        try:
            connection = await asyncpg.connect(settings.database_url, timeout=CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            text = f"DATABASE_URL does not answer: {_short(error)}"
            return Finding(about=about, verdict=Verdict.MISSING, text=text, mend="Start it, or unset DATABASE_URL.")
        try:
            number = await connection.fetchval("SHOW server_version")
        finally:
            await connection.close()
        return Finding(about=about, verdict=Verdict.OK, text=f"DATABASE_URL answers, version {number}")
    found = find()
    if not found.postgres:
        return Finding(about=about, verdict=Verdict.MISSING, text="no server was found", mend=MEND)
    text = f"embedded, from the {found.postgres_from}: {version(found.postgres)}"
    made_by = _cluster_major(settings.data_dir)
    if made_by not in (None, postgres_major(found.postgres)):
        text += f"; but the data in {settings.data_dir / 'pg'} was made by version {made_by}"
        return Finding(
            about=about,
            verdict=Verdict.MISSING,
            text=text,
            mend="Move the data with pg_dump, or set SHOWFLOOR_DATA_DIR.",
        )
    return Finding(about=about, verdict=Verdict.OK, text=text)


def _cluster_major(data_dir: Path) -> int | None:
    try:
        return int((data_dir / "pg/PG_VERSION").read_text())
    except (OSError, ValueError):
        return None


async def _redis(settings: Settings) -> Finding:
    about = "Redis"
    if settings.redis_url:
        try:
            async with redis.asyncio.from_url(settings.redis_url, socket_connect_timeout=CONNECT_TIMEOUT_S) as client:
                facts = await client.info("server") | await client.info("cluster")
        except (OSError, TimeoutError, ValueError, redis.asyncio.RedisError) as error:
            text = f"REDIS_URL does not answer: {_short(error)}"
            return Finding(about=about, verdict=Verdict.MISSING, text=text, mend="Start it, or unset REDIS_URL.")
        number = str(facts["redis_version"])
        kind = ", a server of a cluster" if facts.get("cluster_enabled") else ""
        text = f"REDIS_URL answers, version {number}{kind}"
        if int(number.partition(".")[0]) < 7:
            return Finding(about=about, verdict=Verdict.MISSING, text=text, mend="Use Redis 7.0 or newer, or Valkey.")
        return Finding(about=about, verdict=Verdict.OK, text=text)
    found = find()
    if not found.valkey:
        return Finding(about=about, verdict=Verdict.MISSING, text="no Valkey or Redis was found", mend=MEND)
    text = f"embedded, from the {found.valkey_from}: {version(found.valkey)}"
    return Finding(about=about, verdict=Verdict.OK, text=text)


def _broker(settings: Settings) -> Finding:
    about = "Broker"
    if settings.broker == "redis":
        return Finding(about=about, verdict=Verdict.OK, text="Redis: chat, pins and counts reach every process")
    text = "memory: this process alone; who comes back after a restart gets a snapshot, not what was missed"
    mend = "For several processes or machines: unset SHOWFLOOR_BROKER."
    return Finding(about=about, verdict=Verdict.NOTE, text=text, mend=mend)


def _who(settings: Settings) -> Finding:
    if settings.redis_url and settings.database_url:
        return Finding(about="Embedded stores", verdict=Verdict.OK, text="not used: both addresses are set")
    return Finding(
        about="Embedded stores",
        verdict=Verdict.OK,
        text=f"would run as {identity.current(_nearest(settings.data_dir)).how}",
    )


def _data_dir(settings: Settings) -> Finding:
    about, folder = "Data directory", settings.data_dir
    nearest = _nearest(folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK) or not _writes(nearest):
        text = f"{folder} cannot be written"
        return Finding(about=about, verdict=Verdict.MISSING, text=text, mend="Set SHOWFLOOR_DATA_DIR to one that can.")
    holder = holder_of(folder)
    if holder:
        text = f"{folder} is in use by the program with pid {holder}"
        mend = "Stop it before starting another, or set SHOWFLOOR_DATA_DIR."
        return Finding(about=about, verdict=Verdict.NOTE, text=text, mend=mend)
    state = "is there" if folder.exists() else "will be made"
    return Finding(about=about, verdict=Verdict.OK, text=f"{folder} {state}, writable, used by nobody")


def _nearest(folder: Path) -> Path:
    """The directory itself, or the closest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _writes(folder: Path) -> bool:
    """A real attempt: a read-only file system says yes to access()."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor"):
            return True
    except OSError:
        return False


def _ports(settings: Settings) -> list[Finding]:
    """Both ports; taken ones are no fault while a program of ours runs on this data directory."""
    running = holder_of(settings.data_dir) is not None
    media = settings.media_host, settings.media_udp_port
    return [
        _port("HTTP port", socket.SOCK_STREAM, settings.host, settings.port, "SHOWFLOOR_PORT", running=running),
        _port("Media port (UDP)", socket.SOCK_DGRAM, *media, "SHOWFLOOR_MEDIA_UDP_PORT", running=running),
        _tcp_port(settings, running=running),
    ]


def _tcp_port(settings: Settings, *, running: bool) -> Finding:
    """Without a number of its own it takes that of UDP where it can: only a number that was asked for can be taken."""
    about = "Media port (TCP)"
    if not settings.media_tcp:
        text, mend = "off: who has no UDP sees nothing without a TURN server", "Unset SHOWFLOOR_MEDIA_TCP."
        return Finding(about=about, verdict=Verdict.NOTE, text=text, mend=mend)
    place = settings.media_host, settings.media_tcp_port
    return _port(about, socket.SOCK_STREAM, *place, "SHOWFLOOR_MEDIA_TCP_PORT", running=running)


def _port(about: str, kind: socket.SocketKind, host: str, port: int, setting: str, *, running: bool) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = f"{host}:{port or 'any'}"
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            text, mend = f"{where} cannot be used: {error.strerror}", f"Set {setting} to a free one, or 0 for any."
            return Finding(about=about, verdict=Verdict.NOTE if running else Verdict.MISSING, text=text, mend=mend)
    return Finding(about=about, verdict=Verdict.OK, text=f"{where} is free")


def _gso() -> Finding:
    """Whether the kernel cuts one large datagram into packets: about a third of the send cost at four a call."""
    about = "UDP GSO"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
        except OSError:
            text, mend = (
                "not available; media is sent packet by packet",
                "Linux 4.18 or newer sends more viewers a core.",
            )
            return Finding(about=about, verdict=Verdict.NOTE, text=text, mend=mend)
    return Finding(about=about, verdict=Verdict.OK, text="available")


def _egress(settings: Settings) -> Finding:
    """Which of the two sends the media: the native one takes about half the CPU."""
    about, found = "Media egress", load()
    if settings.media_native == "off":
        return Finding(about=about, verdict=Verdict.OK, text="pure Python, as SHOWFLOOR_MEDIA_NATIVE says")
    if found.fanout is not None:
        return Finding(about=about, verdict=Verdict.OK, text=f"native, {found.reason}")
    return Finding(
        about=about,
        verdict=Verdict.MISSING if settings.media_native == "on" else Verdict.NOTE,
        text=f"pure Python; of the native one: {found.reason}",
        mend="For more viewers a core, install gcc and Python's headers, and run deploy/setup.sh again.",
    )


def _chromium() -> Finding:
    about, asked, found = "Chromium", os.environ.get("CHROMIUM"), find_chromium()
    if found:
        return Finding(about=about, verdict=Verdict.OK, text=found)
    text = f"CHROMIUM={asked} is not there" if asked else "not found; only the tests need it"
    mend = "Run `make test`, which installs it, or set CHROMIUM to one."
    return Finding(about=about, verdict=Verdict.NOTE, text=text, mend=mend)


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
