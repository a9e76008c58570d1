"""The settings of an agent that a controller may see and change: what `config.get` answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, NamedTuple

from .encoding import dump, load_object
from .errors import ProtocolError
from .validation import (
    MAX_KEY,
    MAX_OUTPUT,
    MAX_SETTINGS,
    MAX_TEXT,
    as_object,
    clean_text,
    get_optional_text,
    get_options,
    get_text,
    is_key,
    is_number,
)

CONFIG_GET: Final = "config.get"
CONFIG_SET: Final = "config.set"

SettingValue = bool | float | str | tuple[str, ...] | None


class FieldType(StrEnum):
    """What a field holds."""

    BOOLEAN = "boolean"
    NUMBER = "number"
    CHOICE = "choice"
    NAMES = "names"
    """A list of texts, in which `*` and `?` stand for others."""


class SettingField(NamedTuple):
    """One setting.

    Attributes:
        key: Its key in the configuration, `collectors.cpu.interval`.
        type: What it holds.
        value: What counts now; `None` where nothing says another than the default.
        default: What counts where nothing says otherwise.
        minimum: Of a number: the smallest.
        maximum: Of a number: the largest.
        unit: Of a number: what it counts.
        options: Of a choice: what can be chosen.
        fixed: Where the host itself sets it, file and line say; `None` where a controller may.
    """

    key: str
    type: FieldType
    value: SettingValue = None
    default: SettingValue = None
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    options: tuple[str, ...] = ()
    fixed: str | None = None


class Settings(NamedTuple):
    """The settings of one section.

    Attributes:
        revision: What a change has to name, so that no other change is lost.
        sections: All sections that have settings.
        fields: The settings of the section that was asked for.
    """

    revision: str
    sections: tuple[str, ...]
    fields: tuple[SettingField, ...] = ()


def write_settings(settings: Settings) -> str:
    """Write settings, as the output of a command."""
    return dump(
        {
            "revision": settings.revision,
            "sections": list(settings.sections),
            "fields": [_write_field(field) for field in settings.fields],
        }
    )


def _write_field(field: SettingField) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "key": field.key,
        "type": field.type.value,
        "value": field.value,
        "default": field.default,
    }
    optional = {
        "minimum": field.minimum,
        "maximum": field.maximum,
        "unit": field.unit,
        "options": list(field.options) or None,
        "fixed": clean_text(field.fixed) if field.fixed else None,
    }
    return fields | {name: value for name, value in optional.items() if value is not None}


def parse_settings(text: str) -> Settings:
    """Read what `write_settings()` wrote; fields of types that are not known are left out.

    Raises:
        ProtocolError: It breaks a rule.
    """
    data = load_object(text.encode(), 2 * MAX_OUTPUT)
    sections, fields = data.get("sections"), data.get("fields")
    if not isinstance(sections, list) or len(sections) > MAX_SETTINGS:
        raise ProtocolError("sections", f"sections is not a list of at most {MAX_SETTINGS}")
    if not all(isinstance(section, str) and len(section) <= MAX_KEY for section in sections):
        raise ProtocolError("sections", "a section is not a text")
    if not isinstance(fields, list) or len(fields) > MAX_SETTINGS:
        raise ProtocolError("fields", f"fields is not a list of at most {MAX_SETTINGS}")
    found = [_field(as_object(field, "fields")) for field in fields]
    return Settings(
        get_text(data, "revision"),
        tuple(sections),
        tuple(field for field in found if field is not None),
    )


def _field(data: dict[str, Any]) -> SettingField | None:
    key = get_text(data, "key", MAX_KEY)
    if not is_key(key):
        raise ProtocolError("key", "a key is malformed")
    try:
        field_type = FieldType(get_text(data, "type"))
    except ValueError:
        return None
    return SettingField(
        key=key,
        type=field_type,
        value=_value(data, "value", field_type),
        default=_value(data, "default", field_type),
        minimum=_limit(data, "minimum"),
        maximum=_limit(data, "maximum"),
        unit=get_optional_text(data, "unit"),
        options=get_options(data.get("options", [])),
        fixed=get_optional_text(data, "fixed"),
    )


def _limit(data: dict[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is not None and not is_number(value):
        raise ProtocolError(name, f"{name} is not a number")
    return value


def _value(data: dict[str, Any], name: str, field_type: FieldType) -> SettingValue:
    value = data.get(name)
    match field_type:
        case _ if value is None:
            return None
        case FieldType.BOOLEAN if isinstance(value, bool):
            return value
        case FieldType.NUMBER if is_number(value):
            return value
        case FieldType.CHOICE if isinstance(value, str) and len(value) <= MAX_TEXT:
            return value
        case FieldType.NAMES if isinstance(value, list):
            return get_options(value)
    raise ProtocolError(name, f"the {name} of a setting is no {field_type.value}")
