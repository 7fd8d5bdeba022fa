"""The parent of several processes: coming up, being refused, going down."""

import asyncio
import os
import socket
from pathlib import Path

import httpx2
import pytest

from live.place import make_folder
from live.server import StartError, bind, serve
from live.settings import Settings
from live.stores import find_running
from live.stores.embedded import sockets_dir

DEADLINE_S = 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.read(environ={}, data_dir=tmp_path / "data", port=0, workers=2)


def taken(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_all_of_them_answer_once_it_is_ready_and_nothing_is_left_behind(settings):
    ready = asyncio.get_running_loop().create_future()

    async def opened(bound):
        ready.set_result(bound)

    serving = asyncio.create_task(serve(settings, ready=opened))
    await asyncio.wait({serving, ready}, timeout=DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
    bound = ready.result()
    assert (bound.port != 0, bound.media_udp_port != 0) == (True, True)
    with pytest.raises(StartError, match="cannot be used"):
        bind(bound)  # another program finds the port taken
    async with asyncio.timeout(DEADLINE_S):
        seen = set()
        while seen != {0, 1}:
            async with httpx2.AsyncClient(base_url=bound.base_url) as client:
                seen.add((await client.get("/healthz")).json()["worker"])
    serving.cancel()
    await asyncio.wait({serving}, timeout=DEADLINE_S)
    assert serving.cancelled()
    assert not taken(bound.port)
    assert await find_running(settings.data_dir) is None
    assert list(sockets_dir(settings.data_dir).glob("w*")) == []


async def test_a_port_that_is_taken_is_refused_and_named(settings, monkeypatch):
    monkeypatch.setattr("live.workers.CLAIM_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:  # even one that would share it
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port} cannot be used"):
            await serve(Settings.read(environ={}, data_dir=settings.data_dir, port=port, workers=2))


async def test_a_worker_that_cannot_start_ends_all(settings):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        refused = Settings.read(
            environ={}, data_dir=settings.data_dir, port=0, workers=2, media_udp_port=port if port < 65535 else 65534
        )
        with pytest.raises(StartError, match="A worker did not start"):
            await asyncio.wait_for(serve(refused), DEADLINE_S)
    assert await find_running(settings.data_dir) is None


def test_the_folder_of_a_parent_that_was_killed_is_removed(settings):
    left = make_folder(settings.data_dir)
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    ghost = left.with_name(f"w{child}")
    left.rename(ghost)
    (ghost / "0.http").touch()
    mine = make_folder(settings.data_dir)
    assert sorted(sockets_dir(settings.data_dir).glob("w*")) == [mine]
    assert mine.stat().st_mode & 0o777 == 0o700
