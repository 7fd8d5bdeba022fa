"""What a peer offers (RFC 8866, RFC 9429; simulcast RFC 8851 and 8853; retransmission RFC 4588).

Reads no clock and does no I/O. Invariant: `parse_offer` returns a usable offer or raises BadRequest with what is
wrong.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from media.core.formats import CLOCK_HZ, Codec, Kind
from media.core.sdp.lines import TOKEN, Attributes, Block, blocks, form, number, text
from schema.errors import BadRequest

MAX_RIDS: Final = 8
"""Layers of one section; browsers and OBS send three or four."""

_FINGERPRINT = re.compile(r"^(sha-256|sha-384|sha-512) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31,63})$", re.IGNORECASE)
_RID = re.compile(r"^[A-Za-z0-9_-]{1,255}$")
_SSRC = re.compile(r"^[0-9]{1,10}$")
_FID_WORDS: Final = 3
_KINDS: Final = {"audio": Kind.AUDIO, "video": Kind.VIDEO}
_PORTS, _PAYLOAD_TYPES, _EXTENSIONS = 65_535, 127, 255
_WANTED: Final = {
    # Mode 0 forbids the fragments every encoder sends (RFC 6184 section 6.2).
    Codec.H264: ("packetization-mode", "1", "0"),
    # Only what every viewer's browser decodes: 4:2:0, for VP9 of 8 bits (RFC 9628 section 6.1; AV1's RTP format 7.2.1).
    # A host in another profile would be answered, and shown to few of those who were answered the same codec.
    Codec.VP9: ("profile-id", "0", "0"),
    Codec.AV1: ("profile", "0", "0"),
}
"""Name, value and default of the one parameter that must fit."""
_NO_MEDIA: Final = frozenset({"rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn"})
_NAME_CHARACTERS, _MOST_NAMES = 20, 12
_REMEMBERED: Final = 64
"""Offers, and sections by themselves, of `_REMEMBERED_CHARACTERS` at most; a browser's offer has seven thousand."""
_REMEMBERED_CHARACTERS: Final = 16_384
_DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")


class Fingerprint(Struct, frozen=True):
    """The hash of the peer's certificate."""

    algorithm: str
    value: str


class Format(Struct, frozen=True, kw_only=True):
    """One payload type of a section."""

    payload_type: int
    codec: Codec
    rtpmap: str
    fmtp: str = ""


class Section(Struct, frozen=True, kw_only=True, eq=False):
    """One m= section, as far as we understand it. Those of one browser are one object: what follows is remembered."""

    media: str
    protocol: str
    first_format: str
    mid: str
    direction: str
    formats: tuple[Format, ...] = ()
    """Those we can pass through, in the offer's order of preference."""
    extensions: Mapping[str, int] = {}
    """Number by URI (RFC 8285), of all that were offered."""
    rids: tuple[str, ...] = ()
    """The layers it would send, in its order; those it starts paused (~) too."""
    names: tuple[str, ...] = ()
    """Of every codec offered, those that cannot pass too."""
    rtx: Mapping[int, int] = {}
    """Payload type of the retransmissions, by that of what is retransmitted (apt)."""

    repairs: Mapping[int, int] = {}
    """SSRC of the packets, by that of their retransmissions (a=ssrc-group:FID); none with simulcast."""

    @property
    def kind(self) -> Kind | None:
        return _KINDS.get(self.media)


class Offer(Struct, frozen=True, kw_only=True):
    """What a peer offers: one transport (everything is bundled) and its sections."""

    ufrag: str
    password: str
    fingerprint: Fingerprint
    setup: str
    sections: tuple[Section, ...]


class _Described(Struct, frozen=True, kw_only=True):
    """What a section's text says but for what is its own; the same for all who come with the same browser."""

    section: Section
    carries: bool
    """True unless it was refused, or its transport is to be another's."""
    setup: str | None


class _Form(Struct, frozen=True, kw_only=True):
    """What the offers of one browser have in common, and where in each stands what is its own."""

    sections: tuple[Section, ...]
    setup: str
    ufrag: str | None
    """Its number among the offer's own values; likewise the next two."""
    password: str | None
    fingerprint: str | None


def parse_offer(body: bytes) -> Offer:
    """The offer in a request's body. Raises BadRequest, saying what is wrong."""
    whole, own = form(text(body))
    found = (_understand if len(whole) <= _REMEMBERED_CHARACTERS else _understand.__wrapped__)(whole)
    return Offer(
        ufrag=_required(own, found.ufrag, "ice-ufrag"),
        password=_required(own, found.password, "ice-pwd"),
        fingerprint=_fingerprint(own, found.fingerprint),
        setup=found.setup,
        sections=found.sections,
    )


@functools.lru_cache(_REMEMBERED)
def _understand(whole: str) -> _Form:
    """Of two hundred lines all but a handful are a browser's, and its viewers are many."""
    session, found = blocks(whole)
    direction = tuple(name for name in _DIRECTIONS if f"\na={name}\n" in session.body + "\n")
    described = [_describe(block, direction, index) for index, block in enumerate(found)]
    sections = tuple(one.section for one in described)
    if len({section.mid for section in sections}) != len(sections):
        raise BadRequest("SDP: two sections share one mid")
    whose = [at for at, one in enumerate(described) if one.carries] or range(len(found))
    own = [found[at].own for at in whose] + [session.own]
    return _Form(
        sections=sections,
        setup=_setup([described[at].setup for at in whose], session),
        ufrag=_first(own, "ice-ufrag"),
        password=_first(own, "ice-pwd"),
        fingerprint=_first(own, "fingerprint"),
    )


def _describe(block: Block, session: tuple[str, ...], index: int) -> _Described:
    read = _read if len(block.body) <= _REMEMBERED_CHARACTERS else _read.__wrapped__
    return read(block.head, block.body, session, index)


@functools.lru_cache(_REMEMBERED)
def _read(head: str, body: str, session: tuple[str, ...], index: int) -> _Described:
    """Reading a browser's two hundred lines is half a millisecond; a show's viewers come with a few browsers."""
    attributes = Attributes(body)
    words = head.split()
    if len(words) < 4 or number(words[1].partition("/")[0], _PORTS) is None:
        raise BadRequest(f"SDP: m={head[:80]} is not a media section")
    return _Described(
        section=_section(words, attributes, session, index),
        carries=_is_wanted(words, attributes),
        setup=attributes.first("setup"),
    )


def _is_wanted(words: Sequence[str], block: Attributes) -> bool:
    """False for a section that was refused (RFC 3264 section 6); one that waits to be bundled has port 0 as well."""
    return words[1] != "0" or "bundle-only" in block


def _section(words: Sequence[str], block: Attributes, session: Sequence[str], index: int) -> Section:
    mid = block.first("mid")
    if mid is None or not TOKEN.match(mid):
        raise BadRequest(f"SDP: section {index} has no a=mid, and everything must be bundled (RFC 9725 section 4.2)")
    is_rtp = words[2].upper().endswith(("RTP/SAVPF", "RTP/SAVP")) and words[0] in _KINDS
    is_media = is_rtp and _is_wanted(words, block)
    formats = _formats(block, words) if is_media else ()
    return Section(
        media=words[0],
        protocol=words[2],
        first_format=words[3],
        mid=mid,
        direction=next((name for name in _DIRECTIONS if name in block or name in session), "sendrecv"),
        formats=formats,
        names=_names(block) if is_media else (),
        extensions=_extensions(block),
        rids=_rids(block) if is_media else (),
        rtx=_rtx(block, words[3:], formats),
        repairs=_repairs(block),
    )


def _formats(block: Attributes, words: Sequence[str]) -> tuple[Format, ...]:
    rtpmaps, fmtps = block.table("rtpmap"), block.table("fmtp")
    found = []
    for payload_type in words[3:]:
        value = number(payload_type, _PAYLOAD_TYPES)
        if value is None:
            raise BadRequest(f"SDP: {payload_type[:20]} is not a payload type")
        codec = _codec(rtpmaps.get(payload_type, ""), fmtps.get(payload_type, ""))
        if codec is not None and codec.kind is _KINDS.get(words[0]):
            found.append(
                Format(
                    payload_type=value,
                    codec=codec,
                    rtpmap=rtpmaps[payload_type],
                    fmtp=fmtps.get(payload_type, ""),
                )
            )
    return tuple(found)


def _codec(rtpmap: str, fmtp: str) -> Codec | None:
    name, _, rate = rtpmap.partition("/")
    codec = next((codec for codec in Codec if codec.lower() == name.lower()), None)
    if codec is None or rate.partition("/")[0] != str(CLOCK_HZ[codec.kind]):
        return None
    name, value, default = _WANTED.get(codec, ("", "", ""))
    return codec if parameters(fmtp).get(name, default) == value else None


def parameters(fmtp: str) -> dict[str, str]:
    """`a=1; b=2`, names in lower case."""
    pairs = (one.partition("=") for one in fmtp.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _names(block: Attributes) -> tuple[str, ...]:
    """For a refusal that says what was there."""
    names = (rtpmap.partition("/")[0][:_NAME_CHARACTERS] for rtpmap in block.table("rtpmap").values())
    return tuple(dict.fromkeys(name for name in names if name.lower() not in _NO_MEDIA))[:_MOST_NAMES]


def _rtx(block: Attributes, payload_types: Sequence[str], formats: Sequence[Format]) -> dict[int, int]:
    """RFC 4588 section 8.6: `a=rtpmap:97 rtx/90000` and `a=fmtp:97 apt=96`."""
    rtpmaps, fmtps = block.table("rtpmap"), block.table("fmtp")
    known = {item.payload_type for item in formats}
    found: dict[int, int] = {}
    for payload_type in payload_types:
        value = number(payload_type, _PAYLOAD_TYPES)
        if value is not None and rtpmaps.get(payload_type, "").lower().startswith("rtx/"):
            repaired = number(parameters(fmtps.get(payload_type, "")).get("apt", ""), _PAYLOAD_TYPES)
            if repaired in known and value not in known:
                found.setdefault(repaired, value)
    return found


def _repairs(block: Attributes) -> dict[int, int]:
    """RFC 5576 section 4.2: `a=ssrc-group:FID 1825698974 898350061`, the stream and its repair."""
    groups = [line.split() for line in block.all("ssrc-group")]
    pairs = [group[1:] for group in groups if len(group) == _FID_WORDS and group[0].upper() == "FID"]
    return {int(repair): int(ssrc) for ssrc, repair in pairs if _SSRC.match(ssrc) and _SSRC.match(repair)}


def _extensions(block: Attributes) -> dict[str, int]:
    """RFC 8285 section 5: `a=extmap:4/sendonly URI attributes`. The first number of a URI counts."""
    found: dict[str, int] = {}
    for name, rest in block.table("extmap").items():
        value, uri = number(name.partition("/")[0], _EXTENSIONS), rest.partition(" ")[0]
        if value and TOKEN.match(uri):
            found.setdefault(uri, value)
    return found


def _rids(block: Attributes) -> tuple[str, ...]:
    """The layers in the order of `a=simulcast`, of its alternatives (h,h2) the first; ~ says that one starts paused.

    A rid that no `a=rid` declares to be sent is no layer (RFC 8853 section 5.2); its restrictions are the sender's
    affair: what comes is passed on.
    """
    declared = {words[0] for line in block.all("rid") if len(words := line.split()) >= 2 and words[1] == "send"}
    words = (block.first("simulcast") or "").split()
    streams = words[words.index("send") + 1] if "send" in words[:-1] else ""
    found: list[str] = []
    for stream in streams.split(";"):
        rid = next((name for one in stream.split(",") if (name := one.removeprefix("~")) in declared), "")
        if _RID.match(rid) and rid not in found:
            found.append(rid)
    if len(found) > MAX_RIDS:
        raise BadRequest(f"SDP: {len(found)} layers of simulcast; at most {MAX_RIDS} are taken")
    return tuple(found)


def _first(own: Sequence[Mapping[str, str]], name: str) -> str | None:
    return next((held[name] for held in own if name in held), None)


def _required(own: Sequence[str], at: str | None, name: str) -> str:
    value = own[int(at)].strip() if at else ""
    if not TOKEN.match(value):
        raise BadRequest(f"SDP: no usable a={name}")
    return value


def _fingerprint(own: Sequence[str], at: str | None) -> Fingerprint:
    if at is None:
        raise BadRequest("SDP: no a=fingerprint")
    match = _FINGERPRINT.match(" ".join(own[int(at)].split()) if at else "")
    if match is None:
        raise BadRequest("SDP: a=fingerprint must be sha-256, sha-384 or sha-512 and its bytes")
    return Fingerprint(match[1].lower(), match[2].upper())


def _setup(of_sections: Sequence[str | None], session: Block) -> str:
    setup = next((one for one in of_sections if one is not None), None)
    if setup is None:
        setup = Attributes(session.body).first("setup") or "actpass"
    if setup not in ("actpass", "active", "passive"):
        raise BadRequest(f"SDP: a=setup:{setup[:20]} cannot be answered")
    return setup
