import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.extensions import BLOCK_BYTES
from media.core.formats import Codec, Kind
from media.core.history import Packet, size_of
from media.core.rtp import strip_padding
from media.core.runs import MAX_SEGMENTS, NEARLY, plan, regroup


def packets(kind, sizes):
    codec = Codec.VP8 if kind is Kind.VIDEO else Codec.OPUS
    return [Packet(kind, codec, n, 0, False, bytes((n % 251 + 1,)) * size) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("video", "audio", "runs"),
    [
        ([1180, 1174, 1180, 600], [90], [[1180, 1180, 1180, 600], [90]]),
        ([1180, 1174, 1100], [90], [[1180, 1180, 1180, 90]]),
        ([1180, 1180, 1180 - NEARLY], [], [[1180, 1180, 1180]]),
        ([1180, 1180, 1180 - NEARLY - 1], [], [[1180, 1180, 1180 - NEARLY - 1]]),
        ([1180] * 12, [], [[1180] * 10, [1180] * 2]),
        ([600, 1180], [], [[600], [1180]]),
        ([1000, 1180], [], [[1180, 1180]]),
        ([], [90, 100, 80], [[90], [100, 80]]),
        ([], [], []),
    ],
)
def test_packets_are_gathered_into_equal_runs(video, audio, runs):
    made = plan(packets(Kind.VIDEO, video) + packets(Kind.AUDIO, audio))
    assert [[len(packet.payload) for packet in run.packets] for run in made] == runs


@given(st.lists(st.integers(1, 1200), max_size=40), st.lists(st.integers(1, 200), max_size=5))
def test_every_packet_is_in_one_run_whole_and_in_order(video, audio):
    given_in = packets(Kind.VIDEO, video) + packets(Kind.AUDIO, audio)
    runs = plan(given_in)
    for kind in Kind:
        out = [packet for run in runs for packet in run.packets if packet.kind is kind]
        assert [packet.sequence for packet in out] == [p.sequence for p in given_in if p.kind is kind]
        contents = [strip_padding(packet.payload) if packet.padded else packet.payload for packet in out]
        assert contents == [packet.payload for packet in given_in if packet.kind is kind]
    for run in runs:
        sizes = [len(packet.payload) for packet in run.packets]
        assert 1 <= len(sizes) <= MAX_SEGMENTS
        assert set(sizes[:-1]) <= {run.payload_bytes}
        assert sizes[-1] <= run.payload_bytes


def test_a_packet_that_came_padded_is_not_padded_again():
    probe = Packet(Kind.VIDEO, Codec.VP8, 0, 0, False, b"\0\0\0\4", padded=True)
    runs = plan([probe, *packets(Kind.VIDEO, [100, 100])])
    assert runs[0].packets == (probe,)


@given(st.lists(st.integers(1, 1200), max_size=40))
def test_packets_whose_padding_is_decided_are_grouped_without_changing_a_bit(sizes):
    planned = [packet for run in plan(packets(Kind.VIDEO, sizes)) for packet in run.packets]
    runs = regroup(planned)
    assert [packet for run in runs for packet in run.packets] == planned
    for run in runs:
        lengths = [len(packet.payload) for packet in run.packets]
        assert 1 <= len(lengths) <= MAX_SEGMENTS
        assert set(lengths[:-1]) <= {run.payload_bytes}
        assert lengths[-1] <= run.payload_bytes


@given(st.lists(st.tuples(st.integers(1, 1200), st.booleans()), max_size=40))
def test_a_packet_with_extensions_counts_with_them(video):
    made = packets(Kind.VIDEO, [size for size, _ in video])
    timed = [one._replace(capture=int(has)) for one, (_, has) in zip(made, video, strict=True)]
    planned = plan(timed)
    for runs in (planned, regroup([packet for run in planned for packet in run.packets])):
        for run in runs:
            sizes = [len(packet.payload) + BLOCK_BYTES * packet.capture for packet in run.packets]
            assert sizes == [size_of(packet) for packet in run.packets]
            assert set(sizes[:-1]) <= {run.payload_bytes}
            assert sizes[-1] <= run.payload_bytes


def test_a_picture_that_came_in_two_flushes_is_one_run_for_a_newcomer():
    picture = packets(Kind.VIDEO, [1180, 1176, 1171, 1180, 1165, 640])
    planned = [packet for part in (picture[:3], picture[3:]) for run in plan(part) for packet in run.packets]
    assert [len(run.packets) for run in regroup(planned)] == [6]
    assert [strip_padding(p.payload) if p.padded else p.payload for p in planned] == [p.payload for p in picture]


def test_sound_is_as_it_came_beside_the_longest_picture():
    sound = packets(Kind.AUDIO, [1175])
    assert plan([*packets(Kind.VIDEO, [1180, 1180]), *sound])[0].packets[-1] is sound[0]


def test_equal_packets_make_full_runs():
    sizes = [1180] * 12 + [600, 1180]
    made = regroup(packets(Kind.VIDEO, sizes))
    assert [len(run.packets) for run in made] == [10, 3, 1]


def test_a_packet_that_came_padded_and_short_ends_its_run_as_it_is():
    probe = Packet(Kind.VIDEO, Codec.VP8, 1, 0, False, b"\0\0\0\4", padded=True)
    long, after = packets(Kind.VIDEO, [100, 50])
    runs = plan([long, probe, after._replace(sequence=2)])
    assert [run.packets for run in runs] == [(long, probe), (after._replace(sequence=2),)]
