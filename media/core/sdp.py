"""SDP as WHIP and WHEP need it: an offer in, an answer out (RFC 8866, RFC 9429, RFC 9725).

Reads no clock and does no I/O. Invariant: `parse_offer` returns a usable offer or raises BadRequest with the
line at fault; `answer_media` either serves a section or rejects it with port 0, in the offer's order.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from media.core.formats import CLOCK_HZ, Codec, Kind
from schema.errors import BadRequest, NotAcceptable

MAX_BYTES: Final = 32 * 1024
MAX_SECTIONS: Final = 16
MAX_LINES: Final = 2000

_TOKEN = re.compile(r"^[\x21-\x7e]{1,256}$")
_FINGERPRINT = re.compile(r"^(sha-256|sha-384|sha-512) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31,63})$", re.IGNORECASE)
_MID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
_KINDS: Final = {"audio": Kind.AUDIO, "video": Kind.VIDEO}
_PORTS, _PAYLOAD_TYPES, _EXTENSIONS, _MOST_DIGITS = 65_535, 127, 255, 5
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


class Section(Struct, frozen=True, kw_only=True):
    """One m= section, as far as we understand it."""

    media: str
    protocol: str
    first_format: str
    mid: str
    direction: str
    formats: tuple[Format, ...] = ()
    """Those we can pass through, in the offer's order of preference."""
    mid_extension: int | None = None

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


class Local(Struct, frozen=True, kw_only=True):
    """Our side of the transport."""

    ufrag: str
    password: str
    fingerprint: str
    setup: str
    addresses: tuple[str, ...]
    port: int
    session: int
    tcp_port: int | None = None


class Chosen(Struct, frozen=True, kw_only=True):
    """What is served of one section of the offer."""

    section: Section
    formats: tuple[Format, ...]


class _Block:
    """A section's lines, before they mean anything."""

    def __init__(self, head: str = "") -> None:
        self.head = head
        self.attributes: list[tuple[str, str]] = []

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    def table(self, name: str) -> dict[str, str]:
        """Attributes of the form `name:key value`."""
        pairs = (value.partition(" ") for key, value in self.attributes if key == name)
        return {key: value.strip() for key, _, value in pairs}


def parse_offer(body: bytes) -> Offer:
    """The offer in a request's body. Raises BadRequest, saying what is wrong."""
    session, blocks = _blocks(_text(body))
    sections = tuple(_section(block, session, index) for index, block in enumerate(blocks))
    if len({section.mid for section in sections}) != len(sections):
        raise BadRequest("SDP: two sections share one mid")
    carriers = [block for block in blocks if block.head.split()[1] != "0" or _bundle_only(block)] or blocks
    return Offer(
        ufrag=_required(carriers, session, "ice-ufrag"),
        password=_required(carriers, session, "ice-pwd"),
        fingerprint=_fingerprint(carriers, session),
        setup=_setup(carriers, session),
        sections=sections,
    )


def _bundle_only(block: _Block) -> bool:
    return block.first("bundle-only") is not None


def _text(body: bytes) -> str:
    if len(body) > MAX_BYTES:
        raise BadRequest(f"SDP: longer than {MAX_BYTES} bytes")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("SDP: not UTF-8") from None


def _blocks(text: str) -> tuple[_Block, list[_Block]]:
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if not lines or lines[0] != "v=0":
        raise BadRequest("SDP: the first line must be v=0")
    if len(lines) > MAX_LINES:
        raise BadRequest(f"SDP: more than {MAX_LINES} lines")
    session, blocks = _Block(), list[_Block]()
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        if len(line) < 3 or line[1] != "=" or not line[0].isalpha():
            raise BadRequest(f"SDP: line {number} is not of the form x=value")
        if line[0] == "m":
            blocks.append(_Block(line[2:]))
        elif line[0] == "a":
            name, _, value = line[2:].partition(":")
            (blocks[-1] if blocks else session).attributes.append((name, value.strip()))
    if not 1 <= len(blocks) <= MAX_SECTIONS:
        raise BadRequest(f"SDP: {len(blocks)} media sections; between 1 and {MAX_SECTIONS} are understood")
    return session, blocks


def _section(block: _Block, session: _Block, index: int) -> Section:
    words = block.head.split()
    if len(words) < 4 or _number(words[1].partition("/")[0], _PORTS) is None:
        raise BadRequest(f"SDP: m={block.head[:80]} is not a media section")
    mid = block.first("mid")
    if mid is None or not _TOKEN.match(mid):
        raise BadRequest(f"SDP: section {index} has no a=mid, and everything must be bundled (RFC 9725 section 4.2)")
    names = {name for name, _ in block.attributes} | {name for name, _ in session.attributes}
    is_rtp = words[2].upper().endswith(("RTP/SAVPF", "RTP/SAVP"))
    return Section(
        media=words[0],
        protocol=words[2],
        first_format=words[3],
        mid=mid,
        direction=next((name for name in _DIRECTIONS if name in names), "sendrecv"),
        formats=_formats(block, words[3:]) if is_rtp and words[0] in _KINDS else (),
        mid_extension=_mid_extension(block),
    )


def _formats(block: _Block, payload_types: Sequence[str]) -> tuple[Format, ...]:
    rtpmaps, fmtps = block.table("rtpmap"), block.table("fmtp")
    found = []
    for payload_type in payload_types:
        number = _number(payload_type, _PAYLOAD_TYPES)
        if number is None:
            raise BadRequest(f"SDP: {payload_type[:20]} is not a payload type")
        codec = _codec(rtpmaps.get(payload_type, ""), fmtps.get(payload_type, ""))
        if codec is not None and codec.kind is _KINDS.get(block.head.split()[0]):
            found.append(
                Format(
                    payload_type=number,
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
    # Mode 0 forbids the fragments every encoder sends (RFC 6184 section 6.2).
    if codec is Codec.H264 and "packetization-mode=1" not in fmtp.replace(" ", ""):
        return None
    return codec


def _mid_extension(block: _Block) -> int | None:
    for number, uri in block.table("extmap").items():
        if uri.split(" ")[0] == _MID_URI:
            return _number(number.partition("/")[0], _EXTENSIONS)
    return None


def _number(text: str, most: int) -> int | None:
    """A decimal number from 0 to `most`; `isdigit` alone lets "²" through, and `int` refuses thousands of digits."""
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) > most:
        return None
    return int(text)


def _required(blocks: Sequence[_Block], session: _Block, name: str) -> str:
    value = next((found for block in [*blocks, session] if (found := block.first(name))), None)
    if value is None or not _TOKEN.match(value):
        raise BadRequest(f"SDP: no usable a={name}")
    return value


def _fingerprint(blocks: Sequence[_Block], session: _Block) -> Fingerprint:
    match = _FINGERPRINT.match(" ".join(_required_line(blocks, session, "fingerprint").split()))
    if match is None:
        raise BadRequest("SDP: a=fingerprint must be sha-256, sha-384 or sha-512 and its bytes")
    return Fingerprint(match[1].lower(), match[2].upper())


def _required_line(blocks: Sequence[_Block], session: _Block, name: str) -> str:
    value = next((found for block in [*blocks, session] if (found := block.first(name))), None)
    if value is None:
        raise BadRequest(f"SDP: no a={name}")
    return value


def _setup(blocks: Sequence[_Block], session: _Block) -> str:
    setup = next((found for block in [*blocks, session] if (found := block.first("setup"))), "actpass")
    if setup not in ("actpass", "active", "passive"):
        raise BadRequest(f"SDP: a=setup:{setup[:20]} cannot be answered")
    return setup


def our_setup(offered: str) -> str:
    """Passive towards whoever can be active; FFmpeg's WHIP muxer offers passive and waits to be called."""
    return "active" if offered == "passive" else "passive"


def choose_from_publisher(offer: Offer) -> list[Chosen]:
    """One format for the first section of each kind that sends. Raises NotAcceptable if there is none."""
    return _choose(offer, sending=("sendrecv", "sendonly"), one=True, profile="")


def choose_for_subscriber(offer: Offer, profile: str = "") -> list[Chosen]:
    """Every codec the subscriber can take, once each, so that a publisher may come, or return, with any of them.

    `profile` is the publisher's H264 profile-level-id, if it has one; among several H264 formats the one of the
    same profile is taken. Raises NotAcceptable if nothing fits, or if the subscriber waits to be called: players
    offer actpass, and to be a DTLS client is work that only a host's token may ask of us.
    """
    if offer.setup == "passive":
        raise NotAcceptable("A player must offer a=setup:actpass or a=setup:active")
    return _choose(offer, sending=("sendrecv", "recvonly"), one=False, profile=profile)


def must_take(chosen: Sequence[Chosen], on_air: Sequence[Codec]) -> None:
    """Raise NotAcceptable if a kind that was chosen is on air in a codec that was not."""
    taken = {item.codec for choice in chosen for item in choice.formats}
    kinds = {codec.kind for codec in taken}
    missing = [codec for codec in on_air if codec.kind in kinds and codec not in taken]
    if missing:
        raise NotAcceptable(f"The show is sent in {', '.join(missing)}, which the offer does not accept")


def _choose(offer: Offer, *, sending: tuple[str, str], one: bool, profile: str) -> list[Chosen]:
    chosen: list[Chosen] = []
    for section in offer.sections:
        taken = {choice.section.kind for choice in chosen}
        if section.kind is None or section.kind in taken or section.direction not in sending:
            continue
        formats = _one_each(section.formats, profile)
        if formats:
            chosen.append(Chosen(section=section, formats=formats[:1] if one else formats))
    if not chosen:
        raise NotAcceptable("No common codec: video must be VP8 or H264 (packetization-mode 1), audio must be Opus")
    return chosen


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


def answer(offer: Offer, chosen: Sequence[Chosen], local: Local, *, ssrcs: dict[Kind, int] | None) -> str:
    """The answer. `ssrcs` for a subscriber (we send), None for a publisher (we receive)."""
    served = {choice.section.mid: choice for choice in chosen}
    lines = [
        "v=0",
        f"o=- {local.session} 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        "a=group:BUNDLE " + " ".join(mid for mid in (s.mid for s in offer.sections) if mid in served),
        "a=msid-semantic: WMS *",
    ]
    for section in offer.sections:
        choice = served.get(section.mid)
        lines += _rejected(section) if choice is None else _served(choice, local, ssrcs)
    return "\r\n".join(lines) + "\r\n"


def _rejected(section: Section) -> list[str]:
    head = f"m={section.media} 0 {section.protocol} {section.first_format}"
    return [head, "c=IN IP4 0.0.0.0", f"a=mid:{section.mid}", "a=inactive"]


def _served(choice: Chosen, local: Local, ssrcs: dict[Kind, int] | None) -> list[str]:
    section, kind = choice.section, choice.section.kind
    assert kind is not None, "only audio and video are chosen"
    types = " ".join(str(item.payload_type) for item in choice.formats)
    lines = [
        f"m={section.media} {local.port} {section.protocol} {types}",
        _connection(local.addresses[0]),
        f"a=mid:{section.mid}",
        "a=sendonly" if ssrcs else "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        f"a=setup:{local.setup}",
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        *candidates(local),
    ]
    for item in choice.formats:
        lines += _format(item, kind)
    if ssrcs is None:
        return lines + ([f"a=extmap:{section.mid_extension} {_MID_URI}"] if section.mid_extension else [])
    track = f"show show-{section.media}"
    return [*lines, f"a=msid:{track}", f"a=ssrc:{ssrcs[kind]} cname:show", f"a=ssrc:{ssrcs[kind]} msid:{track}"]


def _connection(address: str) -> str:
    return f"c=IN {'IP6' if ':' in address else 'IP4'} {address}"


def candidates(local: Local) -> list[str]:
    """Host candidates for each address, the first preferred (RFC 8445 section 5.1.2), and TCP behind all UDP.

    By TCP we only wait to be called, `tcptype passive` (RFC 6544 section 4.5). Its preference of 90 stands above any
    relay's: a TURN server is asked for only where neither way is open.
    """
    numbered = list(enumerate(local.addresses, 1))
    udp = [
        f"a=candidate:{n} 1 udp {126 << 24 | (65535 - n) << 8 | 255} {address} {local.port} typ host"
        for n, address in numbered
    ]
    tcp = [
        f"a=candidate:{n + len(numbered)} 1 tcp {90 << 24 | (4 << 13 | 8191 - n) << 8 | 255} {address} "
        f"{local.tcp_port} typ host tcptype passive"
        for n, address in numbered
        if local.tcp_port
    ]
    return [*udp, *tcp, "a=end-of-candidates"]


def _format(item: Format, kind: Kind) -> list[str]:
    number = item.payload_type
    lines = [f"a=rtpmap:{number} {item.rtpmap}"]
    if item.fmtp:
        lines.append(f"a=fmtp:{number} {item.fmtp}")
    if kind is Kind.VIDEO:
        lines += [f"a=rtcp-fb:{number} {feedback}" for feedback in ("nack", "nack pli", "goog-remb")]
    return lines


class Fragment(Struct, frozen=True, kw_only=True):
    """A trickle-ice-sdpfrag (RFC 8840): whose candidates these are."""

    ufrag: str | None
    password: str | None


def parse_fragment(body: bytes) -> Fragment:
    """The credentials in a PATCH; its candidates are not needed, a lite agent only answers. Raises BadRequest."""
    block = _Block()
    for number, line in enumerate(_text(body).replace("\r", "").split("\n"), 1):
        if line and (len(line) < 3 or line[1] != "="):
            raise BadRequest(f"SDP fragment: line {number} is not of the form x=value")
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            block.attributes.append((name, value.strip()))
    ufrag, password = block.first("ice-ufrag"), block.first("ice-pwd")
    if any(value is not None and not _TOKEN.match(value) for value in (ufrag, password)):
        raise BadRequest("SDP fragment: ice-ufrag or ice-pwd is not usable")
    return Fragment(ufrag=ufrag, password=password)
