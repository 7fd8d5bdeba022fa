"""Which payment provider this process sells with.

Owns: the choice. Invariant: our own test network, which says yes to everybody, is reachable from this process alone;
the SDK of a real one is loaded only where it is used.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg
import httpx2
import structlog

from checkout.counts import Counts
from checkout.fake_client import FakeProvider
from checkout.fakepay import FakePay
from checkout.payment_book import PaymentBook
from checkout.payments import PaymentProvider
from checkout.truth import Truth
from live.settings import Settings, is_live

log = structlog.get_logger()

Deliver = Callable[[bytes, dict[str, str]], Awaitable[int]]
"""Takes a webhook of the test network, and answers with an HTTP status."""


async def open_provider(
    stack: AsyncExitStack, settings: Settings, pool: asyncpg.Pool, deliver: Deliver
) -> PaymentProvider:
    """The provider of the settings; it closes with `stack`."""
    if settings.payment_provider == "stripe":
        return await _open_stripe(stack, settings, pool)
    return await _open_fake(stack, settings, deliver)


async def _open_stripe(stack: AsyncExitStack, settings: Settings, pool: asyncpg.Pool) -> PaymentProvider:
    from checkout.stripe_pay import StripeProvider  # noqa: PLC0415 - half a second and 25 MB that the demo never needs

    book = PaymentBook(Truth(pool, Counts()))
    log.info("payments_by_stripe", live=is_live(settings.stripe_secret_key))
    return await stack.enter_async_context(
        StripeProvider(
            settings.stripe_secret_key,
            book,
            installation=await book.installation(),
            webhook_secret=settings.stripe_webhook_secret,
            base=settings.stripe_api_base,
        )
    )


async def _open_fake(stack: AsyncExitStack, settings: Settings, deliver: Deliver) -> PaymentProvider:
    async def post(_url: str, body: bytes, headers: dict[str, str]) -> int:
        return await deliver(body, headers)

    secret = webhook_secret(settings.token_secret)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    network = await stack.enter_async_context(
        FakePay(settings.data_dir / "fakepay.sqlite", webhook_url="", secret=secret, post=post)
    )
    transport = httpx2.ASGITransport(app=network.app)
    return await stack.enter_async_context(FakeProvider("http://fakepay", secret=secret, transport=transport))


def webhook_secret(token_secret: str) -> str:
    """A secret of its own for the test network's signatures, in the form of Standard Webhooks."""
    derived = hmac.digest(token_secret.encode(), b"showfloor payment webhooks", "sha256")
    return "whsec_" + base64.b64encode(derived).decode()
