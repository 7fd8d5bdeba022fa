"""The relay's harness behind a bad network: what it counts as resent and as lost, and that a seed is a seed."""

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from relay import window
from relay.__main__ import _us, ours
from relay.network import Network, Way
from relay.report import report
from relay.viewers import STILL_NS, Line, Screen, Viewer

ANSWER = "a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
DEADLINE_S = 30


def line(*numbers, first=0) -> Line:
    found = Line(ssrc=1, first=first)
    for number in numbers:
        found.odd(number)
    return found


def test_what_comes_again_was_lost_on_the_way_and_not_in_the_end():
    one = line(1, 4, 2, 5)  # 2 is mended, 3 is not
    assert (one.came, one.resent, one.never(0, 5)) == (5, 1, 1)
    assert one.lost() == (256 * 2 // 6, 2)  # what a report says is of before any repair


def test_a_window_answers_for_its_own_numbers():
    one = line(2, 4, 6)
    assert [one.never(*span) for span in [(0, 2), (2, 4), (2, 6), (6, 9)]] == [1, 1, 2, 0]


def test_a_report_tells_of_the_time_since_the_last_one():
    one = line(2, 3)
    assert one.lost() == (64, 1)
    one.odd(4)
    assert one.lost() == (0, 1)


def test_numbers_are_counted_on_where_they_wrap():
    one = line(0, 2, 1, first=0xFFFF)
    assert (one.highest, one.came, one.resent, one.missing) == (0x10002, 4, 1, {})


MS = 1_000_000


def stood(*shown_ms, until_ms=10_000):
    """In ms, of a screen that showed pictures at these, and was looked at before and at the end."""
    screen = Screen()
    screen.shows(1 * MS)
    assert screen.stood_still(1 * MS) == 0
    for ms in shown_ms:
        screen.shows((1 + ms) * MS)
    return screen.stood_still((1 + until_ms) * MS) / MS


def test_a_picture_stands_still_when_the_next_one_is_a_good_deal_later_than_the_mean():
    """190 ms at 25 pictures a second."""
    assert STILL_NS == 190 * MS
    assert stood(40, 80, 270, 310, until_ms=350) == 0
    assert stood(40, 80, 271, 310, until_ms=350) == 191
    assert stood(40, 80, until_ms=600) == 520  # and stands still


def test_who_sees_no_picture_at_all_has_stood_still_from_the_first_look_on():
    screen = Screen()
    assert screen.stood_still(1000 * MS) == 0
    assert screen.stood_still(3000 * MS) == 2000 * MS
    assert screen.stood_still(3100 * MS) == 0  # that is no freeze yet
    assert screen.stood_still(3300 * MS) == 300 * MS


FIGURES = {
    "us": 7.0, "user": 4.0, "sys": 3.0, "busy": 0.2, "resent": 0.0, "lost": 0.0, "overflow": 0, "frozen": 0.0,
    "p50": 8.0, "p99": 17.0, "first_ms": [20.0, 40.0], "foreign": 0.0,
}  # fmt: skip


def test_the_table_has_the_median_and_the_range_of_each_figure(capsys):
    given = SimpleNamespace(repeats=3, window=2.0, loss=0.0, delay=0.0)
    rows = [
        FIGURES | {"user": 4.0 + n, "frozen": n / 100, "overflow": n, "first_ms": [20.0 + n, 40.0]} for n in range(3)
    ]
    bare = [{"us": 2.0, "user": 0.5, "sys": 1.5, "busy": 0.1}] * 3
    report({("ours", 50): rows, ("limit", 50): bare}, given, (0.0, 0.0, 0.0))
    head, line, ours_row, limit_row = [one for one in capsys.readouterr().out.splitlines() if one.startswith("|")]
    columns = [cell.strip() for cell in head.split("|")]
    assert {row.count("|") for row in (line, ours_row, limit_row)} == {head.count("|")}
    told = dict(zip(columns, (cell.strip() for cell in ours_row.split("|")), strict=True))
    assert told["windows"] == "3"
    assert (told["user"], told["sys"]) == ("5.0 (4.0 - 6.0)", "3.0 (3.0 - 3.0)")
    assert (told["frozen"], told["load lost"]) == ("1.00 (0.00 - 2.00) %", "1 (0 - 2)")
    assert (told["first ms: p50"], told["p95"]) == ("40 (40 - 40)", "40 (40 - 40)")


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


@pytest.fixture
async def server():
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, ("127.0.0.1", 0))
    yield ANSWER.format(port=transport.get_extra_info("sockname")[1])
    transport.close()


async def come_back(network: Network, description: str, number: int, *, worse=True) -> set[bytes]:
    """Which of a hundred datagrams viewer `number` gets back, when all that come have come."""
    place = (await network.through(description, number)).split()[5]
    came: set[bytes] = set()
    last = asyncio.Event()

    class Heard(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            came.add(data)
            if data == b"last":
                last.set()

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Heard, remote_addr=("127.0.0.1", int(place))
    )
    if worse:
        network.worsen()
    for at in range(100):
        transport.sendto(b"%d" % at)
    async with asyncio.timeout(DEADLINE_S):
        while not last.is_set():
            transport.sendto(b"last")
            await asyncio.sleep(0.01)
    transport.close()
    return came - {b"last"}


async def test_without_loss_and_delay_nothing_stands_between(server):
    async with Network(Way()) as network:
        assert await network.through(server, 0) == server


async def test_nobody_joins_through_loss(server):
    async with Network(Way(loss_percent=30)) as network:
        assert len(await come_back(network, server, 0, worse=False)) == 100
        assert network.dropped() == 0


async def test_a_viewer_loses_the_same_packets_again_and_its_neighbour_and_another_seed_others(server):
    found = []
    for seed, number in [(7, 3), (7, 3), (7, 4), (8, 3)]:
        async with Network(Way(loss_percent=30, seed=seed)) as network:
            found.append(await come_back(network, server, number))
            assert network.dropped() > 0
    assert found[0] == found[1]
    assert found[2] != found[0] != found[3]
    assert all(20 < len(one) < 80 for one in found)  # 49 on average: lost on either way


@pytest.fixture
def on_air():
    """Our server and the harness's host, as a window has them."""
    with ours(["pure"]) as (server,):
        host = subprocess.Popen(_us("publish", "--url", server.whip), stdout=subprocess.PIPE)
        assert host.stdout.readline()
        yield server, host.pid
        host.kill()
        host.wait()


@pytest.mark.parametrize("asks", [True, False])
async def test_what_is_lost_on_the_way_is_resent_or_else_it_is_lost_in_the_end(on_air, monkeypatch, asks):
    server, host = on_air
    monkeypatch.setattr(window, "WORSE_S", 0.2)
    monkeypatch.setattr(window, "REPAIR_S", 1.0)
    if not asks:
        monkeypatch.setattr(Viewer, "ask", lambda *_: None)
    found = await window.watch(server, 3, 0.5, host, Way(loss_percent=10, delay_ms=5))
    assert found["dropped"] > 0
    assert (found["resent"] > 0.03, found["lost"] < 0.03) == (asks, asks)
    # One that never comes is a freeze for good; how long the others are is also the machine's doing.
    assert asks or found["frozen"] > 0.8
