import itertools

from hypothesis import given
from hypothesis import strategies as st

from media.core.keyframe import INTERVAL_MS, KeyframeBudget, KeyframeRequests


def test_a_request_goes_at_once_and_the_next_waits_its_second():
    requests = KeyframeRequests()
    assert not requests.due(0)
    requests.want()
    assert [requests.due(now) for now in (0, 1, 999, 1000, 1500)] == [True, False, False, True, False]


def test_a_keyframe_answers_everybody():
    requests = KeyframeRequests()
    requests.want()
    requests.due(0)
    requests.arrived()
    assert not requests.due(5000)


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["want", "arrived", "tick"])), max_size=100))
def test_never_more_than_one_a_second_and_none_forgotten(steps):
    requests, now, sent, wanted = KeyframeRequests(), 0, [], False
    for passed, what in steps:
        now += passed
        if what == "want":
            requests.want()
            wanted = True
        elif what == "arrived":
            requests.arrived()
            wanted = False
        elif requests.due(now):
            assert wanted
            sent.append(now)
    assert all(b - a >= INTERVAL_MS for a, b in itertools.pairwise(sent))
    assert requests.due(now + INTERVAL_MS) is wanted


def test_a_patient_wish_waits_longer_and_an_urgent_one_does_not():
    requests = KeyframeRequests()
    requests.want()
    assert requests.due(0)
    requests.arrived()
    requests.want(patiently=True)
    assert not requests.due(1999)
    requests.want()
    requests.want(patiently=True)
    assert requests.due(1999)


def test_a_viewer_that_asks_a_hundred_times_a_second_is_heard_every_third_second():
    budget = KeyframeBudget()
    heard = [ms for ms in range(0, 60_000, 10) if budget.allows(ms)]
    assert len(heard) <= 3 + 60 // 3
    assert all(b - a >= 2990 for a, b in itertools.pairwise(heard[3:]))
