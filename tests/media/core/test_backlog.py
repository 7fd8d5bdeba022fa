from hypothesis import given
from hypothesis import strategies as st

from media.core.backlog import Backlog, Send


def send(number, *, has_audio=False):
    return Send(bytes((number,)), 0, ("192.0.2.1", number), 3, has_audio)


def drained(backlog):
    found = []
    while (head := backlog.head()) is not None:
        found.append(head.data[0])
        backlog.pop()
    return found


def test_the_oldest_picture_goes_first_and_sound_stays():
    backlog = Backlog(3)
    for number in range(5):
        backlog.push(send(number, has_audio=number in (0, 2)))
    assert backlog.dropped_packets == 6
    assert drained(backlog) == [0, 2, 4]


def test_with_nothing_but_sound_the_oldest_goes():
    backlog = Backlog(2)
    for number in range(3):
        backlog.push(send(number, has_audio=True))
    assert drained(backlog) == [1, 2]


@given(st.lists(st.booleans(), max_size=60))
def test_it_is_bounded_and_keeps_order(kinds):
    backlog = Backlog(8)
    for number, has_audio in enumerate(kinds):
        backlog.push(send(number, has_audio=has_audio))
        assert len(backlog) <= 8
    order = drained(backlog)
    assert order == sorted(order)
    assert backlog.dropped_packets == 3 * (len(kinds) - len(order))
