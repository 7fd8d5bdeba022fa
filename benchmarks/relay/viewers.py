"""Hundreds of viewers on a fraction of a core: real ICE, DTLS and SRTP, then counting by sequence number.

Owns: the viewers' sockets, one sweep over all of them every few milliseconds.
Invariant: every packet that comes is counted once, by its clear header; only scouts decrypt, and only some of it.

A socket takes what the kernel held together (UDP_GRO), so a frame of an SFU that sends with GSO is one read. Each
viewer reports once a second (RR, REMB), asks for what it misses (NACK), and answers a full agent's checks.
"""

import asyncio
import re
import secrets
import select
import socket
import struct
import time
from collections.abc import Sequence
from random import Random

from light_peer import SOL_UDP, UDP_GRO, LightPeer

from media.core import rtcp
from media.core.rtp import Header, parse_header
from media.dtls import Certificate
from relay import PICTURES
from relay.stamps import read

AUDIO, VIDEO, RTX = 111, 96, 97
SWEEP_S = 0.004
SCOUT_EVERY = 8
SAMPLE = 8
"""A scout reads the stamp in one of so many reads."""
_NACK_EVERY_S, _NACK_TRIES = 0.1, 8
_BELIEVABLE_NS = 60_000_000_000
STILL_NS = max(3 * 1_000_000_000 // PICTURES, 1_000_000_000 // PICTURES + 150_000_000)
"""More than this between two pictures is a freeze, as W3C's webrtc-stats counts them."""
_TIMESTAMPNS = 35
_RCVBUFFORCE = 33
_BUFFER = bytearray(65536)
_VIEW = memoryview(_BUFFER)
_FEEDBACK = "".join(f"a=rtcp-fb:{VIDEO} {kind}\r\n" for kind in ("goog-remb", "nack", "nack pli"))


class Line:
    """What came of one track."""

    __slots__ = ("_first", "_told", "came", "highest", "missing", "resent", "ssrc", "twice")

    def __init__(self, ssrc: int, first: int) -> None:
        self.ssrc, self.highest, self.came = ssrc, first, 1
        self.resent = self.twice = 0
        self.missing: dict[int, list[float]] = {}
        self._first, self._told = first, (0, 0)

    def odd(self, number: int) -> bool:
        """Not the next one: whether there is a gap to ask for."""
        step = (number - self.highest) & 0xFFFF
        if step < 0x8000 and step:
            self.missing |= {self.highest + n: [0, 0] for n in range(1, step)}
            self.highest += step
            self.came += 1
            return step > 1
        self.repaired(self.highest + (step - 0x10000 if step else 0))
        return False

    def number(self, sequence: int) -> int:
        """The one of these 16 bits that is nearest to the highest so far."""
        step = (sequence - self.highest) & 0xFFFF
        return self.highest + (step if step < 0x8000 else step - 0x10000)

    def repaired(self, number: int) -> None:
        if self.missing.pop(number, None) is None:
            self.twice += 1
        else:
            self.came += 1
            self.resent += 1

    def never(self, since: int, until: int) -> int:
        """How many of the numbers after `since`, and up to `until`, have not come to this day."""
        return sum(since < number <= until for number in self.missing)

    def lost(self) -> tuple[int, int]:
        """The share since the last call, of 256, and the count of all: before any repair, as a receiver report says."""
        expected = self.highest - self._first + 1
        lost = max(0, expected - (self.came - self.resent))
        share = 256 * (lost - self._told[1]) // max(1, expected - self._told[0])
        self._told = expected, lost
        return max(0, min(255, share)), lost


class Screen:
    """How long a viewer's picture has stood still, for a player that holds nothing back."""

    def __init__(self) -> None:
        self._frozen_ns = 0
        self._at_ns = 0

    def shows(self, at_ns: int) -> None:
        """A picture is whole, and so are all that it needs."""
        self._stood(at_ns)
        self._at_ns = at_ns

    def stood_still(self, at_ns: int) -> int:
        """Since the last call, in ns, with what lasts still; who has not seen any picture has stood still."""
        self._at_ns = at_ns if self._stood(at_ns) or not self._at_ns else self._at_ns
        frozen, self._frozen_ns = self._frozen_ns, 0
        return frozen

    def _stood(self, at_ns: int) -> bool:
        gap = at_ns - self._at_ns if self._at_ns else 0
        self._frozen_ns += gap if gap > STILL_NS else 0
        return gap > STILL_NS


class Viewer(LightPeer):
    """One of them."""

    def __init__(self, certificate: Certificate, *, is_scout: bool, round_trip_s: float = 0.0) -> None:
        super().__init__(certificate, on_media=self._before_the_sweep)
        self.is_scout = is_scout
        self._ask_again_s = _NACK_EVERY_S + round_trip_s
        self.ssrc = secrets.randbits(31)
        self.lines: dict[int, Line] = {}
        """By payload type; what is resent belongs to the track's own."""
        self.posted_ns = self.first_ns = self.decodable_ns = 0
        self.keyframe: tuple[int, int, int | None] | None = None
        """Timestamp, first and last sequence number."""
        self.pieces: set[int] = set()
        self.reads = 0
        self.delays_ns: list[int] = []
        self.screen = Screen()
        self._has_ended = False
        """A picture has, since the last that was shown."""
        self._needed = 0
        """The number from which on a picture that is whole needs nothing earlier: that of a keyframe."""

    def offer(self, *codecs: str, direction: str = "recvonly") -> str:
        """With retransmission; active, for agents that would rather be DTLS clients."""
        plain = super().offer(*codecs, direction=direction).replace("actpass", "active")
        plain = plain.replace(f"RTP/SAVPF {VIDEO}", f"RTP/SAVPF {VIDEO} {RTX}")
        return plain + f"{_FEEDBACK}a=rtpmap:{RTX} rtx/90000\r\na=fmtp:{RTX} apt={VIDEO}\r\n"

    def settle(self) -> None:
        """From the handshake's reader to the sweep."""
        self._loop.remove_reader(self._socket.fileno())
        self._pulse.cancel()
        self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 2 << 20)
        if self.is_scout:
            self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)

    def _before_the_sweep(self, data: bytes) -> None:
        """What comes right behind the handshake counts too: a catch-up begins with the keyframe."""
        _BUFFER[: len(data)] = data
        if self._count(len(data), len(data)) and self.is_scout:
            self._scout(len(data), len(data), time.time_ns())

    def read(self) -> int:
        """One read; how many RTP packets it held."""
        try:
            size, control, _, _ = self._socket.recvmsg_into([_BUFFER], 96)
        except OSError:
            return 0
        step, at_ns = size, 0
        for level, kind, data in control:
            if level == SOL_UDP and kind == UDP_GRO:
                step = int.from_bytes(data[:2], "little")
            elif kind == _TIMESTAMPNS:
                seconds, rest = struct.unpack("=qq", data)
                at_ns = seconds * 1_000_000_000 + rest
        count = self._count(size, step)
        if self.is_scout and count:
            self._scout(size, step, at_ns)
        return count

    def _count(self, size: int, step: int) -> int:
        # The innermost loop of the load.
        buffer, lines, count = _BUFFER, self.lines, 0
        for at in range(0, size, step):
            if buffer[at] < 128:
                self._other(bytes(_VIEW[at : at + step]))
                continue
            kind = buffer[at + 1]
            if 192 <= kind <= 223:
                continue
            count += 1
            line = lines.get(kind & 127)
            number = buffer[at + 2] << 8 | buffer[at + 3]
            if line is not None and line.highest + 1 & 0xFFFF == number:
                line.highest += 1
                line.came += 1
            elif kind & 127 == RTX:
                self._retransmission(bytes(_VIEW[at : min(at + step, size)]))
            elif line is None:
                self._begin(kind & 127, at, number)
            elif line.odd(number):
                self.ask(time.monotonic())
        return count

    def _begin(self, kind: int, at: int, number: int) -> None:
        self.lines[kind] = Line(int.from_bytes(_BUFFER[at + 8 : at + 12], "big"), number)
        self.first_ns = self.first_ns or time.time_ns()

    def _retransmission(self, data: bytes) -> None:
        header = parse_header(data)
        payload = self.dtls.receiver.unprotect(data, header.size) if header else None
        line = self.lines.get(VIDEO)
        if payload and line:
            line.repaired(line.number(int.from_bytes(payload[:2], "big")))

    def _other(self, data: bytes) -> None:
        if data[0] < 4:
            self.stun(data)

    def _scout(self, size: int, step: int, at_ns: int) -> None:
        self.reads += 1
        places, line = range(0, size, step), self.lines.get(VIDEO)
        sampled: Sequence[int] = places
        if self.decodable_ns:
            sampled = () if self.reads % SAMPLE else (places[self.reads // SAMPLE % len(places)],)
        # What never comes is needed until the next keyframe, which only its stamp tells.
        for at in places if line is not None and line.missing else sampled:
            if _BUFFER[at] > 127 and _BUFFER[at + 1] & 127 == VIDEO:
                self._open(bytes(_VIEW[at : min(at + step, size)]), at_ns, is_sample=at in sampled)
        if line is not None:
            self._look(places, line, at_ns)

    def _look(self, places: Sequence[int], line: Line, at_ns: int) -> None:
        """Whether the picture on the screen changes with what was read."""
        ends = (VIDEO | 128, RTX | 128)
        self._has_ended |= any(_BUFFER[at] > 127 and _BUFFER[at + 1] in ends for at in places)
        if self._has_ended and not any(number >= self._needed for number in line.missing):
            self._has_ended = False
            self.screen.shows(at_ns)

    def _open(self, data: bytes, at_ns: int, *, is_sample: bool) -> None:
        header = parse_header(data)
        payload = self.dtls.receiver.unprotect(data, header.size) if header else None
        if payload is None or header is None:
            return
        # An SFU that packs pictures anew (MediaMTX) leaves a stamp only where a picture begins.
        stamp = read(payload) if len(payload) >= 16 else None
        begins = bool(stamp and stamp.of and stamp.is_key and stamp.packet == 0)
        if begins:
            self._needed = max(self._needed, self.lines[VIDEO].number(header.sequence))
        if self.decodable_ns:
            if is_sample and stamp and 0 < at_ns - stamp.sent_ns < _BELIEVABLE_NS:
                self.delays_ns.append(at_ns - stamp.sent_ns)
        elif begins:
            self.keyframe = (header.timestamp, header.sequence, None)
            self.pieces = {header.sequence}
        elif self.keyframe and self.keyframe[0] == header.timestamp:
            self._piece(header, at_ns)

    def _piece(self, header: Header, at_ns: int) -> None:
        """Of the first keyframe that came from its beginning: note when it is whole."""
        timestamp, first, last = self.keyframe
        last = header.sequence if header.marker else last
        self.keyframe = timestamp, first, last
        self.pieces.add(header.sequence)
        if last is not None and len(self.pieces) == (last - first & 0xFFFF) + 1:
            self.decodable_ns = at_ns

    # What a viewer says

    def ask(self, now: float) -> None:
        """NACK what is missing, again 100 ms after an answer could have come, and at most eight times."""
        for line in self.lines.values():
            missing = line.missing.items()
            due = [n for n, (at, tries) in missing if now - at > self._ask_again_s and tries < _NACK_TRIES]
            for number in due:
                line.missing[number] = [now, line.missing[number][1] + 1]
            if due:
                # With a block, as browsers do: by an empty report Janus cannot tell whose NACK it is.
                report = rtcp.receiver_report(self.ssrc, [_block(line)])
                self.send_rtcp(report + rtcp.nack(self.ssrc, line.ssrc, sorted(due)[:200]))

    def report(self) -> None:
        """RR and REMB, as a browser sends them once a second."""
        lines = self.lines.values()
        blocks = [_block(line) for line in lines]
        if blocks:
            remb = rtcp.remb(self.ssrc, 5_000_000, [line.ssrc for line in lines])
            self.send_rtcp(rtcp.receiver_report(self.ssrc, blocks) + remb)


def _block(line: Line) -> rtcp.ReportBlock:
    return rtcp.ReportBlock(line.ssrc, *line.lost(), line.highest & 0xFFFFFFFF, 20, 0, 0)


class Load:
    """All of them."""

    def __init__(self) -> None:
        self.viewers: list[Viewer] = []
        self.packets = self.reads = 0
        self.busy_s = 0.0
        self._by_fd: dict[int, Viewer] = {}
        self._epoll = select.epoll()
        self._task: asyncio.Task[None] | None = None

    def add(self, viewer: Viewer) -> None:
        viewer.settle()
        self.viewers.append(viewer)
        self._by_fd[viewer._socket.fileno()] = viewer
        self._epoll.register(viewer._socket.fileno(), select.EPOLLIN)
        if self._task is None:
            self._task = asyncio.ensure_future(self._sweeps())

    async def _sweeps(self) -> None:
        turn, ticks = 0, int(1 / SWEEP_S)
        due = time.monotonic()
        while True:
            began = time.monotonic()
            self._sweep()
            # Everyone reports once a second and renews consent every second second, spread over the sweeps.
            for viewer in self.viewers[turn % ticks :: ticks]:
                viewer.report()
                viewer.ask(began)
                if turn // ticks % 2:
                    viewer.send_raw(viewer.binding_request())
            turn += 1
            now = time.monotonic()
            self.busy_s += now - began
            due = max(due + SWEEP_S, now)
            await asyncio.sleep(due - now)

    def _sweep(self) -> None:
        for _ in range(8):
            ready = self._epoll.poll(0, len(self._by_fd))
            for fd, _ in ready:
                self.packets += self._by_fd[fd].read()
            self.reads += len(ready)
            if len(ready) <= len(self._by_fd) // 8:  # the few can wait for the next sweep, if they are few
                return

    def tally(self) -> dict[str, int]:
        """What came and what never did, of all tracks so far."""
        lines = [line for viewer in self.viewers for line in viewer.lines.values()]
        return {
            "came": sum(line.came for line in lines),
            "missing": sum(len(line.missing) for line in lines),
            "resent": sum(line.resent for line in lines),
            "twice": sum(line.twice for line in lines),
            "packets": self.packets,
            "reads": self.reads,
        }

    def places(self) -> dict[Line, int]:
        """How far each track has come."""
        return {line: line.highest for viewer in self.viewers for line in viewer.lines.values()}

    def delays_ms(self) -> list[float]:
        """Of the scouts since the last call, sorted."""
        found = sorted(ns / 1e6 for viewer in self.viewers for ns in viewer.delays_ns)
        for viewer in self.viewers:
            viewer.delays_ns.clear()
        return found

    def frozen(self) -> float:
        """Seconds that the pictures of the scouts stood still since the last call, on average."""
        now_ns = time.time_ns()
        stood = [viewer.screen.stood_still(now_ns) for viewer in self.viewers if viewer.is_scout]
        return sum(stood) / 1e9 / max(1, len(stood))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for viewer in self.viewers:
            viewer._loop.remove_reader(viewer._socket.fileno())
            await viewer.dtls.farewell()
            viewer._socket.close()


def scouts(viewers: int, seed: int = 7) -> set[int]:
    """Which of them read stamps: an eighth, at least 5, at most 60."""
    return set(Random(seed).sample(range(viewers), max(min(viewers, 5), min(60, viewers // SCOUT_EVERY))))


def answer_to(offer: str, viewer: Viewer) -> str:
    """To an SFU that offers (Janus): receive what it names, as the DTLS client."""
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    sections = re.split(r"(?m)^m=", offer)[1:]
    mids = [re.search(r"a=mid:(\S+)", section)[1] for section in sections]
    lines += ["a=group:BUNDLE " + " ".join(mids)]
    for section, mid in zip(sections, mids, strict=True):
        kind, _, profile, *types = section.split("\r\n")[0].split()
        kept = [line for line in section.split("\r\n") if re.match(r"a=(rtpmap|fmtp|rtcp-fb):", line)]
        lines += [f"m={kind} 9 {profile} {' '.join(types)}", "c=IN IP4 127.0.0.1", f"a=mid:{mid}", "a=recvonly"]
        lines += ["a=rtcp-mux", "a=setup:active", f"a=ice-ufrag:{viewer.ufrag}", f"a=ice-pwd:{viewer.password}"]
        lines += [f"a=fingerprint:sha-256 {viewer.certificate.sha256}", *kept]
    return "\r\n".join(lines) + "\r\n"
