"""Servers as one writes them first, beside which ours stands.

usage: servers.py starlette|websockets [REDIS_URL]; prints its port.

Starlette: an `await send_text` for each viewer and message, under uvicorn as it comes. `websockets`: its own
`broadcast`. Both take their messages from the Redis channel `bench`; without an address they only hold their viewers.
"""

import asyncio
import contextlib
import resource
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import redis.asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.server import ServerConnection, broadcast, serve

CHANNEL = "bench"


async def listen(url: str, tell: Callable[[str], Awaitable[None]]) -> None:
    async with redis.asyncio.from_url(url) as client, client.pubsub() as bus:
        await bus.subscribe(CHANNEL)
        async for message in bus.listen():
            if message["type"] == "message":
                await tell(message["data"].decode())


@contextlib.asynccontextmanager
async def listening(url: str, tell: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.create_task(listen(url, tell)) if url else None
    yield
    if task:
        task.cancel()


def starlette_app(url: str) -> Starlette:
    viewers: set[WebSocket] = set()

    async def watch(websocket: WebSocket) -> None:
        await websocket.accept()
        viewers.add(websocket)
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
        viewers.discard(websocket)

    async def tell(text: str) -> None:
        for one in list(viewers):
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await one.send_text(text)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with listening(url, tell):
            yield

    return Starlette(routes=[WebSocketRoute("/ws", watch)], lifespan=lifespan)


def serve_starlette(url: str) -> None:
    door = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(door.getsockname()[1], flush=True)
    config = uvicorn.Config(starlette_app(url), log_level="warning")
    uvicorn.Server(config).run(sockets=[door])


async def serve_websockets(url: str) -> None:
    viewers: set[ServerConnection] = set()

    async def watch(one: ServerConnection) -> None:
        viewers.add(one)
        with contextlib.suppress(Exception):
            await one.wait_closed()
        viewers.discard(one)

    async def tell(text: str) -> None:
        broadcast(viewers, text)

    async with serve(watch, "127.0.0.1", 0, backlog=4096) as server, listening(url, tell):
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    address = sys.argv[2] if len(sys.argv) > 2 else ""
    if sys.argv[1] == "starlette":
        serve_starlette(address)
    else:
        asyncio.run(serve_websockets(address))
