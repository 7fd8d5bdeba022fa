"""A browser as a viewer of Janus's streaming plugin, and the forwarder that feeds its mountpoint 1 from a WHEP address.

Janus takes plain RTP and no WHIP. So the host publishes to our relay, and a light viewer there hands each packet on as
it is. Janus passes no PLI to a source of plain RTP: the forwarder asks for a keyframe every 3 s instead.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import httpx2
from light_peer import LightPeer
from netem.front import Front
from playwright.async_api import Page

from media.core import rtcp
from media.core.rtp import parse_header
from media.dtls import Certificate

KEYFRAME_S: Final = 3
PLAY = """
async ([sdp]) => {
    pc = new RTCPeerConnection();
    listen();
    await pc.setRemoteDescription({type: 'offer', sdp});
    await pc.setLocalDescription();
    return pc.localDescription.sdp;
}
"""


class Place(NamedTuple):
    """A running Janus: its HTTP interface and the ports of its mountpoint 1."""

    url: str
    audio: int
    video: int


@contextlib.asynccontextmanager
async def forwarder(whep: str, place: Place) -> AsyncIterator[None]:
    """While it is entered, what the show has goes to the mountpoint."""
    out, ports = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), {111: place.audio, 96: place.video}

    def on_media(data: bytes) -> None:
        header = parse_header(data)
        if header is None or header.payload_type not in ports or peer.dtls is None or peer.dtls.receiver is None:
            return
        payload = peer.dtls.receiver.unprotect(data, header.size)
        if payload is None:
            return
        plain = bytes((data[0] & 0xE0,)) + data[1:12]  # without extensions: Janus has been told of none
        out.sendto(plain + payload, ("127.0.0.1", ports[header.payload_type]))
        sources[header.payload_type] = header.ssrc

    peer, sources = LightPeer(Certificate.generateCertificate(), on_media=on_media), dict[int, int]()
    async with httpx2.AsyncClient() as http:
        headers = {"Content-Type": "application/sdp", "Authorization": "Bearer forwarder"}
        answer = await http.post(whep, content=peer.offer("opus", "VP8"), headers=headers)
    answer.raise_for_status()
    await peer.connect(answer.text)
    asking = asyncio.ensure_future(_ask(peer, sources))
    try:
        yield
    finally:
        asking.cancel()
        await peer.close()
        out.close()


async def _ask(peer: LightPeer, sources: dict[int, int]) -> None:
    while True:
        if 96 in sources:
            # A report ends nothing here, but keeps the relay from taking us for somebody who has gone.
            peer.send_rtcp(struct.pack("!BBHI", 0x80, 201, 1, 1) + rtcp.pli(1, sources[96]))
        await asyncio.sleep(KEYFRAME_S)


class JanusViewer:
    """One session; `async with` it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = 0

    async def __aenter__(self) -> "JanusViewer":
        self._http = httpx2.AsyncClient(timeout=60)
        self._session = (await self._post("", janus="create"))["data"]["id"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._post(f"/{self._session}", janus="destroy")
        await self._http.aclose()

    async def play(self, page: Page, front: Front) -> None:
        """Show the mountpoint on the page, its media through the front's relays."""
        at = f"/{self._session}"
        handle = (await self._post(at, janus="attach", plugin="janus.plugin.streaming"))["data"]["id"]
        await self._post(f"{at}/{handle}", janus="message", body={"request": "watch", "id": 1})
        offer = await front.through((await self._event())["jsep"]["sdp"])
        answer = {"type": "answer", "sdp": await page.evaluate(PLAY, [offer])}
        await self._post(f"{at}/{handle}", janus="message", body={"request": "start"}, jsep=answer)
        await self._post(f"{at}/{handle}", janus="trickle", candidate={"completed": True})

    async def _event(self) -> dict[str, Any]:
        for _ in range(10):
            event: dict[str, Any] = (await self._http.get(f"{self._url}/{self._session}")).json()
            if "jsep" in event:
                return event
        raise ConnectionError("Janus offered nothing")

    async def _post(self, path: str, **message: Any) -> dict[str, Any]:
        reply: dict[str, Any] = (
            await self._http.post(self._url + path, json={"transaction": "bench", **message})
        ).json()
        if reply["janus"] == "error":
            raise ConnectionError(str(reply))
        return reply
