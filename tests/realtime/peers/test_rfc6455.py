"""RFC 6455 from the client's side: a corpus equal to Autobahn's, with `websockets` as oracle.

6.4 (a text that cannot become UTF-8 any more fails before its end) is optional in the RFC; both wait for the end.
"""

import random
from collections import Counter

import pytest
from rfc6455.cases import CASES, MASK, Case
from rfc6455.fuzz import stream
from rfc6455.oracle import by_us, by_websockets, chops, octets, right_close, usual, whole

from realtime.core.frames import MESSAGE_MAX_BYTES, Op

DIFFER = {
    "7.1.5 the rest of a message after the end": (1000, 1002),  # section 5.4 lets control frames between fragments
    "9.9 a length of 64 bits": (1002, 1009),  # section 5.2 wants its first bit to be 0
    f"9.3 {MESSAGE_MAX_BYTES} bytes in fragments of 64": (1008, 1000),  # 257 frames in one read: our own limit
    f"9.6 {MESSAGE_MAX_BYTES} bytes in fragments of 64": (1008, 1000),  # likewise
}
"""Where we and `websockets` differ, and why: the codes of both, for a case that comes in one piece."""


def section_of(case: Case) -> str:
    return case.number.rpartition(".")[0] or case.number


@pytest.mark.parametrize("section", sorted({section_of(case) for case in CASES}))
@pytest.mark.parametrize("cut", [whole, octets, chops])
def test_we_deliver_answer_and_close_as_websockets_does(section, cut):
    for case in CASES:
        if section_of(case) != section or case.name in DIFFER or (cut is octets and len(case.data) > 20_000):
            continue
        theirs, ours = by_websockets(cut(case.data)), by_us(cut(case.data), binary=case.binary)
        assert ours.messages == theirs.messages, case.name
        assert usual(ours.close) == usual(theirs.close), case.name
        assert ours.pongs == theirs.pongs, case.name


@pytest.mark.parametrize("name", DIFFER)
def test_where_we_differ_both_are_known(name):
    (case,) = [case for case in CASES if case.name == name]
    assert (by_us([case.data], binary=case.binary).close, by_websockets([case.data]).close) == DIFFER[name]


def test_of_whatever_is_sent_the_code_is_the_right_one():
    for seed in range(600):
        data = stream(random.Random(seed), 1 + seed % 20)
        assert usual(by_us([data], binary=False).close) == usual(right_close(data)), seed


@pytest.mark.parametrize("defence", ["_length", "_close_code"])
def test_a_code_that_is_not_the_right_one_is_found_out(monkeypatch, defence):
    """The negative control of the test above."""

    def lax(buffer, at=0, short=0):
        if defence == "_close_code":
            return 1000
        size, end = (short, at + 2) if short < 126 else (0, at + (4 if short == 126 else 10))
        return (size or int.from_bytes(buffer[at + 2 : end], "big"), end) if len(buffer) >= end else None

    monkeypatch.setattr(f"realtime.core.frames.{defence}", lax)
    streams = [stream(random.Random(seed), 20) for seed in range(600)]
    streams.append(bytes([0x81, 0xFE, 0, 1]) + MASK + b"x")
    assert any(usual(by_us([data], binary=False).close) != usual(right_close(data)) for data in streams)


def test_the_corpus_is_as_large_as_it_says():
    assert len(CASES) > 500
    sections = Counter(case.number.partition(".")[0] for case in CASES)
    assert set("12345679") <= set(sections)
    assert sections["6"] > 200


def lax_opcode(first):
    return Op(first & 0x0F)


@pytest.mark.parametrize(
    ("defence", "removed", "number"),
    [
        ("_check_utf8", lambda _payload: None, "6.3.1"),
        ("_check_control", lambda **_said: None, "5.1"),
        ("_close_code", lambda _payload: 1000, "7.9.3"),
        ("_opcode", lax_opcode, "3.1"),
    ],
)
def test_a_parser_without_a_defence_is_found_out(monkeypatch, defence, removed, number):
    monkeypatch.setattr(f"realtime.core.frames.{defence}", removed)
    cases = [case for case in CASES if case.number == number]
    assert any(by_us([case.data], binary=case.binary) != by_websockets([case.data]) for case in cases)
