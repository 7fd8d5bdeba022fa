"""What is on disk, after everything that can happen to a file."""

import asyncio
import threading

import pytest

from checkout import journal as module
from checkout.core.confirming import Entry
from checkout.core.taps import Tap
from checkout.journal import Journal
from schema.errors import Unavailable
from schema.ids import ShowId, VariantId
from schema.money import Money


def entry(hold_id: str) -> Entry:
    tap = Tap(hold_id=hold_id, buyer_id="ann", buyer_name='A"\nä🍲', quantity=2)
    price = Money(amount=4900, currency="EUR")
    show, variant = ShowId("gala"), VariantId("pot")
    return Entry(tap=tap, show_id=show, variant_id=variant, price=price, at_ms=1, until_ms=60_001)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "confirming-0.jsonl"


def reopened(path) -> list[str]:
    journal = Journal(path)
    try:
        return [each.tap.hold_id for each in journal.open()]
    finally:
        journal.close()


async def test_what_was_appended_is_there_for_the_next_one_as_it_was(path):
    journal = Journal(path)
    assert journal.open() == []
    await journal.append([entry("h1"), entry("h2")])
    await journal.append([entry("h3")])
    journal.close()
    again = Journal(path)
    assert again.open() == [entry("h1"), entry("h2"), entry("h3")]
    again.close()


async def test_what_was_decided_is_gone_and_an_empty_one_begins_anew(path):
    journal = Journal(path)
    journal.open()
    await journal.append([entry("h1"), entry("h2"), entry("h3")])
    await journal.end(["h1", "h3"], nothing_left=False)
    journal.close()
    assert reopened(path) == ["h2"]
    journal.open()
    await journal.end(["h2"], nothing_left=True)
    assert path.read_bytes() == b""
    await journal.append([entry("h4")])
    journal.close()
    assert reopened(path) == ["h4"]


async def test_whatever_the_last_line_was_cut_to_the_others_are_whole(path):
    journal = Journal(path)
    journal.open()
    await journal.append([entry("h1")])
    whole = path.read_bytes()
    await journal.append([entry("h2")])
    journal.close()
    both = path.read_bytes()
    for size in range(len(whole), len(both)):
        path.write_bytes(both[:size])
        assert reopened(path) == ["h1"]
        assert path.read_bytes() == whole  # and the next line begins on a line of its own
    path.write_bytes(both)
    assert reopened(path) == ["h1", "h2"]


async def test_a_disk_that_fills_in_the_middle_of_a_line_leaves_the_file_as_it_was(path, monkeypatch):
    journal = Journal(path)
    journal.open()
    await journal.append([entry("h1")])
    before = path.read_bytes()

    def half(file: int, data: bytes) -> None:
        real(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    real = module._write_all
    monkeypatch.setattr(module, "_write_all", half)
    with pytest.raises(Unavailable):
        await journal.append([entry("h2")])
    assert path.read_bytes() == before
    monkeypatch.undo()
    await journal.append([entry("h3")])
    journal.close()
    assert reopened(path) == ["h1", "h3"]


async def test_one_process_at_a_time_has_it(path):
    journal = Journal(path)
    journal.open()
    with pytest.raises(OSError, match="temporarily unavailable"):
        Journal(path).open()
    journal.close()
    assert reopened(path) == []


async def test_a_caller_that_leaves_leaves_no_half_line_and_keeps_its_turn(path, monkeypatch):
    may_write, write_all = threading.Event(), module._write_all

    def slow(file, data):
        if b"h1" in data:
            assert may_write.wait(20)
        write_all(file, data)

    monkeypatch.setattr(module, "_write_all", slow)
    journal = Journal(path)
    journal.open()
    first = asyncio.create_task(journal.append([entry("h1")]))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(journal.append([entry("h2")]))
    await asyncio.wait({second}, timeout=0.2)  # it has had its chance to overtake
    may_write.set()
    await second
    journal.close()
    assert reopened(path) == ["h1", "h2"]


async def test_what_was_given_back_stays_so(path):
    journal = Journal(path)
    journal.open()
    await journal.append([entry("h1"), entry("h2"), entry("h3")])
    await journal.give_back("h1")
    await journal.give_back("h3")
    await journal.end(["h3"], nothing_left=False)
    journal.close()
    assert reopened(path) == ["h1", "h2"]
    again = Journal(path)
    again.open()
    assert again.given_back == {"h1"}
    again.close()


async def test_what_was_refused_stays_so(path):
    journal = Journal(path)
    journal.open()
    await journal.append([entry("h1"), entry("h2"), entry("h3")])
    await journal.refuse(["h1", "h3"])
    await journal.end(["h3"], nothing_left=False)
    journal.close()
    again = Journal(path)
    assert [each.tap.hold_id for each in again.open()] == ["h1", "h2"]
    assert (again.refused, again.given_back) == ({"h1"}, frozenset())
    again.close()


async def test_closed_it_takes_nothing(path):
    with pytest.raises(Unavailable):
        await Journal(path).append([entry("h1")])
