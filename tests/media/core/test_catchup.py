from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from media.core.catchup import KEEP_MS, MIN_MS, STEP_MS, STEP_PACKETS, CatchUp
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.press import later
from media.core.reception import ntp, wall_ms_of
from media.core.reel import Reel


def packet(sequence, ms, payload=b"x"):
    """A packet whose timestamp is `ms` on the host's clock."""
    return Packet(Kind.VIDEO, Codec.VP8, sequence, ms * 90 & 0xFFFFFFFF, True, payload)


def begun(packets, *rest):
    """A way to live that begins with these packets, a keyframe's first at the head."""
    reel = Reel(5000)
    for number, each in enumerate(packets):
        reel.put(each._replace(begins_keyframe=number == 0))
    return CatchUp(reel, *rest)


def came(catch_up, packets):
    """The fan-out takes them."""
    for each in packets:
        if catch_up.reel.put(each, is_followed=True):
            catch_up.missed(each)


def due(catch_up, now):
    late, begin, end = catch_up.step(now)
    return [*late, *catch_up.reel.packets[begin:end]]


def pressed(catch_up, packets):
    """As they leave, by a line with its press."""
    shifts = [catch_up.press.shift(each.timestamp) for each in packets]
    return [
        each._replace(timestamp=each.timestamp + shift & 0xFFFFFFFF, capture=later(each.capture, shift))
        for each, shift in zip(packets, shifts, strict=True)
    ]


def step(catch_up, now):
    return pressed(catch_up, due(catch_up, now))


def stamps(packets):
    return [each.timestamp / 90 for each in packets]


def test_the_example_of_the_module_holds():
    catch_up = begun([packet(n, n * 1000) for n in range(4)], 4000 * 90, 50_000)
    left = {}
    for now in range(150):
        if now == 100:
            came(catch_up, [packet(4, 4000), packet(5, 4060)])
        left |= {each.sequence: (now, round(each.timestamp / 90)) for each in step(catch_up, 50_000 + now)}
    assert left == {0: (0, 4000), 1: (37, 4036), 2: (73, 4072), 3: (109, 4108), 4: (145, 4145), 5: (147, 4147)}
    assert not catch_up.is_done
    came(catch_up, [packet(6, 4150)])
    assert step(catch_up, 50_150) == [packet(6, 4150)]
    assert (catch_up.is_done, catch_up.last) == (True, 6)


def test_a_keyframe_of_this_moment_is_not_delayed_and_keeps_its_timestamp():
    catch_up = begun([packet(0, 4000)], 4000 * 90, 0)
    assert stamps(step(catch_up, 0)) == [4000]


def test_a_step_is_bounded_and_the_first_leaves_at_once():
    catch_up = begun([packet(n, 0) for n in range(70)], 4000 * 90, 0)
    assert [len(due(catch_up, 0)) for _ in range(4)] == [STEP_PACKETS, 70 - STEP_PACKETS, 0, 0]


def test_what_came_late_leaves_with_the_next_step_in_its_pictures_timestamp():
    catch_up = begun([packet(10, 0), packet(12, 0)], 4000 * 90, 0)
    before = step(catch_up, 0)
    assert not catch_up.waits
    came(catch_up, [packet(11, 0)])
    assert catch_up.waits
    assert catch_up.get(11) is None
    late = step(catch_up, 1)
    assert [each.sequence for each in late] == [11]
    assert stamps(late) == stamps(before)[:1]
    assert catch_up.get(11) == late[0]


def test_what_came_before_the_keyframe_is_not_for_the_newcomer():
    catch_up = begun([packet(10, 0)], 4000 * 90, 0)
    came(catch_up, [packet(9, 0)])
    assert [each.sequence for each in due(catch_up, 0)] == [10]


def test_only_what_has_left_can_be_asked_for():
    catch_up = begun([packet(10, 0), packet(11, 2000), packet(13, 2000)], 4000 * 90, 0)
    assert catch_up.get(10) is None
    left = step(catch_up, 0)
    assert [catch_up.get(n) for n in (9, 10, 11, 12, 13, 14)] == [None, left[0], None, None, None, None]


def test_it_is_kept_for_resends_and_then_over():
    catch_up = begun([packet(10, 4000)], 4000 * 90, 0)
    came(catch_up, [packet(11, 4000 + MIN_MS)])
    catch_up.step(MIN_MS)
    assert catch_up.is_done
    assert not catch_up.is_over(MIN_MS + KEEP_MS)
    assert catch_up.is_over(MIN_MS + KEEP_MS + 1)


@st.composite
def hosts(draw):
    """Pictures a millisecond or more apart, some of them cached when the newcomer comes; when each next one comes."""
    gaps = draw(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 5)), min_size=2, max_size=50))
    cached = draw(st.integers(1, len(gaps) - 1))
    late = draw(st.lists(st.integers(0, 400), min_size=len(gaps), max_size=len(gaps)))
    silence = draw(st.integers(0, 2500))
    return gaps, cached, late, silence, draw(st.integers(0, 2**32 - 1))


@settings(deadline=None)
@given(hosts())
def test_whatever_the_host_does_all_leaves_once_in_order_and_ends_at_live(host):
    gaps, cached, lates, silence, origin = host
    frames, sequence, ms = [], 1000, 0
    for gap, count in gaps:
        ms += gap
        stamp = origin + ms * 90 & 0xFFFFFFFF
        frames.append([Packet(Kind.VIDEO, Codec.VP8, sequence + n, stamp, False, b"") for n in range(count)])
        sequence += count
    end = Packet(Kind.VIDEO, Codec.VP8, sequence, origin + (ms + 3000) * 90 & 0xFFFFFFFF, True, b"")
    frames.append([end])
    edge = frames[cached - 1][0].timestamp + silence * 90 & 0xFFFFFFFF
    catch_up, sent, now = begun([p for frame in frames[:cached] for p in frame], edge, 0), [], 0
    arrivals, by_fan_out = [], []
    for late, frame in zip([*lates[cached:], 0], frames[cached:], strict=True):
        at_ms = (frame[0].timestamp - edge & 0xFFFFFFFF) // 90 % 5000 + late
        arrivals.append((max(arrivals[-1][0] if arrivals else 0, at_ms), frame))
    while arrivals or catch_up.waits:
        while arrivals and arrivals[0][0] <= now:
            frame = arrivals.pop(0)[1]
            if catch_up.is_done:
                by_fan_out += frame
            came(catch_up, frame)
        left = step(catch_up, now)
        assert len(left) <= STEP_PACKETS
        sent += left
        now += STEP_MS
        assert now < 20_000
    assert all(catch_up.get(p.sequence) == p for p in sent)
    sent += by_fan_out
    originals = [p for frame in frames for p in frame]
    assert [p.sequence for p in sent] == [p.sequence for p in originals]
    ours = [after.timestamp - before.timestamp & 0xFFFFFFFF for before, after in pairwise(sent)]
    hosts_own = [after.timestamp - before.timestamp & 0xFFFFFFFF for before, after in pairwise(originals)]
    for our_step, host_step in zip(ours, hosts_own, strict=True):
        assert 0 <= our_step <= host_step
        assert (our_step > 0) == (host_step > 0)
    assert sent[-1] == end
    assert catch_up.is_done


def test_the_first_picture_is_repeated_once_with_the_bits_it_had():
    catch_up = begun([packet(10, 0), packet(11, 0), packet(12, 1000)], 4000 * 90, 0)
    left = step(catch_up, 0)
    assert pressed(catch_up, catch_up.again()) == left == [each for each in left if each.timestamp == left[0].timestamp]
    assert catch_up.again() == []


def test_a_newcomer_can_be_hurried_no_faster_than_a_rate():
    packets = [packet(n, n * 100, bytes(1000)) for n in range(40)]
    slow = begun(packets, 4000 * 90, 0, 400_000)
    octets = [sum(len(each.payload) for each in due(slow, ms)) for ms in range(0, 1000, STEP_MS)]
    assert sum(octets) == 40_000
    assert sum(octets[: 400 // STEP_MS]) <= 25_000


def test_who_leaves_gets_no_more_and_can_ask_for_what_it_got():
    catch_up = begun([packet(n, n * 1000) for n in range(4)], 4000 * 90, 0)
    left = step(catch_up, 40)
    assert catch_up.sent == left[-1].sequence == 1
    catch_up.end()
    assert due(catch_up, 10_000) == []
    assert [catch_up.get(n) for n in range(4)] == [*left, None, None]


def test_a_capture_time_moves_with_its_timestamp_so_that_what_lies_between_two_is_right():
    captured = [packet(n, n * 1000)._replace(capture=ntp(60_000 + n * 1000)) for n in range(4)]
    catch_up = begun(captured, 4000 * 90, 0)
    left = [one for now in range(150) for one in step(catch_up, now)]
    for one in left:
        assert abs(wall_ms_of(one.capture) - 60_000 - one.timestamp / 90) < 0.1
        assert catch_up.get(one.sequence) == one
    assert left[0].timestamp == 4000 * 90
