"""A show's media in numbers, as operators and hosts read them.

Shares are between 0 and 1, rates in bits or pictures a second, times in milliseconds. None: nobody knows (yet).
Rates are those of the last few seconds; counters begin when the show's media did on this server.
"""

from msgspec import Struct

from schema.ids import AccountId, SessionId, ShowId


class Spread(Struct, frozen=True, kw_only=True):
    """How a measure is spread over those who have one."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None


class LayerMedia(Struct, frozen=True, kw_only=True):
    """One layer of the host's picture; there is one without simulcast."""

    rid: str
    """The host's name for it; empty without simulcast."""
    is_on_air: bool
    width: int
    height: int
    """Of the last keyframe that told; 0 where none did."""
    bitrate_bps: int
    frames_per_second: float | None
    keyframe_interval_ms: int | None
    """Between the last two keyframes, on average over the last half minute."""
    viewers: int


class HostMedia(Struct, frozen=True, kw_only=True):
    """What comes from the host."""

    present: bool
    since_ms: int | None
    """When that last changed; Unix milliseconds."""
    codec: str
    """Of the video on air, or empty."""
    bitrate_bps: int
    loss: float | None
    """Share of the host's video packets that never came, resends counted."""
    jitter_ms: float | None
    nacks: int
    """Packets asked of the host again."""
    plis: int
    """Keyframes asked of the host."""
    newest_frame_age_ms: int | None
    """From the capture of the newest picture here to now, as the host's sender reports tell, less the time that the
    first of them took to come: what an encoder or a queue on the way adds."""
    layers: list[LayerMedia]


class AudienceMedia(Struct, frozen=True, kw_only=True):
    """What goes to the viewers, all together."""

    sessions: int
    bitrate_bps: int
    loss: Spread
    """Share lost in each viewer's last receiver report."""
    rtt_ms: Spread
    nacks: int
    """Packets that viewers asked for again."""
    resends: int
    plis: int
    """Keyframes that viewers asked for."""
    frozen: Spread
    """Share of the time in which the picture stood still, as pages reported in the last minute."""
    age_ms: Spread
    """From capture to screen, likewise."""


class MediaMoment(Struct, frozen=True, kw_only=True):
    """A point of the curves: five seconds."""

    at_ms: int
    viewers: int
    in_bps: int
    out_bps: int


class ShowMedia(Struct, frozen=True, kw_only=True):
    """A show's media on this server now, and its last ten minutes."""

    show_id: ShowId
    at_ms: int
    host: HostMedia
    viewers: AudienceMedia
    history: list[MediaMoment]


class SessionMedia(Struct, frozen=True, kw_only=True):
    """One WHIP or WHEP session."""

    session_id: SessionId
    account_id: AccountId
    role: str
    """`host` or `viewer`."""
    layer: str | None = None
    """The rid of what it gets, empty without simulcast; None: no picture at the moment."""
    bitrate_bps: int
    """Towards a viewer; from a host."""
    estimate_bps: int | None = None
    """What is known to fit."""
    loss: float | None = None
    rtt_ms: int | None = None
    jitter_ms: float | None = None
    nacks: int = 0
    resends: int = 0
    plis: int = 0
    switches: int = 0
    """Between layers."""
    frozen: float | None = None
    """As its page reported last."""
    age_ms: int | None = None


class SessionMediaPage(Struct, frozen=True, kw_only=True):
    """Sessions by id, or the worst first."""

    items: list[SessionMedia]
    next_cursor: str | None = None
