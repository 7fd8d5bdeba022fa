"""A worker is killed: how long until its viewers have the picture again, from another.

    python benchmarks/killed.py                        # 50 viewers, three kills, about a minute

`showfloor serve --workers 2`, the synthetic host, and `--viewers` light peers over both workers. The worker without the
host gets SIGKILL, three times in turn; once all are back and it has been replaced, so many new viewers come that it has
half of them again. A viewer does what the watch page does (`whep.js`): it looks every half second whether its picture
moved, asks the server after three looks without whether its session is over, and joins anew after a pause of 250 to
500 ms. `back` is from the kill to the first packet of the picture in the new session, `told` to the answer that said
that the old one was over. With `--host` it is the worker of the host, whose own coming back is then in it.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from light_peer import LightPeer
from restart import SHOW, answering, guests, serving, token, until, workers_of

from live.demo import child
from live.demo.publisher import PublisherOrders
from media.dtls import Certificate

LOOK_S, SILENT_LOOKS = 0.5, 3
PAUSE_S = 0.25, 0.5
VIDEO = 96
HANG_S = 60
WANTED_S = 5


class Screen:
    """One viewer, for as long as it is let."""

    def __init__(self, http: httpx2.AsyncClient, bearer: str, certificate: Certificate) -> None:
        self._http, self._headers, self._certificate = http, {"Authorization": f"Bearer {bearer}"}, certificate
        self.peer: LightPeer | None = None
        self.path, self.worker = "", -1
        self.pictures = self.joins = 0
        self.told_at = self.back_at = 0.0

    async def join(self) -> None:
        self._new = True
        peer = self.peer = LightPeer(self._certificate, on_media=lambda data: self._media(peer, data))
        headers = self._headers | {"Content-Type": "application/sdp"}
        answer = await self._http.post(f"/whep/{SHOW}", content=peer.offer("opus", "VP8"), headers=headers)
        answer.raise_for_status()
        self.path = answer.headers["location"]
        self.worker = int(self.path.rpartition(".w")[2])
        async with asyncio.timeout(HANG_S):
            await peer.connect(answer.text)
        self.joins += 1

    def _media(self, peer: LightPeer, data: bytes) -> None:
        if peer is self.peer and data[1] & 127 == VIDEO:
            self.pictures += 1
            if self._new:
                self._new, self.back_at = False, time.monotonic()

    async def watch(self) -> None:
        """As `whep.js`."""
        await asyncio.sleep(random.random() * LOOK_S)  # pages look at moments of their own
        seen, silent = 0, 0
        while True:
            await asyncio.sleep(LOOK_S)
            silent = 0 if self.pictures > seen else silent + 1
            seen = self.pictures
            if silent and silent % SILENT_LOOKS == 0 and await self._is_over():
                self.told_at = time.monotonic()
                await self.leave()
                await asyncio.sleep(random.uniform(*PAUSE_S))
                await self.join()
                silent = 0

    async def _is_over(self) -> bool:
        try:
            headers = self._headers | {"Content-Type": "application/trickle-ice-sdpfrag"}
            answer = await self._http.patch(self.path, content=b"a=end-of-candidates\r\n", headers=headers)
        except httpx2.TransportError:  # a connection of the dead one's
            return False
        return answer.status_code == 404

    async def leave(self) -> None:
        peer, self.peer = self.peer, None
        if peer is not None:
            await peer.close(farewell=False)


class Crowd:
    """All of them, over both workers."""

    def __init__(self, base_url: str, stack: list[asyncio.Task[None]]) -> None:
        self.base_url, self._tasks = base_url, stack
        self._certificate = Certificate.generateCertificate()
        self.screens: list[Screen] = []

    async def grow(self, worker: int | None, count: int) -> None:
        """By so many, at any worker or at this one: a fresh connection lands where the kernel wants."""
        async with asyncio.timeout(HANG_S):
            while sum(worker in (None, one.worker) for one in self.screens) < count:
                await self._come(worker)
        await until(lambda: all(one.pictures > 30 for one in self.screens))

    async def _come(self, worker: int | None) -> None:
        """One more, who stays if it has landed where it should."""
        (bearer,) = await guests(self.base_url, 1)
        http = httpx2.AsyncClient(base_url=self.base_url, timeout=10)
        one = Screen(http, bearer, self._certificate)
        await one.join()
        if worker in (None, one.worker):
            self.screens.append(one)
            self._tasks.append(asyncio.create_task(one.watch()))
        else:
            await one.leave()
            await http.aclose()

    async def through(self, pid: int, worker: int) -> dict[str, Any]:
        """The worker is killed; when each of its viewers was told, and back, in seconds."""
        lost = [one for one in self.screens if one.worker == worker]
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        await until(lambda: all(one.back_at > killed_at for one in lost))
        back = sorted(one.back_at - killed_at for one in lost)
        told = [one.told_at - killed_at for one in lost]
        return {"viewers": len(lost), "told": told, "back": back, "at": {one.worker for one in lost}}


def events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().splitlines() if line.startswith(b"{")]


def pid_of(log: Path, parent: int, worker: int) -> int | None:
    """Of a worker that lives, by its number."""
    ups = {line["pid"]: line["worker"] for line in events(log) if line["event"] == "worker_up"}
    return next((pid for pid in workers_of(parent) if ups.get(pid) == worker), None)


def host_worker(log: Path) -> int | None:
    found = [line["worker"] for line in events(log) if line["event"] == "host_changed" and line["present"]]
    return found[-1] if found else None


async def main(given: argparse.Namespace) -> None:
    load, tasks, found = os.getloadavg()[0], list[asyncio.Task[None]](), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log"
        async with serving(folder) as (process, base_url):
            staff = {"Authorization": f"Bearer {token(folder)}"}
            async with httpx2.AsyncClient(base_url=base_url, headers=staff) as http:
                body = {"show_id": SHOW, "title": "Killed", "starts_at_ms": 0}
                (await http.post("/api/v1/shows", json=body)).raise_for_status()
            host_token = token(folder, "host")
            async with httpx2.AsyncClient(base_url=base_url, headers={"Authorization": f"Bearer {host_token}"}) as http:
                (await http.put(f"/api/v1/shows/{SHOW}/state", json={"state": "live"})).raise_for_status()
            camera = PublisherOrders(base_url=base_url, show=SHOW, token=host_token)
            async with child.running("live.demo.publisher", camera):
                await until(lambda: host_worker(log) is not None)
                crowd = Crowd(base_url, tasks)
                for _ in range(given.kills):
                    host = host_worker(log)
                    assert host is not None
                    victim = host if given.host else 1 - host
                    await crowd.grow(None, given.viewers)
                    await crowd.grow(victim, given.viewers // 2)
                    pid = pid_of(log, process.pid, victim)
                    assert pid is not None
                    found.append(await crowd.through(pid, victim))
                    print(found[-1], file=sys.stderr)
                    await until(lambda: pid_of(log, process.pid, victim) is not None)  # noqa: B023 - awaited here
                    async with asyncio.timeout(HANG_S):
                        while len(await answering(base_url)) < 2:
                            await asyncio.sleep(0.2)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    report(found, given, load)


def report(found: list[dict[str, Any]], given: argparse.Namespace, load: float) -> None:
    print(f"\n## A killed worker: {'of the host' if given.host else 'without the host'}\n")
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, load before {load:.2f}, ", end="")
    print(f"after {os.getloadavg()[0]:.2f}\n")
    print("| its viewers | told s: median | back s: median | p99 | last | within 5 s |\n" + "|---" * 6 + "|")
    for one in found:
        back = one["back"]
        p99, within = back[min(len(back) - 1, int(len(back) * 0.99))], sum(each <= WANTED_S for each in back)
        cells = [one["viewers"], *(f"{each:.2f}" for each in (statistics.median(one["told"]), statistics.median(back)))]
        print("| " + " | ".join(map(str, [*cells, f"{p99:.2f}", f"{back[-1]:.2f}", f"{within} of {len(back)}"])) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--host", action="store_true", help="kill the worker that has the host")
    uvloop.run(main(parser.parse_args()))
