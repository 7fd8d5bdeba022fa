"""Which egress a process gets."""

import importlib.metadata
import json
import shutil
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from media import native
from media.core.srtp import GcmReceiver, GcmSender
from media.egress import Egress
from media.native import egress_for, loader
from media.native.loader import Found, load
from media.port import MediaPort

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def port():
    port = MediaPort("127.0.0.1", 0)
    yield port
    port.close()


def texts() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (ROOT / "media/native").glob("*.[ch]")}


def can_build() -> bool:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return shutil.which(compiler) is not None and (Path(sysconfig.get_path("include")) / "Python.h").exists()


def is_installed_from_here() -> bool:
    source = importlib.metadata.distribution("showfloor").read_text("direct_url.json")
    return source is not None and json.loads(source)["url"] == ROOT.as_uri()


def test_the_extension_is_there_where_an_installation_could_build_it():
    if can_build() and is_installed_from_here():
        assert load().fanout is not None, f"{load().reason}: run deploy/setup.sh again, or make test"
    assert load().reason


def test_a_process_gets_the_native_one_where_it_is_there_and_the_pure_one_when_it_asks(port):
    assert type(egress_for(port, native=False)) is Egress
    assert (type(egress_for(port)) is not Egress) == (load().fanout is not None)


def test_without_the_extension_the_pure_one_serves_and_a_demand_for_the_native_one_is_refused(port, monkeypatch):
    monkeypatch.setitem(sys.modules, "media.native._fanout", None)  # as if it were not built
    found = load.__wrapped__()
    assert found.fanout is None
    assert "not built" in found.reason
    monkeypatch.setattr(native, "load", lambda: found)
    assert type(egress_for(port)) is Egress
    with pytest.raises(RuntimeError, match="demanded, and it is not built"):
        egress_for(port, native=True)


def test_an_extension_of_another_source_is_not_taken_and_says_so(port, monkeypatch):
    stale = SimpleNamespace(sources=lambda: {**texts(), "send.c": b"/* older */"}, use_crypto=lambda *_: None)
    monkeypatch.setitem(sys.modules, "media.native._fanout", stale)
    monkeypatch.setattr(loader, "_is_right", lambda _: True)
    with structlog.testing.capture_logs() as said:
        found = load.__wrapped__()
    assert found.fanout is None
    assert "another source" in found.reason
    assert [line["log_level"] for line in said] == ["warning"]
    monkeypatch.setattr(native, "load", lambda: found)
    assert type(egress_for(port)) is Egress
    del stale.sources  # one from before the text was built in
    assert load.__wrapped__().fanout is None


def test_without_looking_at_its_source_it_would_be(monkeypatch):
    stale = SimpleNamespace(sources=dict, use_crypto=lambda *_: None)
    monkeypatch.setitem(sys.modules, "media.native._fanout", stale)
    monkeypatch.setattr(loader, "_is_right", lambda _: True)
    monkeypatch.setattr(loader, "_is_current", lambda _: True)
    assert load.__wrapped__().fanout is stale


def test_a_change_of_any_source_is_noticed_and_one_more_or_less(monkeypatch, tmp_path):
    for fanout in [found.fanout for found in (load(),) if found.fanout]:
        assert loader._is_current(fanout)
        monkeypatch.setattr(loader, "FOLDER", tmp_path)
        for name, text in texts().items():
            (tmp_path / name).write_bytes(text)
        assert loader._is_current(fanout)
        for name, text in texts().items():
            (tmp_path / name).write_bytes(text + b"\n")
            assert not loader._is_current(fanout), name
            (tmp_path / name).unlink()
            assert not loader._is_current(fanout), name
            (tmp_path / name).write_bytes(text)
        (tmp_path / "more.c").write_bytes(b"")
        assert not loader._is_current(fanout)


def test_without_a_libcrypto_the_pure_one_serves(monkeypatch):
    monkeypatch.setattr(loader, "_libraries", list)
    found = load.__wrapped__()
    assert found.fanout is None
    assert isinstance(found, Found)


@pytest.mark.parametrize("spoilt", ["", "sealed", "opened"])
def test_an_extension_is_taken_only_if_it_gives_the_references_bytes(spoilt):
    class Cipher:
        """The reference itself, in the extension's shape."""

        def __init__(self, key, salt):
            self.sender = GcmSender(bytes(range(16)), bytes(range(12)))
            assert (key, salt) == (self.sender.rtp_key, self.sender.rtp_salt)

        def seal(self, ssrc, index, header, payload):
            sealed = self.sender.seal(ssrc << 48 | index, header, payload)
            return sealed[:-1] + bytes((sealed[-1] ^ (spoilt == "sealed"),))

    class Opener:
        """Likewise."""

        def __init__(self, key, salt, most):
            self.receiver = GcmReceiver(bytes(range(16)), bytes(range(12)))
            assert (key, salt, most) == (self.receiver.rtp_key, self.receiver.rtp_salt, 1)

        def unprotect(self, packet, header_size):
            return None if spoilt == "opened" else self.receiver.unprotect(packet, header_size)

    assert loader._is_right(SimpleNamespace(Cipher=Cipher, Opener=Opener)) is not bool(spoilt)


def test_every_libcrypto_that_is_found_gives_the_references_bytes():
    libraries = list(loader._libraries())
    assert libraries
    for fanout in [found.fanout for found in (load(),) if found.fanout]:
        try:
            for library, name in libraries:
                fanout.use_crypto(*loader._addresses(library))
                assert loader._is_right(fanout), name
        finally:
            fanout.use_crypto(*loader._addresses(libraries[0][0]))


def test_a_module_that_is_not_there_or_has_no_file_is_no_place_to_look():
    assert loader._origin("nowhere.at_all") is None
    assert loader._origin("sys") is None


def test_a_library_without_the_functions_is_passed_over():
    assert loader._addresses(SimpleNamespace()) is None


def test_a_cipher_wants_a_key_and_a_salt_of_the_right_length():
    for fanout in [found.fanout for found in (load(),) if found.fanout]:
        for key, salt in ((bytes(15), bytes(12)), (bytes(16), bytes(14)), (b"", b"")):
            with pytest.raises(ValueError, match="key of 16 or 32 bytes"):
                fanout.Cipher(key, salt)
