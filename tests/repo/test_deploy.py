"""What is shipped: the compose file, the image, the locks, the Makefile."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from live.settings import PREFIX, UNPREFIXED, Settings

ROOT = Path(__file__).resolve().parents[2]
LOCKS = [ROOT / "deploy/requirements.txt", ROOT / "deploy/requirements-test.txt"]


def compose() -> dict:
    return YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def check_schema(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [program, "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_compose_file_follows_the_compose_specification():
    assert check_schema(ROOT / "docker-compose.yml").returncode == 0


def test_a_compose_file_that_does_not_is_noticed(tmp_path):
    bad = tmp_path / "docker-compose.yml"
    bad.write_text((ROOT / "docker-compose.yml").read_text().replace("healthcheck:", "healthchek:"))
    assert check_schema(bad).returncode == 1


def test_every_port_is_published_on_loopback_unless_asked_otherwise():
    ports = [port for service in compose()["services"].values() for port in service["ports"]]
    assert len(ports) == 5
    for port in ports:
        assert re.match(r"127\.0\.0\.1:|\$\{MEDIA_BIND:-127\.0\.0\.1\}:", port), port


def test_the_stores_of_the_compose_file_are_durable_and_waited_for():
    services = compose()["services"]
    command = services["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert {name: wait["condition"] for name, wait in services["app"]["depends_on"].items()} == {
        "redis": "service_healthy",
        "postgres": "service_healthy",
    }
    assert all(services[name]["healthcheck"] for name in ("redis", "postgres"))


def test_every_setting_reaches_the_service_by_a_file_that_stays_out_of_the_repository_and_the_image():
    assert compose()["services"]["app"]["env_file"] == [{"path": ".env", "required": False}]
    for ignored in (".gitignore", ".dockerignore"):
        assert ".env" in (ROOT / ignored).read_text().splitlines()


def test_every_variable_of_the_compose_file_and_the_image_is_a_setting():
    dockerfile = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    names = {*compose()["services"]["app"]["environment"], *re.findall(r"\bSHOWFLOOR_[A-Z_]+(?==)", dockerfile)}
    known = {*UNPREFIXED, *(PREFIX + name.upper() for name in Settings.__struct_fields__)}
    assert len(names) >= 6
    assert names <= known


def test_the_image_runs_as_a_plain_user_on_the_ports_of_the_compose_file():
    dockerfile = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER showfloor$", dockerfile, re.MULTILINE)
    exposed = set(re.search(r"^EXPOSE (.*)$", dockerfile, re.MULTILINE)[1].split())
    inner = {port.rpartition(":")[2] for port in compose()["services"]["app"]["ports"]}
    assert exposed == inner


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_download_address_and_a_hash_for_each_package(lock: Path):
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    for package in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in package, package


def pins(lock: Path) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize(("lock", "extras"), [(LOCKS[0], ()), (LOCKS[1], ("test",))], ids=["runtime", "test"])
def test_a_lock_meets_every_requirement_of_the_project(lock: Path, extras: tuple[str, ...]):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    optional = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted += [requirement for extra in extras for requirement in optional[extra]]
    locked = pins(lock)
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement


def test_the_two_locks_agree():
    runtime, test = map(pins, LOCKS)
    assert runtime.items() <= test.items()


def test_the_notices_name_every_vendored_library_and_its_licence_stands_beside_it():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    vendored = json.loads((ROOT / "deploy/vendor.lock.json").read_text(encoding="utf-8"))["packages"]
    assert vendored
    for package in vendored:
        assert package["name"] in notice
        assert package["license"] in notice
        licences = [file["to"] for file in package["files"] if file["from"].startswith("LICEN")]
        assert licences, package["name"]
        for name in licences:
            assert (ROOT / "live/web/static/vendor" / name).exists()


def test_make_lists_every_chore_and_ci_runs_what_the_readme_says():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for chore in ("demo", "test", "check", "bench", "format", "lock"):
        assert re.search(rf"^make {chore}\b", listed, re.MULTILINE)
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "exec make test"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
