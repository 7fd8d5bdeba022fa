from live.demo.crowd import CLAIM, RUSH_S, Buy, Crowd, Say
from live.demo.shop import COOKBOOK, KNIFE, POT_BLUE, SPICE

VIEWERS = range(150)


def everything(crowd):
    return [
        (
            crowd.arrival_s(viewer),
            crowd.small_talk(viewer, 3),
            crowd.on_pin(viewer, POT_BLUE),
            crowd.on_price(viewer, KNIFE),
            crowd.on_slow_mode(viewer),
        )
        for viewer in VIEWERS
    ]


def test_the_same_seed_makes_the_same_crowd():
    assert everything(Crowd(7, 150)) == everything(Crowd(7, 150))
    assert everything(Crowd(7, 150)) != everything(Crowd(8, 150))


def test_a_price_that_falls_sends_everybody_within_two_seconds():
    taps = [deed for viewer in VIEWERS for deed in Crowd(7, 150).on_price(viewer, KNIFE)]
    assert len(taps) == 150
    assert all(isinstance(tap, Buy) and tap.quantity == 1 and 0 <= tap.after_s <= RUSH_S for tap in taps)


def test_the_knife_is_not_bought_before_its_price_falls():
    deeds = [deed for viewer in VIEWERS for deed in Crowd(7, 150).on_pin(viewer, KNIFE)]
    assert all(isinstance(deed, Say) for deed in deeds)


def test_a_pin_makes_some_buy_but_never_more_than_half_of_a_small_room():
    for size in (6, 30, 150):
        buyers = [v for v in range(size) if any(isinstance(deed, Buy) for deed in Crowd(7, size).on_pin(v, SPICE))]
        assert 1 <= len(buyers) <= size * 0.8
    wanted = sum(any(isinstance(d, Buy) for d in Crowd(7, 150).on_pin(v, COOKBOOK)) for v in VIEWERS)
    assert wanted > 1  # there is one, so that somebody is too late


def test_everybody_has_come_within_a_minute():
    assert max(Crowd(7, 150).arrival_s(viewer) for viewer in VIEWERS) <= 60


def test_the_spam_wave_is_faster_than_slow_mode_allows():
    waves = [deeds for viewer in VIEWERS if (deeds := Crowd(7, 150).on_slow_mode(viewer))]
    assert waves
    assert all(len(wave) > 30 / 10 for wave in waves)


def test_two_thirds_of_the_room_vote_within_the_poll_and_for_what_there_is():
    votes = [vote for viewer in VIEWERS for vote in Crowd(7, 150).on_poll(viewer, "Which?", 3)]
    assert 80 <= len(votes) <= 120
    assert {vote.option for vote in votes} == {0, 1, 2}
    assert all(0 < vote.after_s < 45 for vote in votes)


def test_one_viewer_buys_the_blue_pot_by_comment():
    said = [deed.text for v in VIEWERS for deed in Crowd(7, 150).on_pin(v, POT_BLUE) if isinstance(deed, Say)]
    assert said.count(CLAIM) == 1
