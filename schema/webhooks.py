"""Webhooks out: who is told of what, and how each telling went (standardwebhooks.com)."""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from schema.ids import EndpointId


class EventType(StrEnum):
    """What a receiver may be told of."""

    ORDER_PAID = "order.paid"
    ORDER_REFUNDED = "order.refunded"
    ORDER_CANCELLED = "order.cancelled"
    STOCK_LOW = "stock.low"
    STOCK_SOLD_OUT = "stock.sold_out"
    SHOW_LIVE = "show.live"
    SHOW_ENDED = "show.ended"
    PING = "ping"
    """Asked for by hand; every endpoint hears its own."""


class EndpointState(StrEnum):
    """Whether an endpoint is told."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """By hand."""
    FAILED = "failed"
    """Given up: it refused everything for a day, or said 410."""


class EndpointRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tell this address."""

    url: Annotated[str, Meta(min_length=8, max_length=2000)]
    types: Annotated[list[EventType], Meta(min_length=1, max_length=20)]


class EndpointSwitch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Go on telling, or stop."""

    enabled: bool


class Endpoint(Struct, frozen=True, kw_only=True):
    """An address that is told."""

    endpoint_id: EndpointId
    url: str
    types: list[EventType]
    state: EndpointState
    failing_since_ms: int | None
    """The first refusal since it last took something."""
    created_at_ms: int
    secret: str | None = None
    """`whsec_...`, in the answer that makes the endpoint and in no other."""


class EndpointList(Struct, frozen=True, kw_only=True):
    """All of them; a shop has few."""

    items: list[Endpoint]


class DeliveryState(StrEnum):
    """The life of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    delivery_id: str
    event_id: str
    """The `webhook-id` of every try."""
    type: EventType
    object_id: str | None
    """The order, variant or show it is about."""
    test: bool
    state: DeliveryState
    attempts: int
    due_at_ms: int
    """When the next try is due, while it is pending."""
    status: int | None
    """Of the last answer; null: there was none."""
    error: str | None
    created_at_ms: int
    delivered_at_ms: int | None


class DeliveryPage(Struct, frozen=True, kw_only=True):
    """One page of an endpoint's deliveries, newest first."""

    items: list[Delivery]
    next_cursor: str | None = None


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a webhook."""

    type: EventType
    timestamp: str
    """When it happened, RFC 3339 in UTC."""
    data: Any
    """The thing as it was when first told: an `Order`; order and `refund`; or the few facts of stock or show."""
    test: bool = False
    """True: of a rehearsal, or a ping. Nothing was sold."""
