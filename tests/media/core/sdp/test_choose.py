import pytest

from media.core import sdp
from media.core.formats import Codec
from schema.errors import NotAcceptable


def test_a_publisher_gets_its_first_codec_and_no_other(sample):
    found = sample.offer(sample.AUDIO, sample.VIDEO, direction="sendonly")
    assert sample.types(sdp.choose_from_publisher(found)) == [[111], [96]]


def test_a_subscriber_gets_every_codec_once(sample):
    assert sample.types(sdp.choose_for_subscriber(sample.offer(sample.AUDIO, sample.VIDEO))) == [[111], [96, 102]]


def test_a_subscriber_gets_the_profile_on_air_where_it_has_it(sample):
    assert sample.types(sdp.choose_for_subscriber(sample.offer(sample.VIDEO), "640028")) == [[96, 125]]
    assert sample.types(sdp.choose_for_subscriber(sample.offer(sample.VIDEO), "4d0028")) == [[96, 102]]


@pytest.mark.parametrize(
    ("choose", "direction"),
    [
        (sdp.choose_from_publisher, "recvonly"),
        (sdp.choose_for_subscriber, "sendonly"),
        (sdp.choose_from_publisher, "inactive"),
    ],
)
def test_the_wrong_direction_is_not_acceptable(sample, choose, direction):
    with pytest.raises(NotAcceptable):
        choose(sample.offer(sample.AUDIO, sample.VIDEO, direction=direction))


def test_what_is_on_air_must_be_taken_if_its_kind_is(sample):
    chosen = sdp.choose_for_subscriber(sample.offer(sample.AUDIO, sample.VIDEO[:5]))
    sdp.must_take(chosen, [Codec.VP8, Codec.OPUS])
    with pytest.raises(NotAcceptable, match="H264"):
        sdp.must_take(chosen, [Codec.H264])
    sdp.must_take(sdp.choose_for_subscriber(sample.offer(sample.AUDIO)), [Codec.H264, Codec.OPUS])


NEWER = [
    "m=video 9 UDP/TLS/RTP/SAVPF 35 36 45 46 98 100",
    "a=mid:1",
    "a=rtpmap:35 AV1/90000",
    "a=fmtp:35 level-idx=5;profile=1;tier=0",
    "a=rtpmap:36 H265/90000",
    "a=rtpmap:45 AV1/90000",
    "a=fmtp:45 level-idx=5;profile=0;tier=0",
    "a=rtpmap:46 AV1/90000",
    "a=rtpmap:98 VP9/90000",
    "a=fmtp:98 profile-id=0",
    "a=rtpmap:100 VP9/90000",
    "a=fmtp:100 profile-id=2",
]


def test_of_vp9_and_av1_the_profile_is_taken_that_every_viewer_decodes(sample):
    assert sample.types(sdp.choose_for_subscriber(sample.offer(NEWER))) == [[45, 98]]
    assert sample.types(sdp.choose_from_publisher(sample.offer(NEWER, direction="sendonly"))) == [[45]]


@pytest.mark.parametrize(("fmtp", "fits"), [("", True), ("profile-id=0", True), (" profile-id=1;x", False)])
def test_a_profile_unsaid_is_the_first(sample, fmtp, fits):
    video = ["m=video 9 UDP/TLS/RTP/SAVPF 98", "a=mid:1", "a=rtpmap:98 VP9/90000", f"a=fmtp:98 {fmtp}"]
    assert bool(sample.offer(video).sections[0].formats) is fits


def test_no_common_codec_names_ours_and_theirs(sample):
    video = [line for line in NEWER if ":45" not in line and ":46" not in line and ":98" not in line]
    with pytest.raises(NotAcceptable, match=r"VP8, VP9 or AV1 .* Opus; the offer has AV1, H265, VP9$"):
        sdp.choose_for_subscriber(sample.offer(video))
    with pytest.raises(NotAcceptable, match=r"the offer has none$"):
        sdp.choose_for_subscriber(sample.offer(sample.DATA))


H265 = ["m=video 9 UDP/TLS/RTP/SAVPF 36", "a=mid:1", "a=rtpmap:36 H265/90000"]
PCMU = ["m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", "a=rtpmap:0 PCMU/8000"]


@pytest.mark.parametrize(
    ("choose", "direction"), [(sdp.choose_from_publisher, "sendonly"), (sdp.choose_for_subscriber, "recvonly")]
)
def test_sound_and_picture_must_each_have_a_common_codec_where_they_are_offered(sample, choose, direction):
    for sections, lacking in (((sample.AUDIO, H265), "H265"), ((PCMU, sample.VIDEO), "PCMU")):
        with pytest.raises(NotAcceptable, match=f"the offer has {lacking}$"):
            choose(sample.offer(*sections, direction=direction))


def test_a_section_with_port_zero_is_none_unless_it_waits_to_be_bundled(sample):
    """RFC 3264 section 6, RFC 9143 section 6."""
    off = ["m=video 0" + line.removeprefix("m=video 9") if line.startswith("m=") else line for line in sample.VIDEO]
    for refused in (off, [H265[0].replace(" 9 ", " 0 "), *H265[1:]]):
        assert sample.types(sdp.choose_for_subscriber(sample.offer(sample.AUDIO, refused))) == [[111]]
    bundled = sample.offer(sample.AUDIO, [*off, "a=bundle-only"])
    assert sample.types(sdp.choose_for_subscriber(bundled)) == [[111], [96, 102]]


@pytest.mark.parametrize(("offered", "ours"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")])
def test_we_are_passive_unless_the_other_waits(offered, ours):
    assert sdp.our_setup(offered) == ours


def test_a_player_that_waits_to_be_called_is_refused_and_a_publisher_is_not(sample):
    waits = [line.replace("actpass", "passive") for line in sample.TRANSPORT]
    with pytest.raises(NotAcceptable, match="actpass"):
        sdp.choose_for_subscriber(sample.offer(sample.AUDIO, sample.VIDEO, transport=waits))
    assert sdp.choose_from_publisher(sample.offer(sample.AUDIO, sample.VIDEO, transport=waits, direction="sendonly"))
