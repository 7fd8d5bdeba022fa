"""VP8's numbers over several layers."""

from hypothesis import given
from hypothesis import strategies as st

from media.core.pictures import Pictures

KEY, DELTA = b"\x00\x01\x02", b"\x01\x01\x02"


def packet(picture, level, content=DELTA, temporal=0):
    """X=1, S=1; I, L and T; 15 bits of picture id."""
    head = bytes((0x90, 0xE0, 0x80 | picture >> 8 & 0x7F, picture & 0xFF, level & 0xFF, temporal << 6))
    return head + content


def read(payload):
    return (payload[2] & 0x7F) << 8 | payload[3], payload[4]


class Layers:
    """What comes in, and how it goes out."""

    def __init__(self):
        self.pictures, self.sequences = Pictures(), {}

    def put(self, layer, picture, level, *, key=False, sequence=None):
        number = self.sequences[layer] = self.sequences.get(layer, 0) + 1
        content = packet(picture, level, KEY if key else DELTA)
        out = self.pictures.renumber(layer, sequence or number, content, begins_keyframe=key)
        assert (out[:2], out[5:]) == (content[:2], content[5:])
        return read(out)


def test_the_example_of_the_module_holds():
    layers = Layers()
    assert [layers.put(0, n, 1, key=n == 7)[0] for n in (7, 8, 9, 10)] == [7, 8, 9, 10]
    assert [layers.put(1, n, 200, key=n == 3000)[0] for n in (3000, 3001)] == [11, 12]
    assert [layers.put(0, n, 1)[0] for n in (11, 12)] == [11, 12]
    assert layers.put(0, 13, 1, key=True)[0] == 13
    assert layers.put(1, 3002, 201, key=True)[0] == 14


def test_a_single_layer_is_left_as_it_is_across_a_wrap_and_with_pictures_missing():
    layers = Layers()
    for picture in [*range(32_700, 32_768), *range(0, 100, 3)]:
        level = picture % 256
        assert layers.put(0, picture, level, key=picture % 11 == 0) == (picture, level)


def test_a_late_packet_of_the_group_before_keeps_its_number():
    layers = Layers()
    layers.put(0, 100, 0, key=True)
    layers.put(1, 500, 9, key=True, sequence=10)
    before = layers.put(1, 501, 10, sequence=11)
    layers.put(0, 101, 1)
    layers.put(0, 102, 2)
    layers.put(0, 103, 3)
    key = layers.put(1, 503, 12, key=True, sequence=14)
    assert layers.put(1, 502, 11, sequence=12) == (before[0] + 1, before[1] + 1)
    assert key[0] > layers.put(0, 103, 3)[0]


def test_what_has_no_numbers_or_is_not_understood_is_left_alone():
    for payload in (b"", b"\x10", b"\x10\x00abc", b"\x90", b"\x90\x80\x81", b"\x90\x20\x01\x02"):
        assert Pictures().renumber(0, 1, payload, begins_keyframe=True) is payload


def test_a_short_picture_id_is_shifted_within_its_seven_bits():
    pictures = Pictures()
    pictures.renumber(0, 1, bytes((0x90, 0x80, 100, 0, 0)), begins_keyframe=True)
    out = pictures.renumber(1, 1, bytes((0x90, 0x80, 5, 1, 2)), begins_keyframe=True)
    assert out == bytes((0x90, 0x80, 101, 1, 2))


steps = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 3)), min_size=1, max_size=200)


@given(st.lists(st.tuples(st.integers(0, 32_767), st.integers(0, 255)), min_size=3, max_size=3), steps)
def test_a_viewer_who_moves_at_any_keyframe_sees_numbers_that_only_rise(starts, history):
    layers, at = Layers(), {n: list(start) for n, start in enumerate(starts)}
    highest, started = None, set()
    given = {}
    for layer, wanted, skipped in history:
        key = wanted or layer not in started
        started.add(layer)
        at[layer][0], at[layer][1] = (at[layer][0] + skipped) & 0x7FFF, (at[layer][1] + 1) & 0xFF
        picture, level = layers.put(layer, *at[layer], key=key)
        if key and highest is not None:
            assert 0 < (picture - highest[0]) & 0x7FFF < 0x4000
            assert 0 < (level - highest[1]) & 0xFF < 0x80
        elif not key:
            before = given[layer]
            assert (picture - before[0]) & 0x7FFF == skipped
            assert (level - before[1]) & 0xFF == 1
        given[layer] = picture, level
        if highest is None or (picture - highest[0]) & 0x7FFF < 0x4000:
            highest = (picture, highest[1] if highest else level)
        if (level - highest[1]) & 0xFF < 0x80:
            highest = (highest[0], level)
