from live.demo import pixel_clock
from live.demo.picture import HEIGHT, WIDTH, Picture, clock_text


def luma(frame):
    plane = frame.planes[0]
    data = bytes(plane)
    return [data[row * plane.line_size : row * plane.line_size + WIDTH] for row in range(HEIGHT)]


def test_the_frame_carries_a_clock_that_machines_can_read():
    picture = Picture()
    for now_ms in (0, 1_795_000_000_123, 1_795_000_000_156):
        rows = luma(picture.frame(3, now_ms))
        assert pixel_clock.read(rows[HEIGHT - 8]) == now_ms % pixel_clock.MODULUS_MS


def test_the_picture_moves_and_comes_round():
    picture = Picture()
    first, later, round_again = (luma(picture.frame(index, 0))[230] for index in (0, 40, 640))
    assert first != later
    assert first == round_again


def test_the_clock_for_people_shows_milliseconds():
    assert clock_text(1_795_000_000_123).endswith(".123")
