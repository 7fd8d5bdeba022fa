"""A show's numbers where several workers have its viewers: what each knows, and all of it added up.

Owns: nothing. Reads no clock and does no I/O. Invariant: what is known of each viewer is handed over as it is, never
as a quantile, for those of parts say nothing of the whole; a share has at most as many values as its worker has
sessions and reports.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from media.core.histogram import quantile
from schema.ids import ShowId
from schema.media import AudienceMedia, HostMedia, LayerMedia, MediaMoment, ShowMedia, Spread

NEAR_MS: Final = 5_000
"""As far as two moments of a curve are apart."""


class Share(Struct, frozen=True, kw_only=True):
    """What one worker knows of a show."""

    host: HostMedia
    sessions: int
    bitrate_bps: int
    nacks: int
    resends: int
    plis: int
    loss: list[float]
    """Of each viewer that has reported, as are the round trips."""
    rtt_ms: list[int]
    frozen: list[float]
    """Of each page's report of the last minute, as are the ages."""
    age_ms: list[int]
    history: list[MediaMoment]


def spread(values: Sequence[float] | Sequence[int]) -> Spread:
    """Count, median and 95th percentile."""
    values = sorted(values)
    return Spread(count=len(values), p50=quantile(values, 0.5), p95=quantile(values, 0.95))


def whole(show_id: ShowId, at_ms: int, host: Share, others: Sequence[Share] = ()) -> ShowMedia:
    """The numbers of a show, whose host the worker of `host` knows."""
    shares = [host, *others]
    return ShowMedia(
        show_id=show_id,
        at_ms=at_ms,
        host=replace(host.host, layers=_layers(host, shares)),
        viewers=AudienceMedia(
            sessions=sum(one.sessions for one in shares),
            bitrate_bps=sum(one.bitrate_bps for one in shares),
            loss=spread([value for one in shares for value in one.loss]),
            rtt_ms=spread([value for one in shares for value in one.rtt_ms]),
            nacks=sum(one.nacks for one in shares),
            resends=sum(one.resends for one in shares),
            plis=sum(one.plis for one in shares),
            frozen=spread([value for one in shares for value in one.frozen]),
            age_ms=spread([value for one in shares for value in one.age_ms]),
        ),
        history=_history([one.history for one in shares]),
    )


def _layers(host: Share, shares: Sequence[Share]) -> list[LayerMedia]:
    """The host's, with everybody's viewers; a layer has one name in all workers."""
    viewers = Counter[str]()
    for share in shares:
        viewers.update({layer.rid: layer.viewers for layer in share.host.layers})
    return [replace(layer, viewers=viewers[layer.rid]) for layer in host.host.layers]


def _history(curves: Sequence[Sequence[MediaMoment]]) -> list[MediaMoment]:
    """The longest curve, and to each of its moments what the others have about then: no two read at the same time."""
    longest = max(curves, key=len)
    others = [curve for curve in curves if curve is not longest]
    return [_sum(one, [near for curve in others if (near := _near(curve, one.at_ms))]) for one in longest]


def _near(curve: Sequence[MediaMoment], at_ms: int) -> MediaMoment | None:
    at = bisect_left(curve, at_ms, key=lambda one: one.at_ms)
    near = min(curve[max(0, at - 1) : at + 1], key=lambda one: abs(one.at_ms - at_ms), default=None)
    return near if near is not None and abs(near.at_ms - at_ms) <= NEAR_MS else None


def _sum(moment: MediaMoment, others: Sequence[MediaMoment]) -> MediaMoment:
    return MediaMoment(
        at_ms=moment.at_ms,
        viewers=moment.viewers + sum(one.viewers for one in others),
        in_bps=max([moment.in_bps, *(one.in_bps for one in others)]),  # who pulls gets what the host sends, once more
        out_bps=moment.out_bps + sum(one.out_bps for one in others),
    )
