"""The native intake's decryption against its reference: the same packets, the same answers."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.core.rtp import Header
from media.core.srtp import MAX_SOURCES, GcmReceiver, GcmSender
from media.dtls import CmReceiver
from media.intake import Intake
from media.native import intake_for
from media.native.loader import load
from media.port import MediaPort

KEY, SALT = bytes(range(16)), bytes(range(12))
FANOUTS = [found.fanout for found in (load(),) if found.fanout]


def opener(fanout, most=MAX_SOURCES):
    reference = GcmReceiver(KEY, SALT)
    return fanout.Opener(reference.rtp_key, reference.rtp_salt, most)


def sealed(index, ssrc=7, payload=b"hello"):
    header = b"\x80\x60" + (index & 0xFFFF).to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")
    return GcmSender(KEY, SALT).seal(ssrc << 48 | index, header, payload)


STARTS = st.sampled_from([0, 1, 1023, 1024, 0x7FFF, 0xFFF0, 0x1_0000])
STEPS = st.sampled_from([-2000, -1025, -1024, -1023, -64, -2, -1, 0, 1, 1, 1, 2, 63, 64, 1023, 1024, 1025, 0x7FFF])


@settings(max_examples=300)
@given(STARTS, st.lists(st.tuples(STEPS, st.integers(1, 3), st.integers(0, 9)), max_size=60))
def test_both_take_the_same_packets_of_any_order(start, steps):
    for fanout in FANOUTS:
        reference, twin, index = GcmReceiver(KEY, SALT), opener(fanout), start
        for step, ssrc, spoil in steps:
            index = max(0, index + step)
            packet = sealed(index, ssrc)
            packet = packet[:-1] + bytes((packet[-1] ^ 1,)) if spoil == 0 else packet
            assert twin.unprotect(packet, 12) == reference.unprotect(packet, 12)


@given(st.binary(max_size=80), st.integers(0, 90))
def test_no_bytes_are_authentic_by_chance_nor_read_beyond(data, header_size):
    for fanout in FANOUTS:
        assert opener(fanout).unprotect(data, header_size) is None


def test_a_peer_has_at_most_so_many_sources_and_a_forged_one_takes_no_place():
    for fanout in FANOUTS:
        twin = opener(fanout, 2)
        assert twin.unprotect(sealed(1, 1)[:-1] + b"x", 12) is None
        assert [twin.unprotect(sealed(1, ssrc), 12) for ssrc in (5, 6, 7, 5)] == [b"hello", b"hello", None, None]
        assert twin.surplus == 1


def test_a_cycle_is_counted():
    for fanout in FANOUTS:
        twin = opener(fanout)
        assert all(twin.unprotect(sealed(index), 12) == b"hello" for index in range(0xFFF0, 0x1_0010))


def test_what_makes_no_sense_is_refused():
    for fanout in FANOUTS:
        for key, salt, most in ((bytes(15), bytes(12), 1), (bytes(16), bytes(14), 1), (bytes(16), bytes(12), 0)):
            with pytest.raises(ValueError, match="key of 16 bytes"):
                fanout.Opener(key, salt, most)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            for peers, header in ((None, Header), ({}, int), ({}, Header(0, False, 0, 0, 0, False, 12))):
                with pytest.raises(TypeError):
                    fanout.Inbox(end.fileno(), -1, -1, peers, header)


async def test_a_process_gets_the_native_one_where_it_is_there_and_the_pure_one_when_it_asks():
    port = MediaPort("127.0.0.1", 0)
    assert type(intake_for(port, native=False)) is Intake
    assert (type(intake_for(port)) is not Intake) == bool(FANOUTS)
    plain = CmReceiver(bytes(16), bytes(14))
    assert intake_for(port).receiver(plain) is plain, "its cipher is not ours"
    port.close()
