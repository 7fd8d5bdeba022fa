"""A double of Stripe's wire, as far as we use it: checks headers, honours Idempotency-Keys, and can fail.

It is written from docs.stripe.com/api, not from our client: a body of another shape than documented is a 400.
"""

import itertools
import json
import re
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = "sk_test_double"
CARDS = {
    "pm_visa": "",
    "pm_declined": "insufficient_funds",
    "pm_3ds": "",
    "ctoken_visa": "",
    "ctoken_declined": "insufficient_funds",
    "ctoken_3ds": "",
}
_CREATE = {
    "amount", "currency", "capture_method", "confirm", "use_stripe_sdk", "payment_method", "confirmation_token",
    "payment_method_types[0]", "expand[0]", "expand[1]",
}  # fmt: skip


@dataclass
class StripeDouble:
    """`.transport` for the client; the rest is for tests to look at and to break."""

    intents: dict[str, dict] = field(default_factory=dict)
    refunds: list[dict] = field(default_factory=list)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, Idempotency-Key."""
    answers: dict[str, tuple[dict, dict, int]] = field(default_factory=dict)
    fail_before: list[int] = field(default_factory=list)
    """Statuses to answer the next calls with, before doing anything."""
    fail_after: list[int] = field(default_factory=list)
    """The same, after having done it: an answer that is lost."""
    forgets_keys: bool = False
    page: int = 100

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self.app = app = Starlette(
            routes=[
                Route("/v1/payment_intents", self._answered(self._create), methods=["POST"]),
                Route("/v1/payment_intents", self._answered(self._list), methods=["GET"]),
                Route("/v1/payment_intents/{id}", self._answered(self._get), methods=["GET"]),
                Route("/v1/payment_intents/{id}/capture", self._answered(self._capture), methods=["POST"]),
                Route("/v1/payment_intents/{id}/cancel", self._answered(self._cancel), methods=["POST"]),
                Route("/v1/refunds", self._answered(self._refund), methods=["POST"]),
                Route("/v1/refunds", self._answered(self._refunds_of), methods=["GET"]),
            ]
        )
        self.transport = httpx2.ASGITransport(app)

    def authenticate(self, intent_id: str, *, succeeds: bool = True) -> None:
        """What the bank's page ends in."""
        intent = self.intents[intent_id]
        assert intent["status"] == "requires_action"
        self._decide(intent, "" if succeeds else "authentication_required")

    def only(self) -> dict:
        (intent,) = self.intents.values()
        return intent

    # -- the wire ---------------------------------------------------------------------------------------------------

    def _answered(self, act):
        async def endpoint(request: Request) -> Response:
            key = request.headers.get("idempotency-key", "")
            self.calls.append((request.method, request.url.path, key))
            assert re.fullmatch(r"\d{4}-\d\d-\d\d\.\w+", request.headers["stripe-version"])
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return _error(401, "invalid_request_error", "no such key")
            if self.fail_before:
                return _error(self.fail_before.pop(0), "api_error", "out of order")
            body = dict(parse_qsl((await request.body()).decode() or request.url.query, keep_blank_values=True))
            if request.method == "POST" and key in self.answers and not self.forgets_keys:
                asked, answer, status = self.answers[key]
                if asked != body:
                    return _error(400, "idempotency_error", "Keys can only be used with the same parameters")
                return JSONResponse(answer, status, headers={"idempotent-replayed": "true"})
            answer, status = act(body, request.path_params.get("id", ""))
            if request.method == "POST":
                self.answers[key] = (body, json.loads(json.dumps(answer)), status)
            if self.fail_after:
                return _error(self.fail_after.pop(0), "api_error", "out of order")
            return JSONResponse(answer, status)

        return endpoint

    def _create(self, body, _):
        metadata = {name[9:-1]: value for name, value in body.items() if name.startswith("metadata[")}
        unknown = {name for name in body if not name.startswith("metadata[")} - _CREATE
        if unknown or not body["amount"].isdigit() or body["currency"] != body["currency"].lower():
            return _refusal("parameter_unknown", str(unknown))
        method = body.get("payment_method") or body.get("confirmation_token")
        if method and method not in CARDS:
            return _refusal("resource_missing", "payment_method")
        intent = {
            "id": f"pi_{next(self._ids)}", "object": "payment_intent", "amount": int(body["amount"]),
            "amount_received": 0, "created": int(time.time()), "status": "requires_payment_method",
            "currency": body["currency"], "capture_method": body["capture_method"], "metadata": metadata,
            "payment_method": {"id": method, "object": "payment_method", "card": {"fingerprint": f"print-{method}"}},
            "latest_charge": None, "last_payment_error": None,
        }  # fmt: skip
        intent["client_secret"] = f"{intent['id']}_secret_x"
        self.intents[intent["id"]] = intent
        if body.get("confirm") != "true":
            return intent, 200
        assert body["use_stripe_sdk"] == "true"
        if method.endswith("3ds"):
            intent["status"] = "requires_action"
            return intent, 200
        return self._decide(intent, CARDS[method])

    def _decide(self, intent, decline):
        if not decline:
            intent["status"] = "requires_capture"
            intent["latest_charge"] = {"id": "ch_1", "object": "charge", "amount_refunded": 0}
            return intent, 200
        intent["status"] = "requires_payment_method"
        intent["last_payment_error"] = {"code": "card_declined", "decline_code": decline}
        error = {"type": "card_error", "code": "card_declined", "decline_code": decline, "payment_intent": intent}
        return {"error": error}, 402

    def _list(self, query, _):
        low, high = int(query["created[gte]"]), int(query.get("created[lte]", 1 << 60))
        found = [one for one in reversed(self.intents.values()) if low <= one["created"] <= high]
        ids = [one["id"] for one in found]
        begin = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        size = min(int(query["limit"]), self.page)
        return {"object": "list", "data": found[begin : begin + size], "has_more": len(found) > begin + size}, 200

    def _get(self, _, name):
        return (self.intents[name], 200) if name in self.intents else _refusal("resource_missing", "intent", 404)

    def _capture(self, body, name):
        intent = self.intents[name]
        if intent["status"] != "requires_capture" or int(body["amount_to_capture"]) > intent["amount"]:
            return _refusal("payment_intent_unexpected_state", "intent")
        intent["status"], intent["amount_received"] = "succeeded", int(body["amount_to_capture"])
        return intent, 200

    def _cancel(self, _, name):
        intent = self.intents[name]
        if intent["status"] in {"succeeded", "processing", "canceled"}:
            return _refusal("payment_intent_unexpected_state", "intent")
        intent["status"] = "canceled"
        return intent, 200

    def _refund(self, body, _):
        intent = self.intents[body["payment_intent"]]
        amount = int(body["amount"])
        if amount > intent["amount_received"] - intent["latest_charge"]["amount_refunded"]:
            return _refusal("charge_already_refunded", "amount")
        intent["latest_charge"]["amount_refunded"] += amount
        metadata = {name[9:-1]: value for name, value in body.items() if name.startswith("metadata[")}
        self.refunds.append(
            {"id": f"re_{next(self._ids)}", "object": "refund", "status": "succeeded", "amount": amount,
             "payment_intent": intent["id"], "metadata": metadata}
        )  # fmt: skip
        return self.refunds[-1], 200

    def _refunds_of(self, query, _):
        found = [one for one in self.refunds if one["payment_intent"] == query["payment_intent"]]
        return {"object": "list", "data": found, "has_more": False}, 200


def _refusal(code, message, status=400):
    return {"error": {"type": "invalid_request_error", "code": code, "message": message, "param": "x"}}, status


def _error(status, kind, message):
    return JSONResponse({"error": {"type": kind, "message": message}}, status)
