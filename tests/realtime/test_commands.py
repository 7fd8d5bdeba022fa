import json

import msgspec
import pytest

from realtime.commands import Commands, decode, ref_of
from schema.errors import BadRequest, Invalid, RateLimited
from schema.ids import AccountId, MessageId, ShowId
from schema.people import Principal, Role
from schema.wire import ChatAccepted, Ping, Say, Watched

ANN = Principal(account_id=AccountId("acc_ann"), role=Role.VIEWER, name="ann")
SHOW = ShowId("s")


class Talk:
    """Accepts what is said, but for two words."""

    async def say(self, principal, show_id, text, reply_to=""):
        if text == "fast":
            raise RateLimited(retry_after_ms=700)
        if text == "bug":
            raise ZeroDivisionError
        return ChatAccepted(offset=7, id=MessageId("msg_1"))


class Heard:
    """Takes one report of each account, and refuses the next."""

    def __init__(self):
        self.reports = []

    def heard(self, principal, show, watched):
        if self.reports:
            raise RateLimited(retry_after_ms=5000)
        self.reports.append((principal, show, watched))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ({"t": "chat", "ref": "a", "text": "hi"}, {"re": "a", "ok": {"offset": 7, "id": "msg_1"}}),
        (
            {"t": "chat", "ref": "b", "text": "fast"},
            {
                "re": "b",
                "error": {"code": "rate_limited", "detail": "Too many requests", "retry_after_ms": 700},
            },
        ),
        (
            {"t": "chat", "ref": "c", "text": "bug"},
            {"re": "c", "error": {"code": "internal", "detail": "Something went wrong on our side"}},
        ),
    ],
)
async def test_a_command_is_answered_alike_in_both_encodings(command, expected):
    commands = Commands(Talk(), Heard())
    plain = await commands.answer(json.dumps(command).encode(), ANN, SHOW, binary=False)
    packed = await commands.answer(msgspec.msgpack.encode(command), ANN, SHOW, binary=True)
    assert json.loads(plain) == msgspec.msgpack.decode(packed) == expected


def test_commands_are_decoded_into_their_structs():
    assert decode(b'{"t":"chat","text":"x","ref":"1"}', binary=False) == Say(text="x", ref="1")
    assert decode(msgspec.msgpack.encode({"t": "ping"}), binary=True) == Ping()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x92" * 16_000, b"[" * 16_000, b'{"t":', b"\xff\xfe"])
def test_whatever_cannot_be_read_is_an_error_of_the_family(payload, binary):
    with pytest.raises((BadRequest, Invalid)):
        decode(payload, binary=binary)
    assert ref_of(payload, binary=binary) == ""


def test_the_reference_of_a_mistaken_command_is_found_and_cut():
    assert ref_of(b'{"t":"nonsense","ref":"abc"}', binary=False) == "abc"
    assert ref_of(b'{"ref":"' + b"x" * 100 + b'"}', binary=False) == "x" * 64


async def test_a_page_reports_how_its_picture_was():
    heard = Heard()
    commands = Commands(Talk(), heard)
    report = {"t": "watched", "ref": "r", "watched_ms": 15000, "frozen_ms": 300, "age_ms": 210, "session": "sub_1"}
    said = json.dumps(report).encode()
    assert json.loads(await commands.answer(said, ANN, SHOW, binary=False)) == {"re": "r", "ok": {}}
    expected = Watched(ref="r", watched_ms=15000, frozen_ms=300, age_ms=210, session="sub_1")
    assert heard.reports == [(ANN, SHOW, expected)]
    again = json.loads(await commands.answer(said, ANN, SHOW, binary=False))
    assert again["error"]["retry_after_ms"] == 5000


@pytest.mark.parametrize(
    "wrong",
    [
        {"watched_ms": 0},
        {"frozen_ms": -1},
        {"age_ms": 1e9},
        {"session": "x" * 65},
        {"watched_ms": "long"},
        {"who": "me"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_report_of_impossible_numbers_is_invalid(wrong):
    report = {"t": "watched", "watched_ms": 15000, "frozen_ms": 0, **wrong}
    with pytest.raises(Invalid):
        decode(json.dumps(report).encode(), binary=False)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ({"t": "chat", "ref": "a", "text": "hi"}, "forbidden"),
        ({"t": "ask", "ref": "a", "text": "hi"}, "forbidden"),
        ({"t": "react", "ref": "a", "kind": "heart"}, "forbidden"),
        ({"t": "ping", "ref": "a"}, None),
    ],
)
async def test_an_analyst_says_and_counts_for_nothing(command, answer):
    analyst = Principal(account_id=AccountId("acc_an"), role=Role.ANALYST, name="an")
    reply = json.loads(
        await Commands(Talk(), Heard()).answer(json.dumps(command).encode(), analyst, SHOW, binary=False)
    )
    assert reply.get("error", {}).get("code") == answer
