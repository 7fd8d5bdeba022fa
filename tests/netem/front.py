"""A WHEP or WHIP server seen through a bad network: HTTP passes, the media of every answer goes through a UdpRelay.

    async with Front("http://127.0.0.1:8080", seed=7, down=Conditions(loss=0.02)) as front:
        await page.goto(front.base_url + "/watch/demo")   # any path is the server's; sockets are not

Works with any server: the offer's candidates are taken out, so that a full agent finds no way around, and every UDP
candidate of the answer gets a relay of its own with the same seed.
"""

import asyncio
import contextlib
import re
import socket
from typing import Final, Self

import httpx2
import uvicorn
from netem.link import Conditions
from netem.udp import Address, UdpRelay
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HOP: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"}
_CANDIDATE: Final = re.compile(r"(?im)^(a=candidate:\S+ \d+ udp \d+ )(\S+) (\d+)")
_OVER_TCP: Final = re.compile(r"(?im)^a=candidate:\S+ \d+ tcp .*\r?\n")
_ANY: Final = re.compile(r"(?im)^a=(candidate:.*|end-of-candidates)\r?\n")
MAX_RELAYS: Final = 16
SDP_TYPES: Final = ("application/sdp", "application/trickle-ice-sdpfrag")


class Front:
    """`async with` it; `set` changes all its relays."""

    def __init__(self, server: str, *, seed: int, **conditions: Conditions) -> None:
        self.server, self.seed = server, seed
        self.relays: dict[Address, UdpRelay] = {}
        self._conditions = conditions
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._http = await self._stack.enter_async_context(httpx2.AsyncClient(base_url=self.server, timeout=30))
        door = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.base_url = f"http://127.0.0.1:{door.getsockname()[1]}"
        app = Starlette(routes=[Route("/{path:path}", self._pass, methods=METHODS)])
        self._uvicorn = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
        self._uvicorn.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        self._serving = asyncio.ensure_future(self._uvicorn.serve(sockets=[door]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._uvicorn.should_exit = self._uvicorn.force_exit = True
        await self._serving
        await self._stack.aclose()

    def set(self, **conditions: Conditions) -> None:
        """Change the network under way: `down`, `up` or both."""
        self._conditions |= conditions
        for relay in self.relays.values():
            relay.set(**conditions)

    def counts(self) -> dict[str, int]:
        """What became of the packets, over all relays."""
        found: dict[str, int] = {}
        for relay in self.relays.values():
            for name, count in relay.counts().items():
                found[name] = found.get(name, 0) + count
        return found

    async def _pass(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-type", "").startswith(SDP_TYPES):
            body = _ANY.sub("", body.decode()).encode()
        headers = {name: value for name, value in request.headers.items() if name not in HOP}
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        answer = await self._http.request(request.method, target, content=body, headers=headers)
        content = answer.content
        if answer.headers.get("content-type", "").startswith("application/sdp"):
            content = (await self.through(answer.text)).encode()
        back = {name: value for name, value in answer.headers.items() if name not in HOP}
        return Response(content, answer.status_code, back)

    async def through(self, answer: str) -> str:
        """The server's description as the client should see it: its candidates are the relays'."""
        answer = _OVER_TCP.sub("", answer)
        for _, host, port in _CANDIDATE.findall(answer):
            if ":" not in host:  # the relay speaks IPv4
                await self._relay((host, int(port)))
        return _CANDIDATE.sub(self._replaced, answer)

    def _replaced(self, found: re.Match[str]) -> str:
        relay = self.relays.get((found[2], int(found[3])))
        return found[0] if relay is None else f"{found[1]}127.0.0.1 {relay.port}"

    async def _relay(self, target: Address) -> None:
        if target not in self.relays and len(self.relays) < MAX_RELAYS:
            relay = UdpRelay(target, seed=self.seed, **self._conditions)
            self.relays[target] = await self._stack.enter_async_context(relay)
