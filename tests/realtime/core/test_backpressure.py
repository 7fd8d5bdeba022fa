from realtime.core.backpressure import BEHIND_MAX_MS, COMMANDS_PER_SECOND, Allowance, Progress


def test_a_viewer_that_reads_gets_every_frame_once():
    viewer = Progress(serial=3)
    assert viewer.offer(3, "e", 0, 0) is False
    assert viewer.offer(4, "e", 0, 0) is True
    assert viewer.offer(4, "e", 0, 0) is False


def test_a_viewer_that_does_not_read_is_skipped_and_caught_up_from_where_it_stood():
    viewer = Progress(serial=0)
    viewer.offer(1, "e", 0, 0)
    viewer.paused = True
    assert viewer.offer(2, "e", 10, 100) is False
    assert viewer.offer(3, "e", 20, 200) is False
    assert viewer.resumed(3) == ("e", 10)
    assert viewer.offer(3, "e", 20, 300) is False
    assert viewer.offer(4, "e", 30, 300) is True


def test_a_pause_between_two_frames_costs_nothing():
    viewer = Progress(serial=0)
    viewer.paused = True
    assert viewer.resumed(0) is None
    assert viewer.offer(1, "e", 0, 0) is True


def test_ten_seconds_behind_is_too_long_and_they_count_from_the_first_frame_skipped():
    viewer = Progress(serial=0)
    viewer.paused = True
    assert not viewer.overdue(10**9)
    viewer.offer(1, "e", 0, 5_000)
    viewer.offer(2, "e", 0, 9_000)
    assert not viewer.overdue(5_000 + BEHIND_MAX_MS - 1)
    assert viewer.overdue(5_000 + BEHIND_MAX_MS)
    viewer.resumed(2)
    assert not viewer.overdue(10**9)


def test_commands_are_allowed_thirty_a_second():
    allowance = Allowance()
    assert [allowance.spend(7_250) for _ in range(COMMANDS_PER_SECOND)] == [0] * COMMANDS_PER_SECOND
    assert allowance.spend(7_250) == 750
    assert allowance.spend(8_000) == 0


def test_who_reads_and_was_given_everything_stands_where_the_room_does():
    progress = Progress(serial=4)
    assert progress.stands_at(4)
    assert not progress.stands_at(5)
    assert progress.offer(5, "e", 9, 0)
    assert progress.stands_at(5)
    progress.paused = True
    assert not progress.stands_at(5)
