"""`/openapi.json`: the HTTP interface as OpenAPI 3.1, generated from the same records that route it.

Owns: nothing; a document is a function of the routes. What is not an `Operation` (media, whose bodies are SDP, and
the operators' probes) is described by hand in `live/openapi_extra.py`.
Invariant: an operation that is routed is in the document, with the statuses its record names; a test holds the
document against the running server.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from starlette.routing import BaseRoute

from live.errors import Problem
from live.openapi_extra import PATHS
from live.version import own_version
from schema.api import IDEMPOTENCY_KEY_MAX_CHARS, Operation
from schema.errors import REGISTRY, Forbidden, NotFound, ShowfloorError, TooLarge, Unauthenticated, UnsupportedMediaType
from schema.ids import SLUG_PATTERN

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_INTRODUCTION = """A live show that sells: video, pins, chat and stock, and holds that are never oversold.

Amounts are minor units; times end in `_ms` and are Unix milliseconds. Lists are read with opaque cursors. Every refusal
is a problem document (RFC 9457) with a `code` for programs. Send `Authorization: Bearer <token>`."""
_REASONS = {200: "Done", 201: "Created", 202: "Accepted, not finished yet", 204: "Done; no content", 304: "Unchanged"}


def operations(routes: Iterable[BaseRoute]) -> Iterator[Operation]:
    """The declared operations among `routes`."""
    for route in routes:
        found = getattr(route, "operation", None)
        if isinstance(found, Operation):
            yield found


def openapi(routes: Iterable[BaseRoute], base_url: str = "") -> Json:
    """The document of everything in `routes`."""
    declared = list(operations(routes))
    kinds = _kinds(declared)
    schemas, components = msgspec.json.schema_components([Problem, *kinds], ref_template=_REF)
    refs = dict(zip((Problem, *kinds), schemas, strict=True))
    paths: dict[str, Json] = {}
    for operation in declared:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs)
    for path, methods in PATHS.items():
        paths.setdefault(path, {}).update(methods)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Showfloor", "version": own_version(), "description": _INTRODUCTION},
        "servers": [{"url": base_url or "/"}],
        "tags": [{"name": tag} for tag in sorted(_tags(paths))],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _kinds(declared: list[Operation]) -> list[type]:
    """Every struct that crosses, each once."""
    found: dict[type, None] = {}
    for operation in declared:
        for kind in (operation.body, *operation.answers.values()):
            if kind is not None:
                found[kind] = None
    return list(found)


def _tags(paths: dict[str, Json]) -> set[str]:
    return {tag for methods in paths.values() for one in methods.values() for tag in one["tags"]}


def _operation(operation: Operation, refs: dict[type, Json]) -> Json:
    document: Json = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": {**_answers(operation, refs), **_refusals(operation, refs[Problem])},
    }
    if operation.role is not None:
        document["security"] = [{"bearer": []}]
        also = ", or of an analyst" if operation.for_analysts else ""
        document["description"] = f"Needs a token of the role {operation.role} or above{also}."
    else:
        document["security"] = []
    if operation.body is not None:
        document["requestBody"] = {
            "required": not operation.body_optional,
            "content": {"application/json": {"schema": refs[operation.body]}},
        }
    return document


def _parameters(operation: Operation) -> Iterator[Json]:
    for name in _PARAMETER.findall(operation.path):
        schema = {"type": "string", "pattern": SLUG_PATTERN}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, description in operation.query.items():
        yield {"name": name, "in": "query", "description": description, "schema": {"type": "string"}}
    if operation.idempotent:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "Chosen by the caller; the same key with the same request replays the saved answer.",
            "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX_CHARS},
        }


def _answers(operation: Operation, refs: dict[type, Json]) -> Json:
    answers: Json = {}
    for status, kind in operation.answers.items():
        answers[str(status)] = {"description": _REASONS.get(status, "Answered")}
        if kind is not None:
            answers[str(status)]["content"] = {operation.media_type: {"schema": refs[kind]}}
        elif operation.media_type != "application/json":
            answers[str(status)]["content"] = {operation.media_type: {"schema": {"type": "string"}}}
    return answers


def _refusals(operation: Operation, problem: Json) -> Json:
    by_status: dict[int, list[type[ShowfloorError]]] = {}
    for error in {error.code: error for error in (*operation.errors, *_implied(operation))}.values():
        by_status.setdefault(error.status, []).append(error)
    refusals = {
        str(status): _refusal(" · ".join(f"`{error.code}`: {error.title}" for error in errors), problem)
        for status, errors in sorted(by_status.items())
        if status not in operation.answers
    }
    return {**refusals, "default": _refusal("Any other refusal", problem)}


def _implied(operation: Operation) -> Iterator[type[ShowfloorError]]:
    """What `schema.api.route` itself may answer."""
    if operation.role is not None:
        yield from (Unauthenticated, Forbidden)
    if operation.body is not None:
        yield from (REGISTRY["bad_request"], REGISTRY["invalid"], TooLarge, UnsupportedMediaType)
    if operation.idempotent:
        yield REGISTRY["idempotency_key_missing"]
    if "{" in operation.path and operation.method == "GET":
        yield NotFound


def _refusal(description: str, problem: Json) -> Json:
    return {"description": description, "content": {"application/problem+json": {"schema": problem}}}
