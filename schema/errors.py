"""The closed family of errors: each owns a code, an HTTP status and a WebSocket close code.

Owns: the registry. A duplicate code fails at import.
Invariant: close codes 4000-4499 mean "come back", 4500-4999 "stay away". Rooms raise; only
`live.errors` (HTTP, RFC 9457) and `realtime.socket` (frames and close codes) translate.
"""

from typing import Any, ClassVar

REGISTRY: dict[str, type["ShowfloorError"]] = {}


def problem_type(code: str) -> str:
    """The `type` of a problem document (RFC 9457): where the code is explained."""
    return f"/docs#problem-{code}"


class ShowfloorError(Exception):
    """Base of everything a caller may be told. `detail` is for people; `code` is for programs."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 4000
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after_ms: int | None = None,
        pointer: str | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_ms = retry_after_ms
        self.pointer = pointer
        """A JSON pointer (RFC 6901) to the field at fault."""
        self.headers = headers or {}
        self.extra = extra
        """More members for the problem document, such as `available`."""

    def __init_subclass__(cls) -> None:
        assert cls.code not in REGISTRY, f"two errors called {cls.code}"
        REGISTRY[cls.code] = cls


class BadRequest(ShowfloorError):
    code, status, close_code = "bad_request", 400, 4500
    title = "The request could not be understood"


class IdempotencyKeyMissing(ShowfloorError):
    code, status, close_code = "idempotency_key_missing", 400, 4501
    title = "This call needs an Idempotency-Key header"


class Unauthenticated(ShowfloorError):
    code, status, close_code = "unauthenticated", 401, 4502
    title = "A valid token is needed"


class PaymentDeclined(ShowfloorError):
    code, status, close_code = "payment_declined", 402, 4503
    title = "The payment was declined"


class Forbidden(ShowfloorError):
    code, status, close_code = "forbidden", 403, 4504
    title = "This token does not allow that"


class Muted(ShowfloorError):
    code, status, close_code = "muted", 403, 4530
    title = "A moderator muted you in this show's chat"


class Banned(ShowfloorError):
    code, status, close_code = "banned", 403, 4531
    title = "A moderator sent you out of this show"


class NotFound(ShowfloorError):
    code, status, close_code = "not_found", 404, 4505
    title = "There is no such thing"


class MethodNotAllowed(ShowfloorError):
    code, status, close_code = "method_not_allowed", 405, 4519
    title = "This address does not take that method"


class NotAcceptable(ShowfloorError):
    code, status, close_code = "not_acceptable", 406, 4506
    title = "No common media format"


class RequestTimeout(ShowfloorError):
    code, status, close_code = "request_timeout", 408, 4005
    title = "The request did not arrive in time"


class Conflict(ShowfloorError):
    code, status, close_code = "conflict", 409, 4507
    title = "The state does not allow that now"


class SoldOutError(ShowfloorError):
    code, status, close_code = "sold_out", 409, 4508
    title = "Sold out"


class LimitReached(ShowfloorError):
    code, status, close_code = "limit_reached", 409, 4509
    title = "The limit per buyer is reached"


class SalesClosed(ShowfloorError):
    code, status, close_code = "sales_closed", 409, 4510
    title = "Sales are closed"


class ChatClosed(ShowfloorError):
    code, status, close_code = "chat_closed", 409, 4534
    title = "The chat of this show is paused"


class VideoStopped(ShowfloorError):
    code, status, close_code = "video_stopped", 409, 4535
    title = "The video of this show is stopped"


class HoldLapsed(ShowfloorError):
    code, status, close_code = "hold_lapsed", 409, 4511
    title = "The hold has lapsed"


class HoldConfirming(ShowfloorError):
    code, status, close_code = "hold_confirming", 409, 4011
    title = "The unit is not confirmed yet"


class PriceWasChanged(ShowfloorError):
    code, status, close_code = "price_changed", 409, 4520
    title = "It costs another amount than was shown"


class CouponRefused(ShowfloorError):
    code, status, close_code = "coupon_refused", 409, 4521
    title = "The coupon cannot be used"


class IdempotencyInFlight(ShowfloorError):
    code, status, close_code = "idempotency_in_flight", 409, 4010
    title = "The first request with this Idempotency-Key is still being answered"


class PreconditionFailed(ShowfloorError):
    code, status, close_code = "precondition_failed", 412, 4512
    title = "It changed since you read it"


class TooLarge(ShowfloorError):
    code, status, close_code = "too_large", 413, 4513
    title = "Too large"


class UnsupportedMediaType(ShowfloorError):
    code, status, close_code = "unsupported_media_type", 415, 4514
    title = "Unsupported media type"


class Invalid(ShowfloorError):
    code, status, close_code = "invalid", 422, 4515
    title = "A field is not valid"


class MessageBlocked(ShowfloorError):
    code, status, close_code = "message_blocked", 422, 4532
    title = "The message has a word that may not be said here"


class LinksNotAllowed(ShowfloorError):
    code, status, close_code = "links_not_allowed", 422, 4533
    title = "Links may not be posted here"


class IdempotencyMismatch(ShowfloorError):
    code, status, close_code = "idempotency_mismatch", 422, 4516
    title = "This Idempotency-Key was used with another request"


class RateLimited(ShowfloorError):
    code, status, close_code = "rate_limited", 429, 4001
    title = "Too many requests"


class TooManySockets(ShowfloorError):
    code, status, close_code = "too_many_sockets", 429, 4517
    title = "This account has opened the show too often; the oldest socket is closed"


class HeadTooLarge(ShowfloorError):
    code, status, close_code = "head_too_large", 431, 4518
    title = "The request's head is too large"


class Unavailable(ShowfloorError):
    code, status, close_code = "unavailable", 503, 4002
    title = "Not available right now"


class GoingAway(ShowfloorError):
    code, status, close_code = "going_away", 503, 4003
    title = "This server is restarting; come back"


class TooSlow(ShowfloorError):
    code, status, close_code = "too_slow", 503, 4004
    title = "This connection cannot keep up; come back"
