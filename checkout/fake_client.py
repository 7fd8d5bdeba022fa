"""Our fake payment network as a PaymentProvider, over HTTP.

Owns: one HTTP client. Invariant: a call ends within TIMEOUT_S; 5xx and silence are ProviderFailed, 4xx ProviderRefused.
"""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self

import httpx2
import msgspec
from msgspec import Struct
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from checkout.fakepay import METHODS, Amount, Authorize, EventBody, PaymentList, kind_of
from checkout.payments import Payment, ProviderEvent, ProviderFailed, ProviderRefused, WebhookForged
from schema.money import Money

TIMEOUT_S = 5.0


class FakeProvider:
    """`transport`: an httpx2.ASGITransport of FakePay.app keeps it inside the process."""

    name = "fake"

    def __init__(self, base_url: str, *, secret: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._client = httpx2.AsyncClient(base_url=base_url, transport=transport, timeout=TIMEOUT_S)
        self._verifier = Webhook(secret)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    def knows(self, method: str) -> bool:
        return kind_of(method) in METHODS

    async def authorize(self, payment_id: str, amount: Money, method: str, reference: str) -> Payment:
        ask = Authorize(
            payment_id=payment_id, amount=amount.amount, currency=amount.currency, method=method, reference=reference
        )
        return self._payment(await self._ask("POST", "/payments", ask))

    async def retrieve(self, payment_id: str) -> Payment | None:
        answer = await self._ask("GET", f"/payments/{payment_id}")
        return None if answer.status_code == 404 else self._payment(answer)

    async def capture(self, payment_id: str, amount: Money) -> Payment:
        return self._payment(await self._ask("POST", f"/payments/{payment_id}/capture", Amount(amount=amount.amount)))

    async def cancel(self, payment_id: str) -> Payment:
        return self._payment(await self._ask("POST", f"/payments/{payment_id}/cancel"))

    async def refund(self, payment_id: str, refund_id: str, amount: Money) -> Payment:
        ask = Amount(amount=amount.amount, refund_id=refund_id)
        return self._payment(await self._ask("POST", f"/payments/{payment_id}/refunds", ask))

    async def since(self, at_ms: int) -> AsyncIterator[Payment]:
        after, more = "", True
        while more:
            answer = await self._ask("GET", f"/payments?since_ms={at_ms}&after={after}")
            page = msgspec.json.decode(answer.content, type=PaymentList)
            for payment in page.items:
                yield payment
            more = page.more
            after = page.items[-1].payment_id if page.items else ""

    def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        try:
            # The library raises ValueError and its kin on signatures that are not even shaped like one.
            self._verifier.verify(body, dict(headers), json_parse=False)
            event = msgspec.json.decode(body, type=EventBody)
        except (WebhookVerificationError, ValueError, msgspec.MsgspecError) as error:
            raise WebhookForged(str(error)) from error
        # The signed header, not the body, is the id that a redelivery repeats.
        return ProviderEvent(event_id=headers["webhook-id"], payment_id=event.payment_id)

    async def _ask(self, method: str, path: str, body: Struct | None = None) -> httpx2.Response:
        try:
            content = msgspec.json.encode(body) if body else None
            answer = await self._client.request(method, path, content=content)
        except (httpx2.HTTPError, OSError) as error:
            raise ProviderFailed(f"{type(error).__name__} from the provider") from error
        if answer.status_code >= 500:
            raise ProviderFailed(f"{answer.status_code} from the provider")
        return answer

    @staticmethod
    def _payment(answer: httpx2.Response) -> Payment:
        if answer.status_code >= 400:
            raise ProviderRefused(f"{answer.status_code} from the provider")
        return msgspec.json.decode(answer.content, type=Payment)
