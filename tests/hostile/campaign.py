"""A campaign of mutated input against a relay in this process, while a show plays beside it.

What is mutated is recorded from live sessions first. Strangers send it, and peers that have proven themselves and then
turn hostile, in the clear as if it had been decrypted, so that what stands behind the keys is reached too.
"""

import asyncio
import gc
import importlib.util
import random
import resource
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from hostile import mutate

from media.clock import now_ms
from media.config import RelayConfig
from media.core import sdp
from media.core.demux import Kind, classify
from media.dtls import Certificate
from media.dtls_client import DtlsClient, HandshakeError
from media.intake import Intake
from media.relay import Relay
from schema.errors import ShowfloorError
from schema.ids import AccountId, ShowId

DEADLINE_S = 30
STRANGER = ("127.0.0.9", 9)
TURN = 100
"""Inputs between two turns of the event loop."""
ALIVE = 1000
"""Inputs between two looks at the show beside them: well under the silence after which a host counts as gone."""
RIDS = (
    "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
    "a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\n"
)

_spec = importlib.util.spec_from_file_location(
    "light_peer_of_the_campaign", Path(__file__).parents[2] / "benchmarks" / "light_peer.py"
)
light = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(light)


@dataclass
class Result:
    """What a campaign saw."""

    seed: int
    inputs: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    grown_bytes: int = 0
    shown: int = 0
    """Packets that the show beside it delivered, none missing."""
    seconds: float = 0.0


class Open:
    """In the place of a receiver: takes the packet as if it had been decrypted."""

    surplus = unheard = 0

    def unprotect(self, packet: bytes, header_size: int) -> bytes | None:
        return packet[header_size:]

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        return packet


class NoOne:
    """Hears that a host comes and goes."""

    def host_changed(self, show_id: ShowId, present: bool) -> None: ...


class Campaign:
    """`async with Relay` around it; `await run(count)`."""

    def __init__(self, relay: Relay, seed: int) -> None:
        self.relay, self.port = relay, relay._port
        self.source = random.Random(seed)
        self.result = Result(seed)
        self.certificate = Certificate.generateCertificate()
        self.peers: list[Any] = []
        self.samples: dict[Kind, list[bytes]] = {kind: [] for kind in Kind}
        self.flights: list[bytes] = []
        self.offers: list[str] = []
        self.heard = 0
        self.accounts = 0

    async def join(self, peer: Any, show: str, *, publishes: bool, extra: str = "", connect: bool = True) -> Any:
        """A session of the relay's, with its far end connected."""
        direction = "sendonly" if publishes else "recvonly"
        offer = peer.offer("opus", "VP8", direction=direction) + extra
        self.offers.append(offer)
        self.peers.append(peer)
        self.accounts += 1
        act = self.relay.publish if publishes else self.relay.subscribe
        session = act(ShowId(show), AccountId(f"acc_{self.accounts}"), sdp.parse_offer(offer.encode()))
        async with asyncio.timeout(DEADLINE_S):
            await (peer.connect if connect else peer.check)(session.answer)
            while connect and not session.peer.is_up:  # the last flight may still be on its way
                await asyncio.sleep(0.002)
        return session

    async def stage(self) -> None:
        """The show that must go on, and the sessions that turn hostile."""
        self._record()
        self.host, self.viewer = (
            light.LightHost(self.certificate),
            light.LightPeer(self.certificate, on_media=self._hear),
        )
        await self.join(self.host, "demo", publishes=True)
        await self.join(self.viewer, "demo", publishes=False)
        await self._dark()
        await self._begin()
        await self.alive()
        self.port.datagram = type(self.port).datagram.__get__(self.port)
        del self.port.intake.take

    async def _dark(self) -> None:
        self.dark_host, self.dark_viewer = light.LightHost(self.certificate), light.LightPeer(self.certificate)
        self.turned = [
            await self.join(self.dark_host, "dark", publishes=True, extra=RIDS),
            await self.join(self.dark_viewer, "dark", publishes=False),
        ]
        for session in self.turned:
            session.peer.receiver = Open()
        await self._handshake()

    async def _handshake(self) -> None:
        """A peer that has proven its address and never shakes hands: what comes goes to OpenSSL."""
        self.shaking = light.LightPeer(self.certificate)
        self.shaking_session = await self.join(self.shaking, "dark", publishes=False, connect=False)

    def _record(self) -> None:
        """Everything that comes in, by kind; and RTP and RTCP as they were before they were sealed."""
        take = self.port.datagram

        def noted(datagram: bytes, address: Any) -> None:
            self.samples[classify(datagram)].append(datagram)
            take(datagram, address)

        self.port.datagram = noted
        self.port.intake.take = Intake.take.__get__(self.port.intake)  # its native twin would hand on no sealed media

    def _hear(self, data: bytes) -> None:
        self.heard += classify(data) is Kind.RTP

    async def _begin(self) -> None:
        """On air, both lines begun, and nothing on its way any more."""
        before = -1
        while self.heard < 12 or self.heard != before:
            before = self.heard
            if self.heard < 12:
                self.host.show([900, 300], keyframe=True)
                self.host.say()
            await asyncio.sleep(0.3)

    async def alive(self) -> None:
        """The show beside it: what the host sends arrives, all of it."""
        wanted = self.heard + 4
        self.host.show([900, 900, 300], keyframe=True)
        self.host.say()
        try:
            async with asyncio.timeout(DEADLINE_S):
                while self.heard < wanted:
                    await asyncio.sleep(0.002)
        except TimeoutError:
            state = [(one.is_publisher, one.peer.is_up, one.peer.address) for one in self.relay._sessions.values()]
            raise AssertionError(f"the show stopped {wanted - self.heard} short after {self.result}: {state}") from None
        assert self.heard == wanted, "more than was sent"
        self.result.shown += 4

    def prepare(self) -> None:
        """Samples in the clear, and the flights of a server."""
        rtp = [bytes((0x80, 96 | marker << 7)) + self.source.randbytes(10) + b"\x10\0" + bytes(60) for marker in (0, 1)]
        ours = self.dark_host.audio_ssrc, self.dark_host.video_ssrc
        rtp += [packet[:8] + ssrc.to_bytes(4, "big") + packet[12:] for packet in rtp for ssrc in ours]
        self.clear = {Kind.RTP: rtp, Kind.RTCP: list(self.host.compounds) or [b"\x81\xc9\0\7" + bytes(28)]}
        lines = [line.ssrc for line in self.turned[1].member.lines if line]
        for ssrc in (*ours, *lines, 1):
            name = ssrc.to_bytes(4, "big")
            self.clear[Kind.RTCP] += [
                b"\x80\xc8\0\6" + name + self.source.randbytes(20),
                b"\x81\xc9\0\7" + bytes(4) + name + bytes(20),
                b"\x81\xcd\0\4" + bytes(4) + name + b"\0\1\xff\xff\0\x09\x0f\xf0",
                b"\x81\xce\0\2" + bytes(4) + name,
                b"\x8f\xce\0\5" + bytes(8) + b"REMB\1\x0b\xff\xff" + name,
                b"\x81\xca\0\3" + name + b"\1\4show\0\0",
                b"\x81\xcb\0\1" + name,
            ]
        self.flights = [flight for flight in self.samples[Kind.DTLS] if flight[0] == 22]

    def one(self) -> None:
        """One mutated input; what it raises is a fault."""
        act = self.source.choice((self.stun, self.rtp, self.rtcp, self.dtls, self.dtls_client, self.offer))
        self.result.inputs[act.__name__] += 1
        try:
            act()
        except Exception as error:
            self.result.faults.append(f"{act.__name__}: {error!r}")

    def _from(self) -> Any:
        """A stranger, or a forged source: the address of a peer of the show."""
        return self.source.choice((STRANGER, self.viewer.address, self.host.address))

    def stun(self) -> None:
        data = self.source.choice(self.samples[Kind.STUN])
        if self.source.random() < 0.5:
            self.port.datagram(mutate.mutated(self.source, data), self._from())
            return
        peer = self.source.choice((self.dark_host, self.shaking))
        signed = mutate.stun(self.source, peer.binding_request(), peer.remote_password.encode())
        self.port.datagram(signed, (f"127.0.1.{self.source.randrange(250)}", self.source.randrange(1, 9)))

    def rtp(self) -> None:
        if self.source.random() < 0.3:
            self.port.datagram(mutate.mutated(self.source, self.source.choice(self.samples[Kind.RTP])), self._from())
            return
        packet = self.source.choice(self.clear[Kind.RTP])
        if self.source.random() < 0.6:
            packet = mutate.with_extensions(self.source, packet)
        if self.source.random() < 0.7:
            packet = mutate.mutated(self.source, packet)
        self.port.datagram(packet, self.dark_host.address)

    def rtcp(self) -> None:
        if self.source.random() < 0.3:
            data = self.source.choice(self.samples[Kind.RTCP] or self.samples[Kind.RTP])
            self.port.datagram(mutate.mutated(self.source, data), self._from())
            return
        several = (self.source.choice(self.clear[Kind.RTCP]) for _ in range(self.source.randint(1, 3)))
        to = self.source.choice((self.dark_host, self.dark_viewer)).address
        self.port.datagram(mutate.mutated(self.source, b"".join(several)), to)

    def dtls(self) -> None:
        data = mutate.mutated(self.source, self.source.choice(self.samples[Kind.DTLS]))
        self.port.datagram(data, self.source.choice((self._from(), self.shaking.address, self.dark_viewer.address)))

    def dtls_client(self) -> None:
        """What a server says to our client: here the flights of a client will do, and those of a server's kinds."""
        key = "sha-256", self.certificate.sha256
        client = DtlsClient(self.certificate.der, self.certificate.key, key, [7, 1])
        client.start()
        data = bytearray(mutate.mutated(self.source, self.source.choice(self.flights)))
        if len(data) > 13 and self.source.random() < 0.8:
            data[13] = self.source.choice((2, 3, 11, 12, 13, 14, 20))
        try:
            client.receive(bytes(data))
        except HandshakeError:
            return

    def offer(self) -> None:
        text = mutate.lines(self.source, self.source.choice(self.offers))
        body = text.encode()
        if self.source.random() < 0.3:
            body = mutate.mutated(self.source, body)
        try:
            sdp.parse_fragment(body)
            offer = sdp.parse_offer(body)
            local = self.relay._local(self.turned[0].peer)
            sdp.answer(offer, sdp.choose_from_publisher(offer), local, ssrcs=None)
            sdp.answer(offer, sdp.choose_for_subscriber(offer), local, ssrcs=dict.fromkeys(sdp_kinds(), 7))
        except ShowfloorError:
            return

    async def over_udp(self, count: int) -> None:
        """The same from a socket, through the kernel and the intake: a stranger's, and where a host is heard from."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for number in range(count):
                kind = self.source.choice((Kind.STUN, Kind.RTP, Kind.DTLS))
                data = mutate.mutated(self.source, self.source.choice(self.samples[kind]))
                if kind is Kind.RTP and number % 2:
                    self.host.send_raw(data)
                else:
                    stranger.sendto(data, ("127.0.0.1", self.port.number))
                self.result.inputs["udp"] += 1
                if number % 50 == 0:
                    await asyncio.sleep(0)

    async def run(self, count: int) -> Result:
        """All of it. Raises TimeoutError if the show beside it stops."""
        began, problems = time.monotonic(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(str(context)))
        with structlog.testing.capture_logs() as logs:
            await self.stage()
            self.prepare()
            before = 0
            for number in range(count):
                if number == count // 4:
                    before = rss_bytes()
                self.one()
                if number % TURN == 0:
                    await asyncio.sleep(0)
                if number % ALIVE == 0:
                    await self._go_on()
            await self.over_udp(count // 20)
            await self._go_on()
            self.result.grown_bytes = rss_bytes() - before
            for peer in self.peers:
                await peer.close()
        self.result.logged = [entry["event"] for entry in logs if entry["log_level"] in ("error", "critical")]
        self.result.faults += [f"port: {self.port.counts['fault']}"] * bool(self.port.counts["fault"]) + problems
        self.result.seconds = time.monotonic() - began
        return self.result

    async def _go_on(self) -> None:
        """The show is alive; hostile sessions that were ended come again."""
        await self.alive()
        self.relay.shows[ShowId("demo")].quiet_since_ms = now_ms()
        if any(session.peer.is_closed for session in self.turned):
            for session in self.turned:
                self.relay.end(session)
            self.relay.end(self.shaking_session)
            await self._dark()
        elif self.shaking_session.peer.is_closed:
            await self._handshake()
        used = (self.host, self.viewer, self.dark_host, self.dark_viewer, self.shaking)
        for peer in [one for one in self.peers if one not in used]:
            self.peers.remove(peer)
            await peer.close(farewell=False)
        del self.offers[20:]


def sdp_kinds() -> Any:
    from media.core.formats import Kind as MediaKind  # noqa: PLC0415 - another Kind than the demultiplexer's

    return MediaKind


def rss_bytes() -> int:
    """What the process holds, after a collection."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def campaign(count: int, seed: int) -> Result:
    """A relay, a show, and `count` mutated inputs."""
    async with Relay(RelayConfig(bind_host="127.0.0.1"), NoOne()) as relay:
        return await Campaign(relay, seed).run(count)
