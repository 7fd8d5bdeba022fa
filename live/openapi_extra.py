"""What `/openapi.json` says of the routes that are not `schema.api.Operation`s: media, and the operators' probes.

Owns: these descriptions, by hand. A test holds them against the routes of the app, in both directions.
"""

from typing import Any

Json = dict[str, Any]

_PROBLEM = {
    "description": "Refused",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_SDP = {"content": {"application/sdp": {"schema": {"type": "string"}}}}
_BEARER = [{"bearer": list[str]()}]


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _offer(operation_id: str, summary: str) -> Json:
    return {
        "operationId": operation_id,
        "tags": ["media"],
        "summary": summary,
        "security": _BEARER,
        "parameters": [_path_parameter("show")],
        "requestBody": {"required": True, **_SDP},
        "responses": {
            "201": {
                "description": "The SDP answer; Location leads to the session",
                "headers": {
                    "Location": {"schema": {"type": "string"}},
                    "ETag": {"schema": {"type": "string"}},
                },
                **_SDP,
            },
            "default": _PROBLEM,
        },
    }


def _session(ending: str, changing: str) -> Json:
    parameters = [_path_parameter("show"), _path_parameter("session")]
    common: Json = {"tags": ["media"], "security": _BEARER, "parameters": parameters}
    return {
        "patch": {
            "operationId": changing,
            "summary": "Trickle ICE (RFC 8840), as far as an ICE-lite server needs it.",
            **common,
            "requestBody": {
                "required": True,
                "content": {"application/trickle-ice-sdpfrag": {"schema": {"type": "string"}}},
            },
            "responses": {"204": {"description": "Taken"}, "default": _PROBLEM},
        },
        "delete": {
            "operationId": ending,
            "summary": "End the session.",
            **common,
            "responses": {"200": {"description": "Ended"}, "default": _PROBLEM},
        },
    }


def _probe(operation_id: str, summary: str, content: str, *, unready: bool = False) -> Json:
    answer = {"description": "Yes", "content": {content: {"schema": {}}}}
    responses: Json = {"200": answer}
    if unready:
        responses["503"] = {"description": "Not now", "content": {content: {"schema": {}}}}
    return {
        "get": {
            "operationId": operation_id,
            "tags": ["operations"],
            "summary": summary,
            "security": [],
            "responses": responses,
        }
    }


PATHS: dict[str, Json] = {
    "/whip/{show}": {"post": _offer("publish", "Publish a show's video: WHIP (RFC 9725). Needs the role host.")},
    "/whip/{show}/{session}": _session("unpublish", "patchPublisher"),
    "/whep/{show}": {"post": _offer("subscribe", "Watch a show: WHEP. Needs the role viewer.")},
    "/whep/{show}/{session}": _session("unsubscribe", "patchSubscriber"),
    "/api/v1/shows/{show}/thumbnail": {
        "get": {
            "operationId": "getThumbnail",
            "tags": ["media"],
            "summary": "The live picture of a few seconds ago; a placeholder (SVG) for a show that is not live.",
            "security": [],
            "parameters": [_path_parameter("show")],
            "responses": {
                "200": {
                    "description": "The picture",
                    "content": {"image/jpeg": {"schema": {}}, "image/svg+xml": {"schema": {}}},
                },
                "304": {"description": "Unchanged: If-None-Match names it"},
            },
        }
    },
    "/ws/{show}": {
        "get": {
            "operationId": "openSocket",
            "tags": ["socket"],
            "summary": "The socket; /asyncapi.json has what is said on it.",
            "security": [],
            "parameters": [
                _path_parameter("show"),
                {"name": "ticket", "in": "query", "required": True, "schema": {"type": "string"}},
                {"name": "epoch", "in": "query", "schema": {"type": "string"}},
                {"name": "offset", "in": "query", "schema": {"type": "string"}},
            ],
            "responses": {"101": {"description": "Switching to WebSocket"}, "default": _PROBLEM},
        }
    },
    "/healthz": _probe("isAlive", "Is the process alive?", "application/json"),
    "/readyz": _probe("isReady", "May it be given work? 503 while a store is away or it is draining.",
                      "application/json", unready=True),
    "/metrics": _probe("getMetrics", "Prometheus metrics.", "text/plain"),
}  # fmt: skip
