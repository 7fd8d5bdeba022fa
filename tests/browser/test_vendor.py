"""The libraries that the pages load are the released files that the lock names, byte for byte."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def vendor():
    spec = importlib.util.spec_from_file_location("vendor", ROOT / "deploy" / "vendor.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_what_is_served_is_what_the_lock_says(vendor):
    lock = json.loads(vendor.LOCK.read_text())
    assert vendor.differences(lock) == []
    assert vendor.main(["--check"]) == 0


def test_every_package_comes_with_its_licence(vendor):
    for package in json.loads(vendor.LOCK.read_text())["packages"]:
        assert any(file["from"] == "LICENSE" for file in package["files"]), package["name"]


def test_a_changed_a_missing_and_a_stray_file_are_noticed(vendor, tmp_path):
    lock, copy = json.loads(vendor.LOCK.read_text()), tmp_path / "vendor"
    shutil.copytree(vendor.TARGET, copy)
    (copy / "htm.js").write_text("changed")
    (copy / "preact.js").unlink()
    (copy / "stray.js").write_text("")
    assert vendor.differences(lock, copy) == ["htm.js: changed", "preact.js: missing", "stray.js: not in the lock"]


def test_an_archive_with_another_hash_is_refused(vendor, monkeypatch):
    monkeypatch.setattr(vendor, "fetch", lambda name, version: b"something else")
    with pytest.raises(SystemExit, match="hash"):
        vendor.unpack(json.loads(vendor.LOCK.read_text())["packages"][0])
