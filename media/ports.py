"""What the media room needs of others, and what its routes find in the lifespan state."""

from typing import TYPE_CHECKING, Protocol, TypedDict

from schema.ids import ShowId
from schema.people import Principal

if TYPE_CHECKING:
    from media.relay import Relay


class MediaGate(Protocol):
    """Who may publish to a show, and who may watch it."""

    async def publisher(self, token: str | None, show: str) -> Principal:
        """The host behind a token. Raises Unauthenticated, Forbidden or NotFound."""
        ...

    async def subscriber(self, token: str | None, show: str, *, joining: bool) -> Principal:
        """The viewer behind a token. `joining` counts against the limit of joins: raises RateLimited as well."""
        ...


class HostListener(Protocol):
    """Hears when a show's host is really sending, and when not any more."""

    def host_changed(self, show_id: ShowId, present: bool) -> None:  # noqa: FBT001 - it is the event's one datum
        """Called on the event loop, once per change; must not block."""
        ...


class MediaState(TypedDict):
    """The lifespan state that `media.routes` relies on."""

    relay: "Relay"
    media_gate: MediaGate
