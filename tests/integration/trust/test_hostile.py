"""Values at the edge of their type, in everything that can be called."""

from datetime import UTC, datetime
import json
from math import inf, nan
from time import time
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.util import yaml as yaml_util
import probatio
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from support.integration_agent import FakeAgent

from ..texts import PACKAGE  # noqa: TID252
from .test_access import call, data_for, house  # noqa: F401  (a fixture)
from .test_settings import INTERVAL


def deep(levels: int) -> Any:
    """Return a list in a list in a list."""
    nested: Any = []
    for _ in range(levels):
        nested = [nested]
    return nested


MOMENTS = [
    "0001-01-01 00:00:00",
    "0001-01-01T00:00:00+23:59",
    "1969-12-31T23:59:59+00:00",
    "9999-12-31T23:59:59-23:59",
    "9999-12-31 23:59:59",
]
ON_THE_WIRE = [
    *MOMENTS,
    "",
    " ",
    "x" * 100_000,
    "\0",
    "2026-02-30",
    "99999999999999:00:00",
    None,
    True,
    0,
    -1,
    2**63 - 1,
    1e308,
    [],
    {},
    [[]],
    {"days": 1e30},
    {"value": "x" * 100_000},
    {"a b": 1},
    {f"a{number}": number for number in range(33)},
]
HOSTILE = [
    *ON_THE_WIRE,
    inf,
    -inf,
    nan,
    10**400,
    b"bytes",
    "\ud800",
    datetime(1, 1, 1),  # noqa: DTZ001  (the house has a time zone)
    datetime.max.replace(tzinfo=UTC),
    {"value": nan},
    {"value": {1, 2}},
    {"value": "\ud800"},
    {1: 2},
    {"value": deep(1500)},
]


def fields_of(action: str) -> list[str]:
    """Return the fields of an action of Pilot's."""
    described = yaml_util.load_yaml_dict(PACKAGE / "services.yaml")
    return [*(described[action].get("fields") or {}), "device_id", "entity_id", "area_id"]


async def test_every_field_of_every_action(
    hass: HomeAssistant,
    house: dict[str, Any],  # noqa: F811
    agent: FakeAgent,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What cannot be is refused in words, whatever it is; nothing else ever comes of it."""
    registered = hass.services.async_services_for_domain("pilot")
    usual = data_for(house)
    tried = 0
    for action in registered:
        for field in fields_of(action):
            for value in HOSTILE:
                tried += 1
                try:
                    await call(
                        hass, f"pilot.{action}", usual[f"pilot.{action}"] | {field: value}, None
                    )
                except HomeAssistantError, probatio.Invalid:
                    continue
                except Exception as err:  # noqa: BLE001  (the failure names what was tried)
                    pytest.fail(f"{action}, {field}={str(value)[:60]!r}: {err!r}")
    await hass.async_block_till_done()

    assert tried > len(registered) * len(HOSTILE)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("action", ["get_placements", "add_placement"])
async def test_moments_that_no_calendar_has(
    hass: HomeAssistant,
    house: dict[str, Any],  # noqa: F811
    action: str,
    moment: str,
) -> None:
    """They are named, with what is possible."""
    with pytest.raises(ServiceValidationError) as refused:
        await call(
            hass, f"pilot.{action}", data_for(house)[f"pilot.{action}"] | {"start": moment}, None
        )

    assert refused.value.translation_key == "moment_out_of_range"


@pytest.mark.parametrize("command", ["pilot/placements/list", "pilot/placements/subscribe"])
async def test_every_field_of_every_websocket_command(
    hass: HomeAssistant,
    house: dict[str, Any],  # noqa: F811
    hass_ws_client: WebSocketGenerator,
    command: str,
) -> None:
    """Errors have a code that says whose fault it is."""
    client = await hass_ws_client(hass)
    for field in ("device_ids", "area_ids", "start", "end"):
        for value in (*ON_THE_WIRE, ["x" * 100_000]):
            json.dumps(value)
            await client.send_json_auto_id({"type": command, field: value})
            answer = await client.receive_json()

            assert answer["success"] or answer["error"]["code"] in (
                "invalid_format",
                "home_assistant_error",
            ), (field, value)


@pytest.mark.parametrize("value", [nan, inf, 1e308])
async def test_a_setting_that_is_no_number(
    hass: HomeAssistant,
    house: dict[str, Any],  # noqa: F811
    paired: MockConfigEntry,
    agent: FakeAgent,
    value: float,
) -> None:
    """Nothing is sent."""
    agent.part("i2c", json.dumps({"ts": time(), "values": {"aht20-1-38.interval": 30}}))
    await hass.async_block_till_done()
    assert hass.states.get(INTERVAL).state == "30"
    with pytest.raises(ServiceValidationError):
        await call(hass, "number.set_value", {"entity_id": INTERVAL, "value": value}, None)

    assert agent.done == []


@pytest.mark.parametrize("args", [{"value": nan}, {"value": "x" * 20_000}, {"A": 1}])
async def test_arguments_that_cannot_be_sent(
    hass: HomeAssistant,
    house: dict[str, Any],  # noqa: F811
    agent: FakeAgent,
    args: dict[str, Any],
) -> None:
    """The error says so, instead of waiting for an answer."""
    data = {"device_id": house["host"], "command": "audio.beep", "args": args}
    with pytest.raises(ServiceValidationError) as refused:
        await call(hass, "pilot.send_command", data, None)

    assert refused.value.translation_key == "command_bad_arguments"
    assert agent.done == []
