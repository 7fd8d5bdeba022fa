"""What a peer might send who knows RFC 6455, and keeps to it less and less."""

import random
import struct

from rfc6455.cases import CLOSE, CONT, PING, PONG, TEXT, masked


def stream(rng: random.Random, frames: int) -> bytes:
    """So many frames, then a close."""
    return b"".join(fuzzed(rng) for _ in range(frames)) + masked(CLOSE, struct.pack("!H", 1000))


def fuzzed(rng: random.Random) -> bytes:
    """A frame, whole or hurt: any opcode but binary, any bits, a payload that is text, JSON, noise or a close code."""
    op = rng.choice([TEXT, TEXT, TEXT, CONT, CLOSE, PING, PING, PONG, *range(3, 8), *range(11, 16)])
    noise, code = rng.randbytes(rng.randrange(200)), struct.pack("!H", rng.randrange(990, 5010))
    payload = rng.choice([b"", b'{"t":"ping"}', b"text", b"text", noise, code])
    data = bytearray(masked(op, payload, final=rng.random() < 0.9, rsv=rng.choice([0] * 19 + [rng.randrange(8)])))
    if rng.random() < 0.05:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)
