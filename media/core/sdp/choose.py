"""What of an offer is served: the codecs both sides know.

Reads no clock and does no I/O. Invariant: at most one section of each kind is chosen, none without a format, and of
each kind that is offered one is.
"""

import functools
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from media.core.extensions import sendable
from media.core.formats import Codec, Kind
from media.core.sdp.offer import Format, Offer, Section
from schema.errors import NotAcceptable

_REMEMBERED: Final = 64
"""Choices: a show's viewers come with a few browsers, and the sections of one browser are the same objects."""


class Terms(Struct, frozen=True, kw_only=True):
    """How one track goes to a subscriber: all that its line must know of the answer."""

    payload_types: dict[Codec, int]
    repairs: dict[Codec, int] = {}
    """Payload types of retransmissions; empty where they go as the same bits again."""
    extensions: dict[str, int] = {}


class Chosen(Struct, frozen=True, kw_only=True, eq=False):
    """What is served of one section of the offer."""

    section: Section
    formats: tuple[Format, ...]
    repairs: dict[int, int]
    """Payload type of the retransmissions, by that of what is retransmitted. Of sound there are none."""
    terms: Terms
    """For a subscriber."""

    @property
    def kind(self) -> Kind:
        kind = self.section.kind
        assert kind is not None, "only audio and video are chosen"
        return kind


def choose_from_publisher(offer: Offer) -> Sequence[Chosen]:
    """One format for the first section of each kind that sends. Raises NotAcceptable if a kind has none."""
    return _choose(offer.sections, ("sendrecv", "sendonly"), "", one=True)


def choose_for_subscriber(offer: Offer, profile: str = "") -> Sequence[Chosen]:
    """Every codec the subscriber can take, once each, so that a publisher may come, or return, with any of them.

    `profile` is the publisher's H264 profile-level-id, if it has one; among several H264 formats the one of the
    same profile is taken. Raises NotAcceptable if of sound or picture nothing fits, or if the subscriber waits to be
    called: players offer actpass, and to be a DTLS client is work that only a host's token may ask of us.
    """
    if offer.setup == "passive":
        raise NotAcceptable("A player must offer a=setup:actpass or a=setup:active")
    return _choose(offer.sections, ("sendrecv", "recvonly"), profile, one=False)


def must_take(chosen: Sequence[Chosen], on_air: Sequence[Codec]) -> None:
    """Raise NotAcceptable if a kind that was chosen is on air in a codec that was not."""
    taken = {item.codec for choice in chosen for item in choice.formats}
    kinds = {codec.kind for codec in taken}
    missing = [codec for codec in on_air if codec.kind in kinds and codec not in taken]
    if missing:
        said = f"The show is sent in {', '.join(missing)}, which the offer does not accept"
        raise NotAcceptable(said, codecs=[str(codec) for codec in missing])


def our_setup(offered: str) -> str:
    """Passive towards whoever can be active; FFmpeg's WHIP muxer offers passive and waits to be called."""
    return "active" if offered == "passive" else "passive"


@functools.lru_cache(_REMEMBERED)
def _choose(sections: tuple[Section, ...], sending: tuple[str, str], profile: str, *, one: bool) -> tuple[Chosen, ...]:
    offered = [section for section in sections if section.kind is not None and section.direction in sending]
    chosen: dict[Kind | None, Chosen] = {}
    for section in offered:
        formats = _one_each(section.formats, profile)
        if formats and section.kind not in chosen:
            chosen[section.kind] = _chosen(section, formats[:1] if one else formats)
    lacking = [section for section in offered if section.kind not in chosen and section.names]
    if lacking or not chosen:
        # Of both kinds: sound alone for a host whose picture is H265 would be silence about why nobody sees it.
        names = dict.fromkeys(name for section in lacking for name in section.names)
        raise NotAcceptable(
            "No common codec: video must be VP8, VP9 or AV1 (profile 0 each), or H264 (packetization-mode 1); "
            f"audio must be Opus; the offer has {', '.join(names) or 'none'}"
        )
    return tuple(chosen.values())


def _chosen(section: Section, formats: tuple[Format, ...]) -> Chosen:
    is_video = section.kind is Kind.VIDEO
    rtx = section.rtx if is_video else {}
    repairs = {item.payload_type: rtx[item.payload_type] for item in formats if item.payload_type in rtx}
    terms = Terms(
        payload_types={item.codec: item.payload_type for item in formats},
        repairs={item.codec: repairs[item.payload_type] for item in formats if item.payload_type in repairs},
        extensions=sendable(section.extensions) if is_video else {},
    )
    return Chosen(section=section, formats=formats, repairs=repairs, terms=terms)


def _one_each(formats: Sequence[Format], profile: str) -> tuple[Format, ...]:
    best: dict[Codec, Format] = {}
    for item in formats:
        held = best.get(item.codec)
        if held is None or (_profile(item) == profile[:2].lower() != _profile(held)):
            best[item.codec] = item
    return tuple(best.values())


def _profile(item: Format) -> str:
    """The profile_idc, two digits of profile-level-id; the same family decodes whatever its constraints."""
    return profile_level_id(item)[:2]


def profile_level_id(item: Format) -> str:
    """H264's profile-level-id in lower case; 42e01f, constrained baseline 3.1, where none is given."""
    match = re.search(r"profile-level-id=([0-9A-Fa-f]{6})", item.fmtp)
    return match[1].lower() if match else "42e01f"
