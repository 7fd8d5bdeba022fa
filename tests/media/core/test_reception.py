from media.core.reception import NTP_EPOCH_MS, Mapping, Reception, ntp, wall_ms_of
from media.core.rtcp import SenderReport


def test_ntp_counts_from_1900_in_fractions_of_two_to_the_thirty_two():
    assert ntp(0) == 2_208_988_800 << 32
    assert ntp(500) - ntp(0) == 1 << 31


def test_loss_is_reported_once_and_totals_stay():
    reception = Reception(7, 90_000)
    for sequence in (10, 11, 13, 14):
        reception.arrived(reception.sequence.extend(sequence), sequence * 3000, 100, sequence * 33)
    first, second = reception.block(1000), reception.block(2000)
    assert (first.ssrc, first.fraction_lost, first.total_lost, first.highest) == (7, 256 // 5, 1, 14)
    assert (second.fraction_lost, second.total_lost) == (0, 1)


def test_the_highest_number_counts_cycles_from_the_first():
    reception = Reception(7, 90_000)
    reception.arrived(reception.sequence.extend(65535), 0, 1, 0)
    reception.arrived(reception.sequence.extend(0), 3000, 1, 33)
    assert reception.block(100).highest == 0x10000


def test_the_round_trip_can_be_computed_from_the_block():
    reception = Reception(7, 90_000)
    reception.arrived(reception.sequence.extend(1), 0, 1, 0)
    reception.told(SenderReport(7, 0x0123456789ABCDEF, 0, 0, 0), 1000)
    block = reception.block(1500)
    assert (block.last_sr, block.delay_since_sr) == (0x456789AB, 32768)


def test_steady_arrival_has_no_jitter_and_a_jumping_clock_is_no_network():
    reception = Reception(7, 90_000)
    for number in range(100):
        reception.arrived(reception.sequence.extend(number), number * 900, 1, number * 10)
    assert reception.block(0).jitter == 0
    reception.arrived(reception.sequence.extend(100), 5_000_000, 1, 1000)
    assert reception.block(0).jitter == 0


def test_a_mapping_is_guessed_until_it_is_told():
    mapping = Mapping(90_000)
    assert mapping.at(0) is None
    mapping.guess(1000, 10_000)
    mapping.guess(9999, 10_005)
    assert mapping.at(10_010) == 1000 + 900
    mapping.set(5000, 10_000)
    assert mapping.at(10_001) == 5090
    mapping.begin()
    assert mapping.at(10_002) == 5180, "what the last source said holds until the next one has come"
    mapping.guess(7000, 10_003)
    assert mapping.at(10_003) == 7000
    assert mapping.wall(7900) == 10_013


def test_a_mapping_leads_from_a_timestamp_back_to_its_time_across_the_wrap():
    mapping = Mapping(90_000)
    assert mapping.wall(0) is None
    mapping.set(0xFFFFFFFF - 899, 10_000)
    assert mapping.wall(0) == 10_010
    assert mapping.wall(0xFFFFFFFF - 1799) == 9990
    assert mapping.at(10_010) == 0


def test_an_ntp_stamp_is_read_as_it_was_written():
    assert ntp(0) == NTP_EPOCH_MS // 1000 << 32
    assert wall_ms_of(ntp(1_700_000_000_500)) == 1_700_000_000_500
