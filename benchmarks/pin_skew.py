"""How near a pin is to its picture: read from the pixels on screen at the moment the card appears.

The host's camera is a clock (`burned_clock.js`), so each picture says when it was drawn. The host taps "Pin" in the
real studio; two viewers in real Chromium wait for the card, and the row of pixels on screen at that moment is read.
Skew is what the picture says less the moment of the tap: below zero the pin came before its picture.

`frame-true`  the watch page as it is
`at once`     the same page made to believe that nobody sees it, so that it shows a pin when it hears of it
`near`        the media straight from the relay
`late`        the media alone through the impairment relay: 200 ms, and up to 100 ms of jitter
`api`         near, pinned over HTTP without a capture time while the synthetic host is on air

    python benchmarks/pin_skew.py [--pins 40] [--seed 7] [--kinds near late api]
"""

import argparse
import asyncio
import math
import os
import random
import re
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from first_frame import ARGUMENTS, DEADLINE_S, start_demo
from playwright.async_api import Browser, Page, Route, async_playwright

from live.browser import find_chromium
from live.demo import pixel_clock

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from netem.link import Conditions
from netem.udp import UdpRelay, through

BURNED_CLOCK = (Path(__file__).parent / "burned_clock.js").read_text()
UNSEEN = "Object.defineProperty(document, 'hidden', { get: () => true });"
LATE = Conditions(delay_ms=200, jitter_ms=100)
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
VARIANT = "cookbook"
"""What the demo's own script pins last of all."""
WAIT_MS = DEADLINE_S * 1000


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--pins", type=int, default=40)
    options.add_argument("--kinds", nargs="+", default=["near", "late", "api"])
    options.add_argument("--seed", type=int, default=7)
    chosen = options.parse_args()
    kernel = os.uname()
    print(f"pin to its picture in Chromium, {chosen.pins} pins a row, {os.cpu_count()} cores, {kernel.release}; ms")
    print(f"{'':18}{'median':>8}{'p95':>8}{'max':>8}{'range':>14}{'read':>8}{'by picture':>15}")
    for kind in chosen.kinds:
        with tempfile.TemporaryDirectory() as data_dir:
            demo = await start_demo(data_dir)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    ready = msgspec.json.decode(await demo.stdout.readline())
                await measure(kind, ready, chosen.pins, chosen.seed)
            finally:
                demo.terminate()
                await asyncio.wait_for(demo.wait(), DEADLINE_S)


async def measure(kind: str, ready: dict[str, Any], pins: int, seed: int) -> None:
    async with async_playwright() as playwright, AsyncExitStack() as stack:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=[*ARGUMENTS, *CAMERA])
        headers = {"Authorization": f"Bearer {ready['host_token']}"}
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=ready["base_url"], headers=headers))
        host = None if kind == "api" else await studio(browser, ready)
        late = Conditions() if kind != "late" else LATE
        viewers = {
            "frame-true": await viewer(browser, ready, stack, late, seed, ""),
            "at once": await viewer(browser, ready, stack, late, seed, UNSEEN),
        }
        skews: dict[str, list[float]] = {name: [] for name in viewers}
        pause = random.Random(seed)
        for _ in range(pins):
            await asyncio.sleep(0.3 + pause.random() / 2)
            tapped_ms = await pin(http, ready["show_id"], host)
            for name, page in viewers.items():
                skew = await skew_ms(page, tapped_ms)
                if skew is not None:
                    skews[name].append(skew)
            await unpin(http, ready["show_id"], viewers.values())
        for name, page in viewers.items():
            notes = await page.evaluate("() => window.__showfloor.pins.filter(({by}) => by === 'picture').length")
            row(f"{kind}, {name}", skews[name], notes, pins)
        await browser.close()


async def studio(browser: Browser, ready: dict[str, Any]) -> Page:
    """A host on the air whose camera is a clock."""
    page = await browser.new_page()
    await page.add_init_script(BURNED_CLOCK + "burnedClock.useAsCamera();")
    await page.goto(f"{ready['base_url']}/studio/{ready['show_id']}#token={ready['host_token']}")
    await page.get_by_test_id("golive").click()
    await page.wait_for_selector("[data-testid=air][data-status=live]", timeout=WAIT_MS)
    return page


async def viewer(
    browser: Browser, ready: dict[str, Any], stack: AsyncExitStack, network: Conditions, seed: int, before: str
) -> Page:
    """A watch page that knows when its pictures were captured."""
    context = await browser.new_context()
    page = await context.new_page()

    async def behind(route: Route) -> None:
        answer = await route.fetch()
        sdp = await answer.text()
        found = re.search(r"a=candidate:\S+ \d+ udp \d+ (\S+) (\d+) ", sdp)
        if found is None:
            raise SystemExit(f"WHEP answered {answer.status}: {sdp[:200]}")
        relay = await stack.enter_async_context(UdpRelay((found[1], int(found[2])), seed=seed, down=network))
        await route.fulfill(response=answer, body=through(sdp, relay.port))

    if network != Conditions():
        await page.route(f"**/whep/{ready['show_id']}", behind)
    await page.add_init_script(BURNED_CLOCK + "burnedClock.watch();" + before)
    await page.goto(f"{ready['base_url']}/watch/{ready['show_id']}?stats")
    await page.wait_for_function("() => window.__showfloor.statistics?.ageMs", timeout=WAIT_MS)
    return page


async def pin(http: httpx2.AsyncClient, show: str, host: Page | None) -> float:
    """Pin; when, on the clock that the picture shows."""
    if host is None:
        now_ms = time.time_ns() / 1e6
        (await http.post(f"/api/v1/shows/{show}/pins", json={"variant_id": VARIANT})).raise_for_status()
        return now_ms
    async with host.expect_request(f"**/api/v1/shows/{show}/pins") as asked:
        await host.get_by_test_id(f"pin-{VARIANT}").click()
    captured_at_ms: float = (await asked.value).post_data_json["captured_at_ms"]
    return captured_at_ms


async def unpin(http: httpx2.AsyncClient, show: str, pages: Any) -> None:
    (await http.delete(f"/api/v1/shows/{show}/pins/{VARIANT}")).raise_for_status()
    for page in pages:
        await page.wait_for_selector(f"[data-testid=pin-card-{VARIANT}]", state="detached", timeout=WAIT_MS)
        await page.evaluate("() => { burnedClock.appeared.length = 0; }")


async def skew_ms(page: Page, tapped_ms: float) -> float | None:
    mine = f"burnedClock.appeared.find(({{card}}) => card === 'pin-card-{VARIANT}')"
    await page.wait_for_function(f"() => {mine}", timeout=WAIT_MS)
    drawn_ms = pixel_clock.read(await page.evaluate(f"() => {mine}.row"))
    if drawn_ms is None:
        return None  # a small layer's blocks can be too blurred to read; `read` says how often
    half = pixel_clock.MODULUS_MS / 2
    return (drawn_ms - tapped_ms + half) % pixel_clock.MODULUS_MS - half


def row(name: str, skews: list[float], by_picture: int, pins: int) -> None:
    if not skews:
        raise SystemExit("The picture carries no clock")
    off = sorted(abs(skew) for skew in skews)
    p95, span = off[math.ceil(0.95 * len(off)) - 1], f"{min(skews):.0f} to {max(skews):.0f}"
    print(
        f"{name:18}{statistics.median(off):8.0f}{p95:8.0f}{off[-1]:8.0f}{span:>14}{len(skews):>8}{by_picture:>12}/{pins}",
        flush=True,
    )


if __name__ == "__main__":
    asyncio.run(main())
