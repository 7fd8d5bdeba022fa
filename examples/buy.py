"""Join a show as a guest, hold one unit of an item, and pay for it with the test card.

python examples/buy.py http://127.0.0.1:8080 demo spice-set
"""

import sys
import uuid

import httpx2


def main(base_url: str, show: str, variant: str) -> None:
    with httpx2.Client(base_url=base_url) as http:
        guest = http.post(f"/api/v1/shows/{show}/guests").raise_for_status().json()
        http.headers["Authorization"] = f"Bearer {guest['viewer_token']}"

        # The key makes the tap one tap: sent again after a lost answer, it gets the same hold.
        tap = {"Idempotency-Key": str(uuid.uuid4())}
        held = http.post(f"/api/v1/shows/{show}/holds", json={"variant_id": variant, "quantity": 1}, headers=tap)
        if held.status_code != 201:
            sys.exit(f"Refused: {held.json()['detail']}")
        hold = held.json()
        print("held", hold["hold_id"], hold["total"])

        key = {"Idempotency-Key": str(uuid.uuid4())}
        paid = http.post(f"/api/v1/holds/{hold['hold_id']}/pay", json={"payment_method": "fake_ok"}, headers=key)
        order = paid.raise_for_status().json()
        print("bought", order["order_id"], order["state"])


if __name__ == "__main__":
    main(*sys.argv[1:])
