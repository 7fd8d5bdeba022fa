"""Tags with two halves."""

import msgspec
import pytest
from starlette.datastructures import Headers

from live.etags import etag_of, unchanged, versions_asked
from schema.errors import PreconditionFailed
from schema.show import Show, ShowState

SHOW = Show(
    show_id="demo", title="T", description="", state=ShowState.LIVE, starts_at_ms=1, currency="EUR", sales_open=True,
    host_present=False, slow_mode_ms=0, version=7, pins=[], items=[],
)  # fmt: skip


def test_a_tag_changes_with_any_byte_and_tells_the_version():
    etag = etag_of(SHOW)
    assert etag == etag_of(SHOW)
    assert etag.startswith('"v7.')
    assert etag != etag_of(msgspec.structs.replace(SHOW, host_present=True))
    assert versions_asked(Headers({"if-match": etag})) == {7}
    assert versions_asked(Headers({"if-match": etag_of(msgspec.structs.replace(SHOW, host_present=True))})) == {7}


@pytest.mark.parametrize("asked", ["{}", "W/{}", '"other", {}', "*", " {} "])
def test_a_tag_that_is_named_is_unchanged(asked):
    etag = etag_of(SHOW)
    assert unchanged(Headers({"if-none-match": asked.format(etag)}), etag)


@pytest.mark.parametrize("asked", ["", '"v7.0000000000000000"', "v7"])
def test_any_other_is_not(asked):
    assert not unchanged(Headers({"if-none-match": asked}), etag_of(SHOW))


def test_without_a_precondition_any_version_will_do():
    assert versions_asked(Headers({})) is None
    assert versions_asked(Headers({"if-match": "*"})) is None


@pytest.mark.parametrize("asked", ["", '"7"', '"v7"', '"v99999999999999999999.0000000000000000"', "v7.zz"])
def test_a_foreign_tag_never_holds(asked):
    with pytest.raises(PreconditionFailed):
        versions_asked(Headers({"if-match": asked}))
