"""What a link that falls behind still gets."""

from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec, Kind
from media.core.valve import FULL_BYTES, OPEN_BYTES, SHUT_BYTES, Piece, Valve
from media.feed import Incoming, Stream

SOUND = Stream(Kind.AUDIO, 0, Codec.OPUS)


def picture(layer=0, *, key=False):
    return Piece(Stream(Kind.VIDEO, layer, Codec.VP8), Incoming(1, 1, True, b"x", 1), key)


def sound():
    return Piece(SOUND, Incoming(1, 1, True, b"x", 1), begins_keyframe=False)


def test_a_link_that_keeps_up_gets_everything():
    pieces = [picture(), sound(), picture(1, key=True)]
    assert Valve().through(pieces, SHUT_BYTES) is pieces


def test_one_that_does_not_gets_sound_and_its_picture_again_from_a_keyframe_on():
    valve = Valve()
    assert valve.through([picture(), sound(), picture(key=True)], SHUT_BYTES + 1) == [sound()]
    assert valve.shut == {0}
    assert valve.through([picture(), sound()], 0) == [sound()]
    assert valve.through([picture(key=True)], OPEN_BYTES + 1) == []
    assert valve.through([picture(), picture(key=True), picture()], OPEN_BYTES) == [picture(key=True), picture()]
    assert valve.shut == frozenset()


def test_each_layer_waits_for_its_own_keyframe():
    valve = Valve()
    valve.through([picture(0), picture(1)], SHUT_BYTES + 1)
    assert valve.through([picture(1, key=True), picture(0), picture(1)], 0) == [picture(1, key=True), picture(1)]


def test_a_link_that_is_full_gets_nothing():
    assert Valve().through([sound(), picture(key=True)], FULL_BYTES + 1) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * SHUT_BYTES)), max_size=60))
def test_behind_a_hole_comes_nothing_but_from_a_keyframe_on(steps):
    valve, whole = Valve(), True
    for key, waiting_bytes in steps:
        passed = bool(valve.through([picture(key=key)], waiting_bytes))
        assert not passed or whole or key
        whole = passed
