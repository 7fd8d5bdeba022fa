"""The Stripe provider against a double of the wire: its keys, its doubts, its errors."""

import importlib.util
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import stripe

from checkout.payment_book import Reference
from checkout.payments import PaymentState, ProviderFailed, ProviderRefused, WebhookForged
from checkout.stripe_pay import StripeProvider
from checkout.stripe_wire import Wire
from schema.money import Money

_spec = importlib.util.spec_from_file_location("stripe_double", Path(__file__).with_name("stripe_double.py"))
stripe_double = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stripe_double)
KEY, StripeDouble = stripe_double.KEY, stripe_double.StripeDouble

PRICE = Money(amount=4900, currency="EUR")
SECRET = "whsec_stripe"
NOW_MS = time.time_ns() // 1_000_000


class Book:
    """In memory: `pay_1` to `pay_9` are ours."""

    def __init__(self) -> None:
        self.names = {f"pay_{number}": "" for number in range(1, 10)}

    async def about(self, payment_id: str) -> Reference | None:
        if payment_id not in self.names:
            return None
        return Reference(provider_id=self.names[payment_id], amount=PRICE, created_at_ms=NOW_MS)

    async def note(self, payment_id: str, provider_id: str) -> None:
        self.names[payment_id] = self.names[payment_id] or provider_id


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0)
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0)


@pytest.fixture
def net():
    return StripeDouble()


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
async def provider(net, book: Book) -> AsyncIterator[StripeProvider]:
    wire = Wire(net.transport)
    async with StripeProvider(KEY, book, installation="inst_a", webhook_secret=SECRET, wire=wire) as made:
        yield made


async def authorize(provider, method="pm_visa", payment_id="pay_1"):
    return await provider.authorize(payment_id, PRICE, method, "hold_1")


class TestAuthorizing:
    @pytest.mark.parametrize("method", ["pm_visa", "ctoken_visa"])
    async def test_one_call_under_our_id_reserves_the_money_and_tells_the_card(self, provider, net, book, method):
        seen = await authorize(provider, method)
        assert (seen.state, seen.amount, seen.captured) == (PaymentState.AUTHORIZED, 4900, 0)
        assert (seen.fingerprint, seen.client_secret, seen.reference) == (f"print-{method}", "", "hold_1")
        assert net.calls == [("POST", "/v1/payment_intents", "pay_1")]
        intent = net.only()
        assert (intent["capture_method"], intent["currency"]) == ("manual", "eur")
        assert intent["metadata"] == {"payment_id": "pay_1", "installation": "inst_a", "hold": "hold_1"}
        assert book.names["pay_1"] == intent["id"]

    async def test_a_declined_card_is_declined_for_good_and_says_why(self, provider, net):
        seen = await authorize(provider, "pm_declined")
        assert (seen.state, seen.reason) == (PaymentState.DECLINED, "insufficient_funds")
        assert net.only()["status"] == "canceled"  # else its secret could still be paid with another card
        assert (await provider.retrieve("pay_1")).state is PaymentState.DECLINED

    async def test_the_bank_asks_the_buyer_and_hears_them(self, provider, net):
        first = await authorize(provider, "pm_3ds")
        assert (first.state, first.client_secret) == (PaymentState.PENDING, "pi_1_secret_x")
        assert await authorize(provider, "pm_3ds") == first  # the second click
        net.authenticate("pi_1")
        again = await authorize(provider, "pm_3ds")
        assert (again.state, again.client_secret) == (PaymentState.AUTHORIZED, "")
        assert len(net.intents) == 1

    async def test_a_buyer_whom_the_bank_does_not_believe_is_declined_for_good(self, provider, net):
        await authorize(provider, "pm_3ds")
        net.authenticate("pi_1", succeeds=False)
        seen = await provider.retrieve("pay_1")
        assert (seen.state, seen.reason) == (PaymentState.DECLINED, "authentication_required")
        assert net.only()["status"] == "canceled"

    async def test_a_method_that_stripe_does_not_know_is_refused_clearly(self, provider):
        with pytest.raises(ProviderRefused, match="resource_missing"):
            await authorize(provider, "pm_unknown")

    @pytest.mark.parametrize("status", [500, 429, 409])
    async def test_trouble_is_asked_again_under_the_same_key_and_then_undecided(self, provider, net, status):
        net.fail_before = [status] * 9
        with pytest.raises(ProviderFailed):
            await authorize(provider)
        assert {key for _, _, key in net.calls} == {"pay_1"}
        assert len(net.calls) == (1 if status == 429 else 3)
        net.fail_before = []
        assert (await authorize(provider)).state is PaymentState.AUTHORIZED

    async def test_a_key_that_stripe_does_not_know_leaves_it_undecided(self, net, book):
        wire = Wire(net.transport)
        async with StripeProvider("sk_test_wrong", book, installation="inst_a", wire=wire) as provider:
            with pytest.raises(ProviderFailed, match="our key"):
                await authorize(provider)

    def test_only_its_own_methods_are_known(self, provider):
        assert provider.knows("pm_1Abc")
        assert provider.knows("ctoken_1Abc")
        assert not any(provider.knows(text) for text in ("fake_ok", "pm_1/../x", "pm_é", "tok_visa", ""))


class TestLostAnswers:
    async def test_the_intent_is_found_by_our_id_on_whatever_page_it_is(self, provider, net, book):
        net.page = 1
        with pytest.raises(ProviderFailed):
            await lose(provider, net)
        for number in range(2, 5):
            await authorize(provider, payment_id=f"pay_{number}")
        assert book.names["pay_1"] == ""
        assert (await provider.retrieve("pay_1")).state is PaymentState.AUTHORIZED
        assert net.intents[book.names["pay_1"]]["metadata"]["payment_id"] == "pay_1"

    async def test_the_same_call_again_finds_the_first_and_charges_once(self, provider, net):
        with pytest.raises(ProviderFailed):
            await lose(provider, net)
        assert (await authorize(provider)).state is PaymentState.AUTHORIZED
        assert len(net.intents) == 1

    async def test_what_stripe_never_heard_of_is_none(self, provider):
        assert await provider.retrieve("pay_1") is None
        assert await provider.retrieve("of nobody") is None

    async def test_cancelling_what_never_arrived_takes_its_key_so_that_it_cannot_arrive_any_more(self, provider, net):
        assert (await provider.cancel("pay_1")).state is PaymentState.CANCELLED
        with pytest.raises(stripe.IdempotencyError):
            await provider._create("pay_1", PRICE, "pm_visa", "hold_1")  # the request that was on its way
        assert [intent["status"] for intent in net.intents.values()] == ["canceled"]

    async def test_without_the_taken_key_it_would_be_authorized_after_all(self, provider, net):
        net.forgets_keys = True
        assert (await provider.cancel("pay_1")).state is PaymentState.CANCELLED
        await provider._create("pay_1", PRICE, "pm_visa", "hold_1")
        assert "requires_capture" in {intent["status"] for intent in net.intents.values()}

    async def test_cancelling_what_did_arrive_finds_it(self, provider, net):
        with pytest.raises(ProviderFailed):
            await lose(provider, net)
        assert (await provider.cancel("pay_1")).state is PaymentState.CANCELLED
        assert net.only()["status"] == "canceled"

    async def test_cancelling_what_was_refused_outright_is_final_too(self, provider, net):
        with pytest.raises(ProviderRefused):
            await authorize(provider, "pm_unknown")
        assert (await provider.cancel("pay_1")).state is PaymentState.CANCELLED


async def lose(provider, net) -> None:
    """An authorization that is done, and whose answers are all lost."""
    net.fail_after = [500]
    key = {"idempotency_key": "pay_1", "max_network_retries": 0}
    params = {**provider._blank("pay_1", PRICE), "payment_method": "pm_visa", "confirm": True, "use_stripe_sdk": True}
    params["metadata"]["hold"] = "hold_1"
    params["expand"] = ["payment_method", "latest_charge"]
    await provider._ask(provider._client.v1.payment_intents.create_async(params, key))


class TestMoney:
    async def test_it_is_taken_once_however_often_it_is_asked_for(self, provider, net):
        await authorize(provider)
        for _ in range(2):
            seen = await provider.capture("pay_1", PRICE)
            assert (seen.state, seen.captured) == (PaymentState.CAPTURED, 4900)

    async def test_a_capture_whose_answer_is_lost_is_found_taken(self, provider, net):
        await authorize(provider)
        net.fail_after = [500]
        assert (await provider.capture("pay_1", PRICE)).state is PaymentState.CAPTURED

    async def test_what_was_let_go_of_cannot_be_taken(self, provider, net):
        await authorize(provider)
        assert (await provider.cancel("pay_1")).state is PaymentState.CANCELLED
        with pytest.raises(ProviderRefused, match="unexpected_state"):
            await provider.capture("pay_1", PRICE)

    async def test_an_authorization_that_ran_out_says_so(self, provider, net):
        await authorize(provider)
        net.only()["status"] = "canceled"  # by Stripe, after seven days
        with pytest.raises(ProviderRefused):
            await provider.capture("pay_1", PRICE)
        assert (await provider.cancel("pay_1")).state is PaymentState.CANCELLED

    async def test_what_was_taken_is_not_let_go_of(self, provider):
        await authorize(provider)
        await provider.capture("pay_1", PRICE)
        assert (await provider.cancel("pay_1")).state is PaymentState.CAPTURED

    async def test_it_is_given_back_in_part_then_in_full_and_each_once(self, provider, net):
        await authorize(provider)
        await provider.capture("pay_1", PRICE)
        part, rest = Money(amount=900, currency="EUR"), Money(amount=4000, currency="EUR")
        assert (await provider.refund("pay_1", "ref_1", part)).refunded == 900
        assert (await provider.refund("pay_1", "ref_1", part)).refunded == 900
        assert (await provider.refund("pay_1", "ref_2", rest)).refunded == 4900
        assert [one["amount"] for one in net.refunds] == [900, 4000]

    async def test_a_refund_is_once_even_after_stripe_forgot_its_key(self, provider, net):
        await authorize(provider)
        await provider.capture("pay_1", PRICE)
        part = Money(amount=900, currency="EUR")
        await provider.refund("pay_1", "ref_1", part)
        net.forgets_keys = True  # it keeps them for a day, and an outbox may wait longer
        assert (await provider.refund("pay_1", "ref_1", part)).refunded == 900

    async def test_more_than_was_taken_is_refused(self, provider):
        await authorize(provider)
        await provider.capture("pay_1", PRICE)
        with pytest.raises(ProviderRefused):
            await provider.refund("pay_1", "ref_1", Money(amount=4901, currency="EUR"))


async def test_the_list_goes_through_all_pages_and_tells_only_of_ours(provider, net, book):
    net.page = 2
    for number in range(1, 6):
        await authorize(provider, payment_id=f"pay_{number}")
    wire = Wire(net.transport)
    async with StripeProvider(KEY, Book(), installation="inst_b", wire=wire) as other:
        await authorize(other, payment_id="pay_9")
    seen = [payment async for payment in provider.since(NOW_MS - 60_000)]
    assert sorted(payment.payment_id for payment in seen) == [f"pay_{number}" for number in range(1, 6)]
    assert all(payment.created_at_ms >= NOW_MS - 60_000 for payment in seen)


async def test_a_payment_of_ours_that_no_book_knows_can_be_let_go_of_once_it_was_listed(provider, net, book):
    await authorize(provider)
    del book.names["pay_1"]
    with pytest.raises(ProviderRefused):
        await provider.cancel("pay_1")
    assert [payment.payment_id async for payment in provider.since(NOW_MS - 60_000)] == ["pay_1"]
    assert (await provider.cancel("pay_1")).state is PaymentState.CANCELLED


class TestWebhooks:
    def signed(self, event: dict, *, secret: str = SECRET, at: int | None = None) -> tuple[bytes, dict[str, str]]:
        body = json.dumps(event)
        return body.encode(), {
            "stripe-signature": stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=at)
        }

    def event(self, **metadata: str) -> dict:
        return {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {"metadata": metadata}}}

    def test_a_signed_event_names_our_payment(self, provider):
        event = provider.verify_webhook(*self.signed(self.event(payment_id="pay_1", installation="inst_a")))
        assert (event.event_id, event.payment_id) == ("evt_1", "pay_1")

    def test_one_about_nothing_of_ours_names_none(self, provider):
        for foreign in (self.event(), self.event(payment_id="pay_1", installation="inst_b"), {"id": "evt_2"}):
            assert provider.verify_webhook(*self.signed(foreign)).payment_id == ""

    def test_a_forged_old_or_shapeless_one_is_refused(self, provider):
        event = self.event(payment_id="pay_1", installation="inst_a")
        body, headers = self.signed(event)
        refused = [
            (body, {}),
            (body, {"stripe-signature": "nonsense"}),
            (body + b" ", headers),
            self.signed(event, secret="whsec_another"),
            self.signed(event, at=int(time.time()) - 301),
            self.signed(["no event"]),
            (b"\xff", headers),
        ]
        for each in refused:
            with pytest.raises(WebhookForged):
                provider.verify_webhook(*each)

    def test_without_a_secret_none_is_believed(self, book):
        provider = StripeProvider(KEY, book, installation="inst_a")
        with pytest.raises(WebhookForged):
            provider.verify_webhook(*self.signed(self.event(), secret=""))
