"""The document of the socket against the vocabulary, and against real frames."""

import json
from typing import get_args

import msgspec
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from live.asyncapi import asyncapi
from schema import wire


@pytest.fixture
def document():
    return json.loads(msgspec.json.encode(asyncapi()))


def validator(document, name):
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


def test_every_event_and_command_is_in_the_document(document):
    schemas = document["components"]["schemas"]
    for kind in (*get_args(wire.AnyEvent), *get_args(wire.AnyCommand), wire.Frame, wire.Reply):
        assert kind.__name__ in schemas
    commands = {message["$ref"].rpartition("/")[2] for message in document["operations"]["command"]["messages"]}
    assert commands == {kind.__name__ for kind in get_args(wire.AnyCommand)}


def test_every_reference_leads_somewhere(document):
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_a_frame_of_the_hub_validates_and_a_wrong_one_does_not(document):
    frame = {"e": "a", "o": 2, "ev": [{"t": "pin", "variant_id": "red", "at_ms": 1, "o": 2}], "st": {"viewers": 3}}
    validator(document, "Frame").validate(frame)
    for wrong in (
        {**frame, "ev": [{"t": "pin", "variant_id": "red", "at_ms": 1}]},
        {**frame, "ev": [{"t": "nonsense", "o": 2}]},
        {"o": 2},
    ):
        with pytest.raises(ValidationError):
            validator(document, "Frame").validate(wrong)


async def test_it_is_served(client):
    assert (await client.ask("GET", "/asyncapi.json")).json()["asyncapi"] == "3.0.0"
