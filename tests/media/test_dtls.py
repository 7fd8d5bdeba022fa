"""aiortc's names with an underscore that we lean on, and both roles against another implementation."""

import asyncio
import importlib.util
import inspect
from pathlib import Path

import pytest
from aiortc import rtcdtlstransport as aiortc_dtls

from media.core.sdp import Fingerprint
from media.dtls import PROFILES, Callee, Caller, Certificate, CmReceiver, CmSender, associate

_SPEC = importlib.util.spec_from_file_location("light_peer", Path(__file__).parents[2] / "benchmarks" / "light_peer.py")
light = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(light)
Carried, Client = light.Carried, light.Client


class Pipe:
    """Two ends of a datagram link that may lose what a test says."""

    def __init__(self, lose=()):
        self.inbox, self.other, self.lose, self.sent = asyncio.Queue(), None, set(lose), 0

    async def _recv(self):
        return await self.inbox.get()

    async def _send(self, data):
        self.sent += 1
        if self.sent not in self.lose:
            self.other.inbox.put_nowait(bytes(data))


def pipes(lose=()):
    one, two = Pipe(lose), Pipe(lose)
    one.other, two.other = two, one
    return one, two


def fingerprint(certificate):
    return Fingerprint("sha-256", certificate.sha256)


@pytest.fixture(scope="module")
def certificates():
    return Certificate.generateCertificate(), Certificate.generateCertificate()


def test_the_names_of_aiortc_are_where_they_were():
    """Version 1.16: what `Certificate` overrides and `Callee` calls."""
    made = aiortc_dtls.RTCCertificate.generateCertificate()
    assert hasattr(made, "_key")
    assert hasattr(made, "_cert")
    assert "sha-256" in aiortc_dtls.X509_DIGEST_ALGORITHMS
    parameters = inspect.signature(aiortc_dtls.RTCCertificate._create_ssl_context).parameters
    assert list(parameters) == ["self", "srtp_profiles"]


@pytest.mark.parametrize("lose", [(), (1,), (2,), (1, 2)])
async def test_openssl_finishes_on_both_ends_whatever_is_lost(certificates, lose):
    ours, theirs = certificates
    one, two = pipes(lose)
    client = Carried(Client(ours, fingerprint(theirs)), one)
    server = Carried(Callee(theirs, fingerprint(ours)), two)
    pumps = []

    async def live(end):
        assert await end.shake_hands()
        pumps.append(asyncio.ensure_future(end.until_closed()))  # the last flight may be asked for again

    async with asyncio.timeout(20):
        await asyncio.gather(live(client), live(server))
        report = b"\x80\xc9\0\1\0\0\0\7"
        assert server.receiver.unprotect_rtcp(client.sender.protect_rtcp(report)) == report
        await client.farewell()
        await server.farewell()
        await asyncio.gather(*pumps)


async def test_rubbish_ends_the_try_and_raises_nothing(certificates):
    ours, theirs = certificates
    one, two = pipes()
    server = Carried(Callee(theirs, fingerprint(ours)), two)
    for datagram in (b"\x16\xfe\xfd" + bytes(40), b"\x80" * 100, bytes(range(256)) * 4):
        await one._send(datagram)
    async with asyncio.timeout(20):
        trying = asyncio.ensure_future(server.shake_hands())
        client = Carried(Client(ours, fingerprint(theirs)), one)
        assert await client.shake_hands() == await trying
    await server.farewell()


def test_one_context_serves_every_peer(certificates):
    ours = certificates[0]
    assert ours._create_ssl_context(PROFILES) is ours._create_ssl_context(PROFILES)


@pytest.mark.parametrize("lose", [(), (1,), (2,), (3, 4), (1, 2, 3)])
async def test_our_client_and_openssl_agree_on_keys_whatever_is_lost(certificates, lose):
    ours, theirs = certificates
    one, two = pipes(lose)
    caller = Carried(associate(ours, fingerprint(theirs), is_client=True), one)
    callee = Carried(associate(theirs, fingerprint(ours), is_client=False), two)
    assert isinstance(caller.association, Caller)
    assert isinstance(callee.association, Callee)

    async def serve():
        assert await callee.shake_hands()
        await callee.until_closed()  # answers for a last flight that was lost

    async with asyncio.timeout(20):
        serving = asyncio.ensure_future(serve())
        assert await caller.shake_hands()
        report = b"\x80\xc9\0\1\0\0\0\7"
        assert callee.receiver.unprotect_rtcp(caller.sender.protect_rtcp(report)) == report
        assert caller.receiver.unprotect_rtcp(callee.sender.protect_rtcp(report)) == report
        await caller.farewell()
        await serving
    await callee.farewell()


async def test_our_client_hears_the_farewell(certificates):
    ours, theirs = certificates
    one, two = pipes()
    caller = Carried(associate(ours, fingerprint(theirs), is_client=True), one)
    callee = Carried(associate(theirs, fingerprint(ours), is_client=False), two)
    async with asyncio.timeout(20):
        await asyncio.gather(caller.shake_hands(), callee.shake_hands())
        await callee.farewell()
        await caller.until_closed()


@pytest.mark.parametrize("is_client", [True, False])
async def test_a_certificate_that_was_not_offered_fails(certificates, is_client):
    ours, theirs = certificates
    one, two = pipes()
    us = Carried(associate(ours, fingerprint(ours), is_client=is_client), one)
    them = Carried(associate(theirs, fingerprint(ours), is_client=not is_client), two)
    other = asyncio.ensure_future(them.shake_hands())
    async with asyncio.timeout(20):
        assert not await us.shake_hands()
    assert us.sender is None
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)


def test_the_fallback_cipher_survives_the_way():
    sender, receiver = CmSender(bytes(16), bytes(14)), CmReceiver(bytes(16), bytes(14))
    header = b"\x80\x60\0\1" + bytes(4) + b"\0\0\0\7"
    sealed = sender.seal(7 << 48 | 1, header, b"hello")
    assert len(sealed) == 12 + 5 + sender.tag_bytes
    assert sender.seal(7 << 48 | 1, header, b"hello") == sealed
    assert receiver.unprotect(sealed, 12) == b"hello"
    assert receiver.unprotect(b"\x80" + bytes(40), 12) is None
    assert receiver.unprotect_rtcp(b"\x80" + bytes(40)) is None
