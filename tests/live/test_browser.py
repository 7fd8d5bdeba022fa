"""Which Chromium is taken."""

from pathlib import Path

import pytest

from live.browser import find_chromium


@pytest.fixture
def bare(monkeypatch, tmp_path: Path) -> Path:
    """A machine without any browser."""
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    return tmp_path


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_a_bare_machine_has_none(bare):
    assert find_chromium() is None


def test_one_on_the_path_is_taken_before_playwright_s(bare):
    downloaded = program(bare / "playwright" / "chromium-1200" / "chrome-linux64" / "chrome")
    assert find_chromium() == downloaded
    installed = program(bare / "bin" / "chromium")
    assert find_chromium() == installed


def test_the_one_asked_for_is_taken_or_none(bare, monkeypatch):
    program(bare / "bin" / "chromium")
    monkeypatch.setenv("CHROMIUM", program(bare / "mine" / "chrome"))
    assert find_chromium() == str(bare / "mine" / "chrome")
    monkeypatch.setenv("CHROMIUM", "/nowhere")
    assert find_chromium() is None
