"""A server in a process of its own, for tests that kill it. usage: served.py REDIS_URL; prints its port.

Any ticket is good: it is the name of the viewer.
"""

import contextlib
import socket
import sys

import redis.asyncio
import uvicorn
import uvloop
from starlette.applications import Starlette

from realtime.chat import ChatService
from realtime.core.chat import Rules
from realtime.gateway import gateway_class
from realtime.hub import Hub
from realtime.routes import routes
from schema.ids import AccountId, ShowId
from schema.people import Principal, Role


class Open:
    """Every port at once, with every door open."""

    async def redeem(self, show: ShowId, tickets: list[str]) -> list[Principal | None]:
        return [Principal(account_id=AccountId(f"acc_{one}"), role=Role.VIEWER, name=one) for one in tickets]

    async def check(self, rule: str, subject: str) -> None:
        return

    async def exists(self, show_id: ShowId) -> bool:
        return True

    async def rules(self, show_id: ShowId) -> Rules:
        return Rules()


async def main(url: str) -> None:
    client = redis.asyncio.from_url(url)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette):
        async with Hub(client, tick_ms=20) as hub:
            yield {
                "hub": hub,
                "chat": ChatService(hub, Open(), Open(), most_a_second=0),
                "doorkeeper": Open(),
                "reports": None,
            }

    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=routes, lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(app, ws=gateway_class(), http="httptools", log_config=None))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))  # what uvicorn takes where it is installed; the other tests run on asyncio's own
