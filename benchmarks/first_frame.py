"""Time from opening the watch page to the first frame on screen, in Chromium.

A demo of its own process with its synthetic host; one Chromium process for each repeat ("cold": nothing cached,
nothing warm) and further tabs in one process ("warm": the pages cached, the process running). Beside it, in the same
browsers, the hub page, which has no video: what Chromium itself needs to open one of our pages ("paint").

`page`   navigation start to the first frame presented (requestVideoFrameCallback's clock)
`offer`  the same from the WHEP offer: what the relay and the connection cost
`paint`  navigation start to the first contentful paint of the hub page: the limit on this machine

    python benchmarks/first_frame.py [--repeats 10] [--base-url URL --show SHOW]
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile

import msgspec
from playwright.async_api import Browser, Playwright, async_playwright

from live.browser import find_chromium

ARGUMENTS = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DEADLINE_S = 60
FIRST_FRAME = "() => window.__showfloor?.firstFrameMs"
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--repeats", type=int, default=10)
    options.add_argument("--base-url", help="a running server; else a demo is started")
    options.add_argument("--show", default="demo")
    chosen = options.parse_args()
    if chosen.base_url:
        await measure(chosen.base_url, chosen.show, chosen.repeats)
        return
    with tempfile.TemporaryDirectory() as data_dir:
        demo = await start_demo(data_dir)
        try:
            async with asyncio.timeout(DEADLINE_S):
                ready = msgspec.json.decode(await demo.stdout.readline())
            await measure(ready["base_url"], ready["show_id"], chosen.repeats)
        finally:
            demo.terminate()
            await asyncio.wait_for(demo.wait(), DEADLINE_S)


async def start_demo(data_dir: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "live", "demo", "--headless", "--json", "--viewers", "0", "--port", "0", "--load"),
        *("--data-dir", data_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def measure(base_url: str, show: str, repeats: int) -> None:
    figures: dict[str, list[float]] = {}
    async with async_playwright() as playwright:
        for _ in range(repeats):
            browser = await launch(playwright)
            await open_once(browser, base_url, show, "cold", figures)
            await browser.close()
        browser = await launch(playwright)
        for _ in range(repeats + 1):
            await open_once(browser, base_url, show, "warm", figures)
        await browser.close()
    figures = {name: values[1:] if name.startswith("warm") else values for name, values in figures.items()}
    version = os.uname()
    print(f"first frame in Chromium, {repeats} repeats, {os.cpu_count()} cores, {version.sysname} {version.release}")
    print(f"{'':12}{'median':>9}{'p95':>9}{'range':>16}   ms")
    for name, values in figures.items():
        values.sort()
        p95 = values[min(len(values) - 1, round(0.95 * len(values)))]
        span = f"{values[0]:.0f}-{values[-1]:.0f}"
        print(f"{name:12}{statistics.median(values):9.0f}{p95:9.0f}{span:>16}")
    for kind in ("cold", "warm"):
        ratio = statistics.median(figures[f"{kind} page"]) / statistics.median(figures[f"{kind} paint"])
        print(f"{kind}: first frame / first paint of a plain page = {ratio:.2f}")


async def launch(playwright: Playwright) -> Browser:
    path = find_chromium()
    if path is None:
        raise SystemExit("No Chromium: run `make test` once, or set CHROMIUM to its path")
    return await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)


async def open_once(browser: Browser, base_url: str, show: str, kind: str, figures: dict[str, list[float]]) -> None:
    """One tab on the watch page, then one on a plain page; what each took, in ms."""
    page = await browser.new_page()
    await page.goto(f"{base_url}/watch/{show}")
    await page.wait_for_function(FIRST_FRAME, timeout=DEADLINE_S * 1000)
    figures.setdefault(f"{kind} page", []).append(await page.evaluate(FIRST_FRAME))
    offer = await page.evaluate("() => window.__showfloor.firstFrameAfterOfferMs")
    figures.setdefault(f"{kind} offer", []).append(offer)
    await page.close()
    page = await browser.new_page()
    await page.goto(base_url)
    await page.wait_for_function(PAINT, timeout=DEADLINE_S * 1000)
    figures.setdefault(f"{kind} paint", []).append(await page.evaluate(PAINT))
    await page.close()


if __name__ == "__main__":
    asyncio.run(main())
