"""`pilot-agent config schema`: what editors are told is what the loader takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.cli import main
from companion_agent.config.environment import variable
from companion_agent.config.reference import DIALECT, json_schema
from companion_agent.config.settings import SECRETS, Config
from companion_agent.fields import all_keys
from companion_agent.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

# The words of draft 2020-12 that the schema uses, and what follows each of them.
WORDS: dict[str, type | tuple[type, ...]] = {
    "$schema": str,
    "$comment": str,
    "title": str,
    "description": str,
    "type": (str, list),
    "properties": dict,
    "additionalProperties": (bool, dict),
    "required": list,
    "anyOf": list,
    "not": dict,
    "items": dict,
    "enum": list,
    "examples": list,
    "default": object,
    "minimum": (int, float),
    "maximum": (int, float),
    "minLength": int,
    "maxLength": int,
    "pattern": str,
    "writeOnly": bool,
    "deprecated": bool,
}
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


def subschemas(schema: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield name, schema
    below = [(key, value) for key, value in schema.get("properties", {}).items()]
    below += [(name, one) for one in schema.get("anyOf", [])]
    below += [(name, schema[word]) for word in ("items", "not") if word in schema]
    if isinstance(schema.get("additionalProperties"), dict):
        below.append((name, schema["additionalProperties"]))
    for key, one in below:
        yield from subschemas(one, key)


def properties(schema: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, below in schema.get("properties", {}).items():
        yield (*above, name)
        yield from properties(below, (*above, name))
    for one in schema.get("anyOf", []):
        yield from properties(one, above)


def plain(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(step.removesuffix("[]") for step in path)


def test_it_is_a_schema_of_draft_2020_12() -> None:
    schema = json_schema()

    assert schema["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    for _, one in subschemas(schema):
        assert one.keys() <= WORDS.keys()
        assert all(isinstance(value, WORDS[word]) for word, value in one.items())
        types = one.get("type", [])
        assert set([types] if isinstance(types, str) else types) <= TYPES


def test_it_has_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0

    printed = json.loads(capsys.readouterr().out)
    known = set(properties(printed))
    assert {
        plain(key.path) for key in all_keys(Config, {"collector": list(registry.collectors())})
    } <= known


def test_secrets_are_marked_and_have_no_default() -> None:
    found = {name: one for name, one in subschemas(json_schema()) if one.get("writeOnly")}

    assert found.keys() == SECRETS
    assert not any("default" in one for one in found.values())


def test_it_names_the_variable_of_a_key() -> None:
    host = json_schema()["properties"]["broker"]["anyOf"][0]["anyOf"][0]["properties"]["host"]

    assert host["$comment"] == f"environment variable {variable(['broker', 'host'])}"


def test_a_default_is_written_as_a_file_has_it() -> None:
    log = json_schema()["properties"]["log"]["properties"]

    assert (log["max_size"]["default"], log["level"]["default"]) == (5, "info")


@pytest.mark.parametrize("collector", ["cpu", "disk"])
def test_only_collectors_with_a_choice_take_include(collector: str) -> None:
    keys = json_schema()["properties"]["collectors"]["properties"][collector]["properties"]

    assert ("not" in keys["include"]) == (not registry.collectors()[collector].selects)
