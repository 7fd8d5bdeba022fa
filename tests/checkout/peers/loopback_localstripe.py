"""Runs localstripe (a GPL program, used as a program) where a test may: on 127.0.0.1, on a free port, without its file.

By itself it listens on every interface and keeps its state in one file for all. What it does not know of today's API
and we use is added: `use_stripe_sdk`, `created` in lists, `amount_received`. It honours no Idempotency-Key: those are
stripe_double.py's. Prints its port when it listens.
"""

import asyncio
import socket

from aiohttp import web
from localstripe import resources, server

resources.Store.dump_to_disk = lambda _self: None

_create = resources.PaymentIntent._api_create.__func__
_list = resources.PaymentIntent._api_list_all.__func__


def create(cls, use_stripe_sdk=None, **data):
    assert use_stripe_sdk in {None, "true"}
    return _create(cls, **data)


def listed(cls, url, created=None, **data):
    found = _list(cls, url, **data)
    found._list = [one for one in found._list if one.created >= int(created["gte"])]
    return found


def received(self):
    return self.latest_charge.amount if self.status == "succeeded" else 0


resources.PaymentIntent._api_create = classmethod(create)
resources.PaymentIntent._api_list_all = classmethod(listed)
resources.PaymentIntent.amount_received = property(received)


async def main() -> None:
    runner = web.AppRunner(server.app)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener).start()
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - it is asked for
        await asyncio.Event().wait()


asyncio.run(main())
