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


@pytest.mark.parametrize(("offered", "ours"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")])
def test_we_are_passive_unless_the_other_waits(offered, ours):
    assert sdp.our_setup(offered) == ours


def test_a_player_that_waits_to_be_called_is_refused_and_a_publisher_is_not(sample):
    waits = [line.replace("actpass", "passive") for line in sample.TRANSPORT]
    with pytest.raises(NotAcceptable, match="actpass"):
        sdp.choose_for_subscriber(sample.offer(sample.AUDIO, sample.VIDEO, transport=waits))
    assert sdp.choose_from_publisher(sample.offer(sample.AUDIO, sample.VIDEO, transport=waits, direction="sendonly"))
