"""Offers in the words of a browser, and what may happen to them on the way."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st

from media.core import sdp
from schema.errors import ShowfloorError

PRINT = ":".join(["AB"] * 32)
LOCAL = sdp.Local(
    ufrag="uf",
    password="pw",
    fingerprint=PRINT,
    setup="passive",
    addresses=("192.0.2.1", "2001:db8::1"),
    port=4000,
    session=7,
)
SESSION = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0 1", f"a=fingerprint:sha-256 {PRINT}"]
TRANSPORT = ["a=ice-ufrag:theirs", "a=ice-pwd:secret", "a=setup:actpass", "a=rtcp-mux"]
AUDIO = ["m=audio 9 UDP/TLS/RTP/SAVPF 111 0", "a=mid:0", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 useinbandfec=1"]
VIDEO = [
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 125",
    "a=mid:1",
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:3 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "a=rtpmap:96 VP8/90000",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=96",
    "a=rtpmap:102 H264/90000",
    "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    "a=rtpmap:103 H264/90000",
    "a=fmtp:103 packetization-mode=0;profile-level-id=42001f",
    "a=rtpmap:125 H264/90000",
    "a=fmtp:125 packetization-mode=1;profile-level-id=64001f",
]
LAYERS = [
    "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "a=extmap:12 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    "a=rid:h send",
    "a=rid:m send pt=96;max-width=640",
    "a=rid:l send",
    "a=simulcast:send h;m;~l",
]
DATA = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:2"]


def text(*sections, direction="recvonly", session=SESSION, transport=TRANSPORT):
    lines = list(session)
    for section in sections:
        lines += [*section, *transport, f"a={direction}"]
    return "\r\n".join(lines) + "\r\n"


def offer(*sections, **more):
    return sdp.parse_offer(text(*sections, **more).encode())


def types(chosen):
    return [[item.payload_type for item in choice.formats] for choice in chosen]


NASTY = ["", "\r\n", "\r", "\u2028", "\0", "0", "-1", "²", "٣", "9" * 5000, "=", ":", "/", ";", ",", "~", " ", "\t"]
CUTS = st.lists(st.tuples(st.integers(0, 5000), st.sampled_from([*NASTY, "a=", "m=", "é", "\ud800"])), max_size=5)


def mangled(whole, cuts):
    """A good text with a few of its pieces replaced; every other piece is a number."""
    pieces = re.findall(r"\d+|\D+", whole)
    for place, put in cuts:
        pieces[place % len(pieces)] = put
    return "".join(pieces).encode("utf-8", "surrogatepass")


def outcome(work):
    """What `work` returns, or the 4xx it raises; whatever else it raises is a fault of ours."""
    try:
        return work()
    except ShowfloorError as error:
        refusal = error
    assert 400 <= refusal.status < 500
    return refusal


@pytest.fixture(scope="session")
def sample():
    """The constants and functions of this file, for the tests beside it."""
    return SimpleNamespace(**globals())


@pytest.fixture(scope="session")
def cuts():
    return CUTS
