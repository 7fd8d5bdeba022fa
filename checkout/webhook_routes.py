"""Webhooks out over HTTP: the endpoints that are told, and how each delivery went.

Owns: the declarations and their handlers. Endpoints are the shop's: a token for one show reaches none of them.
"""

from typing import Any, TypedDict

from starlette.routing import BaseRoute

from checkout.calls import PAGING, paging_of
from checkout.webhooks import Webhooks
from schema.api import Answer, Call, Operation, route
from schema.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Unavailable
from schema.ids import EndpointId
from schema.people import Role
from schema.webhooks import Delivery, DeliveryPage, Endpoint, EndpointList, EndpointRequest, EndpointSwitch

_ALL = "/api/v1/webhook-endpoints"
_ONE = f"{_ALL}/{{endpoint}}"


class Services(TypedDict):
    """What the handlers find in `request.state`."""

    webhooks: Webhooks


def _webhooks(call: Call[Any]) -> Webhooks:
    if call.who.show_id is not None:
        raise Forbidden("The token is for one show; this needs one for all shows")
    webhooks: Webhooks = call.request.state.webhooks
    return webhooks


def _endpoint(call: Call[Any]) -> EndpointId:
    return EndpointId(call.path("endpoint"))


MAKE = Operation(
    name="createWebhookEndpoint",
    method="POST",
    path=_ALL,
    summary="Tell an address what happens, signed (Standard Webhooks). The answer alone has the secret.",
    answers={201: Endpoint},
    role=Role.OPERATOR,
    body=EndpointRequest,
    errors=(BadRequest, Invalid, Conflict, Unavailable),
    tag="webhooks",
)


async def make(call: Call[EndpointRequest]) -> Answer:
    """201 the endpoint with its secret."""
    made = await _webhooks(call).make(call.body)
    headers = {"Location": f"{_ALL}/{made.endpoint_id}", "Cache-Control": "no-store"}
    return Answer(status=201, body=made, headers=headers)


LIST = Operation(
    name="listWebhookEndpoints",
    method="GET",
    path=_ALL,
    summary="The addresses that are told, and whether they take it.",
    answers={200: EndpointList},
    role=Role.OPERATOR,
    errors=(Unavailable,),
    tag="webhooks",
)


async def list_all(call: Call[None]) -> Answer:
    """200 all of them."""
    return Answer(body=await _webhooks(call).endpoints())


SWITCH = Operation(
    name="switchWebhookEndpoint",
    method="PUT",
    path=f"{_ONE}/enabled",
    summary="Stop telling an address, or go on: also one that was given up after refusing everything for a day.",
    answers={200: Endpoint},
    role=Role.OPERATOR,
    body=EndpointSwitch,
    errors=(BadRequest, Invalid, NotFound, Unavailable),
    tag="webhooks",
)


async def switch(call: Call[EndpointSwitch]) -> Answer:
    """200 the endpoint."""
    return Answer(body=await _webhooks(call).switch(_endpoint(call), enabled=call.body.enabled))


DELETE = Operation(
    name="deleteWebhookEndpoint",
    method="DELETE",
    path=_ONE,
    summary="Forget an address and what was on its way there; twice is once.",
    answers={204: None},
    role=Role.OPERATOR,
    errors=(Unavailable,),
    tag="webhooks",
)


async def delete(call: Call[None]) -> Answer:
    """204."""
    await _webhooks(call).delete(_endpoint(call))
    return Answer(status=204)


PING = Operation(
    name="pingWebhookEndpoint",
    method="POST",
    path=f"{_ONE}/ping",
    summary="Send a `ping`, to see that it arrives and its signature verifies.",
    answers={202: Delivery},
    role=Role.OPERATOR,
    errors=(NotFound, Unavailable),
    tag="webhooks",
)


async def ping(call: Call[None]) -> Answer:
    """202 the delivery."""
    return Answer(status=202, body=await _webhooks(call).ping(_endpoint(call)))


DELIVERIES = Operation(
    name="listWebhookDeliveries",
    method="GET",
    path=f"{_ONE}/deliveries",
    summary="What was told to an address, newest first, and how it answered; kept for 30 days.",
    answers={200: DeliveryPage},
    role=Role.OPERATOR,
    query=PAGING,
    errors=(Invalid, Unavailable),
    tag="webhooks",
)


async def deliveries(call: Call[None]) -> Answer:
    """200 a page."""
    return Answer(body=await _webhooks(call).deliveries(_endpoint(call), *paging_of(call)))


REPLAY = Operation(
    name="replayWebhookDelivery",
    method="POST",
    path=f"{_ONE}/deliveries/{{delivery}}/replay",
    summary="Tell it again, at once and under the same webhook-id.",
    answers={202: Delivery},
    role=Role.OPERATOR,
    errors=(NotFound, Unavailable),
    tag="webhooks",
)


async def replay(call: Call[None]) -> Answer:
    """202 the delivery."""
    return Answer(status=202, body=await _webhooks(call).replay(_endpoint(call), call.path("delivery")))


routes: list[BaseRoute] = [
    route(MAKE, make),
    route(LIST, list_all),
    route(SWITCH, switch),
    route(DELETE, delete),
    route(PING, ping),
    route(DELIVERIES, deliveries),
    route(REPLAY, replay),
]
