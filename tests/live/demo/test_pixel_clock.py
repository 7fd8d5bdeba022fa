from hypothesis import given
from hypothesis import strategies as st

from live.demo.pixel_clock import BLACK, MODULUS_MS, WHITE, blocks, read


def row(bits, width):
    return [WHITE if bit else BLACK for bit in bits for _ in range(width)]


@given(st.integers(0, 1 << 45), st.integers(2, 20), st.integers(-20, 20))
def test_what_is_drawn_is_read_back_at_any_size_and_brightness(now_ms, width, shift):
    drawn = [min(255, max(0, luma + shift)) for luma in row(blocks(now_ms), width)]
    assert read(drawn) == now_ms % MODULUS_MS


@given(st.integers(0, 1 << 45), st.integers(2, 37))
def test_one_block_turned_over_is_noticed(now_ms, position):
    bits = blocks(now_ms)
    bits[position] = not bits[position]
    assert read(row(bits, 4)) is None


def test_a_plain_row_is_no_clock():
    assert read([BLACK] * 640) is None
    assert read([WHITE] * 640) is None
