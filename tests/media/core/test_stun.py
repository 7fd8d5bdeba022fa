import binascii
import hmac
import struct

from hypothesis import given
from hypothesis import strategies as st

from media.core import stun

PASSWORD = b"thepassword"
# RFC 5769 section 2.1, a sample request with ICE attributes, password VOkJxbRl1RmTxUk/WvJxBt.
SAMPLE = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249"
    "c1b571a280280004e57a3bcf"
)
SAMPLE_PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"


def attribute(name, value):
    return struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)


def request(*, user=b"ours:theirs", extra=b"", sign=True, fingerprint=True, kind=1, password=PASSWORD, after=b""):
    head, body = bytes(range(12)), attribute(6, user) + extra
    if sign:
        signed = struct.pack("!HHI", kind, len(body) + 24, stun.COOKIE) + head + body
        body += attribute(8, hmac.digest(password, signed, "sha1")) + after
    whole = struct.pack("!HHI", kind, len(body) + (8 if fingerprint else 0), stun.COOKIE) + head + body
    return whole + (attribute(0x8028, struct.pack("!I", binascii.crc32(whole) ^ 0x5354554E)) if fingerprint else b"")


def test_the_sample_of_rfc_5769_is_read_and_authentic():
    check = stun.parse_check(SAMPLE)
    assert (check.local, check.remote, check.nominates) == ("evtj", "h6vY", False)
    assert stun.is_authentic(check, SAMPLE_PASSWORD)
    assert not stun.is_authentic(check, b"another")


def test_a_nominating_check_says_so():
    check = stun.parse_check(request(extra=attribute(0x25, b"")))
    assert check.nominates
    assert stun.is_authentic(check, PASSWORD)


def with_crc(datagram):
    return datagram[:-4] + struct.pack("!I", binascii.crc32(datagram[:-8]) ^ 0x5354554E)


def test_a_check_that_says_the_same_again_is_read_as_from_scratch():
    for extra in (b"", attribute(0x25, b"") + attribute(0x24, b"prio")):
        first = request(extra=extra)
        second = with_crc(first[:8] + b"x" * 12 + first[20:-28] + b"m" * 20 + first[-8:])
        assert stun.again(second, stun.parse_check(first)) == stun.parse_check(second)
        assert stun.again(second, stun.parse_check(first)).transaction == b"x" * 12
        assert stun.again(second[:-1] + bytes((second[-1] ^ 1,)), stun.parse_check(first)) is None


@given(st.data())
def test_whatever_else_it_says_it_is_never_read_otherwise_than_from_scratch(data):
    before = request(extra=attribute(0x24, b"prio"), after=data.draw(st.sampled_from([b"", attribute(0x25, b"")])))
    changed = bytearray(before)
    for at in data.draw(st.lists(st.integers(0, len(before) - 1), max_size=3)):
        changed[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 0, 0, 4, 8, 32]))
    datagram = with_crc(bytes(changed[: len(changed) - cut]))
    assert stun.again(datagram, stun.parse_check(before)) in (None, stun.parse_check(datagram))
    assert stun.again(data.draw(st.binary(max_size=100)), stun.parse_check(before)) is None


def test_what_is_not_a_complete_check_is_none():
    table = {
        "no user name": request(user=b""),
        "a user name without its half": request(user=b"ours"),
        "no integrity": request(sign=False),
        "no fingerprint": request(fingerprint=False),
        "a response": request(kind=0x0101),
        "an indication": request(kind=0x0011),
        "an unknown attribute that must be understood": request(extra=attribute(0x7777, b"1234")),
        "too many attributes": request(extra=attribute(0xC057, b"1234") * 30),
        "too long": request(extra=attribute(0xC057, bytes(2000))),
        "a byte more": request() + b"\0\0\0\0",
        "a broken fingerprint": request()[:-1] + bytes((request()[-1] ^ 1,)),
        "an attribute that overruns": request()[:20] + b"\0\6\xff\xff" + request()[24:],
    }
    assert {name: stun.parse_check(data) for name, data in table.items()} == dict.fromkeys(table)


def test_what_follows_message_integrity_does_not_count():
    check = stun.parse_check(request(after=attribute(0x25, b"")))
    assert check is not None
    assert not check.nominates


def test_the_success_mirrors_the_address_and_is_itself_authentic():
    answer = stun.success(stun.parse_check(request()), ("192.0.2.7", 32853), PASSWORD)
    assert answer[:2] == b"\x01\x01"
    assert len(answer) == 20 + int.from_bytes(answer[2:4], "big") == 64
    at = answer.index(b"\x00\x20\x00\x08")
    assert int.from_bytes(answer[at + 6 : at + 8], "big") ^ 0x2112 == 32853
    assert bytes(a ^ b for a, b in zip(answer[at + 8 : at + 12], answer[4:8], strict=True)) == bytes((192, 0, 2, 7))
    signed = answer[:2] + struct.pack("!H", at + 12 - 20 + 24) + answer[4 : at + 12]
    assert answer[at + 16 : at + 36] == hmac.digest(PASSWORD, signed, "sha1")
    assert int.from_bytes(answer[-4:], "big") == binascii.crc32(answer[:-8]) ^ 0x5354554E


def test_an_ipv6_address_is_masked_with_the_transaction_and_a_mapped_one_is_ipv4():
    check = stun.parse_check(request())
    answer = stun.success(check, ("2001:db8::1", 9), PASSWORD)
    at = answer.index(b"\x00\x20\x00\x14")
    mask = answer[4:20]
    assert (
        bytes(a ^ b for a, b in zip(answer[at + 8 : at + 24], mask, strict=True)).hex() == "20010db8" + "0" * 23 + "1"
    )
    assert stun.success(check, ("::ffff:192.0.2.7", 9), PASSWORD) == stun.success(check, ("192.0.2.7", 9), PASSWORD)


@given(st.binary(max_size=1600))
def test_no_bytes_raise(data):
    assert stun.parse_check(data) is None


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_changed_byte_never_passes(at, flip):
    data = bytearray(SAMPLE)
    data[at] ^= flip
    check = stun.parse_check(bytes(data))
    assert check is None or not stun.is_authentic(check, SAMPLE_PASSWORD)


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_truncated_check_is_none(size):
    assert stun.parse_check(SAMPLE[:size]) is None


def test_a_check_of_ours_is_one_that_a_peer_takes_and_its_answer_is_one_that_we_take():
    asked = stun.request(b"t" * 12, "theirs:ours", b"tiebreak", PASSWORD)
    check = stun.parse_check(asked)
    assert (check.transaction, check.local, check.remote, check.nominates) == (b"t" * 12, "theirs", "ours", False)
    assert stun.is_authentic(check, PASSWORD)
    assert b"\x80\x29\0\x08tiebreak" in asked
    reply = stun.parse_reply(stun.success(check, ("192.0.2.7", 32853), PASSWORD))
    assert reply.transaction == b"t" * 12
    assert stun.is_authentic(reply, PASSWORD)
    assert not stun.is_authentic(reply, b"another")


def test_only_a_signed_success_is_a_reply():
    check = stun.parse_check(request())
    whole = stun.success(check, ("192.0.2.7", 32853), PASSWORD)
    assert stun.parse_reply(whole) is not None
    assert stun.parse_reply(request()) is None
    assert stun.parse_check(whole) is None
    for size in range(len(whole)):
        assert stun.parse_reply(whole[:size]) is None


@given(st.binary(max_size=120))
def test_no_bytes_make_a_reply_raise(data):
    assert stun.parse_reply(data) is None
    assert stun.parse_reply(b"\1\1" + data) is None
