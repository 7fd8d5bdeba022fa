"""A host as a browser sends: 2 Mb/s of VP8-shaped packets 2 ms apart, and 50 sound packets a second.

A keyframe every 4 s; it ignores what asks for one, as OBS does. By WHIP, or as plain RTP to two ports.
"""

import asyncio
import re
import secrets
import select
import socket
import struct
import time
from collections.abc import Callable
from random import Random

import httpx2
from light_peer import LightHost

from media.core import rtcp
from media.core.reception import ntp
from media.dtls import Certificate
from relay import GOP, PICTURES, sizes_of
from relay.stamps import picture_packet, sound_packet

AUDIO, VIDEO = 111, 96
GAP_S, KEYFRAME_GAP_S = 0.002, 0.001
PULSE_S = 2.0
Send = Callable[[int, int, bytes, bool], None]
"""Payload type, timestamp, payload, marker."""


async def publish(whip: str) -> None:
    host = LightHost(Certificate.generateCertificate())
    async with httpx2.AsyncClient() as http:
        headers = {"Content-Type": "application/sdp", "Authorization": "Bearer host"}
        answer = await http.post(whip, content=_offer(host), headers=headers)
        answer.raise_for_status()
        await host.connect(answer.text)
    host._loop.remove_reader(host._socket.fileno())
    host._pulse.cancel()
    await asyncio.sleep(0.3)  # the first keyframe must find the other end ready
    print("on air", flush=True)
    _perform(_by_webrtc(host), lambda: _look_after(host))


def _offer(host: LightHost) -> str:
    """With what an SFU wants to know of a publisher: its SSRCs, and what feedback it takes."""
    offer = re.sub("actpass", "active", host.offer("opus", "VP8", direction="sendonly"))
    sections = offer.split("m=")
    for at, section in enumerate(sections):
        if section.startswith("audio"):
            sections[at] += f"a=msid:bench sound\r\na=ssrc:{host.audio_ssrc} cname:bench\r\n"
        elif section.startswith("video"):
            feedback = "".join(f"a=rtcp-fb:{VIDEO} {kind}\r\n" for kind in ("goog-remb", "nack", "nack pli"))
            sections[at] += f"{feedback}a=msid:bench picture\r\na=ssrc:{host.video_ssrc} cname:bench\r\n"
    return "m=".join(sections)


def _by_webrtc(host: LightHost) -> Send:
    ssrcs = {AUDIO: host.audio_ssrc, VIDEO: host.video_ssrc}

    def send(kind: int, timestamp: int, payload: bytes, marker: bool) -> None:  # noqa: FBT001 - as Send says
        host.timestamp[kind] = timestamp
        host._packet(kind, ssrcs[kind], payload, marker=marker)

    return send


def _look_after(host: LightHost) -> None:
    """Answer checks, renew consent, tell the time; feedback is read and forgotten."""
    while select.select([host._socket], [], [], 0)[0]:
        data = host._socket.recv(2048)
        if data[:1] < b"\x04":
            host.stun(data)
    if time.monotonic() - getattr(host, "pulsed_at", 0) > PULSE_S:
        host.pulsed_at = time.monotonic()
        host.send_raw(host.binding_request())
        for ssrc, kind in ((host.audio_ssrc, AUDIO), (host.video_ssrc, VIDEO)):
            now = rtcp.SenderReport(ssrc, ntp(time.time_ns() // 1_000_000), host.timestamp[kind], host.index[kind], 0)
            host.send_rtcp(rtcp.sender_report(now, "bench"))


def publish_plain(address: str, audio: int, video: int) -> None:
    """RTP in the clear to the ports of a mountpoint."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ports, ssrcs = {AUDIO: audio, VIDEO: video}, {kind: secrets.randbits(32) for kind in (AUDIO, VIDEO)}
    numbers = {kind: secrets.randbelow(1 << 14) for kind in (AUDIO, VIDEO)}

    def send(kind: int, timestamp: int, payload: bytes, marker: bool) -> None:  # noqa: FBT001 - as Send says
        stamp, number = timestamp & 0xFFFFFFFF, numbers[kind] & 0xFFFF
        header = struct.pack("!BBHII", 0x80, kind | marker << 7, number, stamp, ssrcs[kind])
        numbers[kind] += 1
        out.sendto(header + payload, (address, ports[kind]))

    print("on air", flush=True)
    _perform(send, lambda: None)


def _perform(send: Send, look_after: Callable[[], None]) -> None:
    """For ever: whichever of sound and picture is due next. A blocking loop: no timer is as exact."""
    began, source = time.monotonic(), Random(7)
    sound = picture = packet = 0
    sizes, gap = sizes_of(0, is_key=True), KEYFRAME_GAP_S
    while True:
        sound_due, picture_due = sound * 0.02, picture / PICTURES + packet * gap
        wait = began + min(sound_due, picture_due) - time.monotonic()
        if wait > 0:
            look_after()
            time.sleep(max(0, began + min(sound_due, picture_due) - time.monotonic()))
        if sound_due <= picture_due:
            send(AUDIO, sound * 960, sound_packet(sound, source.randrange(70, 110), time.time_ns()), False)  # noqa: FBT003 - as Send says
            sound += 1
            continue
        is_key = picture % GOP == 0
        data = picture_packet(picture, packet, len(sizes), sizes[packet], time.time_ns(), is_key=is_key)
        send(VIDEO, picture * 90_000 // PICTURES, data, packet == len(sizes) - 1)
        packet += 1
        if packet == len(sizes):
            picture, packet = picture + 1, 0
            is_key = picture % GOP == 0
            sizes, gap = sizes_of(picture, is_key=is_key), KEYFRAME_GAP_S if is_key else GAP_S
