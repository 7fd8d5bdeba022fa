"""What a hostile sender makes of a packet: from a seed, knowing where lengths and counts stand."""

import binascii
import hmac
import random
import struct

EXTENDED = 0x10
_EDGES = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF)


def flipped(source: random.Random, data: bytes) -> bytes:
    """A few bits the other way round."""
    made = bytearray(data)
    for _ in range(source.randint(1, 4)):
        if made:
            made[source.randrange(len(made))] ^= 1 << source.randrange(8)
    return bytes(made)


def cut(source: random.Random, data: bytes) -> bytes:
    """The beginning, or what follows it."""
    at = source.randint(0, len(data))
    return data[:at] if source.random() < 0.7 else data[at:]


def grown(source: random.Random, data: bytes) -> bytes:
    """With bytes in the middle that nobody wrote."""
    at = source.randint(0, len(data))
    return data[:at] + source.randbytes(source.choice((1, 2, 4, 13, 200))) + data[at:]


def doubled(source: random.Random, data: bytes) -> bytes:
    """A part of it twice, or more often."""
    one, two = sorted((source.randint(0, len(data)), source.randint(0, len(data))))
    return (data[:two] + data[one:two] * source.choice((1, 2, 8)) + data[two:])[:2000]


def miscounted(source: random.Random, data: bytes) -> bytes:
    """A number of 8, 16 or 24 bits that says something else: at the edges, or one off."""
    width = source.choice((1, 2, 2, 3))
    if len(data) < width:
        return data
    at = source.randrange(len(data) - width + 1)
    held = int.from_bytes(data[at : at + width], "big")
    number = source.choice((*_EDGES, held + 1, held - 1, len(data), len(data) - at)) % (1 << 8 * width)
    return data[:at] + number.to_bytes(width, "big") + data[at + width :]


PLAIN = (flipped, cut, grown, doubled, miscounted, miscounted)


def mutated(source: random.Random, data: bytes) -> bytes:
    """One to three of these, one after another."""
    for _ in range(source.randint(1, 3)):
        data = source.choice(PLAIN)(source, data)
    return data


def stun(source: random.Random, data: bytes, password: bytes) -> bytes:
    """A check whose attributes are another's work, but signed as it should be: it is read to the end."""
    names = [0x0006, 0x0024, 0x0025, 0x8029, 0x802A, 0x0020, 0x0001, 0xC001]
    user = data[24 : 24 + int.from_bytes(data[22:24], "big")]
    body = b""
    for _ in range(source.randint(0, 6)):
        value = source.choice((user, user[:-1], source.randbytes(source.choice((0, 4, 8, 19))), b":", user * 3))
        body += struct.pack("!HH", source.choice(names), len(value)) + value + bytes(-len(value) % 4)
    if source.random() < 0.8:
        body = struct.pack("!HH", 6, len(user)) + user + bytes(-len(user) % 4) + body
    kind = source.choice((1, 1, 1, 1, 0x0101, 0x0111, 0x0011))
    head, tail = struct.pack("!H", kind), struct.pack("!I", 0x2112A442) + source.randbytes(12)
    signed = head + struct.pack("!H", len(body) + 24) + tail + body
    body += struct.pack("!HH", 8, 20) + hmac.digest(password, signed, "sha1")
    whole = head + struct.pack("!H", len(body) + 8) + tail + body
    return whole + struct.pack("!HHI", 0x8028, 4, binascii.crc32(whole) ^ 0x5354554E)


def with_extensions(source: random.Random, packet: bytes) -> bytes:
    """An RTP packet with header extensions of one byte or two (RFC 8285), right or nearly so."""
    body = b""
    for _ in range(source.randint(0, 5)):
        number, value = source.randint(0, 15), source.randbytes(source.randint(0, 16))
        body += bytes((number << 4 | max(0, len(value) - 1) & 15,)) + value + bytes(source.randint(0, 2))
    body += bytes(-len(body) % 4)
    profile = source.choice((0xBEDE, 0xBEDE, 0x1000, 0x1001, source.getrandbits(16)))
    words = len(body) // 4 if source.random() < 0.9 else source.getrandbits(16)
    return bytes((packet[0] | EXTENDED,)) + packet[1:12] + struct.pack("!HH", profile, words) + body + packet[12:]


def lines(source: random.Random, text: str) -> str:
    """An SDP whose lines are lost, swapped, repeated or misspelled."""
    held = text.split("\r\n")
    for _ in range(source.randint(1, 6)):
        at, other = source.randrange(len(held)), source.randrange(len(held))
        act = source.randrange(5)
        if act == 0:
            held[at] = ""
        elif act == 1:
            held[at], held[other] = held[other], held[at]
        elif act == 2:
            held.insert(at, held[other])
        elif act == 3:
            held[at] = held[at][: source.randint(0, len(held[at]))] + source.choice(
                ("", " ", ";", "=", ":", "²", "-1", "9" * 40)
            )
        else:
            words = held[at].split(" ")
            words[source.randrange(len(words))] = source.choice(
                ("0", "65536", "-", "99999999999", "a" * 300, "1/2", "")
            )
            held[at] = " ".join(words)
    return "\r\n".join(held)
