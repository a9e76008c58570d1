"""A room sensor is tuned from Home Assistant, and stays so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.room import Room
import pytest
from security.victim import Code

from stack.browser import screenshot

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeHost
    from harness.host import Host

    from stack.browser import Browser

pytestmark = pytest.mark.proves("i2c.*")

SENSOR = "aht20-1-38"
TEMPERATURE = f"i2c.{SENSOR}.temperature"
INTERVAL = f"i2c.{SENSOR}.interval"
OFFSET = f"i2c.{SENSOR}.temperature_offset"
RESET = f"i2c_{SENSOR}_reset_tuning"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """Return the room that the sensor stands in."""
    return Room(tmp_path / "room.json")


@pytest.fixture
def pi(make_host: MakeHost, room: Room) -> Host:
    """Return a host with a room sensor that it reads every hour, paired."""
    host = make_host(
        "dining-room-pi",
        env=room.env,
        i2c={"sensors": [{"type": "aht20", "interval": 3600}]},
    ).start()
    flow = host.wait_until_offered()
    code = Code.on(host.agent)
    result = host.ha.confirm(flow["flow_id"], {"code": code.digits})
    assert result["type"] == "create_entry", f"adding it came to {result}"
    code.end()
    host.wait_for_entity(OFFSET)
    return host


def set_value(host: Host, key: str, value: float) -> None:
    """Set a number as a user does; an error is raised as the user sees it."""
    host.ha.ws(
        "call_service",
        domain="number",
        service="set_value",
        service_data={"entity_id": host.entity(key)["entity_id"], "value": value},
    )


def wait_for_value(host: Host, key: str, value: float) -> None:
    """Wait until Home Assistant shows a value."""
    host.wait_for_state(
        key, lambda state: state["state"][:1] in "-0123456789" and float(state["state"]) == value
    )


@pytest.mark.browser
def test_a_sensor_is_tuned_and_stays_so(
    pi: Host, room: Room, browser: Browser, artifacts: Path
) -> None:
    wait_for_value(pi, TEMPERATURE, 21.5)

    set_value(pi, INTERVAL, 1)
    wait_for_value(pi, INTERVAL, 1)
    room.becomes(19)
    wait_for_value(pi, TEMPERATURE, 19)
    assert pi.announced_interval("i2c") == 1

    set_value(pi, OFFSET, -0.5)
    wait_for_value(pi, TEMPERATURE, 18.5)

    room.becomes(23)
    pi.agent.restart()
    wait_for_value(pi, TEMPERATURE, 22.5)
    wait_for_value(pi, INTERVAL, 1)
    wait_for_value(pi, OFFSET, -0.5)
    assert f"{SENSOR}: interval 1 s, temperature offset -0.5" in pi.agent.run("tuning")

    device = next(d for d in pi.ha.devices() if ["pilot", f"{pi.id}_{SENSOR}"] in d["identifiers"])
    with browser.page(pi.ha, f"/config/devices/device/{device['id']}", height=1100) as page:
        page.get_by_text("Temperature offset").first.wait_for()
        screenshot(page, artifacts / "room-sensor.png")

    pi.ha.ws(
        "call_service",
        domain="button",
        service="press",
        service_data={"entity_id": pi.entity(RESET)["entity_id"]},
    )
    wait_for_value(pi, INTERVAL, 3600)
    wait_for_value(pi, TEMPERATURE, 23)
    assert pi.announced_interval("i2c") == 3600
