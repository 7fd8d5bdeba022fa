import asyncio

from realtime.deadlines import Deadlines


class Loop:
    """A clock that is moved by hand, and the timers set on it."""

    def __init__(self) -> None:
        self.now, self.timers = 100.0, []

    def time(self):
        return self.now

    def call_at(self, due, callback, *arguments):
        self.timers.append((due, callback, arguments))
        return self.timers[-1]

    def move(self, to):
        self.now = to
        due = [one for one in self.timers if one[0] <= to]
        self.timers = [one for one in self.timers if one[0] > to]
        for _, callback, arguments in due:
            callback(*arguments)


def test_who_does_not_end_in_time_is_late_once_and_one_timer_serves_all():
    loop, late = Loop(), []
    deadlines = Deadlines(lambda: 10, late.append)
    for number in range(5):
        loop.move(100 + number)
        deadlines.begin(number, loop)
        assert len(loop.timers) == 1
    deadlines.end(1)
    loop.move(109.9)
    assert late == []
    loop.move(112)
    assert late == [0, 2]
    assert [due for due, *_ in loop.timers] == [113]
    loop.move(200)
    assert late == [0, 2, 3, 4]
    assert loop.timers == []


def test_a_timer_for_which_nobody_is_left_goes_off_for_nothing_and_the_next_one_is_set_anew():
    loop, late = Loop(), []
    deadlines = Deadlines(lambda: 10, late.append)
    deadlines.begin("a", loop)
    deadlines.end("a")
    deadlines.end("a")
    loop.move(110)
    assert (late, loop.timers) == ([], [])
    deadlines.begin("b", loop)
    loop.move(120)
    assert late == ["b"]


def test_whoever_is_late_may_begin_another_or_end_one():
    loop, late = Loop(), []

    def punish(one):
        late.append(one)
        deadlines.end("b")
        if len(late) == 1:
            deadlines.begin("c", loop)

    deadlines = Deadlines(lambda: 10, punish)
    deadlines.begin("a", loop)
    deadlines.begin("b", loop)
    loop.move(110)
    assert late[0] == "a"
    loop.move(120)
    assert late[-1] == "c"


async def test_on_a_real_loop():
    late = asyncio.Event()
    Deadlines(lambda: 0.01, lambda _: late.set()).begin("a", asyncio.get_running_loop())
    async with asyncio.timeout(20):
        await late.wait()
