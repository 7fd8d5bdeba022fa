import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.core.channel import RECENT_CHAT_MAX, Channel, Kind, Loaded, Publication, Verdict
from schema.wire import Frame

EPOCH = "e1"


def event(offset: int, text: str = "") -> Publication:
    return Publication(offset, Kind.EVENT, "", json.dumps({"t": "x", "text": text or str(offset)}).encode())


def chat(offset: int, message: str, text: str = "hi") -> Publication:
    return Publication(offset, Kind.CHAT, message, json.dumps({"t": "chat", "id": message, "text": text}).encode())


def delete(offset: int, message: str) -> Publication:
    return Publication(offset, Kind.DELETE, message, json.dumps({"t": "chat_deleted", "id": message}).encode())


def keep(offset: int, key: str, kind: Kind = Kind.KEEP) -> Publication:
    return Publication(offset, kind, key, json.dumps({"t": kind.name, "key": key}).encode())


def fresh(**limits: int) -> Channel:
    channel = Channel(**limits)
    assert channel.load(Loaded(EPOCH, 0, 0, [], 0, {}, {})) is False  # a new epoch is never unbroken
    return channel


def filled(*publications: Publication, **limits: int) -> Channel:
    channel = fresh(**limits)
    for one in publications:
        assert channel.receive(EPOCH, one) is Verdict.TAKEN
    channel.flush()
    return channel


def offsets(payload: bytes) -> list[int]:
    return [one["o"] for one in json.loads(payload)["ev"]]


def test_a_tick_is_one_frame_with_every_event_since_the_last_one():
    channel = fresh()
    channel.receive(EPOCH, event(1))
    channel.receive(EPOCH, event(2))
    tick = channel.flush()
    assert json.loads(tick.payload) == {
        "e": EPOCH,
        "o": 2,
        "ev": [{"o": 1, "t": "x", "text": "1"}, {"o": 2, "t": "x", "text": "2"}],
        "st": {},
    }
    assert (tick.before, tick.offset) == (0, 2)
    assert channel.flush() is None


def test_a_duplicate_changes_nothing():
    channel = filled(event(1))
    assert channel.receive(EPOCH, event(1, "again")) is Verdict.SEEN
    assert channel.flush() is None


def test_a_gap_is_kept_aside_and_taken_once_it_is_filled():
    channel = filled(event(1))
    assert channel.receive(EPOCH, event(3)) is Verdict.GAP
    assert channel.flush() is None
    assert channel.gap
    assert channel.load(Loaded(EPOCH, 2, 0, [event(2)], 0, {}, {})) is True
    assert not channel.gap
    assert offsets(channel.flush().payload) == [2, 3]


def test_an_event_of_another_epoch_is_no_event_of_this_one():
    channel = filled(event(1))
    assert channel.receive("e2", event(2)) is Verdict.GAP
    assert channel.flush() is None
    assert channel.load(Loaded("e2", 1, 0, [event(1)], 0, {}, {})) is False
    assert (channel.epoch, channel.sent) == ("e2", 1)
    assert offsets(channel.flush().payload) == [2]


def test_a_log_that_lost_what_is_needed_breaks_the_row():
    channel = filled(event(1))
    assert channel.load(Loaded(EPOCH, 9, 5, [event(6), event(9)], 0, {}, {})) is False
    assert channel.sent == 9
    assert channel.resume(EPOCH, 1)[1] is False
    payload, recovered = channel.resume(EPOCH, 6)
    assert recovered
    assert offsets(payload) == [9]


def test_state_is_conflated_and_sent_only_when_it_changed():
    channel = fresh()
    assert channel.receive_state(EPOCH, 1, {"viewers": b"1", "host": b"true"}) is Verdict.TAKEN
    channel.receive_state(EPOCH, 2, {"viewers": b"2"})
    assert json.loads(channel.flush().payload)["st"] == {"viewers": 2, "host": True}
    channel.receive_state(EPOCH, 3, {"viewers": b"2"})
    assert channel.flush() is None
    assert channel.receive_state(EPOCH, 2, {"viewers": b"9"}) is Verdict.SEEN
    assert channel.state("viewers") == b"2"


def test_a_missing_state_version_asks_for_a_load_and_an_older_load_does_not_turn_time_back():
    channel = fresh()
    channel.receive_state(EPOCH, 1, {"viewers": b"1"})
    assert channel.receive_state(EPOCH, 3, {"viewers": b"3"}) is Verdict.GAP
    channel.load(Loaded(EPOCH, 0, 0, [], 2, {"viewers": b"2"}, {}))
    assert channel.state("viewers") == b"3"
    channel.load(Loaded(EPOCH, 0, 0, [], 4, {"viewers": b"4", "host": b"true"}, {}))
    assert json.loads(channel.flush().payload)["st"] == {"viewers": 4, "host": True}


def test_the_snapshot_holds_what_is_retained_the_last_chat_and_the_whole_state():
    channel = filled(keep(1, "pin.a"), chat(2, "m1"), keep(3, "pin.b"), keep(4, "pin.a", Kind.DROP), event(5))
    channel.receive_state(EPOCH, 1, {"viewers": b"7"})
    snapshot = json.loads(channel.join())
    assert snapshot["snapshot"] is True
    assert "recovered" not in snapshot
    assert [one["o"] for one in snapshot["ev"]] == [2, 3]
    assert (snapshot["o"], snapshot["st"]) == (5, {"viewers": 7})


def test_a_key_that_is_retained_again_stands_at_its_new_offset():
    channel = filled(keep(1, "pin.a"), event(2), keep(3, "pin.a"))
    assert offsets(channel.join()) == [3]


def test_the_snapshot_holds_the_last_fifty_messages():
    channel = filled(*(chat(at, f"m{at}") for at in range(1, 61)))
    assert offsets(channel.join()) == list(range(61 - RECENT_CHAT_MAX, 61))


def test_a_snapshot_leaves_out_what_waits_for_the_tick():
    channel = filled(event(1))
    channel.receive(EPOCH, keep(2, "pin.a"))
    assert json.loads(channel.join())["o"] == 1
    assert offsets(channel.join()) == []
    assert offsets(channel.flush().payload) == [2]


def test_a_deleted_message_is_in_no_snapshot_and_no_replay():
    channel = filled(event(1), chat(2, "m2", "rude"), event(3), delete(4, "m2"))
    assert b"rude" not in channel.join()
    payload, recovered = channel.resume(EPOCH, 1)
    assert recovered
    assert b"rude" not in payload
    assert offsets(payload) == [3, 4]


def test_a_newcomer_does_not_see_a_deleted_message_even_before_the_tick():
    channel = filled(chat(1, "m1", "rude"))
    assert b"rude" in channel.join()
    channel.receive(EPOCH, delete(2, "m1"))
    assert b"rude" not in channel.join()
    assert b"rude" not in channel.resume(EPOCH, 0)[0]
    assert offsets(channel.flush().payload) == [2]


def test_a_message_deleted_within_its_tick_is_never_sent():
    channel = fresh()
    channel.receive(EPOCH, chat(1, "m1", "rude"))
    channel.receive(EPOCH, delete(2, "m1"))
    tick = channel.flush()
    assert b"rude" not in tick.payload
    assert offsets(tick.payload) == [2]


@pytest.mark.parametrize(
    ("epoch", "offset", "recovered"),
    [(EPOCH, 3, False), (EPOCH, 4, True), (EPOCH, 6, True), (EPOCH, 7, True), (EPOCH, 8, False), ("e0", 6, False)],
)
def test_one_resumes_from_within_the_ring_or_begins_anew(epoch, offset, recovered):
    channel = filled(*(event(at) for at in range(1, 8)), ring_max=3)
    payload, was = channel.resume(epoch, offset)
    assert was is recovered
    frame = json.loads(payload)
    assert frame["recovered"] is recovered
    assert frame.get("snapshot", False) is not recovered
    if recovered:
        assert offsets(payload) == list(range(offset + 1, 8))


def test_the_ring_is_bounded_by_bytes_too():
    channel = filled(*(event(at, "x" * 100) for at in range(1, 101)), ring_max_bytes=1000)
    assert channel.resume(EPOCH, 1)[1] is False
    assert channel.resume(EPOCH, 95)[1] is True
    assert channel._ring_bytes <= 1000


def test_the_same_catch_up_is_built_once():
    channel = filled(event(1), event(2))
    assert channel.resume(EPOCH, 1)[0] is channel.resume(EPOCH, 1)[0]
    assert channel.join() is channel.join()
    before = channel.join()
    channel.receive_state(EPOCH, 1, {"viewers": b"1"})
    assert channel.join() is not before


def test_quotes_and_newlines_in_a_text_survive():
    channel = fresh()
    channel.receive(EPOCH, chat(1, "m1", 'say "hi"\n\u2028 {"o":9}'))
    assert json.loads(channel.flush().payload)["ev"][0]["text"] == 'say "hi"\n\u2028 {"o":9}'


class Reader:
    """What a client is owed: everything after its first frame, in order, or to be told of a break."""

    def __init__(self, epoch: str, offset: int) -> None:
        self.epoch, self.offset = epoch, offset
        self.seen: list[int] = []

    def apply(self, payload: bytes) -> None:
        frame = json.loads(payload)
        if frame.get("snapshot"):
            assert frame.get("recovered") is not True
            self.seen = []
        else:
            assert frame["e"] == self.epoch
            assert [one["o"] for one in frame["ev"]] == list(range(self.offset + 1, frame["o"] + 1))
            self.seen += [one["o"] for one in frame["ev"]]
        self.epoch, self.offset = frame["e"], frame["o"]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 4)),
        st.tuples(st.just("lose"), st.integers(1, 3)),
        st.tuples(st.just("tick"), st.just(0)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("drop"), st.integers(0, 3)),
        st.tuples(st.just("resume"), st.integers(0, 3)),
        st.tuples(st.just("load"), st.just(0)),
        st.tuples(st.just("trim"), st.integers(1, 10)),
        st.tuples(st.just("epoch"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(steps)
def test_whatever_happens_each_client_gets_a_gapless_row_or_is_told(script):
    """`lose`: published, but the bus does not deliver it. `trim`: the broker's log forgets. `epoch`: it loses all."""
    channel = fresh(ring_max=6)
    epoch, generation, log, floor, last = EPOCH, 1, [], 0, 0
    online: list[Reader] = []
    offline: list[Reader] = []

    def load() -> None:
        since = channel.received if channel.epoch == epoch else 0
        entries = [one for one in log if one.offset > max(since, floor)]
        if not channel.load(Loaded(epoch, last, floor, entries, 0, {}, {})):
            for reader in online:
                reader.apply(channel.resume("", 0)[0])

    def tick() -> None:
        made = channel.flush()
        for reader in online if made else []:
            reader.apply(made.payload)

    for what, number in script:
        if what in {"publish", "lose"}:
            for _ in range(number):
                last += 1
                log.append(event(last))
                if what == "publish" and channel.receive(epoch, log[-1]) is Verdict.GAP:
                    load()
        elif what == "tick":
            tick()
        elif what == "join":
            online.append(Reader("", 0))
            online[-1].apply(channel.join())
        elif what == "drop" and number < len(online):
            offline.append(online.pop(number))
        elif what == "resume" and number < len(offline):
            reader = offline.pop(number)
            payload, recovered = channel.resume(reader.epoch, reader.offset)
            assert recovered or json.loads(payload)["snapshot"]
            reader.apply(payload)
            online.append(reader)
        elif what == "load":
            load()
        elif what == "trim":
            floor = min(last, max(floor, last - number))
        elif what == "epoch":
            generation += 1
            epoch, log, floor, last = f"e{generation}", [], 0, 0
    load()
    tick()
    for reader in online:
        assert (reader.epoch, reader.offset) == (epoch, last)


def test_the_model_notices_a_channel_that_swallows_gaps():
    """The negative control of the test above."""
    channel = filled(event(1))
    reader = Reader("", 0)
    reader.apply(channel.join())
    channel.received = 2  # as if a gap were taken for nothing
    channel.receive(EPOCH, event(3))
    with pytest.raises(AssertionError):
        reader.apply(channel.flush().payload)


def test_a_state_heard_while_the_first_load_is_on_its_way_asks_for_another_load():
    channel = Channel()
    assert channel.receive_state(EPOCH, 6, {"stock.a": b"0"}) is Verdict.GAP
    channel.load(Loaded(EPOCH, 0, 0, [], 5, {"stock.a": b"9"}, {}))
    assert channel.gap
    channel.load(Loaded(EPOCH, 0, 0, [], 6, {"stock.a": b"0"}, {}))
    assert channel.state("stock.a") == b"0"
    assert not channel.gap


def test_a_state_that_the_load_has_already_or_of_another_epoch_asks_for_none():
    for epoch, version in ((EPOCH, 5), (EPOCH, 4), ("another", 9)):
        channel = Channel()
        channel.receive_state(epoch, version, {"stock.a": b"0"})
        channel.load(Loaded(EPOCH, 0, 0, [], 5, {"stock.a": b"9"}, {}))
        assert not channel.gap


def test_a_direction_is_a_frame_that_moves_nobody():
    channel = Channel()
    channel.load(Loaded("e", 7, 7, [], 0, {}, {}))
    told = msgspec.json.decode(channel.direction(640), type=Frame)
    assert (told.e, told.o, told.ev, told.st, told.reconnect_ms) == ("e", 7, [], {}, 640)
