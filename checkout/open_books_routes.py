"""The open books over HTTP: a show's ledger for everybody, receipts for their buyers, and the key that signs both.

Owns: the declarations and their handlers.
"""

from typing import Any, TypedDict

from msgspec import Struct
from starlette.routing import BaseRoute

from checkout.open_books import OpenBook, OpenBooks
from checkout.ports import Limiter
from checkout.receipts import Receipts
from schema.api import Answer, Call, Operation, route
from schema.errors import NotFound, RateLimited, Unavailable
from schema.ids import OrderId, ShowId
from schema.people import Role
from schema.receipt import Receipt


class Services(TypedDict):
    """What the handlers find in `request.state`."""

    open_books: OpenBooks
    receipts: Receipts
    limiter: Limiter


class KeySet(Struct, frozen=True, kw_only=True):
    """A JSON Web Key Set (RFC 7517, RFC 8037)."""

    keys: list[dict[str, str]]


async def _books(call: Call[Any]) -> OpenBooks:
    """Anybody may look, but not all the time: it reads the whole ledger."""
    client = call.request.client
    limiter: Limiter = call.request.state.limiter
    await limiter.check("books", client.host if client else "")
    books: OpenBooks = call.request.state.open_books
    return books


BOOK = Operation(
    name="getOpenBook",
    method="GET",
    path="/api/v1/shows/{show}/open-book",
    summary="What a show's ledger adds up to, item by item, without any buyer in it.",
    answers={200: OpenBook},
    errors=(NotFound, RateLimited, Unavailable),
    tag="audit",
)


async def book(call: Call[None]) -> Answer:
    """200 the sums."""
    return Answer(body=await (await _books(call)).summary(ShowId(call.path("show"))))


LEDGER = Operation(
    name="getPublicLedger",
    method="GET",
    path="/api/v1/shows/{show}/public-ledger",
    summary="A show's ledger entry by entry, hash-chained and signed, without any buyer in it; "
    "`showfloor verify --file` checks it offline.",
    answers={200: None},
    errors=(NotFound, RateLimited, Unavailable),
    tag="audit",
)


async def ledger(call: Call[None]) -> Answer:
    """200 the file, in pieces."""
    show = ShowId(call.path("show"))
    headers = {
        "Content-Type": "application/json",
        "Content-Disposition": f'attachment; filename="ledger-{show}.json"',
        "Cache-Control": "no-cache",
    }
    return Answer(stream=await (await _books(call)).file(show), headers=headers)


RECEIPT = Operation(
    name="getReceipt",
    method="GET",
    path="/api/v1/orders/{order}/receipt",
    summary="The signed receipt of an order of one's own; `showfloor verify --receipt` checks it offline.",
    answers={200: Receipt},
    role=Role.VIEWER,
    errors=(NotFound, Unavailable),
    tag="audit",
)


async def receipt(call: Call[None]) -> Answer:
    """200 the receipt, as a file."""
    receipts: Receipts = call.request.state.receipts
    made = await receipts.of(call.who, OrderId(call.path("order")))
    name = f'attachment; filename="receipt-{made.order_id}.json"'
    return Answer(body=made, headers={"Content-Disposition": name, "Cache-Control": "no-store"})


KEYS = Operation(
    name="getKeys",
    method="GET",
    path="/.well-known/jwks.json",
    summary="The public key behind receipts and public ledgers, as a JSON Web Key Set.",
    answers={200: KeySet},
    tag="audit",
)


async def keys(call: Call[None]) -> Answer:
    """200 the key."""
    receipts: Receipts = call.request.state.receipts
    return Answer(body=KeySet(**receipts.signer.jwks), headers={"Cache-Control": "public, max-age=3600"})


routes: list[BaseRoute] = [route(BOOK, book), route(LEDGER, ledger), route(RECEIPT, receipt), route(KEYS, keys)]
