"""A real coturn on loopback: ports of its own, in the foreground, ended by its pid."""

import asyncio
import contextlib
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

UP_S = 20
LOWEST, HIGHEST = 20_000, 29_999


class Turn:
    """A running server: its addresses, and what it has written."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self.udp, self.tcp = (f"turn:127.0.0.1:{port}?transport={way}" for way in ("udp", "tcp"))

    def is_relay(self, address: tuple) -> bool:
        """True for an address out of its range."""
        return LOWEST <= address[1] <= HIGHEST


@contextlib.asynccontextmanager
async def coturn(folder: Path, *, secret: str) -> AsyncIterator[Turn]:
    """Relays to loopback too, which outside of a test nobody wants."""
    program = shutil.which("turnserver")
    assert program, "coturn is not installed: run deploy/test-machine.sh"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        turn = Turn(free.getsockname()[1], folder / "coturn.log")
    arguments = (
        *("-n", "--no-cli", "--no-tls", "--no-dtls", "--no-multicast-peers", "--fingerprint", "--verbose"),
        *("--allow-loopback-peers", "--use-auth-secret", f"--static-auth-secret={secret}", "--realm=showfloor"),
        *("--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={turn.port}"),
        *(f"--min-port={LOWEST}", f"--max-port={HIGHEST}", "--relay-threads=1"),
        *(f"--userdb={folder / 'turndb'}", f"--pidfile={folder / 'turn.pid'}", "--log-file=stdout", "--simple-log"),
    )
    with turn.log.open("wb") as log:
        child = await asyncio.create_subprocess_exec(program, *arguments, stdout=log, stderr=log, cwd=folder)
        try:
            async with asyncio.timeout(UP_S):
                await _answers(turn.port, child)
            yield turn
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def _answers(port: int, child: asyncio.subprocess.Process) -> None:
    while child.returncode is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    sys.exit("coturn did not start")
