"""What the media room needs of others."""

from typing import Protocol

from schema.ids import ShowId
from schema.people import Principal


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
