"""Our Stripe provider against localstripe: somebody else's idea of Stripe, in a process of its own."""

import asyncio
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from checkout.payment_book import Reference
from checkout.payments import PaymentState, WebhookForged
from checkout.stripe_pay import StripeProvider
from schema.ids import new_id
from schema.money import Money

PROGRAM = Path(__file__).with_name("loopback_localstripe.py")
KEY, SECRET = "sk_test_localstripe", "whsec_localstripe"
UP_S = 60
PRICE = Money(amount=4900, currency="EUR")
VISA, DECLINED = "4242424242424242", "4000000000000341"
THREE_D_SECURE, THREE_D_SECURE_DECLINED = "4000002760003184", "4000008260003178"


@pytest.fixture(scope="module")
async def address():
    """A localstripe of this module's own; it ends with the module."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(UP_S):
            port = int(await program.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            program.kill()
        await program.wait()


class Book:
    """In memory, of payments as they come."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    async def about(self, payment_id: str) -> Reference:
        name = self.names.get(payment_id, "")
        return Reference(provider_id=name, amount=PRICE, created_at_ms=time.time_ns() // 1_000_000)

    async def note(self, payment_id: str, provider_id: str) -> None:
        self.names[payment_id] = provider_id


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
async def provider(address, book):
    options = {"installation": "inst_a", "webhook_secret": SECRET, "base": address}
    async with StripeProvider(KEY, book, **options) as made:
        yield made


@pytest.fixture
async def pay(address, provider):
    """Authorize with a card of this number; answers our id and what was seen."""

    async def authorized(number: str):
        card = {"number": number, "exp_month": "12", "exp_year": "2035", "cvc": "123"}
        fields = {"type": "card"} | {f"card[{name}]": value for name, value in card.items()}
        async with httpx2.AsyncClient(base_url=address, headers={"authorization": f"Bearer {KEY}"}) as http:
            method = (await http.post("/v1/payment_methods", data=fields)).json()["id"]
        payment_id = new_id("pay")
        return payment_id, await provider.authorize(payment_id, PRICE, method, "hold_1")

    return authorized


async def authenticate(address: str, intent_id: str, secret: str, *, succeeds: bool) -> None:
    """What the bank's page ends in."""
    body = {"key": "pk_test_localstripe", "client_secret": secret, "success": str(succeeds).lower()}
    async with httpx2.AsyncClient(base_url=address) as http:
        answer = await http.post(f"/v1/payment_intents/{intent_id}/_authenticate", data=body)
    assert answer.status_code == 200, answer.text


async def test_a_card_is_authorized_then_captured_and_tells_one_fingerprint(provider, pay):
    payment_id, seen = await pay(VISA)
    assert (seen.state, seen.amount, seen.captured, seen.reference) == (PaymentState.AUTHORIZED, 4900, 0, "hold_1")
    assert seen.fingerprint
    assert (await pay(VISA))[1].fingerprint == seen.fingerprint  # another payment, another method, one card
    for _ in range(2):
        taken = await provider.capture(payment_id, PRICE)
        assert (taken.state, taken.captured) == (PaymentState.CAPTURED, 4900)


async def test_a_declined_card_is_declined_for_good(provider, pay):
    payment_id, seen = await pay(DECLINED)
    assert (seen.state, seen.reason) == (PaymentState.DECLINED, "card_declined")
    assert (await provider.retrieve(payment_id)).state is PaymentState.DECLINED


async def test_money_is_let_go_of_before_it_is_taken_and_not_after(provider, pay):
    payment_id, _ = await pay(VISA)
    for _ in range(2):
        assert (await provider.cancel(payment_id)).state is PaymentState.CANCELLED
    payment_id, _ = await pay(VISA)
    await provider.capture(payment_id, PRICE)
    assert (await provider.cancel(payment_id)).state is PaymentState.CAPTURED


async def test_it_is_given_back_in_part_then_in_full_and_each_once(provider, pay):
    payment_id, _ = await pay(VISA)
    await provider.capture(payment_id, PRICE)
    part, rest = Money(amount=900, currency="EUR"), Money(amount=4000, currency="EUR")
    for _ in range(2):  # this Stripe forgets every key: only the look at what was given back keeps it to once
        assert (await provider.refund(payment_id, "ref_1", part)).refunded == 900
    assert (await provider.refund(payment_id, "ref_2", rest)).refunded == 4900


@pytest.mark.parametrize(
    ("number", "succeeds", "state"),
    [
        (THREE_D_SECURE, True, PaymentState.AUTHORIZED),
        (THREE_D_SECURE, False, PaymentState.DECLINED),
        (THREE_D_SECURE_DECLINED, True, PaymentState.DECLINED),
    ],
)
async def test_the_bank_asks_and_its_word_decides(address, provider, book, pay, number, succeeds, state):
    payment_id, seen = await pay(number)
    assert seen.state is PaymentState.PENDING
    assert seen.client_secret
    intent_id = book.names[payment_id]
    await authenticate(address, intent_id, seen.client_secret, succeeds=succeeds)
    after = await provider.retrieve(payment_id)
    assert (after.client_secret, after.state) == ("", state)


async def test_a_payment_whose_answer_was_lost_is_found_in_the_list(provider, book, pay):
    payment_id, _ = await pay(VISA)
    for _ in range(3):
        await pay(VISA)
    del book.names[payment_id]
    assert (await provider.retrieve(payment_id)).state is PaymentState.AUTHORIZED
    listed = [one.payment_id async for one in provider.since(time.time_ns() // 1_000_000 - 600_000)]
    assert set(book.names) <= set(listed)


async def test_its_signed_webhook_is_believed_and_a_changed_one_is_not(address, provider):
    heard: asyncio.Queue[tuple[bytes, dict[str, str]]] = asyncio.Queue()

    async def hook(request: Request) -> Response:
        await heard.put((await request.body(), dict(request.headers)))
        return Response()

    app = Starlette(routes=[Route("/hook", hook, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        body = {"url": f"http://127.0.0.1:{listener.getsockname()[1]}/hook", "secret": SECRET}
        async with httpx2.AsyncClient(base_url=address, headers={"authorization": f"Bearer {KEY}"}) as http:
            await http.post("/_config/webhooks/ours", data=body)
            await http.post("/v1/customers", data={"email": "ann@shop.example"})
        async with asyncio.timeout(UP_S):
            said, headers = await heard.get()
        server.should_exit = True
        await asyncio.wait({task}, timeout=UP_S)
    event = provider.verify_webhook(said, headers)
    assert event.event_id.startswith("evt_")
    assert event.payment_id == ""  # about a customer: nothing of ours
    with pytest.raises(WebhookForged):
        provider.verify_webhook(said.replace(b"ann@", b"bob@"), headers)
