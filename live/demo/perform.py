"""A whole show on this machine: the service, a synthetic host, scripted viewers, and a running order.

Owns: the order in which they come up. The service runs in this process, the host and the crowd in one of their own
each. Invariant: exactly one line on standard output with `json`, once video is arriving; nothing is left running.
"""

import asyncio
import os
import shlex
import shutil
import socket
import sys
import time
import webbrowser
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import msgspec
import structlog
from msgspec import Struct
from rich.console import Console

from checkout.verify import verify
from live.auth import issue_token
from live.core.names import friendly_name
from live.demo import child
from live.demo.director import Director
from live.demo.publisher import PublisherOrders
from live.demo.shop import set_up
from live.demo.viewers import ViewersOrders
from live.server import StartError, serve
from live.settings import Settings
from live.stores import running_or_started
from live.verdict import verdict
from schema.people import Role

log = structlog.get_logger()

STAFF_HOURS = 12
ON_AIR_S = 60
POLL_S = 0.1
DEFAULT_PORT = Settings().port


class DemoOptions(Struct, frozen=True, kw_only=True):
    """What `showfloor demo` was asked for. No viewers: nobody acts but the synthetic host; the show is yours."""

    settings: Settings
    headless: bool = False
    seed: int = 7
    json: bool = False
    viewers: int = 150
    duration_s: float | None = None
    resume_ended: bool = False
    """True: go on with the last show even if it has ended; False: open a new one then."""


class Ready(Struct, frozen=True, kw_only=True):
    """The line that `--json` prints."""

    base_url: str
    show_id: str
    server_pid: int
    publisher_pid: int
    media_udp_port: int
    host_token: str
    operator_token: str


async def run_demo(options: DemoOptions) -> int:
    """Run until cancelled, or for `duration_s`. Exit status 0."""
    bound: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()

    async def opened(settings: Settings) -> None:
        bound.set_result(settings)

    async def perform() -> None:
        await _Demo(options, await bound).perform()

    serving = asyncio.create_task(serve(with_free_port(options.settings), ready=opened), name="serve")
    performing = asyncio.create_task(perform(), name="demo")
    try:
        done, _ = await asyncio.wait({serving, performing}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (performing, serving):  # the crowd and the host leave before the doors close
            task.cancel()
            await asyncio.wait({task})
        if not options.json:
            Console(soft_wrap=True).print(
                f"\nStopped. The state is kept in {options.settings.data_dir}", highlight=False
            )
    return 0


def with_free_port(settings: Settings) -> Settings:
    """The settings, with any free port where nobody chose one and the usual one is taken."""
    if settings.port != DEFAULT_PORT:
        return settings
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError:
            return msgspec.structs.replace(settings, port=0, base_url="")
    return settings


class _Demo:
    def __init__(self, options: DemoOptions, settings: Settings) -> None:
        self._options, self._settings = options, settings

    async def perform(self) -> None:
        """From an empty shop to the end of the show."""
        async with AsyncExitStack() as stack:
            operator = await self._client(stack, None, Role.OPERATOR)
            show = await set_up(operator, time.time_ns() // 1_000_000, resume_ended=self._options.resume_ended)
            host = await self._client(stack, show, Role.HOST)
            director = Director(show, host, operator, self._settings.data_dir)
            await director.go_live()
            orders = PublisherOrders(
                base_url=self._settings.base_url, show=show, token=self._token(show, Role.HOST, "Camera")
            )
            publisher = await stack.enter_async_context(child.Kept("live.demo.publisher", orders))
            await self._until_on_air(operator, show)
            self._announce(self._ready(show, publisher.pid))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            if self._options.viewers:
                crowd = ViewersOrders(
                    base_url=self._settings.base_url,
                    show=show,
                    seed=self._options.seed,
                    tokens=self._viewer_tokens(show),
                )
                await stack.enter_async_context(child.Kept("live.demo.viewers", crowd))
                directing = tasks.create_task(self._direct(director, show))
                stack.callback(directing.cancel)
            await asyncio.sleep(self._options.duration_s or sys.maxsize)

    async def _direct(self, director: Director, show: str) -> None:
        """The running order; at its end the proof that everything sold adds up."""
        if not await director.direct():
            return
        async with running_or_started(self._settings) as stores:
            report = await verify(stores.database_url, show)
        if self._options.json:
            log.info("show_ended", verified=report.ok, ledger=report.ledger_hash)
            return
        console = Console(soft_wrap=True)
        console.print(f"\n[bold]The show has ended.[/bold] Its ledger:\n\n{verdict(report)}\n", highlight=False)
        console.print("The stock stays buyable on the watch page. Ctrl-C stops the server.\n")

    async def _client(self, stack: AsyncExitStack, show: str | None, role: Role) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {self._token(show, role, role.value.title())}"}
        client = httpx2.AsyncClient(base_url=self._settings.base_url, headers=headers, timeout=30)
        return await stack.enter_async_context(client)

    def _token(self, show: str | None, role: Role, name: str) -> str:
        return issue_token(self._settings, show, role, name, STAFF_HOURS)

    def _viewer_tokens(self, show: str) -> list[str]:
        """The crowd stands for as many households, so it does not come through the door of one address."""
        names = (friendly_name(self._options.seed * 7919 + number * 104_729) for number in range(self._options.viewers))
        return [self._token(show, Role.VIEWER, name) for name in names]

    async def _until_on_air(self, http: httpx2.AsyncClient, show: str) -> None:
        try:
            async with asyncio.timeout(ON_AIR_S):
                while not (await http.get(f"/api/v1/shows/{show}")).raise_for_status().json()["host_present"]:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise StartError("The synthetic host did not come on air; its log stands above") from None

    def _ready(self, show: str, publisher_pid: int) -> Ready:
        return Ready(
            base_url=self._settings.base_url,
            show_id=show,
            server_pid=os.getpid(),
            publisher_pid=publisher_pid,
            media_udp_port=self._settings.media_udp_port,
            host_token=self._token(show, Role.HOST, "Host"),
            operator_token=self._token(show, Role.OPERATOR, "Operator"),
        )

    def _announce(self, ready: Ready) -> None:
        if self._options.json:
            print(msgspec.json.encode(ready).decode(), flush=True)  # noqa: T201 - the answer
            return
        watch = f"{ready.base_url}/watch/{ready.show_id}"
        console = Console(soft_wrap=True)
        console.print(f"\n[bold]The show is on.[/bold] Open these, each in a tab of its own:\n\n  watch    {watch}")
        console.print(f"  studio   {ready.base_url}/studio/{ready.show_id}#token={ready.host_token}", highlight=False)
        console.print(
            f"  console  {ready.base_url}/console/{ready.show_id}#token={ready.operator_token}\n", highlight=False
        )
        console.print(
            f"The state is kept in {self._settings.data_dir}. Ctrl-C stops everything; this proves that the sales add "
            f"up, now or later:\n\n  {_command()} verify --data-dir {shlex.quote(str(self._settings.data_dir))}\n",
            highlight=False,
        )
        if not self._options.headless and _has_display():
            webbrowser.open(watch)


def _command() -> str:
    """How to call us from here, as it can be typed."""
    program = Path(sys.argv[0])
    if shutil.which("showfloor") or program.name != "showfloor":
        return "showfloor"
    return os.path.relpath(program)


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(
        (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and shutil.which("xdg-open")
    )
