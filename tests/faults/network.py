"""The payment network as a process of its own: `python -m faults.network FILE PORT WEBHOOK_URL SECRET SEED`.

Its record is a file, so it survives whatever happens to it or to the service. PUT /faults sets what goes wrong next,
and answers with how often it has; PUT /forge sends webhooks that somebody else has signed.
"""

import asyncio
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass

import httpx2
import msgspec
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from checkout.fakepay import FakePay
from schema.ids import new_id

LATE_S = 4.0
FORGERIES = 5


@dataclass
class Mail:
    """What becomes of webhooks on their way; each a probability."""

    duplicated: float = 0.0
    late: float = 0.0
    reordered: float = 0.0
    dropped: float = 0.0


class Network:
    def __init__(self, file: str, url: str, secret: str, seed: int) -> None:
        self._url, self.mail, self._dice = url, Mail(), random.Random(seed)
        self.happened: Counter[str] = Counter()
        self.pay = FakePay(file, webhook_url=url, secret=secret, post=self._post, slow_ms=700)
        self._forger = FakePay(":memory:", webhook_url=url, secret="whsec_" + "B" * 32)
        more = [Route("/faults", self._set, methods=["PUT"]), Route("/forge", self._forge, methods=["PUT"])]
        self.pay.app.router.routes += more
        self._under_way: set[asyncio.Task] = set()

    async def _set(self, request: Request) -> Response:
        for name, value in msgspec.json.decode(await request.body()).items():
            owner = self.mail if hasattr(self.mail, name) else self.pay.faults
            assert hasattr(owner, name), name
            setattr(owner, name, value)
        return Response(msgspec.json.encode({"happened": self.happened, "left": asdict(self.pay.faults)}))

    async def _forge(self, _request: Request) -> Response:
        rows = self.pay._db.execute("SELECT payment_id FROM payments LIMIT ?", (FORGERIES,)).fetchall()
        async with httpx2.AsyncClient(timeout=5) as client:
            for row in rows:
                body, headers = self._forger.signed(new_id("evt"), row["payment_id"])
                answer = await client.post(self._url, content=body, headers=headers)
                self.happened["forged"] += 1
                self.happened["forged and taken"] += answer.status_code < 400
        return Response(b"{}")

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """204: the network believes that it has arrived."""
        if self._chance("dropped"):
            return 204
        if self._chance("late"):
            return self._send_in(LATE_S, url, body, headers)
        if self._chance("reordered"):
            return self._send_in(self._dice.random() * 2, url, body, headers)
        status = await _send(url, body, headers)
        while self._chance("duplicated"):
            status = await _send(url, body, headers)
        return status

    def _chance(self, name: str) -> bool:
        happens = self._dice.random() < getattr(self.mail, name)
        self.happened[name] += happens
        return happens

    def _send_in(self, seconds: float, *message) -> int:
        async def send() -> None:
            await asyncio.sleep(seconds)
            await _send(*message)

        task = asyncio.create_task(send())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return 204


async def _send(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with httpx2.AsyncClient(timeout=5) as client:
        return (await client.post(url, content=body, headers=headers)).status_code


async def main(file: str, port: int, url: str, secret: str, seed: int) -> None:
    network = Network(file, url, secret, seed)
    async with network.pay:
        config = uvicorn.Config(network.pay.app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])))
