"""What `config.get` answers, and errors by field in results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import FieldError, Result, parse_result
from companion_agent.protocol.settings import (
    FieldType,
    SettingField,
    Settings,
    parse_settings,
    write_settings,
)

FIELDS = (
    SettingField("collectors.disk.enabled", FieldType.BOOLEAN, False, True),
    SettingField("collectors.disk.interval", FieldType.NUMBER, None, 60, 1, 86_400, "seconds"),
    SettingField("collectors.disk.include", FieldType.NAMES, ("/", "/mnt/*"), ()),
    SettingField(
        "log.level", FieldType.CHOICE, "info", "info", options=("info", "debug"), fixed="c.yaml:3"
    ),
)


def written(**changes: Any) -> str:
    settings = Settings("0123", ("collectors.disk", "log"), FIELDS)
    return json.dumps({**json.loads(write_settings(settings)), **changes})


def test_what_is_written_can_be_read() -> None:
    settings = parse_settings(written())

    assert settings == Settings("0123", ("collectors.disk", "log"), FIELDS)


def test_fields_of_unknown_types_are_left_out() -> None:
    newer = [{"key": "log.colour", "type": "colour", "value": "#fff"}]

    assert parse_settings(written(fields=newer)).fields == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": ""},
        {"sections": "log"},
        {"sections": [1]},
        {"sections": ["x"] * 201},
        {"fields": {}},
        {"fields": ["x"]},
        {"fields": [{"key": "Log", "type": "boolean"}]},
        {"fields": [{"key": "log.level", "type": "boolean", "value": "yes"}]},
        {"fields": [{"key": "log.level", "type": "number", "value": True}]},
        {"fields": [{"key": "log.level", "type": "number", "minimum": "1"}]},
        {"fields": [{"key": "log.level", "type": "names", "value": [1]}]},
        {"fields": [{"key": "log.level", "type": "choice", "value": "x" * 256}]},
        {"fields": [{"key": "log.level", "type": "choice", "options": "x"}]},
        {"fields": [{"key": "log.level", "type": "choice", "fixed": 1}]},
    ],
)
def test_what_breaks_a_rule_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        parse_settings(written(**changes))


def result(**more: Any) -> Result:
    return Result("5f1c0a9be3d24c77", "s" * 16, "", "rejected", "bad_arguments", "", 0, **more)


def test_a_result_carries_errors_by_field() -> None:
    errors = {"log.level": FieldError("fixed", "config.yaml:3"), "a.b": FieldError("invalid")}

    assert parse_result(result(errors=errors).body().encode()).errors == errors
    assert "errors" not in result().body()


@pytest.mark.parametrize(
    "errors",
    [
        "x",
        {"a": "x"},
        {"a": {"reason": ""}},
        {"a": {"reason": "x", "detail": 1}},
        {"a" * 129: {"reason": "x"}},
        {str(n): {"reason": "x"} for n in range(65)},
    ],
)
def test_errors_that_break_a_rule_are_refused(errors: Any) -> None:
    body = {**json.loads(result().body()), "errors": errors}

    with pytest.raises(ProtocolError):
        parse_result(json.dumps(body).encode())
