from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec, Kind
from media.core.history import History, Packet


def packet(sequence):
    return Packet(Kind.VIDEO, Codec.VP8, sequence, 0, False, b"")


def test_the_last_packets_are_kept_and_older_ones_are_not():
    history = History(512)
    for sequence in range(1000, 2000):
        history.put(packet(sequence))
    assert history.get(1999).sequence == 1999
    assert history.get(1488).sequence == 1488
    assert history.get(1487) is None
    assert history.get(2000) is None


def test_a_late_packet_does_not_push_out_a_newer_one():
    history = History(512)
    history.put(packet(1024))
    history.put(packet(512))
    assert history.get(1024).sequence == 1024
    assert history.get(512) is None


def test_a_number_keeps_the_packet_that_was_first_put_for_it():
    """It has been sent: other bits under its number would be a second text under one nonce."""
    history = History(512)
    history.put(packet(1024))
    history.put(packet(1024)._replace(payload=b"other"))
    assert history.get(1024) == packet(1024)


@given(st.lists(st.integers(0, 4000), max_size=300))
def test_what_comes_back_is_what_was_asked_for(sequences):
    history = History(512)
    for sequence in sequences:
        history.put(packet(sequence))
        assert history.get(sequence) in (None, packet(sequence))
    for sequence in sequences:
        found = history.get(sequence)
        assert found is None or found.sequence == sequence
    if sequences:
        assert history.get(max(sequences)) is not None
