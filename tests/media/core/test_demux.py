import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.demux import MAX_ADDRESSES, Kind, Roster, classify, is_plain_alert, is_sound_dtls

ONE, TWO = ("192.0.2.1", 1), ("192.0.2.1", 2)


class Peer:
    pass


def record(kind=22, epoch=0, size=4, version=b"\xfe\xfd"):
    return bytes((kind,)) + version + epoch.to_bytes(2, "big") + bytes(6) + size.to_bytes(2, "big") + bytes(size)


@pytest.mark.parametrize(
    ("datagram", "kind"),
    [
        (b"", Kind.JUNK),
        (b"\0", Kind.JUNK),
        (bytes(20), Kind.STUN),
        (b"\3" + bytes(19), Kind.STUN),
        (b"\4" + bytes(30), Kind.JUNK),
        (b"\x10" + bytes(30), Kind.JUNK),
        (b"\x14" + bytes(12), Kind.DTLS),
        (b"\x3f" + bytes(12), Kind.DTLS),
        (b"\x16" + bytes(11), Kind.JUNK),
        (b"\x40" + bytes(30), Kind.JUNK),
        (b"\x80\x60" + bytes(10), Kind.RTP),
        (b"\x80\x60" + bytes(9), Kind.JUNK),
        (b"\x80\xc8" + bytes(6), Kind.RTCP),
        (b"\x80\xdf" + bytes(6), Kind.RTCP),
        (b"\x80\xe0" + bytes(10), Kind.RTP),
        (b"\xbf\x60" + bytes(10), Kind.RTP),
        (b"\xc0\x60" + bytes(10), Kind.JUNK),
    ],
)
def test_the_first_bytes_say_what_it_is(datagram, kind):
    assert classify(datagram) is kind


@given(st.binary(max_size=64))
def test_no_bytes_raise(data):
    classify(data)
    is_sound_dtls(data)
    is_plain_alert(data)


def test_records_must_be_framed_and_alerts_must_be_encrypted():
    assert is_sound_dtls(record())
    assert is_sound_dtls(record() + record(20, size=1) + record(22, epoch=1, size=48))
    assert is_sound_dtls(record(21, epoch=1, size=26))
    assert not is_sound_dtls(record(21, size=2))
    assert not is_sound_dtls(record() + record(21, size=2))
    assert not is_sound_dtls(record()[:-1])
    assert not is_sound_dtls(record() + b"\x16")
    assert not is_sound_dtls(record(24))
    assert not is_sound_dtls(record(version=b"\x03\x03"))
    assert is_plain_alert(record(21, size=2))
    assert not is_plain_alert(record(21, epoch=1, size=26))


def test_an_address_belongs_to_whoever_validated_it_last():
    roster, first, second = Roster(), Peer(), Peer()
    roster.enrol("a", first)
    roster.enrol("b", second)
    assert (roster.named("a"), roster.named("c"), roster.at(ONE)) == (first, None, None)
    assert roster.validate(ONE, first) is None
    assert roster.validate(ONE, second) is None
    roster.forget(first)
    assert (roster.at(ONE), roster.named("a")) == (second, None)
    roster.forget(second)
    assert (roster.at(ONE), len(roster), roster.addresses) == (None, 0, 0)


def test_a_peer_has_at_most_so_many_addresses_and_one_more_drives_out_the_oldest_but_that_in_use():
    roster, peer = Roster(), Peer()
    roster.enrol("a", peer)
    for number in range(MAX_ADDRESSES):
        assert roster.validate(("192.0.2.1", number), peer) is None
    roster.validate(("192.0.2.1", 1), peer)
    in_use = ("192.0.2.1", 0)
    driven_out = [roster.validate(("192.0.2.2", number), peer, keep=in_use)[1] for number in range(3)]
    assert driven_out == [2, 3, 4]
    assert roster.at(in_use) is roster.at(("192.0.2.1", 1)) is peer
    assert roster.at(("192.0.2.1", 2)) is None
    assert roster.addresses == MAX_ADDRESSES


def test_what_is_driven_out_of_one_peer_stays_with_another_who_validated_it_since():
    roster, first, second = Roster(), Peer(), Peer()
    for number in range(MAX_ADDRESSES):
        roster.validate(("192.0.2.1", number), first)
    roster.validate(("192.0.2.1", 0), second)
    assert roster.validate(("192.0.2.2", 0), first) == ("192.0.2.1", 0)
    assert roster.at(("192.0.2.1", 0)) is second


def test_an_address_can_leave_alone():
    roster, peer = Roster(), Peer()
    roster.validate(ONE, peer)
    roster.validate(TWO, peer)
    assert roster.leave(ONE) is peer
    assert roster.leave(ONE) is None
    assert (roster.at(ONE), roster.at(TWO)) == (None, peer)


def test_a_name_can_leave_alone():
    roster, peer = Roster(), Peer()
    roster.enrol("old", peer)
    roster.enrol("new", peer)
    assert roster.named("old") is roster.named("new") is peer
    roster.retire("old")
    assert (roster.named("old"), roster.named("new")) == (None, peer)
    roster.retire("old")
    roster.forget(peer)
    assert roster.named("new") is None
    assert len(roster) == 0


def test_both_names_leave_with_the_peer():
    roster, peer = Roster(), Peer()
    roster.enrol("old", peer)
    roster.enrol("new", peer)
    roster.forget(peer)
    assert roster.named("old") is roster.named("new") is None
