"""The fake payment network, asked through its own client."""

import pytest

from checkout.fake_client import FakeProvider
from checkout.fakepay import FakePay
from checkout.payments import ProviderFailed, ProviderRefused
from schema.money import Money

TEN = Money(amount=1000, currency="EUR")


@pytest.fixture
def provider(shop) -> FakeProvider:
    return shop.provider


async def test_what_is_authorized_is_captured_once_and_refunded_in_parts(shop, provider):
    assert (await provider.authorize("pay_1", TEN, "fake_ok", "hold_1")).state == "authorized"
    for _ in range(3):
        assert (await provider.capture("pay_1", TEN)).captured == 1000
    for _ in range(3):
        assert (await provider.refund("pay_1", "ref_1", Money(amount=400, currency="EUR"))).refunded == 400
    assert (await provider.refund("pay_1", "ref_2", Money(amount=600, currency="EUR"))).refunded == 1000
    with pytest.raises(ProviderRefused):
        await provider.refund("pay_1", "ref_3", Money(amount=1, currency="EUR"))
    assert shop.pay.count("captures", "hold_1") == 1


@pytest.mark.parametrize("method", ["fake_declined", "no such card"])
async def test_what_is_declined_stays_declined(provider, method):
    assert (await provider.authorize("pay_1", TEN, method, "hold_1")).state == "declined"
    assert (await provider.authorize("pay_1", TEN, "fake_ok", "hold_1")).state == "declined"
    with pytest.raises(ProviderRefused):
        await provider.capture("pay_1", TEN)
    assert (await provider.cancel("pay_1")).state == "declined"


async def test_slow_decides_later(shop, provider):
    assert (await provider.authorize("pay_1", TEN, "fake_slow", "hold_1")).state == "pending"

    async def decided() -> bool:
        return (await provider.retrieve("pay_1")).state == "authorized"

    await shop.eventually(decided)


async def test_a_cancel_is_final_even_before_the_payment_arrives(provider):
    assert (await provider.cancel("pay_1")).state == "cancelled"
    assert (await provider.authorize("pay_1", TEN, "fake_ok", "hold_1")).state == "cancelled"
    await provider.authorize("pay_2", TEN, "fake_slow", "hold_1")
    assert (await provider.cancel("pay_2")).state == "cancelled"
    await provider.authorize("pay_3", TEN, "fake_ok", "hold_1")
    await provider.capture("pay_3", TEN)
    assert (await provider.cancel("pay_3")).state == "captured"


async def test_a_payment_never_heard_of_is_none(provider):
    assert await provider.retrieve("pay_1") is None
    await provider.authorize("pay_1", TEN, "fake_declined", "hold_1")
    assert (await provider.retrieve("pay_1")).payment_id == "pay_1"


async def test_faults_fail_and_a_timeout_after_success_has_succeeded(shop, provider):
    shop.pay.faults.error_500 = 1
    with pytest.raises(ProviderFailed):
        await provider.authorize("pay_1", TEN, "fake_ok", "hold_1")
    assert await provider.retrieve("pay_1") is None
    shop.pay.faults.timeout_after_success = 1
    with pytest.raises(ProviderFailed):
        await provider.authorize("pay_1", TEN, "fake_ok", "hold_1")
    assert (await provider.retrieve("pay_1")).state == "authorized"


async def test_a_webhook_is_tried_again_under_the_same_id_until_it_is_taken(shop, provider, tmp_path):
    seen = []

    async def post(url, body, headers):
        seen.append(headers["webhook-id"])
        if len(seen) == 2:
            raise RuntimeError
        return 200 if len(seen) > 2 else 503

    async with FakePay(tmp_path / "own.db", webhook_url="/", secret="whsec_c2VjcmV0", post=post, slow_ms=0) as network:
        network._db.execute(
            "INSERT INTO payments (payment_id, reference, method, currency, amount, state, decide_at_ms)"
            " VALUES ('p', 'r', 'fake_slow', 'EUR', 1, 'pending', 0)"
        )

        async def taken() -> bool:
            return network._db.execute("SELECT state FROM events").fetchone()[0:1] == ("done",)

        async def said() -> bool:
            return len(seen) == 3

        await shop.eventually(said)
        await shop.eventually(taken)
    assert len(set(seen)) == 1


async def test_what_was_decided_survives_a_restart(tmp_path):
    async def post(url, body, headers):
        return 200

    path = tmp_path / "own.db"
    async with FakePay(path, webhook_url="/", secret="whsec_c2VjcmV0", post=post) as network:
        network._db.execute(
            "INSERT INTO payments (payment_id, reference, method, currency, amount, state, decide_at_ms, captured)"
            " VALUES ('p', 'r', 'fake_ok', 'EUR', 5, 'captured', 0, 5)"
        )
    async with FakePay(path, webhook_url="/", secret="whsec_c2VjcmV0", post=post) as network:
        assert network.count("captured", "r") == 5
