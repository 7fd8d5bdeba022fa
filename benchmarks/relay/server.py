"""Our server: the relay and its routes, nothing else of the product."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from media.config import RelayConfig
from media.relay import Relay
from media.routes import routes
from relay import Anybody


async def totals(request: Request) -> JSONResponse:
    found = request.state.relay.totals()
    names = ("packets_out", "sends", "gso_refused", "packets_dropped", "dropped")
    return JSONResponse({name: getattr(found, name) for name in names})


async def serve(port: int, *, native: bool, flush_ms: int | None = None) -> None:
    gate = Anybody()
    more = {} if flush_ms is None else {"flush_ms": flush_ms}
    async with Relay(RelayConfig(bind_host="127.0.0.1", max_pending=1000, native=native, **more), gate) as relay:

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
            yield {"relay": relay, "media_gate": gate}

        app = Starlette(routes=[Route("/totals", totals), *routes], lifespan=lifespan)
        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False)).serve()
