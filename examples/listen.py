"""Print what happens in a show: pins, chat, stock, as the socket tells it.

python examples/listen.py http://127.0.0.1:8080 demo [SECONDS]
"""

import asyncio
import sys

import httpx2
import msgspec
from websockets.asyncio.client import connect


async def main(base_url: str, show: str, seconds: str = "60") -> None:
    async with httpx2.AsyncClient(base_url=base_url) as http:
        guest = (await http.post(f"/api/v1/shows/{show}/guests")).raise_for_status().json()
    address = f"{base_url.replace('http', 'ws', 1)}/ws/{show}?ticket={guest['ticket']}"
    async with connect(address, subprotocols=["showfloor.v1+json"]) as socket:
        try:
            async with asyncio.timeout(float(seconds)):
                async for text in socket:
                    frame = msgspec.json.decode(text)
                    for event in frame.get("ev", []):
                        print(event.pop("o"), event.pop("t"), event, flush=True)
                    for key, value in frame.get("st", {}).items():
                        print("state", key, value, flush=True)
        except TimeoutError:
            return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
