"""How a viewer gets in: WHEP, or the HTTP interface of Janus's streaming plugin."""

import time
from typing import Any, Protocol

import httpx2

from relay.network import Network
from relay.viewers import Viewer, answer_to


class Door(Protocol):
    """`enter` until media can flow, `leave` when all is counted."""

    async def enter(self, viewer: Viewer, number: int) -> None: ...

    async def leave(self) -> None: ...


class Whep:
    """Any WHEP address."""

    def __init__(self, http: httpx2.AsyncClient, url: str, network: Network) -> None:
        self._http, self._url, self._network = http, url, network

    async def enter(self, viewer: Viewer, number: int) -> None:
        offer, viewer.posted_ns = viewer.offer("opus", "VP8"), time.time_ns()
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer viewer-{number}"}
        answer = await self._http.post(self._url, content=offer, headers=headers)
        answer.raise_for_status()
        await viewer.connect(await self._network.through(answer.text, number))

    async def leave(self) -> None:
        """DTLS's farewell was said already."""


class Janus:
    """Mountpoint 1 of a Janus; a session for each viewer, over long polls."""

    def __init__(self, http: httpx2.AsyncClient, url: str, network: Network) -> None:
        self._http, self._url, self._network = http, url, network
        self._sessions: list[int] = []

    async def enter(self, viewer: Viewer, number: int) -> None:
        viewer.posted_ns = time.time_ns()
        session = (await self._post("", janus="create"))["data"]["id"]
        self._sessions.append(session)
        handle = (await self._post(f"/{session}", janus="attach", plugin="janus.plugin.streaming"))["data"]["id"]
        at = f"/{session}/{handle}"
        await self._post(at, janus="message", body={"request": "watch", "id": 1})
        offer = (await self._event(session))["jsep"]["sdp"]
        answer = {"type": "answer", "sdp": answer_to(offer, viewer)}
        await self._post(at, janus="message", body={"request": "start"}, jsep=answer)
        await self._post(at, janus="trickle", candidate={"completed": True})
        await viewer.connect(await self._network.through(offer, number))

    async def _event(self, session: int) -> dict[str, Any]:
        for _ in range(10):
            event = (await self._http.get(f"{self._url}/{session}")).json()
            if "jsep" in event:
                return event
        raise ConnectionError("Janus offered nothing")

    async def _post(self, path: str, **message: Any) -> dict[str, Any]:
        reply = (await self._http.post(self._url + path, json={"transaction": "bench", **message})).json()
        if reply["janus"] == "error":
            raise ConnectionError(str(reply))
        return reply

    async def leave(self) -> None:
        for session in self._sessions:
            await self._post(f"/{session}", janus="destroy")
