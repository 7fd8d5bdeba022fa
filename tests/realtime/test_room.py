import asyncio
import itertools

import msgspec
import pytest

from realtime.core.backpressure import Progress
from realtime.core.channel import Kind, Loaded, Publication
from realtime.room import FRAME_MAX_BYTES, SLICE_MS, STRIDE, Room, seal, transcode
from schema.ids import ShowId

EPOCH = "e1"


class Transport:
    """Remembers what was written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Seat(Progress):
    """As much of a viewer as a room knows."""

    def __init__(self, room: Room) -> None:
        super().__init__(room.serial)
        self.room, self.binary, self.fd = room, False, -1
        self.transport = Transport()
        self.send = self.transport.write


class Clock:
    """Stands still until it is moved."""

    now_ms = 1000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def room(clock):
    made = Room(ShowId("s"), tick_ms=100, clock=clock, reload=lambda _: None)
    made.on_loaded(unbroken=made.channel.load(Loaded(EPOCH, 0, 0, [], 0, {}, {})))
    yield made
    made.aclose()


def seat(room: Room) -> Seat:
    made = Seat(room)
    room.viewers.add(made)
    return made


def publish(room: Room, offset: int, kind: Kind = Kind.CHAT, text: str = "") -> None:
    room.on_publication(EPOCH, Publication(offset, kind, f"m{offset}", b'{"t":"chat","text":"%b"}' % text.encode()))


async def test_what_comes_after_a_quiet_tick_goes_out_at_once(room, clock, until):
    viewer = seat(room)
    publish(room, 1)
    assert room._due_ms <= clock.now_ms
    await until(lambda: viewer.transport.written)


async def test_what_comes_after_a_frame_waits_for_its_tick_and_the_must_lane_for_a_quarter(room, clock, until):
    viewer = seat(room)
    publish(room, 1)
    await until(lambda: viewer.transport.written)
    clock.now_ms += 10
    publish(room, 2)
    assert room._due_ms == clock.now_ms + 90
    room.on_state(EPOCH, 1, {"viewers": b"1"})
    assert room._due_ms == clock.now_ms + 90
    publish(room, 3, Kind.EVENT)
    assert room._due_ms == clock.now_ms + 15
    publish(room, 4)
    assert room._due_ms == clock.now_ms + 15


async def test_many_messages_are_one_frame_a_tick(room, clock, until):
    viewer = seat(room)
    publish(room, 1)
    await until(lambda: viewer.transport.written)
    for offset in range(2, 101):
        publish(room, offset)
        await asyncio.sleep(0)
    await until(lambda: room.channel.sent == 100)
    assert len(viewer.transport.written) == 2


async def test_a_large_burst_does_not_wait_and_frames_stay_bounded(room, clock, until):
    viewer = seat(room)
    for offset in range(1, 301):
        publish(room, offset, text="x" * 1000)
    await until(lambda: room.channel.sent == 300)
    assert max(len(data) for data in viewer.transport.written) < FRAME_MAX_BYTES + 8000


async def test_the_loop_runs_between_two_slices_of_viewers_and_order_holds(room, clock, until, monkeypatch):
    monkeypatch.setattr(room, "_clock", itertools.count(clock.now_ms).__next__)  # each look at it takes a millisecond
    slice_ = SLICE_MS * STRIDE
    viewers = [seat(room) for _ in range(3 * slice_)]
    turns: list[int] = []

    def turn() -> None:
        turns.append(sum(bool(viewer.transport.written) for viewer in viewers))
        if turns[-1] < len(viewers):
            asyncio.get_running_loop().call_soon(turn)

    publish(room, 1)
    room.flush()
    turn()
    publish(room, 2)
    room.flush()  # while the first frame is still on its way
    await until(lambda: all(len(viewer.transport.written) == 2 for viewer in viewers))
    assert turns[0] == slice_
    assert len(set(turns)) >= 3
    frames = [[msgspec.json.decode(data[data.index(b"{") :])["o"] for data in v.transport.written] for v in viewers]
    assert set(map(tuple, frames)) == {(1, 2)}


async def test_who_sits_down_between_two_slices_gets_no_frame_twice(room, clock, until, monkeypatch):
    monkeypatch.setattr(room, "_clock", itertools.count(clock.now_ms).__next__)
    for _ in range(2 * SLICE_MS * STRIDE):
        seat(room)
    publish(room, 1)
    room.flush()
    late = seat(room)
    assert b'"o":1' in room.welcome(binary=False, epoch=None, offset=0)
    publish(room, 2)
    room.flush()
    await until(lambda: late.transport.written)
    await until(lambda: not room._row)
    assert len(late.transport.written) == 1
    assert b'"o":2' in late.transport.written[0]


async def test_a_viewer_that_is_a_tick_ahead_from_another_process_is_not_told_of_a_break(room, clock):
    publish(room, 1)
    room.flush()
    publish(room, 2)
    assert room.channel.sent == 1
    assert b'"recovered":true' in room.welcome(binary=False, epoch=EPOCH, offset=2)


def test_a_frame_is_transcoded_without_loss():
    payload = '{"e":"x","o":7,"ev":[{"o":7,"t":"chat","text":"grüße"}],"st":{"viewers":3,"host":true}}'.encode()
    assert msgspec.msgpack.decode(transcode(payload)) == msgspec.json.decode(payload)
    assert seal(payload, binary=False)[0] == 0x81
    assert seal(payload, binary=True)[0] == 0x82
