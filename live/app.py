"""The whole service as one ASGI app.

Owns: the order of the middleware, the list of routes, and the lifespan in which every resource opens and closes.
Invariant: no module-level client; what the app opened is closed in reverse order, also when opening fails half way.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import checkout.audit_routes
import checkout.office_routes
import checkout.open_books_routes
import checkout.routes
import checkout.webhook_routes
import media.routes
import realtime.routes
from live import (
    audience_routes,
    health,
    media_numbers,
    metrics,
    moderation_routes,
    offer_routes,
    rehearsal_routes,
    routes,
    staff_routes,
    stockroom_routes,
    thumbnail,
)
from live.asyncapi import asyncapi
from live.auth import Authentication, Tokens
from live.docs_page import docs_page
from live.errors import Problems, on_http_exception
from live.openapi import openapi
from live.place import Place
from live.security import STRIPE, CrossOrigin, SecurityHeaders, fresh_nonce
from live.settings import Settings
from live.siblings import Siblings
from live.web.pages import html_answer, page_routes, static_prefix
from live.wiring import StoreAddresses, open_services


def create_app(settings: Settings, stores: StoreAddresses, place: Place | None = None) -> Starlette:
    """The app; it opens nothing before its lifespan does. `settings.token_secret` must be set.

    `place`: where this process stands among several that serve together.
    """
    tokens = Tokens(settings.token_secret)
    everything = [*api_routes(), *pages_of(settings)]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            services = await open_services(stack, settings, stores, tokens, place)
            app.state.health, app.state.relay = services["health"], services["relay"]
            yield services

    return Starlette(
        routes=[
            *everything,
            *document_routes(everything, settings.base_url),
            *(media_numbers.sibling_routes if place else []),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(CrossOrigin, origins=settings.allowed_origins),
            Middleware(Problems),
            *([Middleware(Siblings, place=place)] if place else []),
            Middleware(Authentication, tokens=tokens),
        ],
        exception_handlers={HTTPException: on_http_exception},
        lifespan=lifespan,
    )


def pages_of(settings: Settings) -> list[BaseRoute]:
    """The pages, told what they need of the settings."""
    asks_for_ice = bool(settings.ice_urls)
    if settings.payment_provider != "stripe":
        return page_routes(asks_for_ice=asks_for_ice)
    payments = f"stripe {settings.stripe_publishable_key}"
    return page_routes(asks_for_ice=asks_for_ice, payments=payments, origins=STRIPE)


def api_routes() -> list[BaseRoute]:
    """The routes of all rooms."""
    return [
        # Ahead of the rest: each join and each tap would be held against a hundred patterns before its own.
        *media.routes.routes,
        *checkout.routes.routes,
        *routes.routes,
        *moderation_routes.routes,  # chat/pinned before chat/{message}
        *offer_routes.routes,
        *audience_routes.routes,
        *realtime.routes.routes,
        *checkout.audit_routes.routes,
        *checkout.webhook_routes.routes,
        *checkout.office_routes.routes,
        *checkout.open_books_routes.routes,
        *stockroom_routes.routes,
        *rehearsal_routes.routes,
        *staff_routes.routes,
        *health.routes,
        *metrics.routes,
        *thumbnail.routes,
        *media_numbers.routes,
    ]


def document_routes(described: list[BaseRoute], base_url: str) -> list[BaseRoute]:
    """The documents about the other routes, made once."""
    document = openapi(described, base_url)
    openapi_json, asyncapi_json = msgspec.json.encode(document), msgspec.json.encode(asyncapi())
    icon = f"{static_prefix()}/icon.svg"

    async def openapi_endpoint(_request: Request) -> Response:
        return Response(openapi_json, media_type="application/json")

    async def asyncapi_endpoint(_request: Request) -> Response:
        return Response(asyncapi_json, media_type="application/json")

    async def docs_endpoint(_request: Request) -> Response:
        nonce = fresh_nonce()
        return html_answer(docs_page(document, nonce, icon), nonce)

    return [
        Route("/openapi.json", openapi_endpoint),
        Route("/asyncapi.json", asyncapi_endpoint),
        Route("/docs", docs_endpoint),
    ]
