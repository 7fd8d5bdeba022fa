"""A payment network that nobody has paid by yet: for desks whose benchmarks take no money."""

from collections.abc import AsyncIterator
from typing import Any


class NobodyPays:
    """The network itself."""

    name = "none"

    async def since(self, _from_ms: int) -> AsyncIterator[list[Any]]:
        """No payments, in no pages."""
        for page in ():
            yield page
