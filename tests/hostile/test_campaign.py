"""The short campaign, for every run; the long one is `python tests/hostile`."""

import os

import pytest
from hostile.campaign import Open, campaign

from media.core import rtcp, stun

COUNT = int(os.environ.get("HOSTILE_INPUTS", "20000"))
SEED = 20261122


async def test_mutated_packets_raise_nothing_grow_nothing_and_a_show_plays_beside_them():
    result = await campaign(COUNT, SEED)
    assert (result.faults, result.logged) == ([], []), f"seed {SEED}"
    assert result.grown_bytes < 10 << 20
    assert result.shown >= 80
    assert min(result.inputs[kind] for kind in ("stun", "rtp", "rtcp", "dtls", "dtls_client", "offer")) > COUNT // 10


def believing_names(user):
    """As if whatever stands in USERNAME were two names in UTF-8."""
    local, remote = user.decode().split(":")
    return local, remote


def believing_lengths(compound):
    """As if the length in a packet of RTCP were its own."""
    assert len(compound) < 100 or int.from_bytes(compound[2:4], "big") <= len(compound)
    return PARSE(compound)


PARSE = rtcp.parse


@pytest.mark.parametrize(
    ("room", "name", "trusting"), [(stun, "_split", believing_names), (rtcp, "parse", believing_lengths)]
)
async def test_a_parser_that_trusts_what_it_reads_is_found(monkeypatch, room, name, trusting):
    monkeypatch.setattr(room, name, trusting)
    assert (await campaign(6_000, SEED)).faults


async def test_what_stands_behind_the_keys_is_reached(monkeypatch):
    reached = []
    monkeypatch.setattr(Open, "unprotect", lambda _, packet, size: reached.append(size) or packet[size:])
    await campaign(6_000, SEED)
    assert len(reached) > 200
    assert len(set(reached)) > 5  # header extensions of many sizes
