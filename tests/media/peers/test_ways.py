"""How a real browser gets through: by UDP, by TCP where there is no UDP, and on when its address changes."""

import asyncio
import socket

import pytest

WITHOUT_UDP = r"void (rewritten = (sdp) => sdp.replace(/a=candidate:\S+ 1 udp .*\r\n/g, ''))"
UDP_INTO_THE_DARK = r"void (rewritten = (sdp) => sdp.replace(/( 1 udp \d+ \S+) \d+ typ/g, '$1 9 typ'))"


async def frames_reach(tab, count):
    return await tab.frames() >= count


@pytest.mark.parametrize("network", [WITHOUT_UDP, UDP_INTO_THE_DARK])
async def test_with_udp_blocked_chromium_publishes_and_plays_over_tcp(floor, tabs, wait_until, network):
    host, viewer = await tabs(), await tabs()
    for tab in (host, viewer):
        await tab.page.evaluate(network)
    await host.publish("demo", "host-ann", "VP8")
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    await viewer.play("demo", "viewer-bob")
    await wait_until(lambda: frames_reach(viewer, 60), "sixty frames are presented")
    for tab in (host, viewer):
        way = (await tab.stats())["way"]
        assert (way["local"]["protocol"], way["remote"]["protocol"]) == ("tcp", "tcp")
        assert way["remote"]["port"] == floor.relay.tcp_port
    assert (await viewer.stats())["video"]["packetsLost"] == 0


async def test_with_udp_open_chromium_does_not_stay_on_tcp(floor, tabs, peers, wait_until):
    host, viewer = await tabs(), await tabs()
    await host.publish("demo", "host-ann", "VP8")
    await viewer.play("demo", "viewer-bob")
    await wait_until(lambda: frames_reach(viewer, 30), "it plays")
    assert (await viewer.stats())["way"]["local"]["protocol"] == "udp"


class Nat:
    """A UDP translator on loopback whose public port can change, as a phone's does between two networks."""

    def __init__(self, inside):
        self.inside, self.client = inside, None
        self.near = self._bound(self._from_client)
        self.far = None
        self.roam()

    def _bound(self, on_readable):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        asyncio.get_running_loop().add_reader(sock.fileno(), on_readable)
        return sock

    def _from_client(self):
        data, self.client = self.near.recvfrom(4096)
        self.far.sendto(data, self.inside)

    def _from_relay(self):
        data, _ = self.far.recvfrom(4096)
        if self.client:
            self.near.sendto(data, self.client)

    def roam(self):
        """Another public port; what is sent to the old one is lost."""
        if self.far:
            self._close(self.far)
        self.far = self._bound(self._from_relay)

    def _close(self, sock):
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()

    def close(self):
        self._close(self.near)
        self._close(self.far)


async def test_chromium_plays_on_when_its_address_changes(floor, tabs, wait_until):
    nat = Nat(("127.0.0.1", floor.relay.udp_port))
    number = nat.near.getsockname()[1]
    host, viewer = await tabs(), await tabs()
    await viewer.page.evaluate(
        r"number => { rewritten = (sdp) => sdp.replace(/a=candidate:\S+ 1 tcp .*\r\n/g, '')"
        r".replace(/( 1 udp \d+ \S+) \d+ typ/g, `$1 ${number} typ`) }",
        number,
    )
    await host.publish("demo", "host-ann", "VP8")
    await viewer.play("demo", "viewer-bob")
    await wait_until(lambda: frames_reach(viewer, 30), "it plays")
    (session,) = [one for one in floor.relay._sessions.values() if not one.is_publisher]
    assert session.peer.address == nat.far.getsockname()

    nat.roam()
    await wait_until(lambda: session.peer.address == nat.far.getsockname(), "it is followed to the new address")
    shown = await viewer.frames()
    await wait_until(lambda: frames_reach(viewer, shown + 60), "the picture goes on")
    assert await viewer.state() == "connected"
    nat.close()
