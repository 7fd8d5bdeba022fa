"""The choice of a layer, in virtual time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netem.link import Conditions, Link

from media.core.bandwidth import Bandwidth
from media.core.layers import (
    CALM_MS,
    FIRST_BAR_MS,
    FORGIVEN_MS,
    HOLD_MS,
    LONGEST_BAR_MS,
    LONGEST_DRAIN_MS,
    OFF,
    SETTLED_MS,
    TRY_AGAIN_MS,
    Choice,
    Move,
    Rung,
)

RUNGS = (Rung(2, 150_000), Rung(0, 500_000), Rung(1, 1_500_000))
SOUND = 40_000


class Viewer:
    """A choice, its estimate set by hand; what has been sent is under way for 100 ms."""

    def __init__(self, layer=2, *, reports=True):
        self.reports = reports
        self.choice, self.bandwidth, self.layer, self.now_ms, self.moves = Choice(), Bandwidth(), layer, 100_000, []

    def for_ms(self, ms, rungs=RUNGS):
        until = self.now_ms + ms
        while self.now_ms < until:
            self.now_ms += 100
            if self.reports:
                self.bandwidth.drained(self.now_ms - 100)
            move = self.choice.decide(rungs, self.layer, self.bandwidth, SOUND, self.now_ms)
            if move:
                self.layer = move.layer
                self.moves.append(move)
        return self

    def fits(self, bps):
        self.bandwidth.estimate_bps = bps
        return self

    def congested(self, bps, loss=0.5):
        self.bandwidth.mean_loss = loss
        self.bandwidth.estimate_bps, self.bandwidth.congested_ms = bps, self.now_ms + 1
        return self


def test_it_stays_on_the_lowest_while_nothing_is_known():
    assert Viewer().for_ms(60_000).moves == []


def test_it_goes_up_to_what_fits_with_a_margin_after_a_while():
    viewer = Viewer().fits(500_000 * 12 // 10 + SOUND - 1).for_ms(5000)
    assert viewer.moves == []
    viewer.fits(500_000 * 12 // 10 + SOUND).for_ms(HOLD_MS)
    assert viewer.moves == []
    assert viewer.for_ms(200).moves == [Move(0, False)]


def test_it_passes_over_a_layer_when_there_is_room_for_the_next():
    assert Viewer().fits(3_000_000).for_ms(2000).moves == [Move(1, False)]


def test_an_estimate_that_wavers_does_not_move_it():
    viewer = Viewer()
    for _ in range(20):
        viewer.fits(3_000_000).for_ms(HOLD_MS - 100).fits(300_000).for_ms(200)
    assert viewer.moves == []


def test_while_there_is_one_layer_it_stays_and_what_fitted_before_is_proved_anew():
    viewer = Viewer().fits(3_000_000).for_ms(HOLD_MS - 100)
    assert viewer.choice.decide(RUNGS[:1], 2, viewer.bandwidth, SOUND, viewer.now_ms) is None
    viewer.for_ms(HOLD_MS - 100)
    viewer.choice.stay()
    viewer.for_ms(HOLD_MS)
    assert viewer.moves == []
    assert viewer.for_ms(200).moves == [Move(1, False)]


def test_congestion_takes_it_down_at_once_to_what_fits():
    assert Viewer(layer=1).congested(1_000_000).for_ms(100).moves == [Move(0, False)]
    assert Viewer(layer=1).congested(600_000).for_ms(100).moves == [Move(OFF, True)]
    assert Viewer(layer=1).congested(600_000).for_ms(200).moves == [Move(OFF, True), Move(0, True)]
    assert Viewer(layer=1).congested(255_000).for_ms(200).moves == [Move(OFF, True), Move(2, True)]


def test_who_does_not_say_that_it_has_drained_gets_the_lower_layer_all_the_same():
    viewer = Viewer(layer=1, reports=False).congested(255_000).for_ms(LONGEST_DRAIN_MS)
    assert viewer.moves == [Move(OFF, True)]
    assert viewer.for_ms(100).moves[1:] == [Move(2, True)]


def test_losses_are_forgiven_until_reports_can_tell_of_the_lower_layer():
    viewer = Viewer(layer=1, reports=False)
    assert not viewer.choice.forgives(viewer.now_ms)
    viewer.congested(255_000).for_ms(LONGEST_DRAIN_MS + 100)
    assert viewer.layer == 2
    assert [viewer.choice.forgives(viewer.now_ms + ms) for ms in (0, FORGIVEN_MS - 1, FORGIVEN_MS)] == [
        True,
        True,
        False,
    ]


def test_what_is_learned_while_it_drains_counts():
    viewer = Viewer(layer=1, reports=False).congested(600_000).for_ms(500).congested(255_000)
    assert viewer.for_ms(LONGEST_DRAIN_MS).moves == [Move(OFF, True), Move(2, True)]


def narrowed(*, drains: bool) -> tuple[int, float]:
    """A way that carries 300 kb/s of a sudden: packets of the low keyframe lost, and when the last is there, in ms.

    The high layer has 750 kb/s; a browser's estimate falls after 0.9 s; a keyframe comes 100 ms after it is wished for.
    """
    link, viewer = Link(7, Conditions(rate_bps=300_000)), Viewer(layer=1, reports=False)
    rungs, reports = (Rung(2, 150_000), Rung(1, 750_000)), list[tuple[float, int]]()
    began_ms = viewer.now_ms
    for now_ms in range(began_ms, began_ms + 5_000, 10):
        if now_ms == began_ms + 900:
            viewer.congested(255_000)
        viewer.bandwidth.drained(max((sent for at, sent in reports if at <= now_ms), default=0))
        link.send(now_ms, 100)
        if viewer.layer == 1:
            link.send(now_ms, 940)
        move = viewer.choice.decide(rungs, viewer.layer, viewer.bandwidth, SOUND, now_ms)
        viewer.layer = move.layer if move else viewer.layer
        if viewer.layer == 2 or (viewer.layer == OFF and not drains):
            keyframe = [link.send(now_ms + 100, 1000) for _ in range(10)]
            return sum(not copies for copies in keyframe), max(max(copies) for copies in keyframe if copies) - began_ms
        if viewer.choice.drains and now_ms % 200 == 0:
            reports += [(at, now_ms) for at in link.send(now_ms, 60)]
    raise AssertionError("it stays on the high layer")


def test_a_keyframe_does_not_go_into_the_queue_that_the_layer_before_has_filled():
    lost, there_ms = narrowed(drains=True)
    assert (lost, there_ms < 2_600) == (0, True)  # 0.9 s to notice, 0.85 s of queue, 0.1 s to come, 0.3 s to cross
    assert narrowed(drains=False)[0] > 0  # and these come again behind the full queue, if not lost once more


def test_after_a_move_up_that_failed_it_waits_longer_each_time():
    viewer, waits = Viewer(), []
    for _ in range(6):
        before = viewer.now_ms
        viewer.fits(3_000_000)
        while viewer.layer != 1:
            viewer.for_ms(100)
        waits.append(viewer.now_ms - before)
        viewer.for_ms(1000).congested(255_000).for_ms(200)
        assert viewer.layer == 2
    assert waits[0] < 1500
    expected = [FIRST_BAR_MS, 2 * FIRST_BAR_MS, 4 * FIRST_BAR_MS, 8 * FIRST_BAR_MS, LONGEST_BAR_MS]
    assert all(bar <= wait <= bar + 1500 for wait, bar in zip(waits[1:], expected, strict=True))


def test_a_layer_that_held_clears_its_name():
    viewer = Viewer().fits(3_000_000).for_ms(2000).congested(255_000).for_ms(100)
    viewer.fits(3_000_000).for_ms(FIRST_BAR_MS + 2000)
    assert viewer.layer == 1
    viewer.for_ms(SETTLED_MS + 100).congested(255_000).for_ms(100).fits(3_000_000).for_ms(2000)
    assert viewer.layer == 1


def test_a_layer_that_goes_off_the_air_is_left_for_one_that_fits():
    assert Viewer(layer=1).fits(600_000).for_ms(100, RUNGS[:2]).moves == [Move(0, True)]
    assert Viewer(layer=1).for_ms(100, RUNGS[:2]).moves == [Move(2, True)]
    assert Viewer(layer=1).for_ms(100, ()).moves == []


def test_a_network_that_does_not_carry_the_lowest_gets_sound_alone_and_is_tried_again():
    viewer = Viewer().congested(60_000).for_ms(1000)
    assert viewer.moves == [], "once is not enough"
    assert viewer.congested(60_000).for_ms(1000).moves == [Move(OFF, True)]
    assert viewer.for_ms(TRY_AGAIN_MS + 100).moves[1:] == [Move(2, False)]


def test_a_bar_does_not_keep_a_viewer_without_a_picture_for_longer():
    viewer = Viewer()
    for _ in range(5):  # up, and down again at once: barred for most of a minute
        viewer.fits(3_000_000)
        while viewer.layer != 1:
            viewer.for_ms(100)
        viewer.congested(255_000).for_ms(200)
    viewer.congested(60_000).for_ms(100).congested(60_000).for_ms(100)
    assert viewer.moves[-1] == Move(OFF, True)
    viewer.fits(3_000_000).for_ms(TRY_AGAIN_MS + 200)
    assert viewer.moves[-1] == Move(2, False), "the lowest, whatever seems to fit"


@pytest.mark.parametrize(("packets_s", "gap_ms"), [(10, 1000), (20, 100), (40, 300), (210, 1000)])
def test_five_per_cent_of_loss_takes_no_picture_away_however_few_packets_a_report_is_about(packets_s, gap_ms):
    chance, bandwidth, choice = random.Random(5), Bandwidth(), Choice()
    rungs, now_ms, octets, moves = (Rung(0, packets_s * 8000),), 0, 0, []
    while now_ms < 20 * 60_000:
        passed = int(gap_ms * chance.uniform(0.5, 1.5))
        packets = int(packets_s * passed / 1000 + chance.random())
        now_ms, octets = now_ms + passed, octets + 1000 * packets + 6 * passed
        lost = sum(chance.random() < 0.05 for _ in range(packets))
        bandwidth.sent(octets, now_ms)
        bandwidth.reported(lost / max(1, packets), 3, 50 + chance.randrange(4), now_ms, packets=packets)
        moves += [choice.decide(rungs, 0, bandwidth, 48_000, now_ms)]
    assert {move for move in moves if move} == set()


def test_a_remb_that_dips_without_loss_does_not_take_the_lowest_layer_away():
    viewer = Viewer()
    for _ in range(10):
        viewer.congested(60_000, loss=0.0).for_ms(1000)
    assert viewer.moves == []


def test_a_network_that_nearly_carries_the_lowest_keeps_it():
    viewer = Viewer()
    for _ in range(10):
        viewer.congested(SOUND + 80_000).for_ms(1000)
    assert viewer.moves == []


def test_a_single_layer_is_a_ladder_too():
    viewer = Viewer(layer=0)
    one = (Rung(0, 2_000_000),)
    viewer.congested(300_000).for_ms(1000, one).congested(300_000).for_ms(1000, one)
    assert viewer.moves == [Move(OFF, True)], "the sound wins"
    viewer.fits(5_000_000).for_ms(1000, one)
    assert viewer.layer == 0


@pytest.mark.parametrize(
    ("layer", "estimate", "wanted"), [(2, 200_000, 640_000), (0, 700_000, 1_840_000), (1, 0, 0), (2, 700_000, 0)]
)
def test_what_a_train_has_to_show(layer, estimate, wanted):
    viewer = Viewer(layer).fits(estimate)
    assert viewer.choice.wanted_bps(RUNGS, layer, viewer.bandwidth, SOUND, viewer.now_ms) == wanted


def test_no_train_leaves_into_a_queue_that_is_still_full():
    viewer = Viewer().congested(200_000)
    assert viewer.choice.wanted_bps(RUNGS, 2, viewer.bandwidth, SOUND, viewer.now_ms + CALM_MS) == 0
    assert viewer.choice.wanted_bps(RUNGS, 2, viewer.bandwidth, SOUND, viewer.now_ms + CALM_MS + 1) == 640_000


steps = st.lists(
    st.tuples(st.integers(1, 4000), st.integers(0, 5_000_000), st.booleans(), st.integers(0, 3)), max_size=100
)


@given(steps)
def test_a_move_always_leads_somewhere_that_is_on_air_and_up_only_with_room(history):
    viewer = Viewer()
    for passed_ms, estimate, congested, count in history:
        viewer.now_ms += passed_ms
        viewer.bandwidth.estimate_bps = estimate
        if congested:
            viewer.bandwidth.congested_ms = viewer.now_ms
        rungs = RUNGS[:count]
        move = viewer.choice.decide(rungs, viewer.layer, viewer.bandwidth, SOUND, viewer.now_ms)
        if move is None:
            continue
        numbers = [rung.layer for rung in rungs]
        assert move.layer == OFF or move.layer in numbers
        assert move.layer != viewer.layer or congested
        if (
            viewer.layer in numbers
            and move.layer in numbers
            and numbers.index(move.layer) > numbers.index(viewer.layer)
        ):
            assert not move.is_urgent
            assert rungs[numbers.index(move.layer)].rate_bps * 1.2 + SOUND <= estimate
        viewer.layer = move.layer
