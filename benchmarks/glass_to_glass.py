"""Glass to glass: from the moment a picture is drawn at the host to the moment a Chromium has it on screen.

The synthetic host writes its wall clock into the picture (`live.demo.pixel_clock`); the watch page's video is read
back, pixel by pixel, at the presentation of each frame. Host and browser are on one machine, so the clocks agree.

`direct`  the limit: the same host and encoder connected to the browser itself, without a relay between them
`relay`   through WHIP, the relay and WHEP, on the watch page

`joined`  each of `--joins` viewers comes at another moment between two keyframes of a host that has 4 s between them
          and answers no PLI: the age of its frames by the time since its POST, from the first frame on

    python benchmarks/glass_to_glass.py [--frames 600] [--joins 8] [--base-url URL --show SHOW]
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from first_frame import ARGUMENTS, DEADLINE_S, start_demo
from freeze import free_port, running
from join import wait_for
from playwright.async_api import Browser, async_playwright

from live.browser import find_chromium
from live.demo import pixel_clock
from live.demo.picture import Picture
from live.demo.publisher import Camera, Microphone
from live.demo.sound import Sound

# One row of luma from the middle of the machine's clock, with the time at which that frame was presented.
ROWS = """async frames => {
    const video = document.querySelector('video');
    await new Promise(done => video.requestVideoFrameCallback(done));  // before it, the video has no width
    const canvas = new OffscreenCanvas(video.videoWidth, 1);
    const pen = canvas.getContext('2d', {willReadFrequently: true});
    const seen = [];
    while (seen.length < frames) {
        const shown = await new Promise(done => video.requestVideoFrameCallback((_, frame) => done(frame)));
        const offset = Date.now() - performance.now();
        pen.drawImage(video, 0, video.videoHeight - 8, video.videoWidth, 1, 0, 0, video.videoWidth, 1);
        const pixels = pen.getImageData(0, 0, video.videoWidth, 1).data;
        seen.push([shown.presentationTime + offset, Array.from(pixels.filter((_, index) => index % 4 === 1))]);
    }
    return seen;
}"""

OFFER = """async () => {
    const video = document.body.appendChild(document.createElement('video'));
    Object.assign(video, {muted: true, autoplay: true});
    const peer = window.peer = new RTCPeerConnection();
    const stream = video.srcObject = new MediaStream();
    peer.ontrack = event => stream.addTrack(event.track);
    for (const kind of ['video', 'audio']) peer.addTransceiver(kind, {direction: 'recvonly'});
    await peer.setLocalDescription();
    while (peer.iceGatheringState !== 'complete')
        await new Promise(done => peer.addEventListener('icegatheringstatechange', done, {once: true}));
    return peer.localDescription.sdp;
}"""
ANSWER = "sdp => window.peer.setRemoteDescription({type: 'answer', sdp})"
Rows = list[tuple[float, list[int]]]
HERE = Path(__file__).parent
PEERS = HERE.parent / "tests" / "media" / "peers"
WATCHED_S = 8
AGES_S = ((0, 0.25), (0.25, 1), (1, 2), (2, 5), (5, WATCHED_S))
"""Since the POST."""


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--frames", type=int, default=600)
    options.add_argument("--joins", type=int, default=8)
    options.add_argument("--base-url", help="a running demo; else one is started")
    options.add_argument("--show", default="demo")
    chosen = options.parse_args()
    if chosen.base_url:
        await measure(chosen.base_url, chosen.show, chosen.frames)
        return
    with tempfile.TemporaryDirectory() as data_dir:
        demo = await start_demo(data_dir)
        try:
            async with asyncio.timeout(DEADLINE_S):
                ready = msgspec.json.decode(await demo.stdout.readline())
            await measure(ready["base_url"], ready["show_id"], chosen.frames)
        finally:
            demo.terminate()
            await asyncio.wait_for(demo.wait(), DEADLINE_S)
    await measure_joins(chosen.joins)


async def measure(base_url: str, show: str, frames: int) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            # Else `direct` has to look the browser's address up by multicast first.
            args=[*ARGUMENTS, "--disable-features=WebRtcHideLocalIpsWithMdns"],
        )
        direct = await without_relay(browser, base_url, frames)
        relayed = await through_relay(browser, base_url, show, frames)
        await browser.close()
    version = os.uname()
    print(f"glass to glass in Chromium, {frames} frames, {os.cpu_count()} cores, {version.sysname} {version.release}")
    print(f"{'':10}{'median':>8}{'p95':>8}{'range':>12}{'read':>8}   ms")
    for name, rows in (("direct", direct), ("relay", relayed)):
        delays = sorted(delay for at_ms, row in rows if (delay := delay_ms(at_ms, row)) is not None)
        if not delays:
            raise SystemExit("The picture carries no clock: is it the demo's host?")
        p95, span = delays[round(0.95 * (len(delays) - 1))], f"{delays[0]:.0f}-{delays[-1]:.0f}"
        print(f"{name:10}{statistics.median(delays):8.0f}{p95:8.0f}{span:>12}{len(delays):>8}")


async def through_relay(browser: Browser, base_url: str, show: str, frames: int) -> Rows:
    page = await browser.new_page()
    await page.goto(f"{base_url}/watch/{show}")
    await page.wait_for_function("() => window.__showfloor?.firstFrameMs", timeout=DEADLINE_S * 1000)
    async with asyncio.timeout(DEADLINE_S):
        rows: Rows = await page.evaluate(ROWS, frames)
    await page.close()
    return rows


async def without_relay(browser: Browser, base_url: str, frames: int) -> Rows:
    """The host's own camera and encoder, in this process, answered to an offer of the page's."""
    page = await browser.new_page()
    await page.goto(f"{base_url}/healthz")  # any page of the origin: WebRTC wants a secure context
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        peer.addTrack(Camera(Picture()))
        peer.addTrack(Microphone(Sound()))
        await peer.setRemoteDescription(RTCSessionDescription(await page.evaluate(OFFER), "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        await page.evaluate(ANSWER, peer.localDescription.sdp)
        async with asyncio.timeout(DEADLINE_S):
            rows: Rows = await page.evaluate(ROWS, frames)
    finally:
        await peer.close()
        await page.close()
    return rows


async def measure_joins(joins: int) -> None:
    seen: dict[tuple[float, float], list[float]] = {span: [] for span in AGES_S}
    firsts: list[float] = []
    source = random.Random(7)
    with slow_show() as base:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
            for _ in range(joins):
                await asyncio.sleep(source.uniform(0, 4))
                posted_ms, rows = await join(browser, base)
                firsts.append(rows[0][0] - posted_ms)
                for at_ms, row in rows:
                    age = delay_ms(at_ms, row)
                    span = next((span for span in AGES_S if at_ms - posted_ms < span[1] * 1000), None)
                    if age is not None and span is not None:
                        seen[span].append(age)
            await browser.close()
    print(f"\n{joins} joins between the keyframes of a host that has 4 s between them; ", end="")
    print(f"POST to the first frame: median {statistics.median(firsts):.0f}, longest {max(firsts):.0f} ms")
    print(f"{'since POST':12}{'median':>8}{'p95':>8}{'oldest':>8}{'read':>8}   age in ms")
    for (start, end), ages in seen.items():
        ages.sort()
        if ages:
            p95 = ages[round(0.95 * (len(ages) - 1))]
            print(f"{f'{start}-{end} s':12}{statistics.median(ages):8.0f}{p95:8.0f}{ages[-1]:8.0f}{len(ages):>8}")


@contextlib.contextmanager
def slow_show() -> Iterator[str]:
    """A relay with a host that answers no PLI, each a process of its own."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running(sys.executable, str(HERE / "freeze.py"), "--role", "serve", "--port", str(port)):
        wait_for(port)
        with running(sys.executable, str(PEERS / "slow_host.py"), base, "demo", "host", "VP8"):
            yield base


async def join(browser: Browser, base: str) -> tuple[float, Rows]:
    """When it asked, on the wall clock, and each frame's time and row."""
    page = await browser.new_page()
    await page.route(base + "/blank", lambda route: route.fulfill(content_type="text/html", body="<body></body>"))
    await page.goto(base + "/blank")
    await page.add_script_tag(path=PEERS / "tab.js")
    posted_ms = await page.evaluate("() => Date.now()")
    await page.evaluate("args => play(...args)", ["demo", f"viewer-{posted_ms}", None, True])
    await asyncio.sleep(WATCHED_S)
    found: dict[str, Any] = await page.evaluate("stats()")
    await page.close()
    return posted_ms, found["shown"]


def delay_ms(at_ms: float, row: list[int]) -> float | None:
    """How old the picture was when it was shown; None where no clock could be read."""
    drawn_ms = pixel_clock.read(row)
    if drawn_ms is None:
        return None
    half = pixel_clock.MODULUS_MS / 2
    return (at_ms - drawn_ms + half) % pixel_clock.MODULUS_MS - half


if __name__ == "__main__":
    asyncio.run(main())
