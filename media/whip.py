"""WHIP: a host publishes with one POST (RFC 9725).

Owns: nothing; sessions live in the relay. Invariant: every verb asks the gate first, and a session answers
only to the account that made it.
"""

from starlette.requests import Request
from starlette.responses import Response

from media.core.sdp import parse_offer
from media.resource import bearer, created, ended, gate_of, options, patched, read_sdp, relay_of
from schema.ids import ShowId

ENDPOINT = "/whip"


async def publish(request: Request) -> Response:
    """POST an offer: 201 with the answer, the session's Location and its ETag."""
    show = request.path_params["show"]
    principal = await gate_of(request).publisher(bearer(request), show)
    offer = parse_offer(await read_sdp(request))
    return created(request, ENDPOINT, relay_of(request).publish(ShowId(show), principal.account_id, offer))


async def change(request: Request) -> Response:
    """PATCH a trickle fragment: 204; with new credentials, an ICE restart: 200."""
    principal = await gate_of(request).publisher(bearer(request), request.path_params["show"])
    return await patched(request, principal, is_publisher=True)


async def end(request: Request) -> Response:
    """DELETE: 200, and the packets stop."""
    principal = await gate_of(request).publisher(bearer(request), request.path_params["show"])
    return ended(request, principal, is_publisher=True)


async def preflight(request: Request) -> Response:
    """OPTIONS: what may be posted here. With a token, also how to get through a network that blocks the direct way."""
    token = bearer(request)
    return options(request, await gate_of(request).publisher(token, request.path_params["show"]) if token else None)
