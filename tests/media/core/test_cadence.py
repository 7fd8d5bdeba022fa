from media.core.cadence import EVERY_MS, SETTLING_MS, Cadence

SECOND = 1000


def reported(cadence, start, seconds):
    """At which of these seconds a report is due; it is sent then."""
    found = []
    for number in range(seconds):
        if cadence.is_due(start + number * SECOND):
            cadence.told(start + number * SECOND)
            found.append(number)
    return found


def test_the_first_seconds_have_a_report_each_and_then_every_other():
    assert SETTLING_MS == 3 * SECOND
    assert reported(Cadence(), 50_000, 10) == [0, 1, 2, 4, 6, 8]


def test_ticks_that_come_a_little_early_do_not_leave_one_out():
    cadence = Cadence()
    reported(cadence, 0, 4)
    cadence.told(10 * SECOND)
    assert not cadence.is_due(11 * SECOND + 50)
    assert cadence.is_due(12 * SECOND - 50)
    assert SECOND < EVERY_MS < 2 * SECOND


def test_another_beginning_is_reported_as_the_first_one():
    cadence = Cadence()
    reported(cadence, 0, 10)
    cadence.begin()
    assert not cadence.is_settled(10 * SECOND)
    assert reported(cadence, 10 * SECOND, 6) == [0, 1, 2, 4]


def test_a_beginning_without_a_report_never_settles():
    assert not Cadence().is_settled(1 << 50)
