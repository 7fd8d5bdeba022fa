"""The numbers, after something has happened."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schema.ids import AccountId, ShowId
from schema.people import Role
from schema.wire import Watched

SHOW = "/api/v1/shows/demo"


async def numbers(client):
    text = (await client.ask("GET", "/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}


async def test_a_hold_is_counted_and_every_room_tells(shop):
    before = await numbers(shop)
    assert before["showfloor_checkout_holds_total",] == 0
    held = await shop.ask("POST", f"{SHOW}/holds", {"variant_id": "red"}, Role.VIEWER, idempotency_key="h")
    assert held.status_code == 201
    await shop.ask("POST", f"{SHOW}/guests")
    after = await numbers(shop)
    assert after["showfloor_checkout_holds_total",] == 1
    assert after["showfloor_checkout_taps_total",] == 1
    assert after["showfloor_viewers", ("show", "demo")] == 0
    assert after["showfloor_media_sessions",] == 0
    assert after["process_resident_memory_bytes",] > 0


async def test_it_is_prometheus_text(client):
    answer = await client.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")


async def test_a_shows_media_is_counted_by_show_and_its_viewers_only_as_spreads(shop):
    reports = shop.services["statistics"].reports
    for number in range(300):
        said = Watched(watched_ms=10_000, frozen_ms=10 * number, age_ms=200, session=f"sub_{number}")
        reports.heard(AccountId(f"viewer{number}"), ShowId("demo"), said, 1_000)
    read = await numbers(shop)
    assert read["showfloor_media_viewer_frozen_ratio_count", ("show", "demo")] == 300
    assert read["showfloor_media_viewer_frozen_ratio_bucket", ("le", "0.1"), ("show", "demo")] == 101
    assert read["showfloor_media_viewer_frame_age_seconds_sum", ("show", "demo")] == pytest.approx(60)
    assert len([key for key in read if "viewer" in str(key[1:])]) == 0  # nobody by name
    assert len([key for key in read if key[0].startswith("showfloor_media_")]) < 60
