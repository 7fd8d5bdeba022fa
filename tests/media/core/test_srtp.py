import pylibsrtp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core import srtp
from media.core.srtp import MAX_SOURCES, WINDOW, GcmReceiver, GcmSender, Window, derive

KEY, SALT = bytes(range(16)), bytes(range(16, 28))


def header(sequence, ssrc=7):
    return b"\x80\x60" + (sequence & 0xFFFF).to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")


def sealed(sender, index, payload=b"hello", ssrc=7):
    return sender.seal(ssrc << 48 | index, header(index, ssrc), payload)


def libsrtp(direction):
    policy = pylibsrtp.Policy(
        key=KEY + SALT, ssrc_type=direction, srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    )
    return pylibsrtp.Session(policy)


def test_key_derivation_follows_rfc_3711_appendix_b3():
    key, salt = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de4139"), bytes.fromhex("0ec675ad498afeebb6960b3aabe6")
    session_key, session_salt = derive(key, salt, 0, 2)
    assert session_key.hex() == "c61e7a93744f39ee10734afe3ff7a087"
    assert session_salt[:14].hex() == "30cbbc08863d8c85d49db34a9ae1"


def test_libsrtp_reads_what_we_write_across_a_cycle():
    ours, theirs = GcmSender(KEY, SALT), libsrtp(pylibsrtp.Policy.SSRC_ANY_INBOUND)
    for index in range(65530, 65545):
        assert theirs.unprotect(sealed(ours, index)) == header(index) + b"hello"
    report = b"\x80\xc9\0\1\0\0\0\7"
    assert theirs.unprotect_rtcp(ours.protect_rtcp(report)) == report


def test_we_read_what_libsrtp_writes_across_a_cycle():
    theirs, ours = libsrtp(pylibsrtp.Policy.SSRC_ANY_OUTBOUND), GcmReceiver(KEY, SALT)
    for index in range(65530, 65545):
        assert ours.unprotect(theirs.protect(header(index) + b"hello"), 12) == b"hello"
    report = b"\x80\xc9\0\1\0\0\0\7"
    assert ours.unprotect_rtcp(theirs.protect_rtcp(report)) == report


def test_a_packet_is_accepted_once():
    sender, receiver = GcmSender(KEY, SALT), GcmReceiver(KEY, SALT)
    packets = [sealed(sender, index) for index in range(5)]
    order = [0, 3, 1, 3, 0, 4, 2]
    assert [receiver.unprotect(packets[n], 12) is not None for n in order] == [
        True,
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    report = sender.protect_rtcp(b"\x80\xc9\0\1\0\0\0\7")
    assert receiver.unprotect_rtcp(report) is not None
    assert receiver.unprotect_rtcp(report) is None


def test_a_forgery_does_not_move_the_window():
    sender, receiver = GcmSender(KEY, SALT), GcmReceiver(KEY, SALT)
    assert receiver.unprotect(sealed(sender, 10), 12) == b"hello"
    forged = header(20_000) + bytes(21)
    assert receiver.unprotect(forged, 12) is None
    assert receiver.unprotect(sealed(sender, 11), 12) == b"hello"


@pytest.mark.parametrize("size", [12, 20, 27])
def test_a_packet_too_short_for_its_tag_is_none(size):
    assert GcmReceiver(KEY, SALT).unprotect(sealed(GcmSender(KEY, SALT), 1)[:size], 12) is None


def test_rtcp_in_the_clear_is_refused():
    sender, receiver = GcmSender(KEY, SALT), GcmReceiver(KEY, SALT)
    report = bytearray(sender.protect_rtcp(b"\x80\xc9\0\1\0\0\0\7"))
    report[-4] &= 0x7F
    assert receiver.unprotect_rtcp(bytes(report)) is None
    assert receiver.unprotect_rtcp(b"\x80\xc9\0\1\0\0\0\7") is None


def test_a_peer_has_at_most_so_many_sources():
    assert sources_taken_of_forty() == [32, 32]


def test_a_source_too_many_is_told_from_a_forgery():
    sender, receiver = GcmSender(KEY, SALT), GcmReceiver(KEY, SALT)
    for ssrc in range(MAX_SOURCES + 2):
        receiver.unprotect(sealed(sender, 1, ssrc=ssrc), 12)
    receiver.unprotect(sealed(sender, 1, ssrc=0)[:-1] + b"x", 12)
    receiver.unprotect(sealed(sender, 1, ssrc=1), 12)
    assert receiver.surplus == 2


def test_without_the_bound_it_would_have_any_number(monkeypatch):
    monkeypatch.setattr(srtp, "MAX_SOURCES", 1 << 30)
    assert sources_taken_of_forty() == [40, 40]


def sources_taken_of_forty():
    """Of media and of reports."""
    sender, receiver = GcmSender(KEY, SALT), GcmReceiver(KEY, SALT)
    media = [receiver.unprotect(sealed(sender, 1, ssrc=ssrc), 12) for ssrc in range(40)]
    reports = [sender.protect_rtcp(b"\x80\xc9\0\1" + ssrc.to_bytes(4, "big")) for ssrc in range(40)]
    return [40 - media.count(None), 40 - [receiver.unprotect_rtcp(report) for report in reports].count(None)]


@given(st.binary(min_size=12, max_size=100))
def test_no_bytes_are_authentic_by_chance(data):
    receiver = GcmReceiver(KEY, SALT)
    assert receiver.unprotect(data, 12) is None
    assert receiver.unprotect_rtcp(data) is None


@given(st.lists(st.integers(0, 3000), max_size=200))
def test_a_window_agrees_with_a_set(indices):
    window, seen = Window(), set()
    for index in indices:
        expected = index not in seen and index > max(seen, default=-1) - WINDOW
        assert window.is_new(index) is expected
        if expected:
            window.mark(index)
            seen.add(index)


def test_a_giant_jump_costs_nothing():
    window = Window()
    window.mark(0)
    window.mark(1 << 47)
    assert window.highest == 1 << 47
    assert not window.is_new(0)
