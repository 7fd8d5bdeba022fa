"""The show's own HTTP operations: shows, people, pins, items, products.

Owns: what each takes and answers. A handler decodes, calls its service, encodes; nothing is decided here.
"""

import time
from collections.abc import AsyncIterator
from typing import Any, TypedDict

from starlette.routing import BaseRoute

from live.catalog import Catalog
from live.core.calendar import calendar
from live.etags import etag_of, unchanged, versions_asked
from live.flights import Flights
from live.guests import Guests
from live.limits import network_of
from live.pins import Pins
from live.ports import FrameClock, Limiter
from live.recent_shows import RecentShows
from live.shows import Position, ShowService
from live.tickets import Tickets
from schema.api import Answer, Call, Operation, route
from schema.errors import (
    BadRequest,
    Banned,
    Conflict,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Unavailable,
)
from schema.ids import ProductId, ShowId, VariantId
from schema.pages import from_cursor, page_size
from schema.people import Guest, GuestRequest, Role, Ticket
from schema.show import (
    AllocationRequest,
    ChatSettingsRequest,
    ChatSwitch,
    Item,
    Pin,
    PinRequest,
    PriceRequest,
    Product,
    ProductPage,
    ProductRequest,
    RestockRequest,
    RunRequest,
    SalesRequest,
    Show,
    ShowPage,
    ShowRequest,
    StateRequest,
    VideoSwitch,
)


class Services(TypedDict):
    """What these handlers find in the lifespan state."""

    shows: ShowService
    catalog: Catalog
    pins: Pins
    guests: Guests
    tickets: Tickets
    recent: RecentShows
    reads: Flights[ShowId, Show]
    limiter: Limiter
    relay: FrameClock


_PAGE = {"cursor": "next_cursor of the page before", "limit": "1 to 100; 20 without"}
_BODY = (BadRequest, Invalid)


def _show(call: Call[Any]) -> ShowId:
    return ShowId(call.path("show"))


def _variant(call: Call[Any]) -> VariantId:
    return VariantId(call.path("variant"))


def _tagged(show: Show, status: int = 200, **headers: str) -> Answer:
    return Answer(status=status, body=show, headers={"ETag": etag_of(show), "Cache-Control": "no-cache", **headers})


LIST_SHOWS = Operation(
    name="listShows",
    method="GET",
    path="/api/v1/shows",
    summary="The shows, the latest start first.",
    answers={200: ShowPage},
    query=_PAGE,
    errors=(Invalid,),
)


async def list_shows(call: Call[None]) -> Answer:
    """GET /api/v1/shows."""
    query = call.request.query_params
    shows: ShowService = call.request.state.shows
    return Answer(body=await shows.page(from_cursor(query.get("cursor"), Position), page_size(query)))


CREATE_SHOW = Operation(
    name="createShow",
    method="POST",
    path="/api/v1/shows",
    summary="Schedule a show.",
    role=Role.OPERATOR,
    body=ShowRequest,
    answers={201: Show},
    errors=(*_BODY, Conflict),
)


async def create_show(call: Call[ShowRequest]) -> Answer:
    """POST /api/v1/shows."""
    shows: ShowService = call.request.state.shows
    show = await shows.create(call.body)
    return _tagged(show, 201, Location=f"/api/v1/shows/{show.show_id}")


GET_SHOW = Operation(
    name="getShow",
    method="GET",
    path="/api/v1/shows/{show}",
    summary="One show, with its items, their stock, and its pins. Answers 304 to a matching If-None-Match.",
    answers={200: Show, 304: None},
    errors=(NotFound,),
)


async def get_show(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}."""
    reads: Flights[ShowId, Show] = call.request.state.reads
    answer = _tagged(await reads.get(_show(call)))
    if unchanged(call.request.headers, answer.headers["ETag"]):
        return Answer(status=304, headers=answer.headers)
    return answer


GET_CALENDAR = Operation(
    name="getCalendar",
    method="GET",
    path="/api/v1/shows/{show}/calendar",
    summary="The show as an event for calendars (iCalendar), with a reminder ten minutes before.",
    answers={200: None},
    errors=(NotFound,),
    media_type="text/calendar",
)


async def get_calendar(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/calendar."""
    recent: RecentShows = call.request.state.recent
    row = await recent.row(_show(call))
    url = str(call.request.base_url.replace(path=f"/watch/{row.show_id}"))
    text = calendar(
        uid=f"{row.show_id}@{call.request.base_url.hostname}",
        title=row.title,
        description=row.description,
        url=url,
        starts_at_ms=row.starts_at_ms,
        now_ms=time.time_ns() // 1_000_000,
    )
    headers = {
        "Content-Type": "text/calendar; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{row.show_id}.ics"',
        "Cache-Control": "no-cache",
    }
    return Answer(stream=_once(text), headers=headers)


async def _once(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


SET_STATE = Operation(
    name="setShowState",
    method="PUT",
    path="/api/v1/shows/{show}/state",
    summary="Move a show along its life. If-Match is honoured.",
    role=Role.HOST,
    body=StateRequest,
    answers={200: Show},
    errors=(*_BODY, NotFound, Conflict, PreconditionFailed),
)


async def set_state(call: Call[StateRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/state."""
    shows: ShowService = call.request.state.shows
    versions = versions_asked(call.request.headers)
    call.note.before = {"state": (await shows.row(_show(call))).state}
    show = await shows.set_state(_show(call), call.body.state, versions)
    call.note.after = {"state": show.state}
    return _tagged(show)


SET_SALES = Operation(
    name="setSales",
    method="PUT",
    path="/api/v1/shows/{show}/sales",
    summary="The kill switch for sales: closed refuses new holds and touches nothing promised. If-Match is honoured.",
    role=Role.OPERATOR,
    body=SalesRequest,
    answers={200: Show},
    errors=(*_BODY, NotFound, PreconditionFailed),
)


async def set_sales(call: Call[SalesRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/sales."""
    shows: ShowService = call.request.state.shows
    versions = versions_asked(call.request.headers)
    call.note.before = {"open": (await shows.row(_show(call))).sales_open}
    show = await shows.set_sales(_show(call), open=call.body.open, versions=versions)
    call.note.after = {"open": show.sales_open}
    return _tagged(show)


SWITCH_CHAT = Operation(
    name="switchChat",
    method="PUT",
    path="/api/v1/shows/{show}/chat",
    summary="The kill switch for the chat: closed refuses what viewers say and ask; the staff may go on. "
    "Slow mode and sanctions stay. If-Match is honoured.",
    role=Role.OPERATOR,
    body=ChatSwitch,
    answers={200: Show},
    errors=(*_BODY, NotFound, PreconditionFailed),
    tag="chat",
)


async def switch_chat(call: Call[ChatSwitch]) -> Answer:
    """PUT /api/v1/shows/{show}/chat."""
    shows: ShowService = call.request.state.shows
    versions = versions_asked(call.request.headers)
    call.note.before = ChatSwitch(open=(await shows.row(_show(call))).chat_open)
    show = await shows.set_chat(_show(call), open=call.body.open, versions=versions)
    call.request.state.moderation.changed(show.show_id)
    call.note.after = ChatSwitch(open=show.chat_open)
    return _tagged(show)


SWITCH_VIDEO = Operation(
    name="switchVideo",
    method="PUT",
    path="/api/v1/shows/{show}/video",
    summary="The kill switch for the video: closed forwards none of it to anybody and lets nobody join; viewers read "
    "the reason. Those who watched stay, and have it again at once. If-Match is honoured.",
    role=Role.OPERATOR,
    body=VideoSwitch,
    answers={200: Show},
    errors=(*_BODY, NotFound, PreconditionFailed),
)


async def switch_video(call: Call[VideoSwitch]) -> Answer:
    """PUT /api/v1/shows/{show}/video."""
    shows: ShowService = call.request.state.shows
    versions = versions_asked(call.request.headers)
    call.note.before = (await shows.row(_show(call))).video
    show = await shows.set_video(_show(call), call.body, versions)
    call.note.after = show.video
    return _tagged(show)


SET_RUN = Operation(
    name="setRun",
    method="PUT",
    path="/api/v1/shows/{show}/run",
    summary="The run of the show: in which order the host means to show its items and bundles. If-Match is honoured.",
    role=Role.HOST,
    body=RunRequest,
    answers={200: Show},
    errors=(*_BODY, NotFound, PreconditionFailed),
)


async def set_run(call: Call[RunRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/run."""
    shows: ShowService = call.request.state.shows
    versions = versions_asked(call.request.headers)
    return _tagged(await shows.set_run(_show(call), call.body.variant_ids, versions))


SET_CHAT = Operation(
    name="setChatSettings",
    method="PUT",
    path="/api/v1/shows/{show}/chat-settings",
    summary="Slow mode: the least time between two messages of one account. If-Match is honoured.",
    role=Role.MODERATOR,
    body=ChatSettingsRequest,
    answers={200: Show},
    errors=(*_BODY, NotFound, PreconditionFailed),
    tag="chat",
)


async def set_chat(call: Call[ChatSettingsRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/chat-settings."""
    shows: ShowService = call.request.state.shows
    versions = versions_asked(call.request.headers)
    return _tagged(await shows.set_slow_mode(_show(call), call.body.slow_mode_ms, versions))


JOIN_AS_GUEST = Operation(
    name="joinAsGuest",
    method="POST",
    path="/api/v1/shows/{show}/guests",
    summary="Join as a guest: an account, its token, and a ticket that opens one socket, once, within 30 s; "
    "an empty one while sockets cannot be opened.",
    body=GuestRequest,
    body_optional=True,
    answers={201: Guest},
    errors=(*_BODY, NotFound, RateLimited, Unavailable),
    tag="people",
)


async def join_as_guest(call: Call[GuestRequest]) -> Answer:
    """POST /api/v1/shows/{show}/guests."""
    state, client = call.request.state, call.request.client
    address = client.host if client else ""
    await state.limiter.check("guest", network_of(address))
    row = await state.recent.row(_show(call))
    guest: Guest = await state.guests.join(row.show_id, call.body.name, address)
    return Answer(status=201, body=guest, headers=_SECRET)


_SECRET = {"Cache-Control": "no-store"}

ISSUE_TICKET = Operation(
    name="issueTicket",
    method="POST",
    path="/api/v1/shows/{show}/tickets",
    summary="A ticket that opens one socket, once, within 30 s.",
    role=Role.VIEWER,
    for_analysts=True,
    answers={201: Ticket},
    errors=(Banned, NotFound, RateLimited, Unavailable),
    tag="people",
)


async def issue_ticket(call: Call[None]) -> Answer:
    """POST /api/v1/shows/{show}/tickets."""
    state = call.request.state
    await state.limiter.check("ticket", call.who.account_id)
    row = await state.recent.row(_show(call))
    await state.chat.admit(call.who, row.show_id)
    ticket: Ticket = await state.tickets.issue(call.who, row.show_id)
    return Answer(status=201, body=ticket, headers=_SECRET)


PIN_ITEM = Operation(
    name="pinItem",
    method="POST",
    path="/api/v1/shows/{show}/pins",
    summary="Show an item beside the video; at most ten at once. Pinning it again answers the pin that is there.",
    role=Role.HOST,
    body=PinRequest,
    answers={201: Pin},
    errors=(*_BODY, NotFound, Conflict, RateLimited),
    tag="pins",
)


async def pin_item(call: Call[PinRequest]) -> Answer:
    """POST /api/v1/shows/{show}/pins."""
    state, show = call.request.state, _show(call)
    relay: FrameClock = state.relay
    captured_at_ms = relay.capture_ms(show, call.body.captured_at_ms)  # first of all: the video goes on meanwhile
    await state.limiter.check("pin", call.who.account_id)
    pin: Pin = await state.pins.pin(show, call.body.variant_id, captured_at_ms)
    return Answer(status=201, body=pin, headers={"Location": f"/api/v1/shows/{show}/pins/{pin.variant_id}"})


UNPIN_ITEM = Operation(
    name="unpinItem",
    method="DELETE",
    path="/api/v1/shows/{show}/pins/{variant}",
    summary="Take an item away from beside the video; one that is not there is no mistake.",
    role=Role.HOST,
    answers={204: None},
    errors=(RateLimited,),
    tag="pins",
)


async def unpin_item(call: Call[None]) -> Answer:
    """DELETE /api/v1/shows/{show}/pins/{variant}."""
    state = call.request.state
    await state.limiter.check("pin", call.who.account_id)
    await state.pins.unpin(_show(call), _variant(call))
    return Answer(status=204)


ALLOCATE = Operation(
    name="allocateItem",
    method="POST",
    path="/api/v1/shows/{show}/items",
    summary="Put a variant on sale in a show, with its opening stock; at most 200 items a show.",
    role=Role.OPERATOR,
    body=AllocationRequest,
    answers={201: Item},
    errors=(*_BODY, NotFound, Conflict),
    tag="items",
)


async def allocate(call: Call[AllocationRequest]) -> Answer:
    """POST /api/v1/shows/{show}/items."""
    catalog: Catalog = call.request.state.catalog
    return Answer(status=201, body=await catalog.allocate(_show(call), call.body))


SET_PRICE = Operation(
    name="setPrice",
    method="PUT",
    path="/api/v1/shows/{show}/items/{variant}/price",
    summary="A new price from now on; holds already taken keep theirs.",
    role=Role.HOST,
    body=PriceRequest,
    answers={200: Item},
    errors=(*_BODY, NotFound),
    tag="items",
)


async def set_price(call: Call[PriceRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/items/{variant}/price."""
    catalog: Catalog = call.request.state.catalog
    call.note.before = (await catalog.item(_show(call), _variant(call))).price
    item = await catalog.set_price(_show(call), _variant(call), call.body.price_amount)
    call.note.after = item.price
    return Answer(body=item)


RESTOCK = Operation(
    name="restockItem",
    method="POST",
    path="/api/v1/shows/{show}/items/{variant}/restock",
    summary="Add units that arrived during the show. An Idempotency-Key makes a retry safe.",
    role=Role.OPERATOR,
    body=RestockRequest,
    answers={200: Item},
    errors=(*_BODY, NotFound, IdempotencyMismatch),
    tag="items",
)


async def restock(call: Call[RestockRequest]) -> Answer:
    """POST /api/v1/shows/{show}/items/{variant}/restock."""
    catalog: Catalog = call.request.state.catalog
    call.note.before = (await catalog.item(_show(call), _variant(call))).stock
    item = await catalog.restock(_show(call), _variant(call), call.body.quantity, by=call.who.account_id, key=call.key)
    call.note.after = item.stock
    return Answer(body=item)


LIST_PRODUCTS = Operation(
    name="listProducts",
    method="GET",
    path="/api/v1/products",
    summary="The catalogue, by product id.",
    role=Role.OPERATOR,
    for_analysts=True,
    answers={200: ProductPage},
    query=_PAGE,
    errors=(Invalid,),
    tag="catalogue",
)


async def list_products(call: Call[None]) -> Answer:
    """GET /api/v1/products."""
    query = call.request.query_params
    catalog: Catalog = call.request.state.catalog
    after = from_cursor(query.get("cursor"), tuple[str])
    return Answer(body=await catalog.products(ProductId(after[0]) if after else None, page_size(query)))


CREATE_PRODUCT = Operation(
    name="createProduct",
    method="POST",
    path="/api/v1/products",
    summary="Enter a product with its variants.",
    role=Role.OPERATOR,
    body=ProductRequest,
    answers={201: Product},
    errors=(*_BODY, Conflict),
    tag="catalogue",
)


async def create_product(call: Call[ProductRequest]) -> Answer:
    """POST /api/v1/products."""
    catalog: Catalog = call.request.state.catalog
    return Answer(status=201, body=await catalog.create_product(call.body))


routes: list[BaseRoute] = [
    route(LIST_SHOWS, list_shows),
    route(CREATE_SHOW, create_show),
    route(GET_SHOW, get_show),
    route(GET_CALENDAR, get_calendar),
    route(SET_STATE, set_state),
    route(SET_SALES, set_sales),
    route(SET_RUN, set_run),
    route(SWITCH_CHAT, switch_chat),
    route(SWITCH_VIDEO, switch_video),
    route(SET_CHAT, set_chat),
    route(JOIN_AS_GUEST, join_as_guest),
    route(ISSUE_TICKET, issue_ticket),
    route(PIN_ITEM, pin_item),
    route(UNPIN_ITEM, unpin_item),
    route(ALLOCATE, allocate),
    route(SET_PRICE, set_price),
    route(RESTOCK, restock),
    route(LIST_PRODUCTS, list_products),
    route(CREATE_PRODUCT, create_product),
]
