"""ICE restarts: which credentials hold, and for how long."""

from types import SimpleNamespace

import pytest


@pytest.fixture
async def restarts(floor, peers):
    """A playing viewer, its peer on the relay, and the roster."""
    viewer = await peers.viewer()
    (session,) = floor.relay._sessions.values()
    return SimpleNamespace(floor=floor, viewer=viewer, peer=session.peer, roster=floor.relay._port.roster)


def is_answered(restarts, held):
    """True if a check under these credentials is authentic."""
    viewer, port = restarts.viewer, restarts.floor.relay._port
    viewer.remote_ufrag, viewer.remote_password, viewer.ufrag = held
    before = port.counts["dropped_stun"]
    port.datagram(viewer.binding_request(), viewer.address)
    return port.counts["dropped_stun"] == before


async def test_the_old_credentials_hold_until_a_check_under_the_new_is_authentic(restarts):
    old = restarts.peer.credentials
    restarts.peer.restart("other")
    new = restarts.peer.credentials
    assert is_answered(restarts, old)
    assert not is_answered(restarts, new._replace(password=old.password))
    assert is_answered(restarts, old)
    assert is_answered(restarts, new)
    assert not is_answered(restarts, old)
    assert is_answered(restarts, new)


async def test_names_of_two_generations_do_not_mix(restarts):
    old = restarts.peer.credentials
    restarts.peer.restart("other")
    assert not is_answered(restarts, old._replace(remote_ufrag="other"))
    assert not is_answered(restarts, restarts.peer.credentials._replace(remote_ufrag=old.remote_ufrag))


async def test_restarts_without_end_leave_the_one_in_use_and_the_last(restarts):
    used, between = restarts.peer.credentials, []
    for number in range(1000):
        restarts.peer.restart(f"name{number}")
        between.append(restarts.peer.credentials)
    assert len(restarts.roster._by_ufrag) == 2
    assert is_answered(restarts, used)
    assert not is_answered(restarts, between[-2])
    assert is_answered(restarts, between[-1])
    assert list(restarts.roster._by_ufrag) == [between[-1].ufrag]
    restarts.peer.close()
    assert len(restarts.roster._by_ufrag) == 0
