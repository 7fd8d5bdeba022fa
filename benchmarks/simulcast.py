"""A viewer with 300 kb/s beside one with room: which layer each plays, how long it stands still, how soon it is back.

    python benchmarks/simulcast.py                     # three runs, some 70 s each
    python benchmarks/simulcast.py --runs 1 --rate-bps 500000

A real Chromium publishes three layers (320, 640 and 1280 wide, at most 150, 500 and 1,500 kb/s); two more watch, one of
them behind the project's impairment relay with a bottleneck of `--rate-bps` and a queue of 32 KB. In each run, with a
server and a browser of its own:

`joins`    the bottleneck is there from the start: `--watch` seconds from the first picture of the low layer on
`lifted`   it goes: seconds until the high layer is on the screen
`narrows`  it comes back at once in the middle of the high layer: seconds until the low one is on the screen, and how
           long the picture stood still in the `--watch` seconds from then on; `longest` is one such time
`lifted`   again

Stood still: an interval between two pictures on the screen over max(3 x the median, the median + 150 ms), as
`freeze.py` counts them. `beside` is the same of the viewer with room, at the same time.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import Browser, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.append(str(Path(__file__).parent.parent / "tests"))

from freeze import ARGUMENTS, blank, ours
from netem.front import Front
from netem.link import Conditions

from live.browser import find_chromium

TAB = (Path(__file__).parents[1] / "tests" / "media" / "peers" / "tab.js").read_text()
LAYERS = [
    {"rid": "x", "maxBitrate": 150_000, "scaleResolutionDownBy": 4},
    {"rid": "y", "maxBitrate": 500_000, "scaleResolutionDownBy": 2},
    {"rid": "z", "maxBitrate": 1_500_000},
]
LOW, HIGH = 320, 1280
"""How wide they are."""
DEADLINE_S = 60
NOTE = """() => {
    const video = document.querySelector('video');
    window.seen = [];
    const note = (_, frame) => {
        seen.push([frame.presentationTime, frame.width]);
        video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
}"""


class Stood(NamedTuple):
    """Of one viewer, in ms."""

    still_ms: float
    longest_ms: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.still_ms / 1000:.2f} s of {self.seconds:.0f} ({self.longest_ms:.0f} ms)"


class Run(NamedTuple):
    """What one run has shown."""

    joined: Stood
    beside_joined: Stood
    back_s: float
    down_s: float
    narrowed: Stood
    beside_narrowed: Stood
    again_s: float


def stood(times_ms: list[float]) -> Stood:
    """Of the times of its pictures, and of the beginning and the end."""
    gaps = [later - sooner for sooner, later in pairwise(times_ms)]
    usual = statistics.median(gaps)
    return Stood(
        sum(gap for gap in gaps if gap > max(3 * usual, usual + 150)), max(gaps), (times_ms[-1] - times_ms[0]) / 1000
    )


class Watcher:
    """One viewer's page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def mark(self) -> float:
        """Now, on the page's clock; what was before is forgotten."""
        at_ms: float = await self.page.evaluate("() => { seen = []; return performance.now(); }")
        return at_ms

    async def stood_since(self, mark_ms: float) -> Stood:
        times = await self.page.evaluate("() => [...seen.map(([at]) => at), performance.now()]")
        return stood([mark_ms, *times])

    async def shows(self, width: int) -> float:
        """Seconds from now until a picture so wide is on the screen."""
        began_ms = await self.page.evaluate("() => performance.now()")
        find = f"() => seen.find(([at, width]) => width === {width} && at > {began_ms})"
        at_ms = (await (await self.page.wait_for_function(find, timeout=DEADLINE_S * 1000)).json_value())[0]
        return float(at_ms - began_ms) / 1000


async def watcher(browser: Browser, base: str, name: str, stack: contextlib.AsyncExitStack) -> Watcher:
    page = await blank(browser, base, stack, TAB)
    await page.evaluate("args => play(...args)", ["demo", name])
    await page.evaluate(NOTE)
    return Watcher(page)


async def run(browser: Browser, base: str, given: argparse.Namespace) -> Run:
    narrow = Conditions(rate_bps=given.rate_bps, delay_ms=given.delay_ms)
    async with contextlib.AsyncExitStack() as stack:
        host = await blank(browser, base, stack, TAB)
        await host.evaluate("args => publishLayers(...args)", ["demo", "host", LAYERS])
        free = await watcher(browser, base, "free", stack)
        await free.shows(HIGH)
        up = Conditions(delay_ms=given.delay_ms)
        front = await stack.enter_async_context(Front(base, seed=given.seed, down=narrow, up=up))
        one = await watcher(browser, front.base_url, "narrow", stack)
        await one.shows(LOW)
        joined, beside_joined = await watch(one, free, given.watch)
        front.set(down=Conditions(delay_ms=given.delay_ms))
        back_s = await one.shows(HIGH)
        await asyncio.sleep(5)  # so that it is used to it
        front.set(down=narrow)
        looking = asyncio.ensure_future(one.shows(LOW))
        narrowed, beside_narrowed = await watch(one, free, given.watch)
        down_s = await looking
        front.set(down=Conditions(delay_ms=given.delay_ms))
        return Run(joined, beside_joined, back_s, down_s, narrowed, beside_narrowed, await one.shows(HIGH))


async def watch(one: Watcher, free: Watcher, seconds: float) -> tuple[Stood, Stood]:
    marks = await one.mark(), await free.mark()
    await asyncio.sleep(seconds)
    return await one.stood_since(marks[0]), await free.stood_since(marks[1])


async def main(given: argparse.Namespace) -> None:
    load, began = os.getloadavg()[0], time.monotonic()
    found = []
    async with async_playwright() as playwright:
        for _ in range(given.runs):
            browser = await playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
            async with ours() as server:
                found.append(await run(browser, server.base, given))
            await browser.close()
            print(found[-1], file=sys.stderr)
    print(f"\n## Simulcast: a viewer with {given.rate_bps / 1000:g} kb/s beside one with room\n")
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, load before {load:.2f}, ", end="")
    print(f"after {os.getloadavg()[0]:.2f}, {time.monotonic() - began:.0f} s; seed {given.seed}\n")
    print("| joins narrow: stood still (longest) | beside | lifted: high after s ", end="")
    print("| narrows: low after s | stood still (longest) | beside | lifted: high after s |")
    print("|---" * 7 + "|")
    for one in found:
        first = f"{one.joined} | {one.beside_joined} | {one.back_s:.1f}"
        print(f"| {first} | {one.down_s:.1f} | {one.narrowed} | {one.beside_narrowed} | {one.again_s:.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate-bps", type=int, default=300_000)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="each way")
    parser.add_argument("--watch", type=float, default=15)
    parser.add_argument("--seed", type=int, default=7)
    asyncio.run(main(parser.parse_args()))
