"""The synthetic host: publishes the picture and the sound by WHIP, from a process of its own.

Owns: one peer connection at a time. Invariant: a lost session is replaced by itself, with a growing pause, for as
long as the process lives; VP8 with aiortc, which answers PLI, so that a viewer's first picture need not wait.
"""

import asyncio
import ipaddress
import sys
import time
from fractions import Fraction
from urllib.parse import urlsplit

import aioice.ice
import av
import httpx2
import structlog
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from msgspec import Struct

from live.demo import child
from live.demo.picture import FPS, Picture
from live.demo.sound import RATE, SAMPLES, Sound

log = structlog.get_logger()

VIDEO_CLOCK = 90_000
PAUSE_S, PAUSE_MAX_S = 0.25, 4.0
CONNECT_S = 15
WATCH_S = 1.0
LATE_S = 0.2
"""Further behind than this, frames are left out instead of hurried after."""


class PublisherOrders(Struct, frozen=True, kw_only=True):
    """Where to publish, and with which token."""

    base_url: str
    show: str
    token: str


class Beat:
    """Frame numbers at a steady rate, on the wall clock; numbers are left out rather than sent late."""

    def __init__(self, per_second: float) -> None:
        self._period_s = 1 / per_second
        self._began_s = time.monotonic()
        self._number = -1

    async def next(self) -> int:
        """Wait for the next frame's time; its number."""
        self._number += 1
        behind_s = time.monotonic() - self._due_s()
        if behind_s > LATE_S:
            self._number += int(behind_s / self._period_s)
        await asyncio.sleep(max(0.0, self._due_s() - time.monotonic()))
        return self._number

    def _due_s(self) -> float:
        return self._began_s + self._number * self._period_s


class Camera(MediaStreamTrack):
    """The picture, with the wall clock in it."""

    kind = "video"

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self._picture, self._beat = picture, Beat(FPS)

    async def recv(self) -> av.VideoFrame:
        number = await self._beat.next()
        frame = self._picture.frame(number, time.time_ns() // 1_000_000)
        frame.pts, frame.time_base = number * VIDEO_CLOCK // FPS, Fraction(1, VIDEO_CLOCK)
        return frame


class Microphone(MediaStreamTrack):
    """The sound."""

    kind = "audio"

    def __init__(self, sound: Sound) -> None:
        super().__init__()
        self._sound, self._beat = sound, Beat(RATE / SAMPLES)

    async def recv(self) -> av.AudioFrame:
        number = await self._beat.next()
        frame = self._sound.frame(number)
        frame.pts, frame.time_base = number * SAMPLES, Fraction(1, RATE)
        return frame


async def publish(orders: PublisherOrders) -> None:
    """Publish until cancelled."""
    _stay_on_loopback(orders.base_url)
    picture, sound = Picture(), Sound()
    pause_s = PAUSE_S
    headers = {"Authorization": f"Bearer {orders.token}"}
    async with httpx2.AsyncClient(base_url=orders.base_url, headers=headers, timeout=10) as http:
        while True:
            began_s = time.monotonic()
            try:
                await _until_the_stage_is_free(http, orders.show)
                await _session(http, f"/whip/{orders.show}", picture, sound)
            except (httpx2.HTTPError, OSError, TimeoutError, ValueError) as error:
                log.warning("publisher_off_air", error=str(error) or repr(error))
            pause_s = PAUSE_S if time.monotonic() - began_s > CONNECT_S else min(pause_s * 2, PAUSE_MAX_S)
            await asyncio.sleep(pause_s)


async def _until_the_stage_is_free(http: httpx2.AsyncClient, show: str) -> None:
    """Leave the show to a person who went live from the studio, for as long as they are on air."""
    while (await http.get(f"/api/v1/shows/{show}")).raise_for_status().json()["host_present"]:  # noqa: ASYNC110
        await asyncio.sleep(WATCH_S)


async def _session(http: httpx2.AsyncClient, path: str, picture: Picture, sound: Sound) -> None:
    """One WHIP session, from the offer until it is over."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    changed = asyncio.Event()
    peer.on("connectionstatechange", changed.set)
    resource = None
    try:
        peer.addTrack(Camera(picture))
        peer.addTrack(Microphone(sound))
        await peer.setLocalDescription(await peer.createOffer())
        offer = peer.localDescription.sdp.encode()
        answer = await http.post(path, content=offer, headers={"Content-Type": "application/sdp"})
        if answer.status_code != 201:
            raise ConnectionError(f"WHIP was answered with {answer.status_code}: {answer.text[:200]}")
        resource = answer.headers["location"]
        await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        async with asyncio.timeout(CONNECT_S):
            while peer.connectionState != "connected":
                await changed.wait()
                changed.clear()
        log.info("publisher_on_air")
        await _until_over(http, resource, peer)
    finally:
        await peer.close()
        if resource:
            await _end(http, resource)


async def _until_over(http: httpx2.AsyncClient, resource: str, peer: RTCPeerConnection) -> None:
    """A relay that was killed, or gave the show to another host, sends nothing: its resource is asked (RFC 9725)."""
    while peer.connectionState == "connected":
        await asyncio.sleep(WATCH_S)
        fragment = b"a=end-of-candidates\r\n"
        answer = await http.patch(
            resource, content=fragment, headers={"Content-Type": "application/trickle-ice-sdpfrag"}
        )
        if answer.status_code == 404:
            raise ConnectionError("the session has ended")


async def _end(http: httpx2.AsyncClient, resource: str) -> None:
    try:
        await asyncio.wait_for(http.delete(resource), 2)
    except (httpx2.HTTPError, TimeoutError):
        return  # it has gone down, and the session with it


def _stay_on_loopback(url: str) -> None:
    """For a relay on this machine, gather no address but loopback: aioice leaves it out, and may then have none."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or (host.replace(".", "").isdigit() and ipaddress.ip_address(host).is_loopback):
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]  # noqa: ARG005


if __name__ == "__main__":
    sys.exit(child.main(PublisherOrders, publish))
