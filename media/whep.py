"""WHEP: a viewer plays with one POST (draft-ietf-wish-whep).

Owns: nothing; sessions live in the relay. Invariant: every verb asks the gate first, and a session answers
only to the account that made it.

A viewer who comes before the host gets a session all the same, 201, in every codec both sides know: nothing
is sent until the host comes, then it plays by itself. A 409 with Retry-After (the draft's other way) would
have each waiting page poll and spend its six joins a minute.
"""

from starlette.requests import Request
from starlette.responses import Response

from media.core.sdp import parse_offer
from media.resource import bearer, created, ended, gate_of, options, patched, read_sdp, relay_of
from schema.ids import ShowId

ENDPOINT = "/whep"


async def subscribe(request: Request) -> Response:
    """POST an offer: 201 with the answer, the session's Location and its ETag."""
    show = request.path_params["show"]
    principal = await gate_of(request).subscriber(bearer(request), show, joining=True)
    offer = parse_offer(await read_sdp(request))
    address = request.client.host if request.client else ""
    session = relay_of(request).subscribe(ShowId(show), principal.account_id, offer, address)
    return created(request, ENDPOINT, session)


async def change(request: Request) -> Response:
    """PATCH a trickle fragment: 204; with new credentials, an ICE restart: 200."""
    principal = await gate_of(request).subscriber(bearer(request), request.path_params["show"], joining=False)
    return await patched(request, principal, is_publisher=False)


async def end(request: Request) -> Response:
    """DELETE: 200, and the packets stop."""
    principal = await gate_of(request).subscriber(bearer(request), request.path_params["show"], joining=False)
    return ended(request, principal, is_publisher=False)


async def preflight(request: Request) -> Response:
    """OPTIONS: what may be posted here. With a token, also how to get through a network that blocks the direct way."""
    token = bearer(request)
    return options(
        request, await gate_of(request).subscriber(token, request.path_params["show"], joining=False) if token else None
    )
