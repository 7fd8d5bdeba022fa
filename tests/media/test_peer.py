"""ICE restarts: which credentials hold, and for how long. A change of address: who is followed, and who is not."""

import socket
from types import SimpleNamespace

import pytest

from media import peer as peer_module
from media.core import stun


@pytest.fixture
async def restarts(floor, peers):
    """A playing viewer, its peer on the relay, and the roster."""
    viewer = await peers.viewer()
    (session,) = floor.relay._sessions.values()
    return SimpleNamespace(floor=floor, viewer=viewer, peer=session.peer, roster=floor.relay._port.roster)


def is_answered(restarts, held):
    """True if a check under these credentials is authentic."""
    viewer, port = restarts.viewer, restarts.floor.relay._port
    viewer.remote_ufrag, viewer.remote_password, viewer.ufrag, _ = held
    before = port.counts["dropped_stun"]
    port.datagram(viewer.binding_request(), viewer.address)
    return port.counts["dropped_stun"] == before


async def test_the_old_credentials_hold_until_a_check_under_the_new_is_authentic(restarts):
    old = restarts.peer.credentials
    restarts.peer.restart("other", "secret")
    new = restarts.peer.credentials
    assert is_answered(restarts, old)
    assert not is_answered(restarts, new._replace(password=old.password))
    assert is_answered(restarts, old)
    assert is_answered(restarts, new)
    assert not is_answered(restarts, old)
    assert is_answered(restarts, new)


async def test_names_of_two_generations_do_not_mix(restarts):
    old = restarts.peer.credentials
    restarts.peer.restart("other", "secret")
    assert not is_answered(restarts, old._replace(remote_ufrag="other"))
    assert not is_answered(restarts, restarts.peer.credentials._replace(remote_ufrag=old.remote_ufrag))


async def test_restarts_without_end_leave_the_one_in_use_and_the_last(restarts):
    used, between = restarts.peer.credentials, []
    for number in range(1000):
        restarts.peer.restart(f"name{number}", "secret")
        between.append(restarts.peer.credentials)
    assert len(restarts.roster._by_ufrag) == 2
    assert is_answered(restarts, used)
    assert not is_answered(restarts, between[-2])
    assert is_answered(restarts, between[-1])
    assert list(restarts.roster._by_ufrag) == [between[-1].ufrag]
    restarts.peer.close()
    assert len(restarts.roster._by_ufrag) == 0


@pytest.fixture
async def elsewhere():
    """A socket on another address of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.7", 0))
        other.setblocking(False)
        yield other


def asked_at(other):
    """The check that the relay sent there, if any; its answers to ours are passed over."""
    while True:
        try:
            check = stun.parse_check(other.recv(2048))
        except BlockingIOError:
            return None
        if check is not None:
            return check


async def test_a_viewer_who_changes_network_is_followed_once_it_has_answered_from_there(
    restarts, peers, elsewhere, wait_until
):
    viewer, peer = restarts.viewer, restarts.peer
    host, before = await peers.host(), peer.address
    where = ("127.0.0.1", restarts.floor.relay.udp_port)
    elsewhere.sendto(viewer.binding_request(), where)
    asked = await wait_until(lambda: asked_at(elsewhere), "it is asked there")
    assert (asked.local, asked.remote) == (viewer.ufrag, peer.credentials.ufrag)
    assert stun.is_authentic(asked, viewer.password.encode())
    assert peer.address == before
    elsewhere.sendto(stun.success(asked, where, viewer.password.encode()), where)
    await wait_until(lambda: peer.address == elsewhere.getsockname(), "it is followed")
    await wait_until(lambda: floor_says_host(restarts.floor, host), "the host is on air")
    viewer.seen.clear()
    host.say()
    assert await wait_until(lambda: media_at(elsewhere), "sound arrives at the new address")
    assert not viewer.seen


def floor_says_host(floor, host):
    host.say()
    return floor.show("demo").host_present


def media_at(other):
    try:
        return other.recv(2048)[0] > 127
    except BlockingIOError:
        return False


async def replayed_from_elsewhere(restarts, elsewhere, wait_until):
    """Where media goes after somebody sent a copy of an authentic check from an address of their own."""
    port, peer = restarts.floor.relay._port, restarts.peer
    copy = restarts.viewer.binding_request()
    elsewhere.sendto(copy, ("127.0.0.1", port.number))
    await wait_until(lambda: port.roster.at(elsewhere.getsockname()) is peer, "the copy was taken for authentic")
    return peer.address


async def test_a_replayed_check_does_not_take_the_flow(restarts, elsewhere, wait_until):
    address = await replayed_from_elsewhere(restarts, elsewhere, wait_until)
    assert address == restarts.viewer.address
    asked = await wait_until(lambda: asked_at(elsewhere), "it was asked there")
    where = ("127.0.0.1", restarts.floor.relay.udp_port)
    before = restarts.floor.relay._port.counts["dropped_stun"]
    for forged in (stun.success(asked, where, b"guess"), stun.success(restarts_check(restarts), where, b"guess")):
        elsewhere.sendto(forged, where)
    dropped = lambda: restarts.floor.relay._port.counts["dropped_stun"] - before  # noqa: E731
    await wait_until(lambda: dropped() == 2, "what they answer is looked at")
    assert restarts.peer.address == restarts.viewer.address


def restarts_check(restarts):
    return stun.parse_check(restarts.viewer.binding_request())


async def test_without_the_round_trip_of_our_own_it_would(restarts, elsewhere, wait_until, monkeypatch):
    monkeypatch.setattr(peer_module.Peer, "probe", lambda self, address, _: self._move(address))
    address = await replayed_from_elsewhere(restarts, elsewhere, wait_until)
    assert address == elsewhere.getsockname()


async def test_an_answer_that_came_from_elsewhere_moves_nothing(restarts, elsewhere, wait_until):
    await replayed_from_elsewhere(restarts, elsewhere, wait_until)
    asked = await wait_until(lambda: asked_at(elsewhere), "it was asked there")
    reply = stun.parse_reply(stun.success(asked, ("127.0.0.1", 9), restarts.viewer.password.encode()))
    assert not restarts.peer.confirmed(restarts.viewer.address, reply)
    assert not restarts.peer.confirmed(("127.0.0.8", 8), reply)
    assert restarts.peer.address == restarts.viewer.address


async def test_a_flood_of_replays_is_asked_about_a_few_times_and_remembered_in_a_bounded_way(restarts, monkeypatch):
    sent, peer = [], restarts.peer
    monkeypatch.setattr(peer_module, "now_ms", lambda: 1_000_000)
    monkeypatch.setattr(restarts.floor.relay._port, "sendto", lambda data, to: sent.append((data, to)))
    for _ in range(100):
        peer.checked(("127.0.0.9", 9), peer.credentials, nominated=True)
    assert len(sent) == 1
    for number in range(100):
        peer.checked(("127.0.0.9", number + 10), peer.credentials, nominated=True)
    assert len(peer._probes) == peer_module.MAX_PROBES
    assert peer.address == restarts.viewer.address


async def test_an_unnominated_check_from_elsewhere_is_answered_and_no_more(restarts):
    restarts.peer.checked(("127.0.0.9", 9), restarts.peer.credentials, nominated=False)
    assert not restarts.peer._probes


@pytest.mark.parametrize("name", ["address", "sender", "is_closed", "uses_gso"])
async def test_who_keeps_a_copy_of_where_a_peers_packets_go_can_tell_that_it_has_changed(restarts, name):
    peer = restarts.peer
    before, there = peer.changes[0], peer.changes
    setattr(peer, name, value := getattr(peer, name))
    assert peer.changes[0] == before + 1
    assert peer.changes is there, "C keeps its address"
    assert getattr(peer, name) is value
    peer.seen_ms = 0
    assert peer.changes[0] == before + 1
