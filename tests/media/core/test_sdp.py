import re

import pytest
from aiortc import sdp as aiortc_sdp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.core import sdp
from media.core.formats import Codec, Kind
from schema.errors import BadRequest, NotAcceptable, ShowfloorError

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


def test_an_offer_is_read():
    found = offer(AUDIO, VIDEO)
    assert (found.ufrag, found.password, found.setup) == ("theirs", "secret", "actpass")
    assert found.fingerprint == sdp.Fingerprint("sha-256", PRINT)
    assert [section.kind for section in found.sections] == [Kind.AUDIO, Kind.VIDEO]
    assert [item.payload_type for item in found.sections[1].formats] == [96, 102, 125]
    assert found.sections[1].mid_extension == 4


def test_a_publisher_gets_its_first_codec_and_no_other():
    assert types(sdp.choose_from_publisher(offer(AUDIO, VIDEO, direction="sendonly"))) == [[111], [96]]


def test_a_subscriber_gets_every_codec_once():
    assert types(sdp.choose_for_subscriber(offer(AUDIO, VIDEO))) == [[111], [96, 102]]


def test_a_subscriber_gets_the_profile_on_air_where_it_has_it():
    assert types(sdp.choose_for_subscriber(offer(VIDEO), "640028")) == [[96, 125]]
    assert types(sdp.choose_for_subscriber(offer(VIDEO), "4d0028")) == [[96, 102]]


@pytest.mark.parametrize(
    ("choose", "direction"),
    [
        (sdp.choose_from_publisher, "recvonly"),
        (sdp.choose_for_subscriber, "sendonly"),
        (sdp.choose_from_publisher, "inactive"),
    ],
)
def test_the_wrong_direction_is_not_acceptable(choose, direction):
    with pytest.raises(NotAcceptable):
        choose(offer(AUDIO, VIDEO, direction=direction))


def test_what_is_on_air_must_be_taken_if_its_kind_is():
    chosen = sdp.choose_for_subscriber(offer(AUDIO, VIDEO[:5]))
    sdp.must_take(chosen, [Codec.VP8, Codec.OPUS])
    with pytest.raises(NotAcceptable, match="H264"):
        sdp.must_take(chosen, [Codec.H264])
    sdp.must_take(sdp.choose_for_subscriber(offer(AUDIO)), [Codec.H264, Codec.OPUS])


def test_the_answer_to_a_subscriber_names_our_sources_and_rejects_the_rest():
    found = offer(AUDIO, VIDEO, DATA)
    answer = sdp.answer(found, sdp.choose_for_subscriber(found), LOCAL, ssrcs={Kind.AUDIO: 5, Kind.VIDEO: 6})
    lines = answer.splitlines()
    assert [line for line in lines if line[0] == "m"] == [
        "m=audio 4000 UDP/TLS/RTP/SAVPF 111",
        "m=video 4000 UDP/TLS/RTP/SAVPF 96 102",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
    ]
    assert "a=group:BUNDLE 0 1" in lines
    assert "a=ice-lite" in lines
    assert "a=candidate:1 1 udp 2130706175 192.0.2.1 4000 typ host" in lines
    assert "a=candidate:2 1 udp 2130705919 2001:db8::1 4000 typ host" in lines
    assert [line for line in lines if line.startswith("a=rtcp-fb:96")] == [
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:96 nack pli",
        "a=rtcp-fb:96 goog-remb",
    ]
    assert [line for line in lines if line.startswith("a=ssrc")] == [
        "a=ssrc:5 cname:show",
        "a=ssrc:5 msid:show show-audio",
        "a=ssrc:6 cname:show",
        "a=ssrc:6 msid:show show-video",
    ]
    assert not [line for line in lines if "extmap" in line]


def test_the_answer_to_a_publisher_takes_its_mid_and_no_other_extension():
    found = offer(AUDIO, VIDEO, direction="sendonly")
    lines = sdp.answer(found, sdp.choose_from_publisher(found), LOCAL, ssrcs=None).splitlines()
    assert [line for line in lines if "extmap" in line] == ["a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid"]
    assert lines.count("a=recvonly") == 2
    assert lines.count("a=setup:passive") == 2
    assert not [line for line in lines if "ssrc" in line]


def test_another_parser_reads_the_answer():
    found = offer(AUDIO, VIDEO)
    answer = sdp.answer(found, sdp.choose_for_subscriber(found), LOCAL, ssrcs={Kind.AUDIO: 5, Kind.VIDEO: 6})
    parsed = aiortc_sdp.SessionDescription.parse(answer)
    assert [media.direction for media in parsed.media] == ["sendonly", "sendonly"]
    assert [codec.mimeType for codec in parsed.media[1].rtp.codecs] == ["video/VP8", "video/H264"]
    assert [candidate.ip for candidate in parsed.media[0].ice_candidates] == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(("offered", "ours"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")])
def test_we_are_passive_unless_the_other_waits(offered, ours):
    assert sdp.our_setup(offered) == ours


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (b"", "first line"),
        (b"v=0\r\n", "media sections"),
        (b"\xff", "UTF-8"),
        (b"v=0\r\nnonsense\r\n", "line 2"),
        (b"v=0\r\n" + b"a=x\r\n" * 7000, "bytes"),
        (b"v=0\r\n" + b"a=\r\n" * 3000, "lines"),
        (text(AUDIO).replace("a=mid:0", "a=x").encode(), "mid"),
        (text(AUDIO, AUDIO).encode(), "share one mid"),
        (text(AUDIO).replace("m=audio 9", "m=audio nine").encode(), "media section"),
        (text(AUDIO).replace("m=audio 9", "m=audio ²").encode(), "media section"),
        (text(AUDIO).replace("m=audio 9", "m=audio 65536").encode(), "media section"),
        (text(AUDIO).replace("m=audio 9", "m=audio " + "9" * 5000).encode(), "media section"),
        (text(AUDIO).replace("111 0", "111 999").encode(), "payload type"),
        (text(AUDIO).replace("111 0", "111 ²").encode(), "payload type"),
        (text(AUDIO).replace("111 0", "111 ٣").encode(), "payload type"),
        (text(AUDIO).replace("111 0", "111 " + "0" * 5000).encode(), "payload type"),
        (text(AUDIO).replace("ice-ufrag", "x").encode(), "ice-ufrag"),
        (text(AUDIO).replace("a=ice-pwd:secret", "a=ice-pwd:a b").encode(), "ice-pwd"),
        (text(AUDIO).replace("sha-256", "md5").encode(), "fingerprint"),
        (text(AUDIO).replace("a=fingerprint", "a=x").encode(), "fingerprint"),
        (text(AUDIO).replace("actpass", "holdconn").encode(), "setup"),
        (
            text(*[[line.replace("mid:0", f"mid:{n}") for line in AUDIO] for n in range(20)]).encode(),
            "20 media sections",
        ),
    ],
)
def test_a_broken_offer_says_what_is_wrong(broken, says):
    with pytest.raises(BadRequest, match=says) as raised:
        sdp.parse_offer(broken)
    assert raised.value.detail.startswith("SDP: ")


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(data):
    with pytest.raises(BadRequest):
        sdp.parse_offer(data)


@pytest.mark.parametrize("number", ["²", "٣", "256", "9" * 5000, "", "-1"])
def test_an_extension_without_a_usable_number_is_left_out(number):
    found = offer([line.replace("extmap:4", f"extmap:{number}") for line in VIDEO])
    assert found.sections[0].mid_extension is None


def test_a_player_that_waits_to_be_called_is_refused_and_a_publisher_is_not():
    waits = [line.replace("actpass", "passive") for line in TRANSPORT]
    with pytest.raises(NotAcceptable, match="actpass"):
        sdp.choose_for_subscriber(offer(AUDIO, VIDEO, transport=waits))
    assert sdp.choose_from_publisher(offer(AUDIO, VIDEO, transport=waits, direction="sendonly"))


NASTY = st.sampled_from(
    [
        "",
        "\r\n",
        "\r",
        "\u2028",
        "\0",
        "0",
        "-1",
        "²",
        "٣",
        "9" * 5000,
        "=",
        ":",
        "/",
        " ",
        "\t",
        "a=",
        "m=",
        "é",
        "\ud800",
    ]
)


PATIENT = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CUTS = st.lists(st.tuples(st.integers(0, 5000), NASTY), max_size=5)


def mangled(whole):
    """A good text with a few of its pieces replaced; every other piece is a number."""
    pieces = re.findall(r"\d+|\D+", whole)

    def cut(cuts):
        found = list(pieces)
        for place, put in cuts:
            found[place % len(found)] = put
        return "".join(found).encode("utf-8", "surrogatepass")

    return CUTS.map(cut)


def outcome(work):
    """What `work` returns, or the 4xx it raises; whatever else it raises is a fault of ours."""
    try:
        return work()
    except ShowfloorError as error:
        refusal = error
    assert 400 <= refusal.status < 500
    return refusal


def serve(data, choose, ssrcs):
    found = sdp.parse_offer(data)
    return sdp.answer(found, choose(found), LOCAL, ssrcs=ssrcs)


@PATIENT
@given(mangled(text(AUDIO, VIDEO, DATA)))
def test_a_mangled_offer_is_answered_or_refused(data):
    outcome(lambda: serve(data, sdp.choose_for_subscriber, {Kind.AUDIO: 5, Kind.VIDEO: 6}))
    outcome(lambda: serve(data, sdp.choose_from_publisher, None))


@PATIENT
@given(mangled("v=0\r\nm=audio 9 RTP/SAVPF 0\r\na=mid:0\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"))
def test_a_short_mangled_offer_is_refused(data):
    assert isinstance(outcome(lambda: sdp.parse_offer(data)), BadRequest)


@PATIENT
@given(mangled("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uY\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1\r\n"))
def test_a_mangled_fragment_is_read_or_refused(data):
    assert isinstance(outcome(lambda: sdp.parse_fragment(data)), sdp.Fragment | BadRequest)


@PATIENT
@given(st.text().map(lambda any_text: any_text.encode("utf-8", "surrogatepass")))
def test_any_text_is_read_or_refused(data):
    assert isinstance(outcome(lambda: sdp.parse_offer(data)), BadRequest)
    assert isinstance(outcome(lambda: sdp.parse_fragment(data)), sdp.Fragment | BadRequest)


def test_a_fragment_names_its_credentials():
    found = sdp.parse_fragment(b"a=ice-ufrag:EsAw\r\na=ice-pwd:P2uY\r\nm=audio 9 RTP/AVP 0\r\na=candidate:1\r\n")
    assert found == sdp.Fragment(ufrag="EsAw", password="P2uY")
    assert sdp.parse_fragment(b"") == sdp.Fragment(ufrag=None, password=None)
    with pytest.raises(BadRequest):
        sdp.parse_fragment(b"nonsense")
    with pytest.raises(BadRequest):
        sdp.parse_fragment(b"a=ice-ufrag:a b\r\n")
