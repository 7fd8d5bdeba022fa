"""Be told by webhook what a shop sells, and verify each signature.

python examples/receive.py http://127.0.0.1:8080 "$(showfloor token --role operator)" [SECONDS]
"""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

verifier: Webhook


class Hook(BaseHTTPRequestHandler):
    """What the shop posts to."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            message = verifier.verify(body, dict(self.headers))
        except WebhookVerificationError:
            return self.end(401)
        # The same webhook-id may come twice: whoever acts on it does so once for each id.
        print("verified", self.headers["webhook-id"], message["type"], message["data"], flush=True)
        return self.end(204)

    def end(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main(base_url: str, token: str, seconds: str = "60") -> None:
    global verifier  # noqa: PLW0603
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    shop = httpx2.Client(base_url=f"{base_url}/api/v1", headers={"Authorization": f"Bearer {token}"})
    wanted = {"url": f"http://127.0.0.1:{server.server_port}/", "types": ["order.paid", "order.refunded", "stock.low"]}
    endpoint = shop.post("/webhook-endpoints", json=wanted).raise_for_status().json()
    verifier = Webhook(endpoint["secret"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shop.post(f"/webhook-endpoints/{endpoint['endpoint_id']}/ping").raise_for_status()
    try:
        time.sleep(float(seconds))
    finally:
        shop.delete(f"/webhook-endpoints/{endpoint['endpoint_id']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
