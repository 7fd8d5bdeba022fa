import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import httpx2
import msgspec
import pytest
from playwright.async_api import expect

READY_S, END_S = 60, 40


class Demo:
    """`showfloor demo --headless --json` as a script runs it."""

    def __init__(self, data_dir, *options):
        self.data_dir, self.options = data_dir, options
        self.log = data_dir.parent / "demo.log"

    async def start(self):
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "live", "demo", "--headless", "--seed", "7", "--json", "--port", "0"),
                *("--data-dir", str(self.data_dir), *self.options),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=os.environ | {"REDIS_URL": "", "DATABASE_URL": ""},
            )
        line = await asyncio.wait_for(self.process.stdout.readline(), READY_S)
        assert line, self.log.read_text()
        self.ready = msgspec.json.decode(line)
        return self

    async def end(self):
        """What else stood on its standard output, and its exit status."""
        rest = await asyncio.wait_for(self.process.stdout.read(), END_S)
        return rest, await asyncio.wait_for(self.process.wait(), END_S)


@pytest.fixture
async def demo(tmp_path):
    made = []

    def prepare(*options):
        made.append(Demo(tmp_path / "data", *options))
        return made[-1]

    yield prepare
    for each in made:
        if each.process.returncode is None:
            each.process.terminate()
            await each.end()


def running(what):
    """The processes with this in their command line or environment's working files, besides ours."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if what in line:
                found.append((int(entry.name), line))
    return found


def is_running(pid):
    return "\nState:\tZ" not in (status(pid) or "\nState:\tZ")


def status(pid):
    """What Linux says of a process; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


async def until(true, what):
    end = time.monotonic() + END_S
    while not true():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_the_demo_says_one_line_plays_and_ends_by_itself(demo, browser):
    show = await demo("--viewers", "5", "--duration", "20").start()
    ready = show.ready
    assert set(ready) == {
        *("base_url", "show_id", "server_pid", "publisher_pid", "media_udp_port", "host_token", "operator_token")
    }
    assert is_running(ready["server_pid"])
    assert is_running(ready["publisher_pid"])

    page = await browser.new_page()
    await page.goto(f"{ready['base_url']}/watch/{ready['show_id']}")
    await page.wait_for_function(
        "() => document.querySelector('[data-testid=video]')?.getVideoPlaybackQuality().totalVideoFrames > 30"
    )
    await expect(page.get_by_test_id("viewers")).not_to_have_text("0")
    await page.close()

    rest, status = await show.end()
    assert (rest, status) == (b"", 0), show.log.read_text()
    assert running(str(show.data_dir)) == []
    assert not is_running(ready["publisher_pid"])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_all_of_it(demo, number):
    show = await demo("--viewers", "3").start()
    show.process.send_signal(number)
    rest, status = await show.end()
    assert (rest, status) == (b"", 0), show.log.read_text()
    assert running(str(show.data_dir)) == []
    assert not is_running(show.ready["publisher_pid"])


@pytest.mark.timeout(180)
async def test_after_kill_9_host_and_crowd_leave_and_the_next_start_goes_on_with_the_same_shop(demo):
    # The crowd's first purchases come with the first pin, half a minute into the show: long after this test.
    show = await demo("--viewers", "3", "--load").start()
    before = show.ready
    await until(lambda: crowd_of(before), "no crowd came")
    crowd = crowd_of(before)
    async with httpx2.AsyncClient(base_url=before["base_url"], timeout=30) as http:
        path = f"/api/v1/shows/{before['show_id']}"
        guest = (await http.post(f"{path}/guests")).json()
        headers = {"Authorization": f"Bearer {guest['viewer_token']}", "Idempotency-Key": "one"}
        hold = (await http.post(f"{path}/holds", json={"variant_id": "cookbook"}, headers=headers)).json()
        stock = stock_of((await http.get(path)).json())
    assert (hold["state"], stock["cookbook"]["available"]) == ("held", 0)
    os.kill(before["server_pid"], signal.SIGKILL)
    await show.process.wait()
    await until(lambda: not is_running(before["publisher_pid"]), "the host outlived the server")
    await until(lambda: not any(map(is_running, crowd)), "the crowd outlived the server")
    stores = {pid for pid, line in running(str(show.data_dir)) if "bin/postgres " in line or "valkey-server" in line}
    assert stores, "kill -9 reaches the program alone"

    after = (await show.start()).ready
    assert after["show_id"] == before["show_id"]
    assert after["server_pid"] != before["server_pid"]
    assert stores <= {pid for pid, _ in running(str(show.data_dir))}  # adopted, not started again
    async with httpx2.AsyncClient(base_url=after["base_url"], timeout=30) as http:
        found = await http.get(f"/api/v1/holds/{hold['hold_id']}", headers=headers)
        assert (found.json()["state"], found.json()["expires_at_ms"]) == ("held", hold["expires_at_ms"])
        assert stock_of((await http.get(path)).json()) == stock


def crowd_of(ready):
    """The pids of the crowd that this demo's server has started."""
    server = f"\nPPid:\t{ready['server_pid']}\n"
    return [pid for pid, _ in running("live.demo.viewers") if server in status(pid)]


def stock_of(show):
    return {item["variant_id"]: item["stock"] for item in show["items"]}


@pytest.mark.timeout(180)
async def test_a_host_that_was_killed_is_back_by_itself_in_the_same_show(demo):
    show = await demo("--viewers", "0").start()
    ready = show.ready
    async with httpx2.AsyncClient(base_url=ready["base_url"], timeout=30) as http:
        path = f"/api/v1/shows/{ready['show_id']}"

        async def present():
            return (await http.get(path)).json()["host_present"]

        assert await present()
        os.kill(ready["publisher_pid"], signal.SIGKILL)
        async with asyncio.timeout(END_S):
            while await present():
                await asyncio.sleep(0.1)
            while not await present():
                await asyncio.sleep(0.1)
