import pytest
from aiortc import rtp as aiortc_rtp
from hypothesis import given
from hypothesis import strategies as st

from media.core import rtcp

WORD = st.integers(0, 2**32 - 1)
LOST = st.integers(-0x800000, 0x7FFFFF)


@given(st.binary(max_size=300))
def test_no_bytes_raise(data):
    rtcp.parse(data)


@given(st.builds(rtcp.SenderReport, WORD, st.integers(0, 2**64 - 1), WORD, WORD, WORD))
def test_a_sender_report_survives_the_way(report):
    compound = rtcp.sender_report(report, "show")
    assert rtcp.parse(compound) == [report]
    parsed = aiortc_rtp.RtcpPacket.parse(compound)
    assert [type(part).__name__ for part in parsed] == ["RtcpSrPacket", "RtcpSdesPacket"]
    assert parsed[1].chunks[0].items == [(1, b"show")]


@given(
    st.lists(
        st.builds(rtcp.ReportBlock, WORD, st.integers(0, 255), LOST, WORD, WORD, WORD, WORD),
        max_size=31,
    )
)
def test_a_receiver_report_survives_the_way(blocks):
    assert rtcp.parse(rtcp.receiver_report(9, blocks)) == blocks


@given(st.lists(st.integers(65536, 66536), min_size=1, max_size=200, unique=True).map(sorted))
def test_every_missing_number_is_in_the_nack_and_no_other(numbers):
    (part,) = rtcp.parse(rtcp.nack(1, 2, numbers))
    assert part.ssrc == 2
    assert part.sequences == [number & 0xFFFF for number in numbers]


def test_a_nack_is_packed_with_a_mask():
    assert rtcp.nack(1, 2, [100, 101, 116, 117]).hex() == "81cd0004" + "00000001" + "00000002" + "00648001" + "00750000"


def test_a_giant_nack_is_cut():
    body = b"\0\1\xff\xff" * 200
    giant = b"\x81\xcd" + (2 + 200).to_bytes(2, "big") + bytes(8) + body
    (part,) = rtcp.parse(giant)
    assert len(part.sequences) == rtcp.MAX_NACKED


def test_many_nacks_in_one_compound_are_cut_together():
    one = b"\x81\xcd" + (2 + 20).to_bytes(2, "big") + bytes(8) + b"\0\1\xff\xff" * 20
    parts = rtcp.parse(one * 20 + rtcp.pli(1, 2))
    assert sum(len(part.sequences) for part in parts[:-1]) == rtcp.MAX_NACKED
    assert parts[-1] == rtcp.KeyframeRequest(2), "and the rest is read"


@pytest.mark.parametrize("bitrate", [1, 262_143, 262_144, 3_000_000, 2_000_000_000])
def test_a_bitrate_survives_the_way_but_for_its_last_bits(bitrate):
    told, ssrcs = aiortc_rtp.unpack_remb_fci(rtcp.remb(1, bitrate, [2, 3])[12:])
    assert told == pytest.approx(bitrate, rel=1e-5)
    assert told <= bitrate
    assert ssrcs == [2, 3]


def test_a_compound_is_read_part_by_part_and_the_unknown_is_skipped():
    unknown = b"\x80\xcc\0\1\0\0\0\7"
    fir = b"\x84\xce\0\4\0\0\0\1\0\0\0\0\0\0\0\5\1\0\0\0"
    bye = b"\x81\xcb\0\1\0\0\0\7"
    parts = rtcp.parse(unknown + rtcp.pli(1, 2) + fir + bye)
    assert parts == [rtcp.KeyframeRequest(2), rtcp.KeyframeRequest(5)]


def test_a_part_that_lies_about_its_length_ends_the_reading():
    assert rtcp.parse(rtcp.pli(1, 2) + b"\x81\xce\0\x09" + bytes(8)) == [rtcp.KeyframeRequest(2)]


def test_a_remb_is_read_as_it_was_written():
    (part,) = rtcp.parse(rtcp.remb(1, 1_500_000, [2, 3]))
    assert part == rtcp.Remb(1_499_992) or abs(part.bitrate_bps - 1_500_000) < 16


def test_a_round_trip_is_what_passed_without_the_time_the_report_lay_there():
    second = 1 << 16
    block = rtcp.ReportBlock(1, 0, 0, 0, 0, 100 * second, 2 * second)
    assert rtcp.round_trip_ms(block, (102 * second + second // 4) << 16) == 250
    assert rtcp.round_trip_ms(block, (102 * second - 10) << 16) == 0
    assert rtcp.round_trip_ms(block, (300 * second) << 16) is None
    assert rtcp.round_trip_ms(block._replace(last_sr=0), 0) is None
