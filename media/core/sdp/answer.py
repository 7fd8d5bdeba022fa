"""The answer to an offer: a lite agent, everything bundled (RFC 9429, RFC 8839, RFC 9725).

Reads no clock and does no I/O. Invariant: each section of the offer is answered in its place, served or rejected
with port 0; nothing is answered that was not offered.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from media.core.extensions import FROM_PUBLISHER
from media.core.formats import CLOCK_HZ, Kind
from media.core.sdp.choose import Chosen
from media.core.sdp.offer import Format, Offer, Section

_REMEMBERED: Final = 64


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


def answer(
    offer: Offer,
    chosen: Sequence[Chosen],
    local: Local,
    *,
    ssrcs: Mapping[Kind, int] | None,
    repair_ssrcs: Mapping[Kind, int] | None = None,
) -> str:
    """The answer. `ssrcs` for a subscriber (we send), None for a publisher (we receive).

    `repair_ssrcs`: by which a subscriber's retransmissions come; a kind without one has them in its own stream.
    """
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
    transport = _transport(local)
    for section in offer.sections:
        choice = served.get(section.mid)
        if choice is None:
            lines += _rejected(section)
        else:
            lines += _served(choice, local, ssrcs, repair_ssrcs or {}, transport)
    return "\r\n".join(lines) + "\r\n"


def _rejected(section: Section) -> list[str]:
    head = f"m={section.media} 0 {section.protocol} {section.first_format}"
    return [head, "c=IN IP4 0.0.0.0", f"a=mid:{section.mid}", "a=inactive"]


def _transport(local: Local) -> list[str]:
    """The same in each section: everything is bundled."""
    return [
        f"a=setup:{local.setup}",
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        *_candidates(local.addresses, local.port, local.tcp_port),
    ]


def _served(
    choice: Chosen,
    local: Local,
    ssrcs: Mapping[Kind, int] | None,
    repair_ssrcs: Mapping[Kind, int],
    transport: Sequence[str],
) -> list[str]:
    section, kind = choice.section, choice.kind
    types, formats = _formats(choice, repaired=ssrcs is None or kind in repair_ssrcs)
    lines = [
        f"m={section.media} {local.port} {section.protocol} {types}",
        _connection(local.addresses[0]),
        f"a=mid:{section.mid}",
        "a=sendonly" if ssrcs else "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        *transport,
        *formats,
    ]
    return lines + (_received(section) if ssrcs is None else _sent(choice, ssrcs[kind], repair_ssrcs.get(kind)))


@functools.lru_cache(_REMEMBERED)
def _formats(choice: Chosen, *, repaired: bool) -> tuple[str, tuple[str, ...]]:
    """The payload types, and what each is: the same for all who come with one browser."""
    repairs = choice.repairs if repaired else {}
    types = " ".join(str(number) for number in [*(item.payload_type for item in choice.formats), *repairs.values()])
    lines = [line for item in choice.formats for line in _format(item, choice.kind)]
    for number, repair in repairs.items():
        lines += [f"a=rtpmap:{repair} rtx/{CLOCK_HZ[choice.kind]}", f"a=fmtp:{repair} apt={number}"]
    return types, tuple(lines)


def _received(section: Section) -> list[str]:
    """What we take of a publisher. Every layer: OBS ends a session in which one was refused (RFC 8853 lets it)."""
    numbers = [(section.extensions[uri], uri) for uri in FROM_PUBLISHER if uri in section.extensions]
    lines = [f"a=extmap:{number} {uri}" for number, uri in numbers]
    if section.rids:
        lines += [f"a=rid:{rid} recv" for rid in section.rids] + ["a=simulcast:recv " + ";".join(section.rids)]
    return lines


def _sent(choice: Chosen, ssrc: int, repair: int | None) -> list[str]:
    """The stream, and beside it that of its retransmissions (RFC 5576 section 4.2, RFC 4588 section 8)."""
    track = f"show show-{choice.section.media}"
    lines = [f"a=extmap:{number} {uri}" for uri, number in choice.terms.extensions.items()] + [f"a=msid:{track}"]
    lines += [f"a=ssrc-group:FID {ssrc} {repair}"] if repair else []
    for source in (ssrc, repair) if repair else (ssrc,):
        lines += [f"a=ssrc:{source} cname:show", f"a=ssrc:{source} msid:{track}"]
    return lines


def _connection(address: str) -> str:
    return f"c=IN {'IP6' if ':' in address else 'IP4'} {address}"


@functools.lru_cache(_REMEMBERED)
def _candidates(addresses: tuple[str, ...], port: int, tcp_port: int | None) -> tuple[str, ...]:
    """Host candidates for each address, the first preferred (RFC 8445 section 5.1.2), and TCP behind all UDP.

    By TCP we only wait to be called, `tcptype passive` (RFC 6544 section 4.5). Its preference of 90 stands above any
    relay's: a TURN server is asked for only where neither way is open.
    """
    numbered = list(enumerate(addresses, 1))
    udp = [
        f"a=candidate:{n} 1 udp {126 << 24 | (65535 - n) << 8 | 255} {address} {port} typ host"
        for n, address in numbered
    ]
    tcp = [
        f"a=candidate:{n + len(numbered)} 1 tcp {90 << 24 | (4 << 13 | 8191 - n) << 8 | 255} {address} "
        f"{tcp_port} typ host tcptype passive"
        for n, address in numbered
        if tcp_port
    ]
    return (*udp, *tcp, "a=end-of-candidates")


def _format(item: Format, kind: Kind) -> list[str]:
    number = item.payload_type
    lines = [f"a=rtpmap:{number} {item.rtpmap}"]
    if item.fmtp:
        lines.append(f"a=fmtp:{number} {item.fmtp}")
    if kind is Kind.VIDEO:
        lines += [f"a=rtcp-fb:{number} {feedback}" for feedback in ("nack", "nack pli", "goog-remb")]
    return lines
