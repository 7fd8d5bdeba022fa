import pytest

from media.core import extensions
from media.core.extensions import ABS_CAPTURE_TIME, BLOCK_BYTES, PLAYOUT_DELAY, filled, holding, sendable, template
from media.core.rtp import extension

CAPTURE = 0x0123456789ABCDEF


@pytest.mark.parametrize(
    ("numbers", "block"),
    [
        ({ABS_CAPTURE_TIME: 12, PLAYOUT_DELAY: 6}, "bede0004 c7 0123456789abcdef 62 001064 000000"),
        ({ABS_CAPTURE_TIME: 14}, "bede0004 e7 0123456789abcdef 00 000000 000000"),
        ({PLAYOUT_DELAY: 1}, "bede0004 00 0000000000000000 12 001064 000000"),
        ({}, "bede0004 00 0000000000000000 00 000000 000000"),
    ],
)
def test_the_block_has_one_size_whatever_was_negotiated(numbers, block):
    made = filled(template(numbers, least_ms=10, most_ms=1000), CAPTURE)
    assert made == bytes.fromhex(block)
    assert len(made) == BLOCK_BYTES
    assert [number for number in range(1, 15) if extension(made, number)] == sorted(numbers.values())


def test_the_greatest_delay_fits_its_field():
    made = template({PLAYOUT_DELAY: 3}, least_ms=extensions.MAX_DELAY_MS, most_ms=extensions.MAX_DELAY_MS)
    assert extension(made, 3) == b"\xff\xff\xff"


def test_only_what_we_send_and_the_short_form_can_number_is_taken():
    offered = {ABS_CAPTURE_TIME: 14, PLAYOUT_DELAY: 15, extensions.MID: 4}
    assert sendable(offered) == {ABS_CAPTURE_TIME: 14}
    assert sendable({}) == {}


def test_another_least_delay_changes_nothing_else():
    numbers = {ABS_CAPTURE_TIME: 12, PLAYOUT_DELAY: 6}
    before, after = (template(numbers, least_ms=least, most_ms=1000) for least in (0, 250))
    assert holding(before, 250) == after
    assert holding(after, 0) == before
    assert extension(holding(before, 5000), 6) == bytes.fromhex("064064")  # not above the most
    assert holding(extensions.BLANK, 250) == extensions.BLANK
