"""What WHIP and WHEP share: an offer posted, a session as a resource (RFC 9725 section 4)."""

from starlette.requests import Request
from starlette.responses import Response

from media.clock import now_ms
from media.core.sdp import MAX_BYTES, parse_fragment
from media.ports import MediaGate
from media.relay import Relay, Session
from schema.api import read_body
from schema.errors import Forbidden, Invalid, PreconditionFailed, UnsupportedMediaType
from schema.people import Principal, Role

SDP_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"


def relay_of(request: Request) -> Relay:
    """The relay of the lifespan state."""
    relay: Relay = request.scope["state"]["relay"]  # for each join: Starlette's `request.state` is two objects more
    return relay


def gate_of(request: Request) -> MediaGate:
    """The gate of the lifespan state."""
    gate: MediaGate = request.scope["state"]["media_gate"]
    return gate


def bearer(request: Request) -> str | None:
    """The token of `Authorization: Bearer`, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def read_sdp(request: Request, kind: str = SDP_TYPE) -> bytes:
    """The body. Raises UnsupportedMediaType or TooLarge."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != kind:
        raise UnsupportedMediaType(f"The body must be {kind}", headers={"Accept-Post": SDP_TYPE})
    return await read_body(request, MAX_BYTES)


def created(request: Request, endpoint: str, session: Session) -> Response:
    """201 with the answer, and the ICE servers that the peer may use."""
    headers = {"Location": f"{endpoint}/{session.show_id}/{session.session_id}", "ETag": session.etag}
    answer = Response(session.answer, 201, headers, media_type=SDP_TYPE)
    return _with_ice_servers(request, answer, session.account_id)


def _with_ice_servers(request: Request, response: Response, name: str | None) -> Response:
    for link in relay_of(request).config.ice_servers.links(name, now_ms()):
        response.headers.append("Link", link)
        response.headers["Cache-Control"] = "no-store"
    return response


def _owned(request: Request, principal: Principal, *, is_publisher: bool) -> Session:
    params = request.path_params
    session = relay_of(request).session(params["session"], params["show"], is_publisher=is_publisher)
    if session.account_id != principal.account_id and not principal.role.covers(Role.OPERATOR):
        raise Forbidden("The session is another's")
    return session


async def patched(request: Request, principal: Principal, *, is_publisher: bool) -> Response:
    """204 for candidates (a lite agent needs none), 200 with our new credentials for an ICE restart."""
    session = _owned(request, principal, is_publisher=is_publisher)
    fragment = parse_fragment(await read_sdp(request, FRAGMENT_TYPE))
    expected = request.headers.get("if-match")
    if expected not in (None, "*", session.etag):
        raise PreconditionFailed("If-Match names other ICE credentials")
    if fragment.ufrag in (None, session.peer.credentials.remote_ufrag):
        return Response(status_code=204)
    if fragment.password is None:
        raise Invalid("An ICE restart needs a=ice-pwd")
    assert fragment.ufrag is not None, "None was answered above"
    session.peer.restart(fragment.ufrag, fragment.password)
    ours = session.peer.credentials
    body = f"a=ice-lite\r\na=ice-ufrag:{ours.ufrag}\r\na=ice-pwd:{ours.password}\r\n"
    return Response(body, 200, {"ETag": session.etag}, media_type=FRAGMENT_TYPE)


def ended(request: Request, principal: Principal, *, is_publisher: bool) -> Response:
    """200; the resource is gone."""
    relay_of(request).end(_owned(request, principal, is_publisher=is_publisher))
    return Response(status_code=200)


def options(request: Request, principal: Principal | None) -> Response:
    """204 with what POST takes, and the ICE servers: with passwords for whoever may post (RFC 9725 section 4.6)."""
    answer = Response(status_code=204, headers={"Accept-Post": SDP_TYPE, "Allow": "OPTIONS, POST, PATCH, DELETE"})
    return _with_ice_servers(request, answer, principal.account_id if principal else None)
