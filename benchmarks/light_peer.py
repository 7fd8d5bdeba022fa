"""A WebRTC peer that costs next to nothing: one socket, one STUN check, one DTLS handshake, then counting.

For load (a hundred of them fit a core) and for tests that must see each packet. Its DTLS is OpenSSL's, in the
client's role; its ICE is the one nominating check that a lite agent needs.
"""

import asyncio
import binascii
import contextlib
import hmac
import re
import secrets
import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol

from media.core.demux import Kind, classify
from media.core.framing import Deframer, framed
from media.core.sdp import Fingerprint
from media.core.stun import COOKIE, parse_check, success
from media.dtls import Association, Callee, Certificate, Receiver, Sender
from media.dtls_client import HandshakeError

CHECK_EVERY_S = 4
SOL_UDP, UDP_GRO = 17, 104
_BUFFER = bytearray(1 << 16)
"""Of all: one reads at a time, and keeps nothing of it."""
_VIEW = memoryview(_BUFFER)
_FORMATS = {
    "VP8": ("video", 96, "VP8/90000", ""),
    "H264": ("video", 97, "H264/90000", "packetization-mode=1;profile-level-id=42e01f"),
    "opus": ("audio", 111, "opus/48000/2", ""),
}


class Client(Callee):
    """The client's side of OpenSSL."""

    is_client = True


class Transport(Protocol):
    """What carries an association; ConnectionError from either means that the peer has gone."""

    async def _recv(self) -> bytes: ...

    async def _send(self, data: bytes) -> None: ...


class Carried:
    """An association on a transport."""

    def __init__(self, association: Association, transport: Transport) -> None:
        self.association, self.transport = association, transport

    @property
    def sender(self) -> Sender | None:
        return self.association.sender

    @property
    def receiver(self) -> Receiver | None:
        return self.association.receiver

    async def shake_hands(self) -> bool:
        """True once the keys are there; False if this try failed. The deadline is the caller's."""
        try:
            await self._say(self.association.begin())
            while self.sender is None:
                await self._go_on()
        except (HandshakeError, ConnectionError):
            return False
        return True

    async def _go_on(self) -> None:
        try:
            async with asyncio.timeout(0.05):
                datagram = await self.transport._recv()
        except TimeoutError:
            await self._say(self.association.remind(int(time.monotonic() * 1000)))
        else:
            await self._say(self.association.take(datagram))

    async def until_closed(self) -> None:
        """Return when the other side has said farewell."""
        with contextlib.suppress(ConnectionError, HandshakeError):
            while not self.association.is_closed:
                await self._say(self.association.take(await self.transport._recv()))

    async def farewell(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._say(self.association.farewell())

    async def _say(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            await self.transport._send(datagram)


class LightPeer:
    """One session's far end. `await offer(...)`, POST it, `await connect(answer)`."""

    def __init__(self, certificate: Certificate, *, on_media: Callable[[bytes], None] | None = None) -> None:
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)
        self.certificate = certificate
        self.packets = self.octets = 0
        self.first_packet_at: float | None = None
        self.first_packet = asyncio.Event()
        self.on_media = on_media
        self.dtls: Carried | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003 - the library's signature
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        # What one message held is read as one: on another machine it would not be the server that takes it apart.
        with contextlib.suppress(OSError):  # a kernel that cannot gives each packet by itself
            self._socket.setsockopt(SOL_UDP, UDP_GRO, 1)
        self._socket.bind(("127.0.0.1", 0))
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._early: list[bytes] = []
        self._answered = asyncio.Event()
        self._pulse: asyncio.Task[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self.remote = ("127.0.0.1", 0)
        self._loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def address(self) -> tuple[str, int]:
        return self._socket.getsockname()

    @property
    def is_up(self) -> bool:
        """True between the handshake and the other side's farewell."""
        return self._pump is not None and not self._pump.done()

    def offer(self, *codecs: str, direction: str = "recvonly") -> str:
        """An offer of these codecs, one section a kind."""
        kinds = {kind: [name for name in codecs if _FORMATS[name][0] == kind] for kind in ("audio", "video")}
        kinds = {kind: names for kind, names in kinds.items() if names}
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE " + " ".join(kinds)]
        for kind, names in kinds.items():
            types = " ".join(str(_FORMATS[name][1]) for name in names)
            lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF {types}", "c=IN IP4 0.0.0.0", f"a=mid:{kind}", f"a={direction}"]
            lines += ["a=rtcp-mux", "a=setup:actpass", f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.password}"]
            lines += [f"a=fingerprint:sha-256 {self.certificate.sha256}"]
            for name in names:
                _, number, rtpmap, fmtp = _FORMATS[name]
                lines += [f"a=rtpmap:{number} {rtpmap}"] + ([f"a=fmtp:{number} {fmtp}"] if fmtp else [])
        return "\r\n".join(lines) + "\r\n"

    async def check(self, answer: str) -> None:
        """ICE: one nominating check, repeated until it is answered, then for consent."""

        def field(pattern: str) -> str:
            return re.search(pattern, answer)[1]

        self.remote_ufrag, self.remote_password = field(r"a=ice-ufrag:(\S+)"), field(r"a=ice-pwd:(\S+)")
        self.fingerprint = Fingerprint("sha-256", field(r"a=fingerprint:sha-256 (\S+)"))
        host, port = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) ", answer).groups()
        self.remote = (host, int(port))
        self._socket.connect(self.remote)  # as a browser does, hear nothing that comes from another address
        self.ssrcs = {int(number) for number in re.findall(r"a=ssrc:(\d+) cname", answer)}
        self._pulse = asyncio.ensure_future(self._pulses())
        await self._answered.wait()

    async def shake_hands(self) -> bool:
        """DTLS as a client."""
        self.dtls = Carried(Client(self.certificate, self.fingerprint), self)
        is_up = await self.dtls.shake_hands()
        self._pump = asyncio.ensure_future(self.dtls.until_closed())
        early, self._early = self._early, []
        for data in early:
            self._deliver(data)
        return is_up

    def _deliver(self, data: bytes) -> None:
        """What comes right behind the last flight waits until that has been read, as it does in a browser."""
        if self.on_media and (self.dtls is None or self.dtls.receiver is None):
            self._early.append(data)
        elif self.on_media:
            self.on_media(data)

    async def connect(self, answer: str) -> None:
        """ICE and DTLS."""
        await self.check(answer)
        if not await self.shake_hands():
            raise ConnectionError("DTLS failed")

    async def _pulses(self) -> None:
        while True:
            self.send_raw(self.binding_request())
            try:
                async with asyncio.timeout(CHECK_EVERY_S if self._answered.is_set() else 0.2):
                    await asyncio.Event().wait()
            except TimeoutError:
                pass

    def binding_request(self) -> bytes:
        user = f"{self.remote_ufrag}:{self.ufrag}".encode()
        body = struct.pack("!HH", 6, len(user)) + user + bytes(-len(user) % 4)
        body += struct.pack("!HHI", 0x24, 4, 1) + struct.pack("!HHQ", 0x802A, 8, 7) + struct.pack("!HH", 0x25, 0)
        head = secrets.token_bytes(12)
        signed = struct.pack("!HHI", 1, len(body) + 24, COOKIE) + head + body
        body += struct.pack("!HH", 8, 20) + hmac.digest(self.remote_password.encode(), signed, "sha1")
        whole = struct.pack("!HHI", 1, len(body) + 8, COOKIE) + head + body
        return whole + struct.pack("!HHI", 0x8028, 4, binascii.crc32(whole) ^ 0x5354554E)

    def send_raw(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(data, self.remote)

    def send_rtcp(self, compound: bytes) -> None:
        self.send_raw(self.dtls.sender.protect_rtcp(compound))

    def send_rtp(self, header: bytes, payload: bytes, index: int) -> None:
        """`index`: cycles << 16 | sequence."""
        self.send_raw(self.dtls.sender.seal(int.from_bytes(header[8:12], "big") << 48 | index, header, payload))

    def _readable(self) -> None:
        for _ in range(8):
            try:
                size, control, _, _ = self._socket.recvmsg_into([_BUFFER], 32)
            except OSError:
                return
            step = next((int.from_bytes(data[:2], "little") for _, kind, data in control if kind == UDP_GRO), size)
            for at in range(0, size, max(1, step)):
                self._take(bytes(_VIEW[at : min(at + step, size)]))

    def _take(self, data: bytes) -> None:
        if data[0] > 127:
            self.packets += 1
            self.octets += len(data)
            if self.first_packet_at is None and classify(data) is Kind.RTP:
                self.first_packet_at = time.monotonic()
                self.first_packet.set()
            self._deliver(data)
        elif data[0] > 19:
            self._queue.put_nowait(data)
        else:
            self.stun(data)

    def stun(self, data: bytes) -> None:
        """The answer to our check; or a check: of a relay before it follows us, of an agent that is not lite."""
        asked = parse_check(data)
        if asked is None:
            self._answered.set()
        else:
            self.send_raw(success(asked, self.remote, self.password.encode()))

    async def _recv(self) -> bytes:
        data = await self._queue.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self.send_raw(data)

    async def close(self, *, farewell: bool = True) -> None:
        """Without a farewell it is a tab that was killed."""
        for task in (self._pulse, self._pump):
            if task:
                task.cancel()
        if self.dtls and farewell:
            await self.dtls.farewell()
        self._queue.put_nowait(None)
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()


class OverTcp:
    """Mixed into a peer: it comes by TCP, as from a network that lets no UDP through."""

    def _readable(self) -> None:
        """The UDP socket stays unused."""

    async def check(self, answer: str) -> None:
        host, port = re.search(r"a=candidate:\S+ 1 tcp \d+ (\S+) (\d+) typ host tcptype passive", answer).groups()
        self.deframer = Deframer()
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        self.reading = asyncio.ensure_future(self._reads())
        await super().check(answer)

    async def _reads(self) -> None:
        while data := await self.reader.read(2048):
            self.deframer.room[: len(data)] = data
            for packet in self.deframer.took(len(data)):
                self._take(packet)

    @property
    def address(self) -> tuple[str, int]:
        return self.writer.get_extra_info("sockname")

    def send_raw(self, data: bytes) -> None:
        self.writer.write(framed(data))

    async def close(self, *, farewell: bool = True) -> None:
        await super().close(farewell=farewell)
        self.reading.cancel()
        self.writer.close()


class LightTcpPeer(OverTcp, LightPeer):
    """A viewer by TCP."""


class LightHost(LightPeer):
    """A publisher whose pictures are bytes: a keyframe now and then, packets of a browser's sizes."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(certificate, on_media=self._feedback)
        self.audio_ssrc, self.video_ssrc = secrets.randbits(32), secrets.randbits(32)
        self.index = {111: secrets.randbelow(1 << 15), 96: secrets.randbelow(1 << 15), 97: 0}
        self.timestamp = {111: secrets.randbits(32), 96: secrets.randbits(32), 97: 0}
        self.compounds: list[bytes] = []

    def _feedback(self, data: bytes) -> None:
        if classify(data) is Kind.RTCP and self.dtls and self.dtls.receiver:
            plain = self.dtls.receiver.unprotect_rtcp(data)
            if plain:
                self.compounds.append(plain)
                del self.compounds[:-200]

    def say(self, size: int = 80) -> None:
        """20 ms of sound."""
        self.timestamp[111] += 960
        self._packet(111, self.audio_ssrc, bytes(size), marker=False)

    def show(self, sizes: list[int], *, keyframe: bool = False, skip: int = -1, ticks: int = 3000) -> None:
        """A VP8 picture in packets of these sizes; packet number `skip` gets lost on the way."""
        self.timestamp[96] += ticks
        for number, size in enumerate(sizes):
            begins = number == 0
            payload = bytes((0x10 if begins else 0, 0 if keyframe else 1)) + bytes(size - 2)
            self._packet(96, self.video_ssrc, payload, marker=number == len(sizes) - 1, lost=number == skip)

    def _packet(self, kind: int, ssrc: int, payload: bytes, *, marker: bool, lost: bool = False) -> None:
        index = self.index[kind]
        self.index[kind] += 1
        stamp = self.timestamp[kind] & 0xFFFFFFFF
        if not lost:
            header = struct.pack("!BBHII", 0x80, kind | marker << 7, index & 0xFFFF, stamp, ssrc)
            self.send_rtp(header, payload, index)


class LightTcpHost(OverTcp, LightHost):
    """A publisher by TCP."""
