"""What a disk keeps of a file when its process dies, and when the power goes."""

import json
import random

import pytest
from faults.virtual.disk import File, System


@pytest.fixture
def file() -> File:
    return File(random.Random(1))


def opened(file: File, system: System) -> int:
    number = system.open(file, system.O_RDWR)
    system.flock(number, 0)
    return number


def test_what_was_synced_outlives_the_power_and_the_rest_does_not_for_sure(file):
    system = System()
    number = opened(file, system)
    seen = set()
    for _ in range(50):
        system.ftruncate(number, 0)
        system.write(number, b"synced")
        system.fsync(number)
        system.write(number, b"rest")
        file.lose_power()
        assert file.data.startswith(b"synced")
        seen.add(file.data)
    assert {b"synced", b"syncedrest"} < seen


def test_a_system_that_does_not_sync_keeps_nothing_for_sure(file):
    system = System(syncs=False)
    number = opened(file, system)
    system.write(number, b"told")
    system.fsync(number)
    assert file.synced == b""


def test_a_dead_process_writes_nothing_more_and_lets_go_of_the_lock(file):
    system = System()
    number = opened(file, system)
    system.write(number, b"whole")
    with pytest.raises(BlockingIOError):
        opened(file, system)
    file.kill()
    with pytest.raises(OSError, match="dead"):
        system.write(number, b"more")
    assert file.read_bytes() == b"whole"
    opened(file, system)


def test_a_full_disk_takes_a_part_at_most(file):
    system = System()
    number, file.is_full = opened(file, system), True

    def write_for_ever() -> None:
        for _ in range(1000):
            system.write(number, b"line")

    with pytest.raises(OSError, match="no space"):
        write_for_ever()
    assert len(file.data) < 4000


def test_what_is_undecided_is_what_has_no_end(file):
    taps = [{"type": "tap", "entry": {"tap": {"hold_id": name}}} for name in "abc"]
    ended = {"type": "ended", "hold_ids": ["b"]}
    file.data = b"".join(json.dumps(line).encode() + b"\n" for line in (*taps, ended)) + b'{"type": "ta'
    assert file.undecided() == ["a", "c"]
