"""The whole job in real browsers: a host's camera, a viewer's purchase, an operator's desk."""

import asyncio

import pytest
from playwright.async_api import expect

SHOW, VARIANT, STOCK = "story", "pot-blue", 8
WAIT_MS = 20_000

FRAMES = "() => document.querySelector('[data-testid=video]').getVideoPlaybackQuality().totalVideoFrames"
MORE_FRAMES = f"before => ({FRAMES})() > before + 15"
# One pixel of the picture as it is on screen, over and over: a still or black picture has one colour.
COLOURS = """async () => {
    const video = document.querySelector('[data-testid=video]');
    const canvas = new OffscreenCanvas(64, 48);
    const seen = new Set();
    for (let shown = 0; shown < 10; shown += 1) {
        await new Promise(done => video.requestVideoFrameCallback(done));
        const pen = canvas.getContext('2d');
        pen.drawImage(video, 0, 0, 64, 48);
        seen.add(pen.getImageData(0, 0, 64, 48).data.join());
    }
    return seen.size;
}"""


@pytest.fixture
async def open_page(browser_type, browser_type_launch_args):
    """Open pages, each in a browser process of its own; `page.context.browser.close()` ends one of them."""
    browsers = []

    async def opened(url):
        browser = await browser_type.launch(**browser_type_launch_args)
        browsers.append(browser)
        context = await browser.new_context(viewport={"width": 1280, "height": 800}, permissions=[])
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        await page.goto(url)
        return page

    yield opened
    for browser in browsers:
        await browser.close()


@pytest.mark.timeout(180)
async def test_a_show_from_the_hosts_camera_to_the_refund(service, open_page):
    await service.start()
    host, operator = await service.sell(SHOW, VARIANT, stock=STOCK, limit=3, price=4900)

    studio = await open_page(f"{service.base_url}/studio/{SHOW}#token={host}")
    await studio.get_by_test_id("golive").click()
    await expect(studio.get_by_test_id("stop")).to_be_visible(timeout=WAIT_MS)
    assert host not in studio.url  # the token does not stay in the address bar

    watch = await open_page(f"{service.base_url}/watch/{SHOW}")
    await watch.wait_for_function(MORE_FRAMES, arg=0)
    assert await watch.evaluate(COLOURS) > 1
    console = await open_page(f"{service.base_url}/console/{SHOW}#token={operator}")
    await board(console, on_hand=8, held=0, sold=0, available=8)

    await studio.get_by_test_id(f"pin-{VARIANT}").click()
    await expect(watch.get_by_test_id(f"pin-card-{VARIANT}")).to_be_visible(timeout=WAIT_MS)

    await watch.get_by_test_id("chat-input").fill("how heavy is it?")
    await watch.get_by_test_id("chat-input").press("Enter")
    await expect(studio.get_by_test_id("chat-list")).to_contain_text("how heavy is it?", timeout=WAIT_MS)

    await watch.get_by_test_id(f"buy-{VARIANT}").click()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible(timeout=WAIT_MS)
    first = await watch.get_by_test_id("hold-timer").text_content()
    await expect(watch.get_by_test_id("hold-timer")).not_to_have_text(first)  # it runs
    await board(console, on_hand=8, held=1, sold=0, available=7)
    await stock_left(studio, 7)

    before = await watch.evaluate(FRAMES)
    await watch.get_by_test_id("pay-ok").click()
    order = await watch.get_by_test_id("order-id").text_content()
    assert order.startswith("ord")
    await board(console, on_hand=7, held=0, sold=1, available=7)
    await watch.get_by_test_id("order-close").click()
    await stock_left(watch, 7)
    await watch.wait_for_function(MORE_FRAMES, arg=before)  # the video never stopped

    await console.get_by_test_id(f"restock-{VARIANT}").click()
    await board(console, on_hand=17, held=0, sold=1, available=17)
    await stock_left(watch, 17)
    await stock_left(studio, 17)

    await console.get_by_test_id(f"refund-{order}").click()
    await console.get_by_test_id("confirm-yes").click()
    await board(console, on_hand=18, held=0, sold=1, available=18)
    async with service.client(operator) as http:
        refunded = (await http.get(f"/api/v1/orders/{order}")).json()
    assert (refunded["state"], refunded["refunded"]["amount"]) == ("refunded", 4900)

    await watch.evaluate("() => { window.__sameDocument = true }")
    await studio.context.browser.close()
    await watch_stalls(watch)
    returned = await open_page(f"{service.base_url}/studio/{SHOW}#token={host}")
    await returned.get_by_test_id("golive").click()
    await watch.wait_for_function(MORE_FRAMES, arg=await watch.evaluate(FRAMES))
    assert await watch.evaluate("() => window.__sameDocument")  # nobody reloaded
    assert await watch.evaluate(COLOURS) > 1

    await console.get_by_test_id("sales-switch").click()
    await console.get_by_test_id("confirm-yes").click()
    await expect(watch.get_by_test_id(f"buy-{VARIANT}")).to_be_disabled(timeout=WAIT_MS)

    assert [page.problems for page in (watch, console, returned)] == [[], [], []]
    verdict = service.run("verify", SHOW)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


async def board(console, **columns):
    for column, units in columns.items():
        cell = console.get_by_test_id(f"board-{VARIANT}-{column}")
        await expect(cell).to_have_text(str(units), timeout=WAIT_MS)


async def stock_left(page, units):
    note = page.get_by_test_id(f"stock-{VARIANT}").first
    await expect(note).to_have_attribute("data-available", str(units), timeout=WAIT_MS)


async def watch_stalls(watch):
    """Return once no frame has come for two seconds: the host is really gone."""
    still, frames = 0, await watch.evaluate(FRAMES)
    async with asyncio.timeout(30):
        while still < 4:
            await watch.wait_for_timeout(500)
            now = await watch.evaluate(FRAMES)
            still, frames = (still + 1, frames) if now == frames else (0, now)
