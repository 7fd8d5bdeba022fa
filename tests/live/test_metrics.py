"""The numbers, after something has happened."""

from prometheus_client.parser import text_string_to_metric_families

from schema.people import Role

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
