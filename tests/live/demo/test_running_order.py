from live.demo.running_order import CUES, due
from live.demo.shop import SHOP


def test_the_cues_stand_in_the_order_of_time():
    assert [cue.at_s for cue in CUES] == sorted(cue.at_s for cue in CUES)
    assert (CUES[0].at_s, CUES[-1].at_s, CUES[-1].deed, CUES[-1].value) == (0, 600, "state", "ended")


def test_every_cue_is_about_something_in_the_shop():
    variants = {variant for goods in SHOP for variant in goods.variants()}
    assert {cue.variant for cue in CUES} - {None} <= variants


def test_each_cue_is_due_once_however_the_clock_is_cut():
    for step in (0.25, 7, 61, 1000):
        at, played = -1, []
        while at < 600:
            played += due(at, at + step)
            at += step
        assert played == list(CUES)


def test_what_is_pinned_is_in_the_shop_window_before_its_price_falls():
    pinned = {cue.variant: cue.at_s for cue in CUES if cue.deed == "pin"}
    assert all(pinned[cue.variant] < cue.at_s for cue in CUES if cue.deed == "price")
