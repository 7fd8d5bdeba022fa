"""What every test may ask for: real stores, a fresh migrated database, an empty logical Redis database.

The stores are started once a session, by the supervisor that the product uses.
"""

import itertools
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis.asyncio
from hypothesis import settings

from live.browser import find_chromium
from live.stores import EmbeddedStores
from live.stores.valkey import DATABASES

sys.path.append(str(Path(__file__).parent))  # for the modules beside this file; no package of ours is shadowed

from databases import Databases

_numbers = itertools.count(1)

settings.register_profile("showfloor", deadline=None)  # how long an example takes says something of the machine alone
settings.load_profile("showfloor")

LONG = ("faults", "scenarios")
"""Folders whose files are few tests and long ones."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, then those of many tests: at the end of a run no core idles beside one long file.

    `--no-loadscope-reorder` leaves it so; pytest-xdist alone looks at the number of tests.
    """
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.parent.name not in LONG, -tests[item.path], item.path))


@pytest.fixture(scope="session", autouse=True)
def _end_with_fixtures_torn_down() -> Iterator[None]:
    """SIGTERM and SIGHUP end the session as Ctrl-C does, so that no server is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _scheduled_as_any_other() -> Iterator[None]:
    """No test leaves its process a real-time one: what it starts would inherit that, and everything else starve."""
    yield
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail("This test made its process a real-time process")


@pytest.fixture(scope="session")
async def stores(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStores]:
    """Supervised Valkey and PostgreSQL: `.redis_url`, `.database_url`."""
    async with EmbeddedStores(tmp_path_factory.mktemp("stores")) as running:
        yield running


@pytest.fixture(scope="session")
async def databases(stores: EmbeddedStores) -> AsyncIterator[Databases]:
    """Migrated databases on the stores' server."""
    made = Databases(stores.database_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """The address of a migrated database without a row of another test, this test's alone."""
    async with databases.one() as url:
        yield url


@pytest.fixture
async def pg(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on this test's database."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=8) as pool:
        yield pool


@pytest.fixture
async def redis_url(stores: EmbeddedStores) -> AsyncIterator[str]:
    """The address of an empty logical database. Pub/sub channels are shared by all of them: name yours by its show."""
    url = f"{stores.redis_url}?db={next(_numbers) % (DATABASES - 1) + 1}"
    async with redis.asyncio.from_url(url) as client:
        await client.flushdb()
        yield url
        await client.flushdb()


@pytest.fixture(name="redis")
async def redis_client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of this test's logical database; answers are bytes."""
    async with redis.asyncio.from_url(redis_url, decode_responses=False) as client:
        yield client


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of this machine's Chromium; `make test` installs one where there is none."""
    found = find_chromium()
    assert found, "No Chromium: run `make test`, which installs one, or set CHROMIUM to its path"
    return found


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], chromium: str) -> dict[str, Any]:
    """How pytest-playwright launches it: with a synthetic camera and microphone, and without calls home."""
    return browser_type_launch_args | {
        "executable_path": chromium,
        "args": [
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ],
    }
