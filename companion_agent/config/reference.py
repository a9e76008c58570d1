"""What documents and editors say about the configuration, made from the declared keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from companion_agent.config.environment import variable
from companion_agent.config.settings import Config
from companion_agent.fields import (
    FILE,
    LISTED,
    ByName,
    Section,
    all_keys,
    declared,
    is_variable,
)
from companion_agent.plugins import registry
from companion_agent.values import Leaf, NothingToChoose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.fields import Setting

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLACEHOLDERS = {
    noun: (f"<{noun}>",)
    for noun in ("argument", "collector", "command", "part", "quantity", "reading", "variable")
}
_TITLE = "Configuration of the Pilot agent"
_NULL: dict[str, object] = {"type": "null"}


DOCUMENT = "docs/configuration.md"


def generated() -> dict[str, str]:
    """Return what stands between the markers `<!-- generated: NAME -->` of `DOCUMENT`, by name."""
    return {"settings": settings_table(), "collectors": collectors_table()}


def settings_table() -> str:
    """Return the table of all keys in Markdown, for `docs/configuration.md`."""
    lines = ["| key | expected | default | |", "| --- | --- | --- | --- |"]
    for key in all_keys(Config, _PLACEHOLDERS):
        name = ".".join(key.path)
        lines.append(f"| `{name}` | {key.expected} | {key.default} | {key.meaning} |")
    return "\n".join(lines)


def collectors_table() -> str:
    """Return the table of collectors in Markdown, for `docs/configuration.md`."""
    lines = [
        "| collector | interval in seconds | `include` and `exclude` choose |",
        "| --- | --- | --- |",
    ]
    for name, collector in registry.collectors().items():
        lines.append(f"| `{name}` | {collector.interval:g} | {collector.selects} |")
    return "\n".join(lines)


def json_schema() -> dict[str, Any]:
    """Return the configuration file's JSON Schema, draft 2020-12."""
    schema = _section(Section(Config), ())
    # A variable can name the broker instead.
    del schema["required"]
    return {"$schema": DIALECT, "title": _TITLE, **schema}


def _section(section: Section, path: tuple[str, ...]) -> dict[str, Any]:
    schema = _object()
    for one in declared(section.of):
        *above, last = one.key.split(".")
        below = schema
        for step in above:
            below = below["properties"].setdefault(step, _object())
        here = (*path, *above, last)
        below["properties"][last] = _property(one.setting, one.default, here)
        if one.setting.file:
            file = f"{last}{FILE}"
            text = f"A file that holds {last} and nothing else."
            below["properties"][file] = _described(one.setting.file, text, (*here[:-1], file))
        if one.setting.required:
            below.setdefault("required", []).append(last)
    return schema


def _object() -> dict[str, Any]:
    return {"type": ["object", "null"], "properties": {}, "additionalProperties": False}


def _property(one: Setting, default: object, path: tuple[str, ...]) -> dict[str, Any]:
    kind = one.kind
    if isinstance(kind, Leaf):
        schema = _described(kind, one.meaning, path)
        if default is not None and one.shown is None and not kind.secret:
            schema["default"] = kind.dump(default)
        return schema
    return {"description": one.meaning, **_below(kind, path)}


def _below(kind: Section | ByName, path: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(kind, ByName):
        return _by_name(kind, path)
    listed = kind.several and not kind.text
    section = _section(kind, (*path[:-1], f"{path[-1]}{LISTED}") if listed else path)
    others: list[Mapping[str, Any]] = []
    if kind.text:
        others.append({"type": "string", "description": kind.text_form})
    if kind.switch:
        others.append({"enum": [True, False, "true", "false", "yes", "no", "on", "off"]})
    item: dict[str, Any] = {"anyOf": [section, *others]} if others else section
    if kind.several:
        return {"anyOf": [item, {"type": "array", "items": item}]}
    return item


def _by_name(kind: ByName, path: tuple[str, ...]) -> dict[str, Any]:
    schema = _object()
    if kind.free:
        here = (*path, f"<{kind.noun}>")
        schema["additionalProperties"] = (
            _section(kind.value, here)
            if isinstance(kind.value, Section)
            else _described(kind.value, "", here)
        )
        return schema
    for name in (*kind.names, *kind.former) or registry.collectors():
        value, here = kind.value, (*path, name)
        below = _section(value, here) if isinstance(value, Section) else _described(value, "", here)
        schema["properties"][name] = below
        if name in kind.former:
            below["deprecated"] = True
    if not kind.names:
        for name, collector in registry.collectors().items():
            keys = schema["properties"][name]["properties"]
            keys["interval"]["default"] = collector.interval
            if not collector.selects:
                keys["include"] = keys["exclude"] = NothingToChoose.schema
    return schema


def _described(kind: Leaf[Any], meaning: str, path: tuple[str, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if meaning:
        unit = f" In {kind.unit}." if kind.unit else ""
        schema["description"] = f"{meaning}{unit}"
    if is_variable(path):
        schema["$comment"] = f"environment variable {variable(path)}"
    if kind.secret:
        schema["writeOnly"] = True
    # A key without a value is as if it were not there.
    return schema | {"anyOf": [kind.schema, _NULL]}
