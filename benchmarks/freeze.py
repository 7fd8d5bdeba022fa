"""Frozen pictures behind loss: how much of the time a Chromium's picture stands still.

    python benchmarks/freeze.py                                    # ours, VP8, round trip + 50 ms, under two minutes
    python benchmarks/freeze.py --codecs VP8 H264 --delays 25 50 --repeats 3 --mediamtx PATH
    python benchmarks/freeze.py --peer NAME=http://HOST:PORT,/whip/path,/whep/path
    python benchmarks/freeze.py --janus http://HOST:PORT/janus,AUDIO_PORT,VIDEO_PORT      # VP8 alone
    python benchmarks/freeze.py --calm 1 --again 3         # a window whose control froze for over 1 % is made anew

The host is a Chromium too: a file with moving noise as its camera, 640x360 at 30 pictures a second, at most 2 Mb/s, so
that it answers PLI and paces as real hosts do. `--pan 6` moves the picture so far that Chromium's OpenH264 takes every
twentieth for a new scene and makes a keyframe of it.

In each window the same stream is watched by one viewer per loss at once, each behind a seeded relay of its own
(`tests/netem`) that loses that share in both directions and delays by `--delays` ms in each; the one at 0 % is the
control, behind the same delay. Servers take turns and start afresh. The same seed loses packets of
the same numbers for every server. Janus takes no WHIP: `janus_page.forwarder` gives it what our relay has.

`frozen`     share of the window that `totalFreezesDuration` of getStats grew by: an interval between two pictures over
             max(3 x the mean, the mean + 150 ms) is a freeze (W3C webrtc-stats)
`gaps`       the same rule over the times of requestVideoFrameCallback: what was truly put on the screen, the end of
             the window included: getStats counts a freeze only once it is over
`lost`       packets as the receiver counts them: without RTX a repaired one is not among them
`keys`       keyframes that it decoded
`buffer`     the delay of its jitter buffer over the window; `target`: what that aims at
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from playwright.async_api import Browser, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parent.parent / "tests"))

from janus_page import JanusViewer, Place, forwarder
from join import serve, wait_for
from netem.front import Front
from netem.link import Conditions

from live.browser import find_chromium

WIDTH, HEIGHT, FPS = 640, 360, 30
RATE_BPS = 2_000_000
SETTLE_S, DEADLINE_S = 6, 30
ARGUMENTS = [
    *("--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-first-run", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    "--autoplay-policy=no-user-gesture-required",
]

SCRIPT = """
let pc, shown = [];
async function exchange(path) {
    await pc.setLocalDescription();
    const headers = {'Content-Type': 'application/sdp', 'Authorization': 'Bearer ' + Math.random()};
    const answer = await fetch(path, {method: 'POST', headers, body: pc.localDescription.sdp});
    const sdp = await answer.text();
    if (answer.status !== 201) throw new Error(answer.status + ' ' + sdp);
    await pc.setRemoteDescription({type: 'answer', sdp});
}
function prefer(transceiver, codec, all) {
    const wanted = ['video/' + codec, 'video/rtx', 'video/red', 'video/ulpfec'];
    transceiver.setCodecPreferences(all.filter(one => wanted.includes(one.mimeType)));
}
async function publish(path, codec, video, maxBitrate) {
    const stream = await navigator.mediaDevices.getUserMedia({audio: true, video});
    pc = new RTCPeerConnection();
    for (const track of stream.getTracks()) {
        const transceiver = pc.addTransceiver(track, {direction: 'sendonly', sendEncodings: [{maxBitrate}]});
        if (track.kind === 'video') prefer(transceiver, codec, RTCRtpSender.getCapabilities('video').codecs);
    }
    await exchange(path);
}
function listen() {
    const video = Object.assign(document.body.appendChild(document.createElement('video')), {autoplay: true});
    video.srcObject = new MediaStream();
    pc.ontrack = event => video.srcObject.addTrack(event.track);
    const note = (_, frame) => { shown.push(frame.presentationTime); video.requestVideoFrameCallback(note); };
    video.requestVideoFrameCallback(note);
}
async function play(path, codec) {
    pc = new RTCPeerConnection();
    listen();
    for (const kind of ['audio', 'video']) {
        const transceiver = pc.addTransceiver(kind, {direction: 'recvonly'});
        if (kind === 'video') prefer(transceiver, codec, RTCRtpReceiver.getCapabilities('video').codecs);
    }
    await exchange(path);
}
async function inbound() {
    for (const report of (await pc.getStats()).values())
        if (report.type === 'inbound-rtp' && report.kind === 'video') return report;
}
"""


class Server(NamedTuple):
    """Where to publish and to play; paths with `{show}` get a name of their own per window."""

    base: str
    whip: str
    whep: str
    janus: Place | None = None
    """Where to play instead."""


class Window(NamedTuple):
    """One viewer's window: getStats before and after, when pictures were on the screen, in ms."""

    before: dict[str, Any]
    after: dict[str, Any]
    shown: list[float]
    """And the beginning and the end of the window."""
    counts: dict[str, int]

    def grew(self, name: str) -> float:
        return float(self.after.get(name) or 0) - float(self.before.get(name) or 0)

    @property
    def seconds(self) -> float:
        return (self.after["timestamp"] - self.before["timestamp"]) / 1000

    @property
    def frozen(self) -> float:
        return self.grew("totalFreezesDuration") / self.seconds

    @property
    def gaps(self) -> float:
        between = [later - sooner for sooner, later in itertools.pairwise(self.shown)]
        usual = statistics.median(between)  # the mean of a window that stands still would hide that
        return sum(gap for gap in between if gap > max(3 * usual, usual + 150)) / sum(between)

    @property
    def buffered_ms(self) -> float:
        return 1000 * self.grew("jitterBufferDelay") / max(1, self.grew("jitterBufferEmittedCount"))

    @property
    def target_ms(self) -> float:
        """What the buffer aims at: for jitter, for lip sync, or because it was told to."""
        return 1000 * self.grew("jitterBufferTargetDelay") / max(1, self.grew("jitterBufferEmittedCount"))

    @property
    def stood(self) -> list[str]:
        """When it stood still and for how long, as `second: ms`."""
        between = [(sooner, later - sooner) for sooner, later in itertools.pairwise(self.shown)]
        usual = statistics.median(gap for _, gap in between)
        far = max(3 * usual, usual + 150)
        return [f"{(at - self.shown[0]) / 1000:.1f}: {gap:.0f}" for at, gap in between if gap > far]

    @property
    def rate_bps(self) -> float:
        return 8 * self.grew("bytesReceived") / self.seconds


@contextlib.asynccontextmanager
async def ours() -> AsyncIterator[Server]:
    with running(sys.executable, __file__, "--role", "serve", "--port", str(port := free_port())):
        wait_for(port)
        yield Server(f"http://127.0.0.1:{port}", "/whip/{show}", "/whep/{show}")


@contextlib.asynccontextmanager
async def mediamtx(program: str) -> AsyncIterator[Server]:
    port, media = free_port(), free_port(socket.SOCK_DGRAM)
    off = {f"MTX_{name}": "no" for name in ("RTSP", "RTMP", "HLS", "SRT")}
    settings = off | {
        "MTX_LOGLEVEL": "warn",
        "MTX_WEBRTCADDRESS": f"127.0.0.1:{port}",
        "MTX_WEBRTCLOCALUDPADDRESS": f"127.0.0.1:{media}",
        "MTX_WEBRTCIPSFROMINTERFACES": "no",
        "MTX_WEBRTCADDITIONALHOSTS": "127.0.0.1",
        "MTX_PATHS_ALL_OTHERS_SOURCE": "publisher",
    }
    with tempfile.TemporaryDirectory() as folder, running(program, cwd=folder, env=os.environ | settings):
        wait_for(port)
        yield Server(f"http://127.0.0.1:{port}", "/{show}/whip", "/{show}/whep")


@contextlib.asynccontextmanager
async def given_peer(place: str) -> AsyncIterator[Server]:
    yield Server(*place.split(","))


@contextlib.asynccontextmanager
async def janus(place: Place) -> AsyncIterator[Server]:
    async with ours() as server:
        yield server._replace(janus=place)


@contextlib.contextmanager
def running(*arguments: str, **options: Any) -> Any:
    child = subprocess.Popen(arguments, **options)
    try:
        yield
    finally:
        child.terminate()
        child.wait()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as door:
        door.bind(("127.0.0.1", 0))
        number: int = door.getsockname()[1]
        return number


def film(path: Path, seed: int, pan: int) -> None:
    """Three seconds of a texture with noise, moved by `pan` pixels a picture: it takes all the rate that is given."""
    source = random.Random(seed)
    table = bytes(64 + value // 2 for value in range(256))
    rows = [b"".join(bytes((source.randrange(48, 208),)) * 16 for _ in range(WIDTH // 8)) for _ in range(HEIGHT // 12)]
    flat = bytes((128,)) * (WIDTH * HEIGHT // 2)
    with path.open("wb") as out:
        out.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(3 * FPS):
            at = abs(number - 3 * FPS // 2) * pan
            picture = b"".join(row[at : at + WIDTH] * 12 for row in rows)
            noise = source.randbytes(WIDTH * 24).translate(table)
            out.write(b"FRAME\n" + picture[: -len(noise)] + noise + flat)


async def measure(server: Server, browser: Browser, what: dict[str, Any], losses: list[float]) -> list[Window]:
    """A publisher, and one viewer a loss at once; each viewer's window."""
    show = f"show{random.randrange(1 << 32)}"
    async with contextlib.AsyncExitStack() as stack:
        page = await blank(browser, server.base, stack)
        size = {"width": WIDTH, "height": HEIGHT, "frameRate": FPS}
        await page.evaluate("args => publish(...args)", [server.whip.format(show=show), what["codec"], size, RATE_BPS])
        await asyncio.sleep(2)  # a server may refuse viewers until media has come
        whep = server.whep.format(show=show)
        if server.janus:
            await stack.enter_async_context(forwarder(server.base + whep, server.janus))
        viewers = []
        for loss in losses:
            way = Conditions(loss=loss, delay_ms=what["delay_ms"])
            # Joined without loss, so that the windows show playing and not joining.
            calm = Conditions(delay_ms=what["delay_ms"])
            front = await stack.enter_async_context(Front(server.base, seed=what["seed"], down=calm, up=calm))
            viewer = await blank(browser, front.base_url, stack)
            if server.janus:
                await (await stack.enter_async_context(JanusViewer(server.janus.url))).play(viewer, front)
            else:
                await viewer.evaluate("args => play(...args)", [whep, what["codec"]])
            viewers.append((viewer, front, way))
        for viewer, _, _ in viewers:
            await viewer.wait_for_function("shown.length > 10", timeout=DEADLINE_S * 1000)
        for _, front, way in viewers:
            front.set(down=way, up=way)
        await asyncio.sleep(SETTLE_S)
        return list(await asyncio.gather(*(window(page, front, what["seconds"]) for page, front, _ in viewers)))


async def window(page: Page, front: Front, seconds: float) -> Window:
    before = await page.evaluate("async () => { shown = [performance.now()]; return await inbound(); }")
    await asyncio.sleep(seconds)
    after, shown = await page.evaluate("async () => [await inbound(), [...shown, performance.now()]]")
    return Window(before, after, shown, front.counts())


async def blank(browser: Browser, base: str, stack: contextlib.AsyncExitStack, script: str = "") -> Page:
    """An empty page on the origin of `base`, with our script or another."""
    context = await stack.enter_async_context(await browser.new_context())
    page = await context.new_page()
    await page.route(base + "/blank", lambda route: route.fulfill(content_type="text/html", body="<body></body>"))
    await page.goto(base + "/blank")
    await page.add_script_tag(content=script or SCRIPT)
    return page


async def main(given: argparse.Namespace) -> None:
    servers: dict[str, Any] = {"ours": ours}
    if given.mediamtx:
        servers["MediaMTX"] = lambda: mediamtx(given.mediamtx)
    for peer in given.peer:
        name, _, place = peer.partition("=")
        servers[name] = lambda place=place: given_peer(place)
    for number, place in enumerate(given.janus):
        url, audio, video = place.split(",")
        where = Place(url, int(audio), int(video))
        servers[f"Janus {number}" if number else "Janus"] = lambda where=where: janus(where)
    found: dict[tuple[str, str, float, float], list[Window]] = {}
    made_anew = 0
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        camera = Path(folder) / "camera.y4m"
        film(camera, given.seed, given.pan)
        arguments = [*ARGUMENTS, f"--use-file-for-fake-video-capture={camera}"]
        async with async_playwright() as playwright:
            for repeat in range(given.repeats):
                for delay_ms in given.delays:
                    for codec in given.codecs:
                        for name, start in servers.items():
                            if name.startswith("Janus") and codec != "VP8":
                                continue
                            what = {"codec": codec, "delay_ms": delay_ms, "seed": given.seed + repeat}
                            what["seconds"] = given.seconds
                            for again in range(given.again + 1):
                                # A new browser each time: the rate estimate of the last must not help this one.
                                browser = await playwright.chromium.launch(
                                    executable_path=find_chromium(), args=arguments
                                )
                                async with start() as server:
                                    windows = await measure(server, browser, what, given.losses)
                                await browser.close()
                                if is_calm(given.losses, windows, given.calm) or again == given.again:
                                    break
                                made_anew += 1
                            for loss, one in zip(given.losses, windows, strict=True):
                                found.setdefault((name, codec, delay_ms, loss), []).append(one)
                                if given.verbose:
                                    print(name, codec, delay_ms, loss, line([one]), one.stood, file=sys.stderr)
    show(found, given, load)
    print(f"\nMade anew because the control froze: {made_anew}")


def is_calm(losses: list[float], windows: list[Window], most_percent: float) -> bool:
    """False if the viewer without loss froze for longer: then the machine did it, and to all of them."""
    controls = [one for loss, one in zip(losses, windows, strict=True) if loss == 0]
    return all(100 * max(one.gaps, one.frozen) <= most_percent for one in controls)


def show(found: dict[tuple[str, str, float, float], list[Window]], given: argparse.Namespace, load: float) -> None:
    print(f"\n## Frozen behind loss: {given.repeats} windows of {given.seconds:g} s each, seed {given.seed}\n")
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, load before {load:.2f}, after ", end="")
    print(f"{os.getloadavg()[0]:.2f}\n")
    print(
        "| server | codec | delay each way ms | loss each way | frozen %: median (range) | gaps % | freezes | ", end=""
    )
    print("over control % | lost | NACK | PLI | keys | buffer ms | target ms | Mb/s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for (name, codec, delay_ms, loss), windows in sorted(found.items()):
        control = found.get((name, codec, delay_ms, 0.0), windows)
        over = statistics.mean(one.gaps for one in windows) - statistics.mean(one.gaps for one in control)
        print(f"| {name} | {codec} | {delay_ms:g} | {loss:.0%} | {line(windows, over)} |")


def line(windows: list[Window], over: float = 0.0) -> str:
    frozen, gaps = ([100 * getattr(one, name) for one in windows] for name in ("frozen", "gaps"))
    counted = ("freezeCount", "packetsLost", "nackCount", "pliCount", "keyFramesDecoded")
    freezes, lost, nacks, plis, keys = (sum(one.grew(name) for one in windows) for name in counted)
    names = ("buffered_ms", "target_ms", "rate_bps")
    buffered, target, rate = (statistics.median(getattr(one, name) for one in windows) for name in names)
    return (
        f"{statistics.median(frozen):.2f} ({min(frozen):.2f} - {max(frozen):.2f}) | {statistics.median(gaps):.2f} | "
        f"{freezes:.0f} | {100 * over:+.2f} | {lost:.0f} | {nacks:.0f} | {plis:.0f} | {keys:.0f} | {buffered:.0f} | "
        f"{target:.0f} | {rate / 1e6:.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--role", default="main")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--codecs", nargs="+", default=["VP8"], choices=["VP8", "H264", "VP9"])
    parser.add_argument("--delays", nargs="+", type=float, default=[25.0])
    parser.add_argument("--losses", nargs="+", type=float, default=[0.0, 0.02, 0.05])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pan", type=int, default=2, help="pixels that the picture moves by; at 6 OpenH264 sees cuts")
    parser.add_argument("--mediamtx", help="its program")
    parser.add_argument("--peer", action="append", default=[], help="NAME=BASE,WHIP,WHEP")
    parser.add_argument("--janus", action="append", default=[], help="URL,AUDIO_PORT,VIDEO_PORT of its mountpoint 1")
    parser.add_argument("--calm", type=float, default=100, help="most %% that the control may stand still")
    parser.add_argument("--again", type=int, default=0, help="how often a window that was not calm is made anew")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    if given.role == "serve":
        uvloop.run(serve(given.port, 2000))
    else:
        print(json.dumps({"seed": given.seed}), file=sys.stderr)
        asyncio.run(main(given))
