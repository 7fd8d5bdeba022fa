from aiortc import sdp as aiortc_sdp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.core import sdp
from media.core.extensions import ABS_CAPTURE_TIME, PLAYOUT_DELAY
from media.core.formats import Codec, Kind

PATIENT = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SSRCS = {Kind.AUDIO: 5, Kind.VIDEO: 6}


def to_subscriber(sample, *sections):
    found = sample.offer(*sections)
    return sdp.answer(found, sdp.choose_for_subscriber(found), sample.LOCAL, ssrcs=SSRCS)


def to_publisher(sample, *sections):
    found = sample.offer(*sections, direction="sendonly")
    return sdp.answer(found, sdp.choose_from_publisher(found), sample.LOCAL, ssrcs=None)


def test_the_answer_to_a_subscriber_names_our_sources_and_rejects_the_rest(sample):
    lines = to_subscriber(sample, sample.AUDIO, sample.VIDEO, sample.DATA).splitlines()
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


def test_the_answer_to_a_publisher_takes_its_mid_and_no_extension_that_we_do_not_read(sample):
    lines = to_publisher(sample, sample.AUDIO, sample.VIDEO).splitlines()
    assert [line for line in lines if "extmap" in line] == ["a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid"]
    assert lines.count("a=recvonly") == 2
    assert lines.count("a=setup:passive") == 2
    assert not [line for line in lines if "ssrc" in line or "simulcast" in line]


def test_a_publishers_retransmissions_are_taken_for_the_codec_that_is(sample):
    lines = to_publisher(sample, sample.AUDIO, sample.VIDEO).splitlines()
    assert "m=video 4000 UDP/TLS/RTP/SAVPF 96 97" in lines
    assert [line for line in lines if ":97" in line] == ["a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"]


def test_every_layer_of_a_publisher_is_taken_and_so_is_what_tells_them_apart(sample):
    lines = to_publisher(sample, sample.AUDIO, sample.VIDEO + sample.LAYERS).splitlines()
    assert [line for line in lines if line.startswith(("a=extmap", "a=rid", "a=simulcast"))] == [
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "a=extmap:12 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        "a=rid:h recv",
        "a=rid:m recv",
        "a=rid:l recv",
        "a=simulcast:recv h;m;l",
    ]


def test_retransmissions_have_a_format_and_a_source_beside_what_they_repeat(sample):
    found = sample.offer(sample.AUDIO, sample.VIDEO + sample.LAYERS[:3] + ["a=extmap:15 " + PLAYOUT_DELAY])
    chosen = sdp.choose_for_subscriber(found)
    answer = sdp.answer(found, chosen, sample.LOCAL, ssrcs=SSRCS, repair_ssrcs={Kind.VIDEO: 7})
    lines = answer.splitlines()
    assert "m=video 4000 UDP/TLS/RTP/SAVPF 96 102 97" in lines
    assert [line for line in lines if ":97" in line] == ["a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"]
    assert [line for line in lines if line.startswith(("a=ssrc", "a=extmap"))][2:] == [
        "a=extmap:12 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        "a=ssrc-group:FID 6 7",
        "a=ssrc:6 cname:show",
        "a=ssrc:6 msid:show show-video",
        "a=ssrc:7 cname:show",
        "a=ssrc:7 msid:show show-video",
    ]
    assert chosen[1].terms == sdp.Terms(
        payload_types={Codec.VP8: 96, Codec.H264: 102},
        repairs={Codec.VP8: 97},
        extensions={ABS_CAPTURE_TIME: 12},  # 15 has no place in a one-byte header
    )
    parsed = aiortc_sdp.SessionDescription.parse(answer)
    assert parsed.media[1].ssrc_group[0].items == [6, 7]


def test_another_parser_reads_the_answer(sample):
    parsed = aiortc_sdp.SessionDescription.parse(to_subscriber(sample, sample.AUDIO, sample.VIDEO))
    assert [media.direction for media in parsed.media] == ["sendonly", "sendonly"]
    assert [codec.mimeType for codec in parsed.media[1].rtp.codecs] == ["video/VP8", "video/H264"]
    assert [candidate.ip for candidate in parsed.media[0].ice_candidates] == ["192.0.2.1", "2001:db8::1"]


@PATIENT
@given(data=st.data())
def test_a_mangled_offer_is_answered_or_refused(sample, cuts, data):
    whole = sample.text(sample.AUDIO, sample.VIDEO + sample.LAYERS, sample.DATA)
    body = sample.mangled(whole, data.draw(cuts))

    def serve(choose, ssrcs):
        found = sdp.parse_offer(body)
        return sdp.answer(found, choose(found), sample.LOCAL, ssrcs=ssrcs)

    sample.outcome(lambda: serve(sdp.choose_for_subscriber, SSRCS))
    sample.outcome(lambda: serve(sdp.choose_from_publisher, None))
