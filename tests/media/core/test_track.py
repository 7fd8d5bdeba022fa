from media.core.formats import Codec, Kind
from media.core.reception import wall_ms_of
from media.core.track import Track

KEY, DELTA = b"\x10\x00", b"\x10\x01"


def place(track, sequence, timestamp, payload=DELTA, now_ms=0, codec=Codec.VP8):
    return track.place(codec, sequence, timestamp, payload, marker=True, now_ms=now_ms)


def test_a_packet_is_placed_and_its_keyframe_noticed():
    track = Track(Kind.VIDEO, 512)
    packet = place(track, 100, 3000, KEY)
    assert (packet.sequence, packet.timestamp, packet.begins_keyframe, packet.padded) == (100, 3000, True, False)
    assert not place(track, 101, 6000).begins_keyframe
    assert track.highest == 101


def test_one_picture_begins_once_however_many_units_it_has():
    track = Track(Kind.VIDEO, 512)
    begins = [
        place(track, n, 3000, bytes.fromhex(unit), codec=Codec.H264).begins_keyframe
        for n, unit in enumerate(("6742", "68ce", "65ff", "65fe"))
    ]
    assert begins == [True, False, False, False]
    assert place(track, 9, 6000, b"\x65", codec=Codec.H264).begins_keyframe


def test_a_packet_of_nothing_but_padding_keeps_its_number():
    track = Track(Kind.VIDEO, 512)
    packet = place(track, 100, 3000, b"")
    assert (packet.sequence, packet.payload, packet.padded) == (100, b"\0\0\0\4", True)


def test_what_a_source_says_of_its_clock_follows_it_onto_the_track():
    track = Track(Kind.VIDEO, 512)
    place(track, 100, 3000, now_ms=0)
    track.begin()
    second = place(track, 500, 1_000_000, now_ms=1000)
    assert second.timestamp == 93_000
    track.told(1_000_000, 990)
    assert track.timestamp_at(1000) == 93_000 + 900


def test_the_newest_picture_has_a_capture_time_and_a_late_packet_does_not_take_it_back():
    track = Track(Kind.VIDEO, 512)
    assert track.newest_capture_ms() is None
    place(track, 100, 3000, now_ms=0)
    place(track, 102, 93_000, now_ms=1040)
    place(track, 101, 48_000, now_ms=1050)
    assert track.newest_capture_ms() == 1000
    track.told(93_000, 5000)
    assert track.newest_capture_ms() == 5000


def captures(track, steps):
    """`Packet.capture` in wall time, of packets that come 40 ms apart."""
    found = [place(track, 100 + n, 3600 * n, KEY if key else DELTA, now_ms=n * 40) for n, key in enumerate(steps)]
    return {n: wall_ms_of(one.capture) for n, one in enumerate(found) if one.capture}


def test_the_capture_time_goes_with_each_keyframe_and_with_one_packet_a_second():
    keys = [True] + [False] * 10 + [True] + [False] * 30
    assert captures(Track(Kind.VIDEO, 512), keys) == {0: 0, 11: 440, 36: 1440}
    assert captures(Track(Kind.AUDIO, 512), keys) == {}


def pictures(track, *, lost=()):
    """Three seconds of a host's pictures, 33 ms apart, whose eight packets come 3 ms apart; in each second the clock
    of the host is 2 ms behind ours. Gives what bears a capture time, as (picture, packet)."""
    found = []
    for number in range(90):
        for part in range(8):
            at_ms = number * 1000 // 30 - number * 2 // 30 + part * 3 + (2 if number == 0 else 0)
            payload = KEY if number == part == 0 else b"\x00\x01" if part else DELTA
            if (number, part) not in lost:
                sequence = 100 + number * 8 + part
                found.append((number, part, place(track, sequence, 3000 * number, payload, now_ms=at_ms)))
    return [(number, part) for number, part, packet in found if packet.capture]


def test_only_the_first_packet_of_a_picture_bears_a_capture_time_and_the_delay_that_goes_with_it():
    """A browser reads the playout delay of a picture's first packet, and of no other."""
    assert pictures(Track(Kind.VIDEO, 512)) == [(0, 0), (31, 0), (62, 0)]


def test_if_the_first_is_lost_the_next_picture_bears_it():
    assert pictures(Track(Kind.VIDEO, 512), lost={(31, 0), (32, 0)}) == [(0, 0), (33, 0), (64, 0)]


def test_the_capture_time_is_by_the_clock_of_the_sources_reports_or_by_its_own_word():
    track = Track(Kind.VIDEO, 512)
    place(track, 100, 0, KEY, now_ms=5000)
    track.told(0, 4900)
    assert wall_ms_of(place(track, 101, 9000, KEY, now_ms=5200).capture) == 5000
    said = track.place(Codec.VP8, 102, 18_000, KEY, marker=True, now_ms=5300, captured_ms=5020)
    assert wall_ms_of(said.capture) == 5020
    assert wall_ms_of(place(track, 103, 27_000, KEY, now_ms=5400).capture) == 5120
    track.begin()  # another source, whose word it was not
    assert wall_ms_of(place(track, 500, 0, KEY, now_ms=5500).capture) == 5500
