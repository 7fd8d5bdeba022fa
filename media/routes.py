"""The media room's HTTP surface. Needs `MediaState` in the lifespan state."""

from typing import TypedDict

from starlette.routing import BaseRoute, Route

from media import whep, whip
from media.ports import MediaGate
from media.relay import Relay


class MediaState(TypedDict):
    """The lifespan state that the routes rely on."""

    relay: Relay
    media_gate: MediaGate


# Viewers come first: they are the most, and routes are tried in their order.
routes: list[BaseRoute] = [
    Route("/whep/{show}", whep.subscribe, methods=["POST"], name="playShow"),
    Route("/whep/{show}", whep.preflight, methods=["OPTIONS"]),
    Route("/whep/{show}/{session}", whep.change, methods=["PATCH"]),
    Route("/whep/{show}/{session}", whep.end, methods=["DELETE"]),
    Route("/whep/{show}/{session}", whep.preflight, methods=["OPTIONS"]),
    Route("/whip/{show}", whip.publish, methods=["POST"], name="publishShow"),
    Route("/whip/{show}", whip.preflight, methods=["OPTIONS"]),
    Route("/whip/{show}/{session}", whip.change, methods=["PATCH"]),
    Route("/whip/{show}/{session}", whip.end, methods=["DELETE"]),
    Route("/whip/{show}/{session}", whip.preflight, methods=["OPTIONS"]),
]
