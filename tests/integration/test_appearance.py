"""How the agent draws its kinds by MQTT discovery: as this integration does.

`--snapshot-update` writes the agent's table anew, from the descriptions and the English texts.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeassistant.const import Platform

from companion_agent.mqtt import appearance
from custom_components.pilot import binary_sensor, button, number, select, sensor, switch
from custom_components.pilot.descriptions import DETAILS, MEDIA

from .texts import TRANSLATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeassistant.helpers.entity import EntityDescription
    import pytest

TABLES: dict[Platform, list[EntityDescription]] = {
    Platform.SENSOR: list(sensor.DESCRIPTIONS.values()),
    Platform.BINARY_SENSOR: list(binary_sensor.DESCRIPTIONS.values()),
    Platform.BUTTON: list(button.DESCRIPTIONS.values()),
    Platform.NUMBER: list(number.DESCRIPTIONS.values()),
    Platform.SELECT: list(select.DESCRIPTIONS.values()),
    Platform.SWITCH: list(switch.DESCRIPTIONS.values()),
}
HEAD = '''"""How kinds are drawn by MQTT discovery; `test_appearance.py` writes this table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

APPEARANCE: Final[Mapping[str, Mapping[str, Any]]] = {
'''


def drawn() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return how each kind is drawn here."""
    for platform, descriptions in TABLES.items():
        names = TRANSLATIONS["en"]["entity"][platform]
        for one in descriptions:
            if one.key in MEDIA:
                continue
            texts = {
                field: names.get(f"{one.translation_key}{variant}", {}).get("name")
                for field, variant in (
                    ("name", ""),
                    ("name_of", "_of"),
                    ("name_of_system", "_system"),
                )
            }
            fields = {
                "platform": platform,
                **texts,
                "device_class": one.device_class,
                "state_class": getattr(one, "state_class", None),
                "category": one.entity_category,
                "precision": getattr(one, "suggested_display_precision", None),
            }
            look = {
                field: value if isinstance(value, int) else str(value)
                for field, value in fields.items()
                if value is not None
            }
            if not one.entity_registry_enabled_default:
                look["enabled"] = False
            if getattr(one, "on", True) is False:
                look["on"] = False
            yield one.key, look


FOOT = '''}

ATTRIBUTES: Final = frozenset(
    {
%s    }
)
"""Kinds that are attributes of the integration's entities; they have no entity of their own."""
'''


def written(looks: dict[str, dict[str, Any]]) -> str:
    """Write the table, as ruff formats it."""
    lines = [HEAD]
    for kind, look in looks.items():
        lines.append(f'    "{kind}": {{\n')
        for field, value in look.items():
            text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
            lines.append(f'        "{field}": {text},\n')
        lines.append("    },\n")
    attributes = "".join(f'        "{kind}",\n' for kind in sorted(DETAILS))
    return "".join([*lines, FOOT % attributes])


def test_kinds_are_drawn_alike(request: pytest.FixtureRequest) -> None:
    """The same names, classes and categories, whichever way a host is drawn."""
    looks = dict(drawn())
    if request.config.option.update_snapshots:
        Path(appearance.__file__).write_text(written(looks), "utf-8")
        return

    assert dict(appearance.APPEARANCE) == looks
    assert DETAILS.keys() == appearance.ATTRIBUTES
