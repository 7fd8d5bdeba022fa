"""The show's offers over HTTP: bundles, flash prices, coupons.

Owns: what each takes and answers; who decides is checkout (flash prices, coupons) or `bundles.py`.
"""

from typing import Any

from starlette.routing import BaseRoute

from schema.api import Answer, Call, Operation, route
from schema.errors import BadRequest, Conflict, IdempotencyMismatch, Invalid, NotFound, Unavailable
from schema.ids import ShowId, VariantId
from schema.offers import (
    Bundle,
    BundleRequest,
    Coupon,
    CouponPage,
    CouponPinRequest,
    CouponRequest,
    FlashPriceRequest,
)
from schema.people import Role
from schema.show import Item

_BODY = (BadRequest, Invalid)


def _show(call: Call[Any]) -> ShowId:
    return ShowId(call.path("show"))


def _variant(call: Call[Any]) -> VariantId:
    return VariantId(call.path("variant"))


CREATE_BUNDLE = Operation(
    name="createBundle",
    method="POST",
    path="/api/v1/shows/{show}/bundles",
    summary="Sell items of the show together at a price of their own; a bundle is held by its id, like a variant.",
    role=Role.OPERATOR,
    body=BundleRequest,
    answers={201: Bundle},
    errors=(*_BODY, NotFound, Conflict, Unavailable),
    tag="items",
)


async def create_bundle(call: Call[BundleRequest]) -> Answer:
    """POST /api/v1/shows/{show}/bundles."""
    return Answer(status=201, body=await call.request.state.bundles.create(_show(call), call.body))


BEGIN_FLASH = Operation(
    name="beginFlashPrice",
    method="PUT",
    path="/api/v1/shows/{show}/items/{variant}/flash-price",
    summary="Another price for so many units, until a moment. One at a time, and none within ten minutes of the last "
    "one's end. An Idempotency-Key makes a retry safe.",
    role=Role.HOST,
    body=FlashPriceRequest,
    answers={200: Item},
    errors=(*_BODY, NotFound, Conflict, IdempotencyMismatch, Unavailable),
    tag="items",
)


async def begin_flash(call: Call[FlashPriceRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/items/{variant}/flash-price."""
    state, show, variant = call.request.state, _show(call), _variant(call)
    await state.desk.flashes.begin(show, variant, call.body, by=call.who.account_id, key=call.key)
    return Answer(body=await state.catalog.tell_price(show, variant))


END_FLASH = Operation(
    name="endFlashPrice",
    method="DELETE",
    path="/api/v1/shows/{show}/items/{variant}/flash-price",
    summary="End a flash price early; holds keep it. Ending what does not run is no mistake.",
    role=Role.HOST,
    answers={200: Item},
    errors=(NotFound, Unavailable),
    tag="items",
)


async def end_flash(call: Call[None]) -> Answer:
    """DELETE /api/v1/shows/{show}/items/{variant}/flash-price."""
    state, show, variant = call.request.state, _show(call), _variant(call)
    await state.desk.flashes.end(show, variant)
    return Answer(body=await state.catalog.tell_price(show, variant))


CREATE_COUPON = Operation(
    name="createCoupon",
    method="POST",
    path="/api/v1/shows/{show}/coupons",
    summary="Enter a coupon: a share or an amount off a basket.",
    role=Role.OPERATOR,
    body=CouponRequest,
    answers={201: Coupon},
    errors=(*_BODY, NotFound, Conflict, Unavailable),
    tag="checkout",
)


async def create_coupon(call: Call[CouponRequest]) -> Answer:
    """POST /api/v1/shows/{show}/coupons."""
    return Answer(status=201, body=await call.request.state.desk.coupons.create(_show(call), call.body))


LIST_COUPONS = Operation(
    name="listCoupons",
    method="GET",
    path="/api/v1/shows/{show}/coupons",
    summary="A show's coupons with how often each was used, the newest first.",
    role=Role.HOST,
    for_analysts=True,
    answers={200: CouponPage},
    errors=(Unavailable,),
    tag="checkout",
)


async def list_coupons(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/coupons."""
    return Answer(body=await call.request.state.desk.coupons.all(_show(call)))


PIN_COUPON = Operation(
    name="pinCoupon",
    method="PUT",
    path="/api/v1/shows/{show}/coupon",
    summary="Offer a coupon to everybody who watches, in the place of the one that was; pages apply it without typing.",
    role=Role.HOST,
    body=CouponPinRequest,
    answers={200: Coupon},
    errors=(*_BODY, NotFound, Unavailable),
    tag="pins",
)


async def pin_coupon(call: Call[CouponPinRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/coupon."""
    state = call.request.state
    coupon = await state.desk.coupons.pin(_show(call), call.body.code)
    await state.offers.look()
    return Answer(body=coupon)


UNPIN_COUPON = Operation(
    name="unpinCoupon",
    method="DELETE",
    path="/api/v1/shows/{show}/coupon",
    summary="Offer no coupon any more; who typed one may use it still.",
    role=Role.HOST,
    answers={204: None},
    errors=(Unavailable,),
    tag="pins",
)


async def unpin_coupon(call: Call[None]) -> Answer:
    """DELETE /api/v1/shows/{show}/coupon."""
    state = call.request.state
    await state.desk.coupons.pin(_show(call), None)
    await state.offers.look()
    return Answer(status=204)


routes: list[BaseRoute] = [
    route(CREATE_BUNDLE, create_bundle),
    route(BEGIN_FLASH, begin_flash),
    route(END_FLASH, end_flash),
    route(CREATE_COUPON, create_coupon),
    route(LIST_COUPONS, list_coupons),
    route(PIN_COUPON, pin_coupon),
    route(UNPIN_COUPON, unpin_coupon),
]
