"""The browser's client through workers that are killed and replaced while a room talks: nothing missed, nothing twice.

What `test_rolling_restart.py` shows of the Python client, here of `socket.js` in a real page.
"""

import asyncio
import importlib.util
import os
import re
import signal
from pathlib import Path

import pytest


def _campaign():
    path = Path(__file__).parents[2] / "benchmarks" / "restart.py"
    spec = importlib.util.spec_from_file_location("restart_of_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


campaign = _campaign()
OPEN = """async ([source, show, token, resumes]) => {
    const { ShowSocket, Position } = await import(source);
    if (!resumes) Object.defineProperty(Position.prototype, "query", { get: () => ({}) });
    const heard = (window.heard = { offsets: [], snapshots: 0, recovered: [], at: 0, opened: 0 });
    const ticket = async () => {
        const headers = { authorization: `Bearer ${token}` };
        const answer = await fetch(`/api/v1/shows/${show}/tickets`, { method: "POST", headers });
        if (!answer.ok) throw Object.assign(new Error("no ticket"), { status: answer.status });
        return (await answer.json()).ticket;
    };
    const onFrame = (frame) => {
        if (frame.snapshot) heard.snapshots += 1;
        if (frame.recovered !== undefined) heard.recovered.push(frame.recovered);
        if (!frame.snapshot) heard.offsets.push(...frame.ev.map((event) => event.o));
        heard.first ??= frame.o;
        heard.at = frame.o;
    };
    const onStatus = (status) => (heard.opened += status === "open");
    window.socket = new ShowSocket({ show, ticket, onFrame, onStatus });
    window.socket.open();
}"""


async def killed(parent, worker, base_url):
    """kill -9, and its successor is there."""
    os.kill(worker, signal.SIGKILL)
    await campaign.until(lambda: worker not in campaign.workers_of(parent) and len(campaign.workers_of(parent)) == 2)
    async with asyncio.timeout(campaign.HANG_S):
        while len(await campaign.answering(base_url)) < 2:
            await asyncio.sleep(0.1)


@pytest.fixture
async def page(browser):
    context = await browser.new_context(bypass_csp=True)  # the page is ours, the test's module is not
    yield await context.new_page()
    await context.close()


async def through(service, page, *, resumes=True):
    """Sit in a page while one worker is killed, and then the other replaced; what it heard, and the last word."""
    service.options = (*service.options, "--workers", "2")
    await service.start()
    await service.sell(campaign.SHOW, "pot", stock=1)
    tokens = await campaign.guests(service.base_url, 12)
    await page.goto(f"{service.base_url}/healthz")
    async with service.client() as http:
        prefix = re.search(r"/static/\w+", (await http.get("/")).text)[0]
    source = f"{service.base_url}{prefix}/js/socket.js"
    await page.evaluate(OPEN, [source, campaign.SHOW, tokens[0], resumes])
    await page.wait_for_function("() => heard.at >= 0 && heard.snapshots === 1")
    parent = service.process.pid
    async with campaign.Room(service.base_url, tokens[1:-1], rate=5.0) as room:
        for end, worker in zip((killed, campaign.replace), campaign.workers_of(parent), strict=True):
            await end(parent, worker, service.base_url)
            said = room.said
            await campaign.until(lambda: room.said >= said + 5)  # noqa: B023 - awaited here
        last = 0
        async with asyncio.timeout(campaign.HANG_S):
            while not last:
                last = await room.say(tokens[-1], "the last word")
    await page.wait_for_function("(last) => heard.at >= last", arg=last)
    heard = await page.evaluate("() => heard")
    heard["offsets"] = [offset for offset in heard["offsets"] if offset <= last]  # somebody may have had another word
    await page.evaluate("() => socket.close()")
    return heard, last


@pytest.mark.timeout(240)
async def test_a_page_whose_server_is_killed_or_replaced_misses_nothing_and_hears_nothing_twice(service, page):
    heard, last = await through(service, page)
    assert heard["opened"] >= 2, "it sat in one of the two"
    assert heard["offsets"] == list(range(heard["first"] + 1, last + 1))
    assert heard["snapshots"] == 1
    assert set(heard["recovered"]) == {True}


@pytest.mark.timeout(240)
async def test_a_page_that_forgets_its_place_begins_anew(service, page):
    """The negative control: it is the epoch and the offset that bring what was missed."""
    heard, _ = await through(service, page, resumes=False)
    assert heard["snapshots"] >= 2
    assert heard["recovered"] == []
