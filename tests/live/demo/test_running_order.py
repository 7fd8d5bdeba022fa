from live.demo.running_order import CUES, due
from live.demo.shop import BUNDLES, COUPONS, SHOP


def test_the_cues_stand_in_the_order_of_time():
    assert [cue.at_s for cue in CUES] == sorted(cue.at_s for cue in CUES)
    assert (CUES[0].at_s, CUES[-1].at_s, CUES[-1].deed, CUES[-1].value) == (0, 600, "state", "ended")


def test_every_cue_is_about_something_in_the_shop():
    variants = {variant for goods in SHOP for variant in goods.variants()} | {each["bundle_id"] for each in BUNDLES}
    assert {cue.variant for cue in CUES} - {None} <= variants
    assert {cue.value for cue in CUES if cue.deed == "coupon"} <= {each["code"] for each in COUPONS}


def test_a_flash_price_is_less_than_the_usual_one_for_no_more_units_than_there_are():
    goods = {variant: (each.price_amount, units) for each in SHOP for variant, (_, units) in each.variants().items()}
    for cue in (cue for cue in CUES if cue.deed == "flash"):
        price, units = goods[cue.variant]
        assert cue.value < price
        assert 0 < cue.units <= units
        assert cue.lasts_s > 0


def test_each_cue_is_due_once_however_the_clock_is_cut():
    for step in (0.25, 7, 61, 1000):
        at, played = -1, []
        while at < 600:
            played += due(at, at + step)
            at += step
        assert played == list(CUES)


def test_what_is_pinned_is_in_the_shop_window_before_its_price_falls():
    pinned = {cue.variant: cue.at_s for cue in CUES if cue.deed == "pin"}
    assert all(pinned[cue.variant] < cue.at_s for cue in CUES if cue.deed == "flash")
