"""The least that one could do: a bare Starlette route that makes one row durable, on uvicorn. A part of tap.py.

python benchmarks/tap_bare.py PORT DATABASE_URL
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TABLE = """
CREATE TABLE IF NOT EXISTS bare_holds (hold_id text PRIMARY KEY, variant_id text, quantity int, at timestamptz)
"""


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    async with asyncpg.create_pool(sys.argv[2], min_size=8, max_size=8) as pool:
        await pool.execute(TABLE)
        yield {"pool": pool}


async def insert(request: Request) -> JSONResponse:
    wish, key = await request.json(), request.headers["idempotency-key"]
    await request.state.pool.execute(
        "INSERT INTO bare_holds VALUES ($1, $2, $3, now())", key, wish["variant_id"], wish["quantity"]
    )
    return JSONResponse({"hold_id": key, "state": "held"}, 201)


if __name__ == "__main__":
    app = Starlette(routes=[Route("/holds", insert, methods=["POST"])], lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
