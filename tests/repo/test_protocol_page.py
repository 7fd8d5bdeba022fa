"""docs/ws-protocol.md against the program: every message, member, state key, limit and close code stands in it."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from live import tickets
from realtime import chat, gateway, hub, viewer
from realtime.core import backpressure, channel, frames
from schema import errors, wire

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ws-protocol.md").read_text()
SOURCES = [path.read_text() for path in (ROOT / "realtime").rglob("*.py")]
SOMETIMES = {"ref"}  # said once, for all commands

LIMITS = {
    "a ticket lives": f"{tickets.TICKET_TTL_S} s",
    "a handshake may take": f"{gateway.HANDSHAKE_S:.0f} s",
    "sockets of one account in a show, a process": str(hub.SOCKETS_PER_ACCOUNT_MAX),
    "a message of yours": f"{frames.MESSAGE_MAX_BYTES} bytes",
    "a control frame": f"{frames.CONTROL_MAX_BYTES} bytes",
    "frames in one read": str(frames.FRAMES_AT_ONCE_MAX),
    "commands a second on one socket": str(backpressure.COMMANDS_PER_SECOND),
    "commands of one socket waiting for their turn": str(viewer.INBOX_MAX),
    "characters of a chat message": str(wire.CHAT_MAX_CHARS),
    "chat messages that a room hears a second; of what is said beyond it all hear the same part": str(
        chat.CHAT_PER_SECOND_MAX
    ),
    "chat messages in a snapshot": str(channel.RECENT_CHAT_MAX),
    "publications that can be replayed": str(channel.RING_MAX),
    "their bytes, at the most": str(channel.RING_MAX_BYTES),
    "unsent bytes, before a viewer is skipped": str(backpressure.UNSENT_MAX_BYTES),
    "a viewer may be behind for": f"{backpressure.BEHIND_MAX_MS // 1000} s",
    "a ping comes every": f"{hub.PING_SLOTS * hub.SWEEP_S:.0f} s",
    "pings that may go unanswered": str(viewer.MISSES_MAX),
    "a closing handshake may take": f"{hub.CLOSE_DEADLINE_MS // 1000} s",
    "viewers sent back a second by a server that ends": str(hub.RETURNS_PER_S),
}


def section(heading: str, page: str = PAGE) -> str:
    return re.split(rf"^#+ {heading}$", page, maxsplit=1, flags=re.MULTILINE)[1].split("\n## ")[0]


def missing_messages(page: str) -> list[str]:
    found = []
    for kind in (*get_args(wire.AnyEvent), *get_args(wire.AnyCommand)):
        tag = kind.__struct_config__.tag
        lines = [line for line in page.splitlines() if f"`{tag}`" in line or f'"t": "{tag}"' in line]
        found += [tag] if not lines else []
        names = {field.encode_name for field in msgspec.structs.fields(kind)} - SOMETIMES
        found += [f"{tag}.{name}" for name in sorted(names) if not re.search(rf"\b{name}\b", page)]
    members = {
        field.encode_name for kind in (wire.Frame, wire.Private, wire.Reply) for field in msgspec.structs.fields(kind)
    }
    return found + [name for name in sorted(members) if not re.search(rf'[`"]{name}[`"]', page)]


def test_every_message_and_each_of_its_members_is_on_the_page():
    assert missing_messages(PAGE) == []


@pytest.mark.parametrize("taken", ["announcement_over", "captured_at_ms", "reconnect_ms", "`want`"])
def test_one_that_is_missing_is_noticed(taken):
    assert missing_messages("\n".join(line for line in PAGE.splitlines() if taken not in line)) != []


def test_every_state_key_is_on_the_page():
    keys = re.findall(r"`([\w.<>]+)`(?= \(|\n\()", wire.__doc__.partition("State keys:")[2])
    assert {"viewers", "stale", "stock.<variant>"} <= set(keys)
    assert [key for key in keys if f"`{key}`" not in section("State keys")] == []


def test_every_limit_on_the_page_is_the_programs_and_none_is_missing():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section("Limits"), re.MULTILINE)
    assert {what: value for what, value in rows if set(what) != {"-"} and what != "limit"} == LIMITS


def sent_codes() -> set[int]:
    """The close codes in realtime's source, and those of the errors that a viewer is refused with."""
    text = "\n".join(SOURCES)
    plain = {int(code) for code in re.findall(r"(?:Broken|self\.close)\((\d{4})", text)}
    refused = {getattr(errors, name).close_code for name in re.findall(r"\.refuse\((\w+)\(", text)}
    assert len(plain) > 4
    assert len(refused) > 4
    return plain | refused


def test_every_close_code_that_a_viewer_can_get_is_on_the_page_and_no_other():
    rows = re.findall(r"^\| ([\d, -]+) \|", section("Closing"), re.MULTILINE)
    listed = {int(code) for row in rows if "-" not in row for code in row.split(",")}
    assert listed == sent_codes() | {1000, 1001}  # the client's own, answered
