"""The program that turns one keyframe into a small JPEG: the only place where a picture is decoded.

A decoder is a hundred thousand lines of C that read what a stranger's browser sent. So it runs in a process of its
own (`python -m media.decoder`) with nothing to steal and little to break: no environment, no files to write, bounded
memory and processor time, the lowest priority. What it dies of costs a thumbnail; see `media/thumbnails.py`.

Owns: nothing between two pictures. Invariant: one answer for each request, in order; it ends when its input does.
On both pipes a message is its length in four bytes, big endian, and msgpack.
"""

import contextlib
import os
import resource
import sys
from fractions import Fraction
from typing import BinaryIO, Final

import av
import msgspec
from av.codec.codec import UnknownCodecError
from msgspec import Struct

from media.core.depacketize import Unreadable, picture

MEMORY_BYTES: Final = 512 << 20
"""Of address space: 160 MB of it are the libraries alone; a keyframe of 3840 x 2160 adds 20."""
CPU_S: Final = 3600
"""Against a process that spins without a parent; a thumbnail costs about 10 ms."""
MAX_WIDTH: Final = 320
MAX_HEIGHT: Final = 640
MAX_BYTES: Final = 30 << 10
MAX_PIXELS: Final = 4096 * 4096
MAX_MESSAGE: Final = 8 << 20
TRIES: Final = ((1.0, 4), (1.0, 10), (1.0, 20), (1.0, 31), (0.5, 10), (0.25, 31))
"""Shares of the largest size, and JPEG quantizers of FFmpeg (31 is worst); the first of at most MAX_BYTES is taken."""
_NOBODY: Final = 65_534
_DECODERS: Final = {"VP8": ("vp8",), "VP9": ("vp9",), "H264": ("h264",), "AV1": ("libdav1d", "av1")}


class Request(Struct, frozen=True):
    """One keyframe: the codec's name in SDP, and its RTP payloads."""

    codec: str
    payloads: tuple[bytes, ...]


class Picture(Struct, frozen=True, kw_only=True):
    """The answer; no JPEG where there was no picture in it."""

    jpeg: bytes = b""
    width: int = 0
    """Of the picture as it was sent; the JPEG is smaller."""
    height: int = 0


_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)


def confine() -> None:
    """Take from this process what it does not need. The libraries are loaded already, by whoever runs us."""
    os.nice(19)
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 16,
    }
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (most, most))
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # a container may refuse, and then root is not what it was either
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)


def thumbnail(request: Request) -> Picture:
    """Decode, shrink, encode. Raises Unreadable, or whatever the libraries raise."""
    decoder = _decoder(request.codec)
    data = picture(request.codec, request.payloads)
    frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    if not frames:
        raise Unreadable("no picture in it")
    sent = frames[-1]
    tries = ((*_fitted(sent, share), quality) for share, quality in TRIES)
    made = (_jpeg(sent.reformat(width=w, height=h, format="yuvj420p"), quality) for w, h, quality in tries)
    return Picture(
        jpeg=next((jpeg for jpeg in made if len(jpeg) <= MAX_BYTES), b""), width=sent.width, height=sent.height
    )


def _fitted(sent: av.VideoFrame, share: float) -> tuple[int, int]:
    """Even width and height within `share` of the largest size, never larger than the picture."""
    scale = min(1.0, MAX_WIDTH * share / sent.width, MAX_HEIGHT * share / sent.height)
    return max(2, round(sent.width * scale / 2) * 2), max(2, round(sent.height * scale / 2) * 2)


def _decoder(codec: str) -> av.VideoCodecContext:
    """A fresh one: nothing of one show is left for the next."""
    for name in _DECODERS.get(codec, ()):
        with contextlib.suppress(UnknownCodecError):
            context = av.VideoCodecContext.create(name, "r")
            assert isinstance(context, av.VideoCodecContext), "these names are of video"
            context.thread_count = 1
            context.options = {"max_pixels": str(MAX_PIXELS)}
            return context
    raise Unreadable(f"no decoder for {codec}")


def _jpeg(small: av.VideoFrame, quality: int) -> bytes:
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = small.width, small.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": str(quality), "qmax": str(quality)}
    return b"".join(bytes(packet) for packet in encoder.encode(small))


def answer(body: bytes) -> Picture:
    """What becomes of one request; anything wrong with it is no picture."""
    try:
        return thumbnail(_requests.decode(body))
    except Exception:  # noqa: BLE001 - hostile input raises what it likes; the parent hears "no picture"
        return Picture()


def read_message(source: BinaryIO) -> bytes | None:
    """The next message; None at the end of the input."""
    head = source.read(4)
    size = int.from_bytes(head, "big")
    if len(head) < 4 or size > MAX_MESSAGE:
        return None
    body = source.read(size)
    return body if len(body) == size else None


def frame(message: Struct) -> bytes:
    """A message as it goes through a pipe."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


def main() -> None:
    """Say that we are ready, with an empty picture; then answer until the input ends."""
    confine()
    # What a library prints must not get between the answers.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    out.write(frame(Picture()))
    out.flush()
    while (body := read_message(sys.stdin.buffer)) is not None:
        out.write(frame(answer(body)))
        out.flush()


if __name__ == "__main__":
    main()
