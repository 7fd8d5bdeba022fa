"""The client's handshake, message by message, where the other side lies."""

import struct
import tracemalloc

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from media import dtls_client
from media.dtls import Certificate
from media.dtls_client import MAX_MESSAGE, MAX_MESSAGES, DtlsClient, HandshakeError, prf

OURS = Certificate.generateCertificate()


def colons(der):
    return ":".join(f"{byte:02X}" for byte in hashes_sha256(der))


def hashes_sha256(data):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def self_signed(curve):
    """A certificate like the one FFmpeg makes with GnuTLS, on any curve."""
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lavf")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(OURS._cert.not_valid_before_utc)
    made = builder.not_valid_after(OURS._cert.not_valid_after_utc).sign(key, hashes.SHA256())
    return key, made.public_bytes(serialization.Encoding.DER)


KEY, DER = self_signed(ec.SECP224R1())


def client(print_=None):
    return DtlsClient(OURS.der, OURS.key, ("sha-256", print_ or colons(DER)), [7, 1])


def handshake(kind, number, body):
    size = len(body).to_bytes(3, "big")
    message = bytes((kind,)) + size + number.to_bytes(2, "big") + bytes(3) + size + body
    return b"\x16\xfe\xfd" + bytes(8) + len(message).to_bytes(2, "big") + message


def server_hello(suite=b"\xc0\x2b", profile=7, version=b"\xfe\xfd"):
    extension = struct.pack("!HHHHB", 0x0E, 5, 2, profile, 0)
    return version + bytes(32) + b"\0" + suite + b"\0" + len(extension).to_bytes(2, "big") + extension


def certificate(der=DER):
    inner = len(der).to_bytes(3, "big") + der
    return len(inner).to_bytes(3, "big") + inner


def exchange(peer, *, key=KEY, scheme=0x0403, group=0x1D, point=bytes(range(1, 33))):
    params = b"\3" + struct.pack("!HB", group, len(point)) + point
    signature = key.sign(peer._client_random + bytes(32) + params, ec.ECDSA(hashes.SHA256()))
    return params + struct.pack("!HH", scheme, len(signature)) + signature


def test_a_key_signed_on_p224_is_accepted_and_answered():
    peer = client()
    peer.start()
    for number, (kind, body) in enumerate([(2, server_hello()), (11, certificate()), (12, exchange(peer))]):
        assert peer.receive(handshake(kind, number, body)) == []
    flight = peer.receive(handshake(14, 3, b""))
    assert [datagram[0] for datagram in flight] == [22, 20, 22]
    assert flight[-1][3:5] == b"\0\1"
    assert not peer.is_up


def test_the_flight_is_sent_again_under_new_record_numbers():
    peer = client()
    first, second = peer.start()[0], peer.retransmit()[0]
    assert first[13:] == second[13:]
    assert (first[10], second[10]) == (0, 1)


def test_a_cookie_is_returned_and_the_transcript_begins_anew():
    peer = client()
    peer.start()
    (hello,) = peer.receive(handshake(3, 0, b"\xfe\xfd\4cook"))
    assert b"\4cook" in hello
    assert hello[17:19] == b"\0\1"
    assert peer.receive(handshake(2, 1, server_hello())) == []
    assert peer.profile == 7


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([(2, server_hello(suite=b"\xc0\x30"))], "suite"),
        ([(2, server_hello(version=b"\xfe\xff"))], "version"),
        ([(2, server_hello(profile=2))], "SRTP"),
        ([(2, server_hello()[:20])], "short"),
        ([(2, server_hello()), (11, certificate(b"other"))], "certificate"),
        ([(2, server_hello()), (14, b"")], "no key"),
        ([(99, b"")], "not of this handshake"),
        ([(20, bytes(12))], "another handshake"),
    ],
)
def test_a_server_that_is_not_right_is_refused(messages, says):
    peer = client()
    peer.start()
    datagrams = [handshake(kind, number, body) for number, (kind, body) in enumerate(messages)]
    with pytest.raises(HandshakeError, match=says):
        peer.receive(b"".join(datagrams))
    assert not peer.is_up


def test_a_sound_certificate_of_another_server_is_refused():
    """Alone the fingerprint tells them apart: the other's certificate is well formed and its key signs."""
    _, other = self_signed(ec.SECP256R1())
    peer = client()
    peer.start()
    peer.receive(handshake(2, 0, server_hello()))
    with pytest.raises(HandshakeError, match="not the one that was offered"):
        peer.receive(handshake(11, 1, certificate(other)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"key": self_signed(ec.SECP256R1())[0]}, "forged"),
        ({"scheme": 0x0203}, "not signed in a way"),
        ({"group": 0x18}, "group"),
        ({"group": 0x17}, "point"),
    ],
)
def test_a_key_exchange_that_is_not_right_is_refused(change, says):
    peer = client()
    peer.start()
    peer.receive(handshake(2, 0, server_hello()))
    peer.receive(handshake(11, 1, certificate()))
    datagrams = [handshake(12, 2, exchange(peer, **change)), handshake(14, 3, b"")]
    with pytest.raises(HandshakeError, match=says):
        peer.receive(b"".join(datagrams))
    assert not peer.is_up


def test_messages_may_come_in_any_order_and_in_pieces():
    peer = client()
    peer.start()
    body = server_hello()
    head = b"\2" + len(body).to_bytes(3, "big") + bytes(2)
    pieces = [
        head + at.to_bytes(3, "big") + len(body[at : at + 20]).to_bytes(3, "big") + body[at : at + 20]
        for at in range(0, len(body), 20)
    ]
    peer.receive(handshake(11, 1, certificate()))
    for piece in reversed(pieces):
        peer.receive(b"\x16\xfe\xfd" + bytes(8) + len(piece).to_bytes(2, "big") + piece)
    assert peer._next_message == 2


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_a_refusal(data):
    peer = client()
    peer.start()
    for datagram in (data, b"\x16\xfe\xfd" + bytes(8) + len(data).to_bytes(2, "big") + data):
        try:
            peer.receive(datagram)
        except HandshakeError:
            return


def test_a_giant_message_is_not_gathered():
    peer = client()
    peer.start()
    peer.receive(b"\x16\xfe\xfd" + bytes(8) + b"\0\x0d" + b"\2\xff\xff\xff\0\0" + bytes(3) + b"\0\0\1" + b"x")
    assert not peer._fragments


def pieces(number, size, width=1100):
    """A Certificate message of `size` zeros without its first byte, in datagrams."""
    for at in range(1, size, width):
        part = bytes(min(width, size - at))
        head = b"\x0b" + size.to_bytes(3, "big") + number.to_bytes(2, "big")
        message = head + at.to_bytes(3, "big") + len(part).to_bytes(3, "big") + part
        yield b"\x16\xfe\xfd" + bytes(8) + len(message).to_bytes(2, "big") + message


def bytes_held_for_a_server_that_never_finishes_a_message():
    peer = client()
    peer.start()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in reversed(range(8)):
        for datagram in pieces(number, MAX_MESSAGE):
            peer.receive(datagram)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return held


def test_what_waits_for_its_rest_is_bounded():
    assert bytes_held_for_a_server_that_never_finishes_a_message() < 128 * 1024


def test_without_the_bound_it_would_not_be(monkeypatch):
    monkeypatch.setattr(dtls_client, "MAX_AHEAD", 1 << 30)
    assert bytes_held_for_a_server_that_never_finishes_a_message() > 250 * 1024


def test_the_message_that_is_due_comes_in_however_much_waits():
    peer = client()
    peer.start()
    for number in range(1, 8):
        for datagram in pieces(number, MAX_MESSAGE):
            peer.receive(datagram)
    peer.receive(handshake(2, 0, server_hello()))
    assert peer._next_message == 1


def messages_read_of_a_server_that_never_comes_to_the_end():
    peer = client()
    peer.start()
    for number in range(100):
        try:
            peer.receive(handshake(13, number, bytes(100)))
        except HandshakeError:
            break
    return peer._next_message


def test_a_handshake_has_an_end():
    assert messages_read_of_a_server_that_never_comes_to_the_end() == MAX_MESSAGES


def test_without_the_bound_on_messages_it_would_have_none(monkeypatch):
    monkeypatch.setattr(dtls_client, "MAX_MESSAGES", 1 << 30)
    assert messages_read_of_a_server_that_never_comes_to_the_end() == 100


def test_the_pseudorandom_function_matches_a_published_vector():
    """The P_SHA256 vector posted to the TLS working group's list in 2010."""
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
    assert (
        prf(secret, b"test label", seed, 32).hex() == "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
    )
