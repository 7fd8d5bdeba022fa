from media.core.formats import CLOCK_HZ, Codec, Kind


def test_every_codec_has_a_track_and_every_track_a_clock():
    assert [codec.kind for codec in Codec] == [Kind.AUDIO, *[Kind.VIDEO] * 4]
    assert {kind: CLOCK_HZ[kind] for kind in Kind} == {Kind.AUDIO: 48_000, Kind.VIDEO: 90_000}
