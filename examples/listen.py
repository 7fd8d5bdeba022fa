"""Print what happens in a show: pins, chat, stock, as the socket tells it, through restarts of the server.

python examples/listen.py http://127.0.0.1:8080 demo [SECONDS]
"""

import asyncio
import sys

from realtime.client import ShowClient


async def main(base_url: str, show: str, seconds: str = "60") -> None:
    async with ShowClient(base_url, show) as client:
        try:
            async with asyncio.timeout(float(seconds)):
                async for told in client:
                    for offset, event in told.events:
                        print(offset, event, flush=True)
                    for key, value in told.state.items():
                        print("state", key, value, flush=True)
        except TimeoutError:
            return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
