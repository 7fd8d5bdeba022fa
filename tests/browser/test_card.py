"""Paying by Stripe in the watch page: the real service, a double of Stripe's API, and a double of its script."""

import asyncio
import contextlib
import importlib.util
import socket
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import expect

SHOW, POT = "kitchen", "pot-blue"
KEYS = {"stripe_secret_key": "sk_test_double", "stripe_publishable_key": "pk_test_double"}
_path = Path(__file__).parents[1] / "checkout" / "stripe_double.py"
_spec = importlib.util.spec_from_file_location("stripe_double", _path)
stripe_double = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stripe_double)

SCRIPT = """
globalThis.said = [];
globalThis.Stripe = (key) => ({
  elements(options) {
    said.push(["elements", key, options.amount, options.currency, options.captureMethod]);
    return {
      create: () => ({
        mount(place) { place.textContent = "the card form"; },
        destroy() { said.push(["destroyed"]); },
      }),
      update({ amount }) { said.push(["update", amount]); },
      submit: async () => { said.push(["submit"]); return {}; },
    };
  },
  async createConfirmationToken() {
    said.push(["token"]);
    const card = sessionStorage.getItem("card") ?? "visa";
    if (card === "unreadable") return { error: { message: "Your card number is incomplete." } };
    return { confirmationToken: { id: `ctoken_${card}` } };
  },
  async handleNextAction({ clientSecret }) {
    said.push(["bank", clientSecret]);
    await askedByBank(clientSecret);
    return {};
  },
});
"""


@pytest.fixture
async def net():
    """A double of Stripe's API on an address of its own."""
    double = stripe_double.StripeDouble()
    server = uvicorn.Server(uvicorn.Config(double.app, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        double.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield double
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=30)


@pytest.fixture
async def shop(open_site, net):
    """The service with Stripe as its provider, the pot pinned."""
    async with open_site(payment_provider="stripe", stripe_api_base=net.address, **KEYS) as site:
        await site.pin(POT)
        yield site


@pytest.fixture
async def watch(shop, net, open_page):
    """A viewer who holds a pot; Stripe's script is the double, and whoever else is asked for is refused."""
    page = await open_page("about:blank")
    page.bank = "believes"

    async def asked_by_bank(secret: str) -> None:
        if page.bank == "waits":
            await page.answered.wait()
        net.authenticate(secret.partition("_secret")[0], succeeds=page.bank != "doubts")

    page.answered = asyncio.Event()
    page.scripts = []

    async def script(route) -> None:
        page.scripts.append(route.request.url)
        await route.fulfill(body=SCRIPT, content_type="text/javascript")

    await page.expose_function("askedByBank", asked_by_bank)
    await page.route("https://**", script)
    await page.goto(f"{shop.base_url}/watch/{SHOW}")
    await page.get_by_test_id(f"buy-{POT}").wait_for()
    assert page.scripts == []  # nobody is about to pay
    await page.get_by_test_id(f"buy-{POT}").click()
    await expect(page.get_by_test_id("card")).to_have_text("the card form")
    return page


async def use(watch, card: str) -> None:
    await watch.evaluate("(card) => sessionStorage.setItem('card', card)", card)


async def captured(net, until) -> None:
    async def is_captured() -> bool:
        return [one["status"] for one in net.intents.values()].count("succeeded") == 1

    await until(is_captured, "the money is taken once")


async def test_a_card_pays_and_a_double_click_and_lost_answers_are_one_order(shop, net, watch, until):
    async def lose(route) -> None:
        await route.fetch()
        await route.abort()

    assert watch.scripts == ["https://js.stripe.com/v3/"]
    await watch.route("**/pay", lose, times=2)  # the page asks again under the same key
    await watch.get_by_test_id("pay-email").fill("ann@shop.example")
    await watch.get_by_test_id("pay-card").dblclick()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    await captured(net, until)
    assert len(net.intents) == 1
    said = await watch.evaluate("() => said")
    assert said[0] == ["elements", "pk_test_double", 4900, "eur", "manual"]
    assert [each[0] for each in said].count("token") == 1
    assert (await shop.stock(POT))["sold"] == 1


async def test_a_reload_while_the_bank_asks_goes_on_with_the_same_question(net, watch, until):
    await use(watch, "3ds")
    watch.bank = "waits"
    await watch.get_by_test_id("pay-card").click()
    await expect(watch.get_by_test_id("buy-notice")).to_contain_text("Your bank")
    await watch.reload()
    await expect(watch.get_by_test_id("buy-notice")).to_contain_text("Your bank")
    watch.bank = "believes"
    watch.answered.set()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    await captured(net, until)
    assert len(net.intents) == 1
    assert watch.problems == []


async def test_no_card_declined_or_doubted_costs_the_unit_and_another_one_pays(shop, net, watch, until):
    await use(watch, "unreadable")
    await watch.get_by_test_id("pay-card").click()
    await expect(watch.get_by_test_id("buy-notice")).to_have_text("Your card number is incomplete.")
    assert net.intents == {}  # it was not even sent
    await use(watch, "declined")
    await watch.get_by_test_id("pay-card").click()
    await expect(watch.get_by_test_id("buy-notice")).to_contain_text("declined")
    assert net.only()["status"] == "canceled"
    await use(watch, "3ds")
    watch.bank = "doubts"
    await watch.get_by_test_id("pay-card").click()
    await expect(watch.get_by_test_id("pay-card")).to_be_enabled()
    await expect(watch.get_by_test_id("buy-notice")).to_contain_text("declined")
    assert [one["status"] for one in net.intents.values()] == ["canceled", "canceled"]
    await use(watch, "visa")
    await watch.get_by_test_id("pay-card").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    await captured(net, until)
    assert (await shop.stock(POT))["sold"] == 1


async def test_a_form_that_cannot_be_reached_can_be_asked_for_again(shop, open_page):
    page = await open_page("about:blank")
    await page.route("https://**", lambda route: route.abort())
    await page.goto(f"{shop.base_url}/watch/{SHOW}")
    await page.get_by_test_id(f"buy-{POT}").click()
    await expect(page.get_by_test_id("card-problem")).to_contain_text("could not be reached")
    await expect(page.get_by_test_id("pay-card")).to_be_disabled()
    await page.unroute("https://**")

    async def script(route) -> None:
        await route.fulfill(body=SCRIPT, content_type="text/javascript")

    await page.route("https://**", script)
    await page.get_by_test_id("card-again").click()
    await expect(page.get_by_test_id("card")).to_have_text("the card form")
    await expect(page.get_by_test_id("pay-card")).to_be_enabled()
