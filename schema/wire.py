"""Every message on the socket `/ws/{show}`, in both directions.

Server to viewer, one frame a tick: `{"e": epoch, "o": last offset, "ev": [...], "st": {...}}`.
The first frame after joining has the same shape with `"snapshot": true`: forget what you knew, then
apply it. A client that resumed gets `"recovered": true` and only what it missed, or `"recovered": false`
and a snapshot.

Three lanes. *Must* and *chat* events carry an offset `o`, one sequence for both, and can be replayed.
*State* (`st`) is the last value of a key and has none.

State keys: `stock.<variant>` (a `Stock`), `low.<variant>` (since when its stock is low, in ms, or null), `viewers`
(int), `show` (a `ShowState`), `sales` (bool), `chat` (bool: viewers may write), `video` (a `VideoSwitch`),
`host` (bool: video is arriving), `slow` (slow mode in ms),
`stale` (bool: this server is cut off from the others, so what it says may be old and chat waits),
`flash.<variant>` (a `FlashPrice`, or null when none runs), `coupon` (the `PinnedCoupon`, or null),
`run` (what the host shows, in order), `reactions` (how many of each kind, over the whole show),
`poll` (the newest `Poll`, or null), `questions` (a list of `QuestionShown`)
and `question_votes` (their votes by id).
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from schema.audience import REACTIONS_MAX, Announcement, Reaction
from schema.ids import AccountId, AnnouncementId, HoldId, MessageId, OrderId, VariantId
from schema.money import Money
from schema.order import OrderState
from schema.people import Role
from schema.show import ShowState, Stock

SUBPROTOCOL_JSON = "showfloor.v1+json"
SUBPROTOCOL_MSGPACK = "showfloor.v1+msgpack"

CHAT_MAX_CHARS = 500


class Event(Struct, frozen=True, kw_only=True, tag_field="t"):
    """Something that happened in a show. On the wire it also carries its offset, `o`."""


class ClaimChoice(Struct, frozen=True, kw_only=True):
    """An item that a claim may have meant."""

    variant_id: VariantId
    title: str
    option: str
    number: int | None
    """By which the pages show it; null: it has none."""


ClaimOutcome = Literal[
    "held", "confirming", "unclear", "not_in_show", "sold_out", "limit_reached", "sales_closed", "rate_limited",
    "unavailable",
]  # fmt: skip


class Claimed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="claim"):
    """What became of a chat message that buys ("buy pot blue 2", "sold 12"); private to its author.

    *held*: yours until `expires_at_ms`. *confirming*: admitted, ask for the hold. *unclear*: several items are called
    so, `choices` names them. *not_in_show*: none is. The others: why nothing is held.
    """

    message_id: MessageId
    outcome: ClaimOutcome
    variant_id: VariantId | None = None
    quantity: int = 0
    hold_id: HoldId | None = None
    expires_at_ms: int | None = None
    choices: list[ClaimChoice] = []


class Offered(Event, frozen=True, kw_only=True, tag="offer"):
    """A place in the line for what is sold out has become a hold; private to whoever waited."""

    hold_id: HoldId
    variant_id: VariantId
    quantity: int
    expires_at_ms: int


class OrderChanged(Event, frozen=True, kw_only=True, tag="order"):
    """What became of an order without its buyer's doing, such as `capture_failed`; private to its buyer."""

    order_id: OrderId
    state: OrderState


class Announced(Event, frozen=True, kw_only=True, tag="announcement"):
    """The staff tell everybody something, in the place of what was announced before."""

    announcement: Announcement


class AnnouncementOver(Event, frozen=True, kw_only=True, tag="announcement_over"):
    """Nothing is announced any more."""

    announcement_id: AnnouncementId


class ReplyTo(Struct, frozen=True, kw_only=True):
    """The message that another one answers, as it stood then."""

    id: MessageId
    name: str
    text: str
    """Its first 80 characters."""


class Chat(Event, frozen=True, kw_only=True, omit_defaults=True, tag="chat"):
    """Somebody said something."""

    id: MessageId
    account_id: AccountId
    name: str
    role: Role
    text: str
    at_ms: int
    reply_to: ReplyTo | None = None


class ChatDeleted(Event, frozen=True, kw_only=True, tag="chat_deleted"):
    """A message was taken down; forget its text."""

    id: MessageId


class ChatPinned(Event, frozen=True, kw_only=True, tag="chat_pin"):
    """A message stands on top of the chat, until another does or it is taken away."""

    message: Chat


class ChatUnpinned(Event, frozen=True, kw_only=True, tag="chat_unpin"):
    """No message stands on top of the chat."""


class Pinned(Event, frozen=True, kw_only=True, omit_defaults=True, tag="pin"):
    """An item is now shown beside the video."""

    variant_id: VariantId
    at_ms: int
    captured_at_ms: int | None = None
    """The capture time of the picture it belongs to, on the clock of the video's sender reports and abs-capture-time:
    whoever plays the video shows the pin with that picture, and at once if nothing plays."""


class Unpinned(Event, frozen=True, kw_only=True, tag="unpin"):
    """An item is no longer shown beside the video."""

    variant_id: VariantId


class PriceChanged(Event, frozen=True, kw_only=True, tag="price"):
    """A variant has another price from now on."""

    variant_id: VariantId
    price: Money


class SoldOut(Event, frozen=True, kw_only=True, tag="sold_out"):
    """The last available unit is gone (held or sold)."""

    variant_id: VariantId


class BackInStock(Event, frozen=True, kw_only=True, tag="back_in_stock"):
    """Units are available again."""

    variant_id: VariantId
    available: int


class ShowChanged(Event, frozen=True, kw_only=True, tag="show"):
    """The show moved to another state."""

    state: ShowState


class SalesChanged(Event, frozen=True, kw_only=True, tag="sales"):
    """Sales were stopped or opened."""

    open: bool


AnyEvent = (
    Chat
    | ChatDeleted
    | ChatPinned
    | ChatUnpinned
    | Pinned
    | Unpinned
    | PriceChanged
    | SoldOut
    | BackInStock
    | ShowChanged
    | SalesChanged
    | Claimed
    | Offered
    | OrderChanged
    | Announced
    | AnnouncementOver
)


class Frame(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One frame from the server. The hub glues it from bytes encoded once; this struct documents and decodes it."""

    e: str
    """Epoch: offsets of another epoch mean nothing."""
    o: int
    """The last offset this frame brings the client to."""
    ev: list[Raw] = []
    st: dict[str, Any] = {}
    snapshot: bool = False
    recovered: bool | None = None
    reconnect_ms: int | None = None
    """The server ends, and closes this socket with 4003 next: come back after so long, and not with all others."""


class Private(Struct, frozen=True, kw_only=True):
    """Something for the sockets of one account alone. It has no offset and is not replayed."""

    private: Raw
    """An event; `chat` is a message of one's own that the room does not get, `claim` what became of one that buys,
    `offer` a place in a line that became a hold, `order` what became of an order."""


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one command, to its sender alone: `{"re": ref, "ok": {...}}` or `{"re": ref, "error": {...}}`."""

    re: str
    ok: dict[str, Any] | None = None
    error: "WireError | None" = None


class WireError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a command was refused. The connection stays."""

    code: str
    detail: str
    retry_after_ms: int | None = None


class Command(Struct, frozen=True, kw_only=True, tag_field="t", forbid_unknown_fields=True):
    """What a client may ask on its socket. `ref` comes back in the answer."""

    ref: Annotated[str, Meta(max_length=64)] = ""


class Say(Command, frozen=True, kw_only=True, tag="chat", forbid_unknown_fields=True):
    """Say something in the chat; answered with `{"offset": o, "id": ...}`."""

    text: Annotated[str, Meta(max_length=10_000)]
    reply_to: Annotated[str, Meta(max_length=64)] = ""
    """The id of the message that it answers, if that is among the last ones still up."""


class Ping(Command, frozen=True, kw_only=True, tag="ping", forbid_unknown_fields=True):
    """Measure the way there and back; answered with `{"at_ms": server's clock}`."""


class Watched(Command, frozen=True, kw_only=True, tag="watched", forbid_unknown_fields=True):
    """How the picture was since the last report; at most one in five seconds counts. Answered with `{}`.

    It is added up over all viewers of the show; of one session only its last report is known, while it lasts.
    """

    watched_ms: Annotated[int, Meta(ge=1_000, le=120_000)]
    """How long a picture should have been moving."""
    frozen_ms: Annotated[int, Meta(ge=0, le=120_000)]
    """For how much of that it stood still."""
    age_ms: Annotated[int, Meta(ge=0, le=60_000)] | None = None
    """From capture to screen; the median since the last report."""
    session: Annotated[str, Meta(max_length=64)] = ""
    """The last part of the WHEP session's address."""


class React(Command, frozen=True, kw_only=True, tag="react", forbid_unknown_fields=True):
    """React to what is shown; what was tapped within a moment goes as one. Answered with `{}`."""

    kind: Reaction
    count: Annotated[int, Meta(ge=1, le=REACTIONS_MAX)] = 1


class Vote(Command, frozen=True, kw_only=True, tag="vote", forbid_unknown_fields=True):
    """Vote in the open poll; while it is open, another vote takes the place of the first. Answered with `{}`."""

    poll_id: Annotated[str, Meta(max_length=64)]
    option: Annotated[int, Meta(ge=0, le=5)]


class Ask(Command, frozen=True, kw_only=True, tag="ask", forbid_unknown_fields=True):
    """Ask the host something; answered with `{"id": ...}`."""

    text: Annotated[str, Meta(max_length=2000)]


class Want(Command, frozen=True, kw_only=True, tag="want", forbid_unknown_fields=True):
    """Want a question answered, too; once an account. Answered with `{}`."""

    question_id: Annotated[str, Meta(max_length=64)]


AnyCommand = Say | Ping | Watched | React | Vote | Ask | Want


class ChatRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/shows/{show}/chat`."""

    text: Annotated[str, Meta(min_length=1, max_length=10_000)]
    reply_to: Annotated[str, Meta(max_length=64)] = ""
    """The id of the message that it answers, if that is among the last ones still up."""


class ChatAccepted(Struct, frozen=True, kw_only=True):
    """A message was published at this offset."""

    offset: int
    id: MessageId


__all__ = ["AnyCommand", "AnyEvent", "Frame", "Private", "Reply", "Stock", "WireError"]
