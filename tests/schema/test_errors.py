import pytest

from schema import errors


def test_every_error_has_a_code_of_its_own_and_stands_in_the_registry():
    assert errors.REGISTRY["sold_out"] is errors.SoldOutError
    assert all(kind.code == code for code, kind in errors.REGISTRY.items())


def test_a_second_error_with_a_taken_code_fails_at_its_definition():
    with pytest.raises(AssertionError, match="sold_out"):
        type("Rival", (errors.ShowfloorError,), {"code": "sold_out"})
    assert errors.REGISTRY["sold_out"] is errors.SoldOutError


@pytest.mark.parametrize("kind", errors.REGISTRY.values(), ids=lambda kind: kind.code)
def test_statuses_and_close_codes_stand_in_their_ranges(kind):
    assert 400 <= kind.status < 600
    assert 4000 <= kind.close_code < 5000
    assert kind.title


def test_what_may_pass_by_itself_asks_the_client_to_come_back():
    for kind in (errors.RateLimited, errors.Unavailable, errors.GoingAway, errors.TooSlow):
        assert kind.close_code < 4500
    for kind in (errors.Unauthenticated, errors.Forbidden, errors.NotFound):
        assert kind.close_code >= 4500


def test_an_error_without_words_speaks_its_title():
    assert errors.SoldOutError().detail == "Sold out"
    assert errors.SoldOutError("2 left", available=2).extra == {"available": 2}
