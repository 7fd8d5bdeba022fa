import asyncio
import os
from collections import Counter
from types import SimpleNamespace

import asyncpg
import pytest

from live.stores import running_or_started

SHOW, VARIANT, STOCK, BUYERS, LIMIT = "rush", "drop", 100, 1000, 1
ROUNDS = int(os.environ.get("RACE_ROUNDS", "12"))


@pytest.mark.timeout(180)
async def test_a_thousand_buyers_tap_at_once_on_a_hundred_units(service):
    await service.start()
    await service.sell(SHOW, VARIANT, stock=STOCK, limit=LIMIT)
    await count_function_calls(service)
    guests = await service.guests(SHOW, BUYERS)

    # The first fifty tap three times, from three connections, before anybody else does: the limit must hold too.
    tapping = [*guests[:50] * 3, *guests[50:]]
    async with service.crowd(tapping) as buyers:
        for number, buyer in enumerate(buyers):
            buyer.prepare("POST", f"/api/v1/shows/{SHOW}/holds", {"variant_id": VARIANT}, f"tap-{number}")
        for buyer in buyers:
            buyer.release()
        answers = await asyncio.gather(*(asyncio.wait_for(buyer.answer(), 60) for buyer in buyers))

    assert len(answers) == len(tapping)
    held = [answer.json() for answer in answers if answer.status == 201]
    refused = [answer for answer in answers if answer.status != 201]
    assert len(held) == STOCK
    assert len({hold["hold_id"] for hold in held}) == STOCK
    # Who has reached the limit of what is sold out hears either, by who answers: the gate, or the process itself.
    codes = {(answer.status, answer.json()["code"]) for answer in refused}
    assert (409, "sold_out") in codes
    assert codes <= {(409, "sold_out"), (409, "limit_reached")}
    assert max(Counter(hold["buyer_id"] for hold in held).values()) <= LIMIT
    assert await service.stock(SHOW, VARIANT) == {
        "on_hand": STOCK,
        "held": STOCK,
        "sold": 0,
        "available": 0,
        "returned": 0,
    }

    async with service.client() as http:
        metrics = (await http.get("/metrics")).text
    opened = metric(metrics, "showfloor_checkout_truth_transactions_total")
    assert 1 <= opened <= STOCK  # each carried at least one tap that was held
    where = ("refused_here", "gate_refused")
    assert sum(metric(metrics, f"showfloor_checkout_{place}_total") for place in where) == len(refused)

    verdict = service.run("verify", SHOW)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    service.stop()
    assert await function_calls(service, "reserve_many") == opened  # Postgres itself counted no other


@pytest.mark.timeout(600)
async def test_thirty_requests_of_one_buyer_released_together_hold_exactly_one(service):
    """On thirty open connections, each with its last byte held back; `RACE_ROUNDS=500` for the long run."""
    await service.start()
    await service.sell(SHOW, VARIANT, stock=ROUNDS + 30, limit=1)
    guests = await service.guests(SHOW, ROUNDS)
    async with service.crowd([guests[0]] * 30) as buyers:
        for round_, guest in enumerate(guests):
            for number, buyer in enumerate(buyers):
                buyer.token = guest["viewer_token"]
                buyer.prepare("POST", f"/api/v1/shows/{SHOW}/holds", {"variant_id": VARIANT}, f"tap-{round_}-{number}")
            await asyncio.gather(*(buyer.writer.drain() for buyer in buyers))
            for buyer in buyers:
                buyer.release()
            answers = await asyncio.gather(*(asyncio.wait_for(buyer.answer(), 60) for buyer in buyers))
            said = Counter((answer.status, answer.json().get("code")) for answer in answers)
            assert said.pop((201, None)) == 1, said
            assert set(said) <= {(409, "limit_reached"), (429, "rate_limited")}
            assert said[409, "limit_reached"]
    assert (await service.stock(SHOW, VARIANT))["held"] == ROUNDS
    assert service.run("verify", SHOW).returncode == 0


@pytest.mark.parametrize(("methods", "orders"), [(["fake_ok:4242"], 1), (["fake_ok:1", "fake_ok:2", "fake_ok:3"], 3)])
async def test_thirty_fresh_guest_sessions_of_one_card_get_exactly_one_order(service, methods, orders):
    """Each on a connection of its own, with its last byte held back: all tap at once, then all pay at once.

    Three cards are three buyers: that is the control.
    """
    await service.start()
    await service.sell(SHOW, VARIANT, stock=30, limit=1)
    async with service.crowd(await service.guests(SHOW, 30)) as buyers:
        for number, buyer in enumerate(buyers):
            buyer.prepare("POST", f"/api/v1/shows/{SHOW}/holds", {"variant_id": VARIANT}, f"tap-{number}")
        holds = [answer.json()["hold_id"] for answer in await together(buyers)]
        for number, buyer in enumerate(buyers):
            body = {"payment_method": methods[number % len(methods)]}
            buyer.prepare("POST", f"/api/v1/holds/{holds[number]}/pay", body, f"pay-{number}")
        said = Counter((answer.status, answer.json().get("code")) for answer in await together(buyers))
    assert said == {(200, None): orders, (409, "limit_reached"): 30 - orders}
    assert (await service.stock(SHOW, VARIANT))["sold"] == orders
    assert service.run("verify", SHOW).returncode == 0


async def together(buyers):
    await asyncio.gather(*(buyer.writer.drain() for buyer in buyers))
    for buyer in buyers:
        buyer.release()
    return await asyncio.gather(*(asyncio.wait_for(buyer.answer(), 60) for buyer in buyers))


def metric(text, name):
    return float(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])


async def count_function_calls(service):
    """Postgres counts the calls of each function, also in the connections already open."""
    async with stores_of(service) as stores:
        admin = await asyncpg.connect(stores.database_url)
        await admin.execute("ALTER SYSTEM SET track_functions = 'all'")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()


async def function_calls(service, name):
    async with stores_of(service) as stores:
        admin = await asyncpg.connect(stores.database_url)
        calls = await admin.fetchval("SELECT calls FROM pg_stat_user_functions WHERE funcname = $1", name)
        await admin.close()
        return calls


def stores_of(service):
    return running_or_started(SimpleNamespace(redis_url="", database_url="", data_dir=service.data_dir))
