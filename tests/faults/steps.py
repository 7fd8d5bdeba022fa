"""The steps of a purchase at which the service can be made to die, each before or after one call."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """`after` or before the method `name` of `module`:`owner`."""

    module: str
    owner: str
    name: str
    after: bool
    power: bool = False
    """The machine goes with it: what is written and not synced is lost."""

    def watch(self, step: str, reached: Callable[[str], None]) -> None:
        owner = getattr(importlib.import_module(self.module), self.owner)
        call = getattr(owner, self.name)

        @functools.wraps(call)
        async def watched(*args, **more):
            if not self.after:
                reached(step)
            answer = await call(*args, **more)
            if self.after:
                reached(step)
            return answer

        setattr(owner, self.name, watched)


STEPS = {
    "the gate has admitted": Step("checkout.gate", "Gate", "reserve_many", after=True),
    "the hold is committed": Step("checkout.truth", "Truth", "reserve_many", after=True),
    "the gate was told": Step("checkout.gate", "Gate", "settle_many", after=True),
    "the payment has begun": Step("checkout.fake_client", "FakeProvider", "authorize", after=False),
    "the provider has authorized": Step("checkout.fake_client", "FakeProvider", "authorize", after=True),
    "the order is committed": Step("checkout.fake_client", "FakeProvider", "capture", after=False),
    "the provider has captured": Step("checkout.fake_client", "FakeProvider", "capture", after=True),
    "the refund is committed": Step("checkout.fake_client", "FakeProvider", "refund", after=False),
    "the provider has refunded": Step("checkout.fake_client", "FakeProvider", "refund", after=True),
    "the gate takes units back": Step("checkout.gate", "Gate", "release_many", after=False),
    "the tap is written down": Step("checkout.journal", "Journal", "append", after=True, power=True),
    "the gate was rebuilt": Step("checkout.gate", "Gate", "rebuild", after=True),
}
