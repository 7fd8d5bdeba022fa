"""`/asyncapi.json`: the socket as AsyncAPI 3.0, generated from `schema/wire.py`.

Owns: nothing; the document is a function of the vocabulary.
Invariant: every event and command of `schema.wire` is a message in it.
"""

from typing import Any, get_args

import msgspec

from live.version import own_version
from schema import wire

Json = dict[str, Any]

_TOLD = (wire.Frame, wire.Private, wire.Reply)
"""What a server says; which of them it is shows in its members."""
_REF = "#/components/schemas/{name}"


def asyncapi() -> Json:
    """The document."""
    events, commands = list(get_args(wire.AnyEvent)), list(get_args(wire.AnyCommand))
    kinds = [*_TOLD, *events, *commands]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    _list_events(components, [kind.__name__ for kind in events])
    messages = {
        kind.__name__: {"name": kind.__name__, "summary": _summary(kind), "payload": schema}
        for kind, schema in zip(kinds, schemas, strict=True)
        if kind not in events
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Showfloor socket", "version": own_version(), "description": wire.__doc__},
        "channels": {
            "show": {
                "address": "/ws/{show}",
                "description": f"Subprotocols {wire.SUBPROTOCOL_JSON} and {wire.SUBPROTOCOL_MSGPACK}.",
                "parameters": {"show": {"description": "The show's id"}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "receive": _operation("send", [kind.__name__ for kind in _TOLD]),
            "command": _operation("receive", [kind.__name__ for kind in commands]),
        },
        "components": {"messages": messages, "schemas": components},
    }


def _list_events(components: Json, names: list[str]) -> None:
    """A frame's `ev` is bytes to the server; here it is what stands in them: an event and its offset."""
    offset = {"type": "object", "properties": {"o": {"type": "integer"}}, "required": ["o"]}
    refs = [{"$ref": _REF.format(name=name)} for name in names]
    components["Frame"]["properties"]["ev"] = {"type": "array", "items": {"allOf": [offset, {"oneOf": refs}]}}


def _operation(action: str, names: list[str]) -> Json:
    """AsyncAPI speaks from the server's side: it sends frames and receives commands."""
    return {
        "action": action,
        "channel": {"$ref": "#/channels/show"},
        "messages": [{"$ref": f"#/channels/show/messages/{name}"} for name in names],
    }


def _summary(kind: type) -> str:
    return (kind.__doc__ or "").partition("\n")[0]
