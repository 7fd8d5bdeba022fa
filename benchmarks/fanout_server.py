"""The servers of fanout.py.

usage: fanout_server.py gateway|starlette|sends REDIS_URL

Prints its port; then, for each line on stdin, its CPU time in ns (user and system) and its resident bytes. For
`sends` a line `<k> <size>` first writes k frames of that size to every socket, one `send` each.
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from pathlib import Path

import redis.asyncio
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime.chat import ChatService
from realtime.core.frames import frame
from realtime.gateway import gateway_class
from realtime.hub import Hub
from realtime.routes import routes
from schema.ids import AccountId, ShowId
from schema.people import Principal, Role

PAGE = os.sysconf("SC_PAGE_SIZE")


class Open:
    """A doorkeeper, limiter and rules with every door open."""

    async def redeem(self, ticket: str, show: ShowId) -> Principal:  # noqa: ARG002
        return Principal(account_id=AccountId(ticket), role=Role.VIEWER, name=ticket)

    async def check(self, rule: str, subject: str) -> None: ...

    async def exists(self, show_id: ShowId) -> bool:  # noqa: ARG002
        return True

    async def slow_mode_ms(self, show_id: ShowId) -> int:  # noqa: ARG002
        return 0


def report() -> None:
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    print(time.process_time_ns(), resident, flush=True)


def gateway(url: str) -> tuple[Starlette, dict]:
    """Ours, end to end."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette):  # noqa: ANN202
        async with redis.asyncio.from_url(url) as client, Hub(client) as hub:
            yield {"hub": hub, "chat": ChatService(hub, Open(), Open()), "doorkeeper": Open()}

    return Starlette(routes=routes, lifespan=lifespan), {"ws": gateway_class()}


def starlette(url: str) -> tuple[Starlette, dict]:
    """What one writes first: a loop of `send_text` over everybody, for each message from Redis."""
    viewers: set[WebSocket] = set()

    async def watch(websocket: WebSocket) -> None:
        await websocket.accept()
        viewers.add(websocket)
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
        viewers.discard(websocket)

    async def fan_out(client: redis.asyncio.Redis) -> None:
        async with client.pubsub() as bus:
            await bus.subscribe("starlette")
            async for message in bus.listen():
                if message["type"] == "message":
                    text = message["data"].decode()
                    for one in list(viewers):
                        await one.send_text(text)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette):  # noqa: ANN202
        async with redis.asyncio.from_url(url) as client:
            task = asyncio.create_task(fan_out(client))
            yield
            task.cancel()

    return Starlette(routes=[WebSocketRoute("/ws", watch)], lifespan=lifespan), {"ws": "auto"}


async def serve(mode: str, url: str) -> None:
    app, options = {"gateway": gateway, "starlette": starlette}[mode](url)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    asyncio.get_running_loop().add_reader(0, lambda: report() if sys.stdin.readline() else os._exit(0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, http="httptools", log_level="warning", ws_per_message_deflate=False, ws_ping_interval=None, **options
    )
    await uvicorn.Server(config).serve(sockets=[listener])


def sends() -> None:
    """The limit: nothing but one `send` a frame and viewer."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    socks: list[socket.socket] = []
    listener.settimeout(0.05)
    for line in iter(sys.stdin.readline, ""):
        words = line.split()
        if words and words[0] == "accept":
            while len(socks) < int(words[1]):
                with contextlib.suppress(TimeoutError):
                    sock, _ = listener.accept()
                    sock.recv(4096)
                    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                    socks.append(sock)
            continue
        if len(words) == 2:
            data = frame(b'"t":"chat"' + b"x" * (int(words[1]) - 10))
            for _ in range(int(words[0])):
                for sock in socks:
                    sock.send(data)
                time.sleep(0.1)
        report()


if __name__ == "__main__":
    if sys.argv[1] == "sends":
        sends()
    else:
        uvloop.run(serve(sys.argv[1], sys.argv[2]))
