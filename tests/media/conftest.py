"""A real relay behind real HTTP on a loopback port, and the foreign peers that talk to it."""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx2
import pytest
import uvicorn
from playwright.async_api import Browser, Page, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from media.config import LinkConfig, RelayConfig
from media.core.rtcp import parse as rtcp_parse
from media.core.rtp import parse_header
from media.links import Links
from media.relay import Relay
from media.routes import routes
from schema.errors import Forbidden, NotFound, ShowfloorError, Unauthenticated
from schema.ids import AccountId, ShowId
from schema.people import Principal, Role

HERE = Path(__file__).parent
DEADLINE_S = 30
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


async def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait until `condition()` (or what it awaits) is true, and return it; the deadline only catches a hang."""
    async with asyncio.timeout(deadline_s):
        while True:
            value = condition()
            if isinstance(value, Awaitable):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.02)
    raise AssertionError(what)


class TokenGate:
    """Tokens are `host-<name>` and `viewer-<name>`; every show but "nowhere" exists."""

    async def publisher(self, token: str | None, show: str) -> Principal:
        who = self._who(token, show)
        if who.role is not Role.HOST:
            raise Forbidden("Only a host may publish")
        return who

    async def subscriber(self, token: str | None, show: str, *, joining: bool) -> Principal:
        return self._who(token, show)

    def _who(self, token: str | None, show: str) -> Principal:
        role, _, name = (token or "").partition("-")
        if role not in ("host", "viewer") or not name:
            raise Unauthenticated(headers={"WWW-Authenticate": "Bearer"})
        if show == "nowhere":
            raise NotFound("No such show")
        return Principal(account_id=AccountId(f"acc_{token}"), role=Role(role), name=name)


class Listener:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[ShowId, bool]] = []

    def host_changed(self, show_id: ShowId, present: bool) -> None:
        self.heard.append((show_id, present))


class Floor(SimpleNamespace):
    """A running server: `base_url`, `relay`, `listener`, `http`."""

    base_url: str
    relay: Relay
    listener: Listener
    http: httpx2.AsyncClient

    def show(self, show: str) -> Any:
        return self.relay.stats(ShowId(show))

    async def post(self, path: str, sdp: str | bytes, token: str | None) -> httpx2.Response:
        headers = {"Content-Type": "application/sdp"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.post(path, content=sdp, headers=headers)


async def problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ShowfloorError)
    headers = dict(error.headers)
    if error.retry_after_ms:
        headers["Retry-After"] = str(error.retry_after_ms // 1000)
    return JSONResponse({"code": error.code, "detail": error.detail}, error.status, headers)


async def blank(_request: Request) -> Response:
    return HTMLResponse("<!doctype html><body></body>")


@contextlib.asynccontextmanager
async def running(config: RelayConfig, link: LinkConfig | None = None) -> AsyncIterator[Floor]:
    """A server on a loopback port, in this process; with `link`, a worker among others."""
    listener = Listener()
    async with contextlib.AsyncExitStack() as stack:
        links = await stack.enter_async_context(Links(link, listener)) if link else None
        relay = await stack.enter_async_context(Relay(config, links or listener, links))

        @contextlib.asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
            yield {"relay": relay, "media_gate": TokenGate()}

        app = Starlette(
            routes=[Route("/", blank), *routes],
            lifespan=lifespan,
            exception_handlers={ShowfloorError: problem},
        )
        with socket.create_server(("127.0.0.1", 0)) as door:
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
            server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
            task = asyncio.ensure_future(server.serve(sockets=[door]))
            await until(lambda: server.started, "the server starts")
            base_url = f"http://127.0.0.1:{door.getsockname()[1]}"
            async with httpx2.AsyncClient(base_url=base_url) as http:
                yield Floor(base_url=base_url, relay=relay, listener=listener, http=http, links=links)
            server.should_exit = True
            await task


@pytest.fixture
async def floor() -> AsyncIterator[Floor]:
    async with running(RelayConfig(bind_host="127.0.0.1")) as floor:
        yield floor


@pytest.fixture
def open_floor() -> Callable[..., Any]:
    """For tests that need settings of their own."""
    return running


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[Any]]:
    return until


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One Chromium with a fake camera and microphone."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGS)
        yield browser
        await browser.close()


class Tab:
    """A page that can publish and play, by the fewest lines of JavaScript that can."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def publish(self, show: str, token: str, codec: str) -> str:
        """POST /whip; the session's path."""
        return await self.page.evaluate("args => publish(...args)", [show, token, codec])

    async def play(self, show: str, token: str, codecs: list[str] | None = None, *, reads_clock: bool = False) -> str:
        """POST /whep; the session's path."""
        return await self.page.evaluate("args => play(...args)", [show, token, codecs, reads_clock])

    async def frames(self) -> int:
        """Frames presented so far."""
        return await self.page.evaluate("frames")

    async def stats(self) -> dict[str, Any]:
        return await self.page.evaluate("stats()")

    async def state(self) -> str:
        return await self.page.evaluate("pc.connectionState")


@pytest.fixture
def tabs_on(chromium: Browser) -> Callable[[Floor], Any]:
    """Open tabs on the origin of a floor of one's own; each is a browser context of its own."""

    @contextlib.asynccontextmanager
    async def opened(floor: Floor) -> AsyncIterator[Callable[[], Awaitable[Tab]]]:
        contexts = []

        async def open_tab() -> Tab:
            context = await chromium.new_context()
            contexts.append(context)
            page = await context.new_page()
            await page.goto(floor.base_url + "/")
            await page.add_script_tag(path=HERE / "peers" / "tab.js")
            return Tab(page)

        yield open_tab
        for context in contexts:
            await context.close()

    return opened


@pytest.fixture
async def tabs(tabs_on: Callable[[Floor], Any], floor: Floor) -> AsyncIterator[Callable[[], Awaitable[Tab]]]:
    """Open tabs on the floor's origin."""
    async with tabs_on(floor) as open_tab:
        yield open_tab


@pytest.fixture
async def slow_host(floor: Floor) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """A host with 4 s between keyframes that ignores PLI, in a process of its own."""
    children: list[asyncio.subprocess.Process] = []

    async def start(codec: str) -> None:
        arguments = (str(HERE / "peers" / "slow_host.py"), floor.base_url, "demo", "host-ann", codec)
        children.append(await asyncio.create_subprocess_exec(sys.executable, *arguments, start_new_session=True))

    yield start
    for child in children:
        if child.returncode is None:
            os.kill(child.pid, signal.SIGKILL)
        await child.wait()


@pytest.fixture
async def muxer(floor: Floor) -> AsyncIterator[Callable[..., Awaitable[asyncio.subprocess.Process]]]:
    """FFmpeg's WHIP muxer (in PyAV's wheel) publishing from a process of its own."""
    children: list[asyncio.subprocess.Process] = []

    async def start(show: str, token: str, *extra: str) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "peers" / "muxer.py"),
            f"{floor.base_url}/whip/{show}",
            token,
            *extra,
            start_new_session=True,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        if child.returncode is None:
            os.kill(child.pid, signal.SIGKILL)
        await child.wait()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_layered = _load(HERE / "peers" / "layered.py")
light = _load(HERE.parent.parent / "benchmarks" / "light_peer.py")


class Peers:
    """Light peers on a floor."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.certificate = light.Certificate.generateCertificate()
        self.all: list[Any] = []

    def light(self) -> Any:
        """A viewer's peer that has not offered yet."""
        peer = light.LightPeer(self.certificate)
        self.all.append(peer)
        return peer

    def light_host(self) -> Any:
        """A host's peer that has not offered yet."""
        peer = light.LightHost(self.certificate)
        self.all.append(peer)
        return peer

    def light_tcp(self) -> Any:
        """A viewer's peer whose network lets no UDP through."""
        peer = light.LightTcpPeer(self.certificate)
        self.all.append(peer)
        return peer

    def light_tcp_host(self) -> Any:
        """A host's peer, likewise."""
        peer = light.LightTcpHost(self.certificate)
        self.all.append(peer)
        return peer

    async def host(self, show: str = "demo", token: str = "host-ann", codec: str = "VP8") -> Any:
        peer = self.light_host()
        peer.path = await self._post(peer, f"/whip/{show}", token, peer.offer("opus", codec, direction="sendonly"))
        return peer

    async def viewer(self, show: str = "demo", token: str = "viewer-bob", codecs: tuple[str, ...] = ("VP8",)) -> Any:
        peer = self.light()
        peer.seen = []

        def note(data: bytes) -> None:
            if light.classify(data) is light.Kind.RTP:
                header = parse_header(data)
                payload = peer.dtls.receiver.unprotect(data, header.size) if peer.dtls.receiver else None
                peer.seen.append((header, payload, data))
            else:
                peer.reports += rtcp_parse(peer.dtls.receiver.unprotect_rtcp(data))

        peer.reports = []
        peer.on_media = note
        peer.path = await self._post(peer, f"/whep/{show}", token, peer.offer("opus", *codecs))
        return peer

    async def _post(self, peer: Any, path: str, token: str, offer: str) -> str:
        answer = await self.floor.post(path, offer, token)
        assert answer.status_code == 201, answer.text
        async with asyncio.timeout(DEADLINE_S):
            await peer.connect(answer.text)
        return str(answer.headers["location"])


@pytest.fixture
def layered() -> ModuleType:
    """A light host with two layers."""
    return _layered


@pytest.fixture
def new_peers() -> type[Peers]:
    """For tests with a floor of their own."""
    return Peers


@pytest.fixture
async def peers(floor: Floor) -> AsyncIterator[Peers]:
    peers = Peers(floor)
    yield peers
    for peer in peers.all:
        await peer.close()
