"""The running service: stores, schema, application, HTTP server, and the way down again.

Owns: the order in which they come up and go down. Invariant: when `serve` returns or raises, nothing that it
started is left, and the way down is bounded.
"""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable, Iterator

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette

from live.door import door_class
from live.migrations import migrate
from live.settings import Settings
from live.stores import resolve_stores
from realtime.gateway import Gateway

log = structlog.get_logger()

Ready = Callable[[Settings], Awaitable[None]]

DRAIN_S = 5
"""How long requests in flight may take once we are going down."""
DOWN_S = 20
"""Drain, then the application's own closing."""
BACKLOG = 4096
KEEP_ALIVE_S = 65
"""Longer than clients and proxies usually keep an idle connection, so that it is never ours that closes first."""


class StartError(RuntimeError):
    """The service did not come up. The message, or the log line before it, says why."""


async def serve(settings: Settings, *, ready: Ready | None = None) -> None:
    """Serve until cancelled. `ready` is awaited once requests are answered, with the settings as bound.

    Raises StoreError, MigrationError or StartError if the service cannot come up.
    """
    if settings.workers > 1:
        from live.workers import supervise  # noqa: PLC0415 - one process needs none of it

        await supervise(settings, ready=ready)
        return
    with bind(settings) as listener:
        bound = settings.bound_to(listener.getsockname()[1])
        async with resolve_stores(bound) as stores:
            applied = await migrate(stores.database_url)
            log.info("stores_ready", source=stores.source, migrations=applied)
            from live.app import create_app  # noqa: PLC0415 - the rooms are heavy; stores must not wait for them
            from realtime.gateway import gateway_class  # noqa: PLC0415

            app = create_app(bound, stores)
            await serve_app(app, gateway_class(bound.allowed_origins), [listener], bound, ready)


async def serve_app(
    app: Starlette,
    gateway: type[Gateway],
    listeners: list[socket.socket],
    settings: Settings,
    ready: Ready | None,
) -> None:
    """Serve `app` on bound sockets until cancelled; then drain, within DOWN_S."""
    server = Server(
        uvicorn.Config(
            app,
            http=door_class(gateway),
            ws=gateway,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            # An address that a client wrote itself must not count for the limits.
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            backlog=BACKLOG,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    running = asyncio.create_task(server.serve(sockets=listeners), name="http")
    try:
        await server.up(running)
        relay = getattr(app.state, "relay", None)  # an app without media has none
        bound = msgspec.structs.replace(settings, media_udp_port=relay.udp_port) if relay else settings
        tcp_port = relay.tcp_port if relay else None
        _settle_memory()
        log.info("serving", base_url=bound.base_url, media_udp_port=bound.media_udp_port, media_tcp_port=tcp_port)
        if ready:
            await ready(bound)
        await asyncio.shield(running)
    finally:
        if hasattr(app.state, "health"):
            app.state.health.draining = True
        await server.down(running)


def _settle_memory() -> None:
    """Whatever is there now stays: without this each full collection looks at all of it, and all wait meanwhile."""
    gc.collect()
    gc.freeze()


class Server(uvicorn.Server):
    """uvicorn's, with its signals left to `live.process` and its failures raised."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: they cancel the task that serves."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise StartError("The application did not start; the log line before this one says why") from None
        self._up.set()

    async def up(self, running: "asyncio.Task[None]") -> None:
        """Return once requests are answered, or raise what prevented it."""
        waiting = asyncio.create_task(self._up.wait())
        try:
            await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if running.done():
            running.result()

    async def down(self, running: "asyncio.Task[None]") -> None:
        """Drain and close, within DOWN_S; then cancel."""
        self.should_exit = True
        await asyncio.wait({running}, timeout=DOWN_S)
        if not running.done():
            log.error("shutdown_overran", after_s=DOWN_S)
            running.cancel()
            await asyncio.wait({running}, timeout=DOWN_S)
        if running.done() and not running.cancelled() and (error := running.exception()):
            log.error("shutdown_failed", error=repr(error))


def bind(settings: Settings, *, shared: bool = False) -> socket.socket:
    """A socket at the address of the settings. Raises StartError.

    `shared` with others of ours: the kernel spreads connections among those that listen.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        raise StartError(f"{where} cannot be used: {error.strerror}. Set SHOWFLOOR_HOST or SHOWFLOOR_PORT.") from None
    listener.setblocking(False)  # noqa: FBT003
    return listener
