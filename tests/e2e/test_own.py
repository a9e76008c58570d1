"""What the owner of a host adds to it: commands, readings, and a configuration read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from security.victim import Code

from stack.console import StackError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeHost
    from harness.host import Host

LAMP = "own_commands.lamp"
LOAD = "own_readings.ups_load"
METER = "own_readings.meter"
RELOAD = "agent_reload"


def own(folder: Path) -> dict[str, Any]:
    """Return what the owner adds; the lamp and the load are files."""
    return {
        "own_commands": {
            "lamp": {
                "show": "switch",
                "command": ["sh", "-c", 'echo "$1" > lamp', "sh", "{value}"],
                "state": ["cat", "lamp"],
                "folder": str(folder),
            },
            "greet": {
                "command": ["printf", "Hello, %s!\\n", "{name}"],
                "arguments": {"name": {"type": "text", "pattern": "[a-z $();]+"}},
            },
        },
        "own_readings": {
            "ups_load": {
                "name": "UPS load",
                "file": str(folder / "load"),
                "pattern": "load: ([0-9.]+)",
                "unit": "kW",
                "device_class": "power",
                "interval": 1,
            }
        },
    }


@pytest.fixture
def mine(make_host: MakeHost, tmp_path: Path) -> Host:
    """Return a paired host whose owner has added to it."""
    (tmp_path / "lamp").write_text("off")
    (tmp_path / "load").write_text("load: 1.5 kW")
    host = make_host("study-pc", **own(tmp_path)).start()
    flow = host.wait_until_offered()
    code = Code.on(host.agent)
    result = host.ha.confirm(flow["flow_id"], {"code": code.digits})
    assert result["type"] == "create_entry", f"adding it came to {result}"
    code.end()
    host.wait_for_entity(LAMP)
    return host


def call(host: Host, domain: str, service: str, key: str, **data: Any) -> Any:
    """Call an action on an entity; an error is raised as the user sees it."""
    return host.ha.ws(
        "call_service",
        domain=domain,
        service=service,
        service_data={"entity_id": host.entity(key)["entity_id"], **data},
        return_response=domain == "pilot",
    )


def test_what_the_owner_adds_is_seen_and_done(mine: Host, tmp_path: Path) -> None:
    shown = mine.wait_for_state(LOAD, lambda state: state["state"] == "1.5")
    assert shown["attributes"]["unit_of_measurement"] == "kW"
    assert shown["attributes"]["device_class"] == "power"

    mine.wait_for_state(LAMP, lambda state: state["state"] == "off")
    call(mine, "switch", "turn_on", LAMP)
    mine.wait_for_state(LAMP, lambda state: state["state"] == "on")
    assert (tmp_path / "lamp").read_text() == "on\n"

    answer = call(
        mine, "pilot", "run_command", "status", command="greet", arguments={"name": "$(id); you"}
    )
    assert answer["response"]["study-pc"]["output"] == "Hello, $(id); you!\n"

    (tmp_path / "load").write_text("load: unknown")
    mine.wait_for_state(LOAD, lambda state: state["state"] == "unavailable")

    # A file with mistakes changes nothing and says why: here, and in Home Assistant.
    mine.agent.configure(own_readings={"meter": {"flie": "x"}})
    with pytest.raises(StackError, match=r"own_readings\.meter\.flie: is not known here"):
        mine.agent.run("reload")
    with pytest.raises(StackError, match=r"own_readings\.meter"):
        call(mine, "button", "press", RELOAD)
    assert mine.status[0] == "online"
    since = mine.status[1]

    mine.agent.configure(
        own_readings={"meter": {"command": ["echo", "7"], "unit": "kWh", "device_class": "energy"}}
    )
    call(mine, "button", "press", RELOAD)
    mine.wait_for_entity(METER, timeout=60)
    mine.wait_for_state(METER, lambda state: state["state"] == "7")
    assert f"{mine.id}_{LOAD}" not in mine.entities()
    assert f"{mine.id}_{LAMP}" in mine.entities()
    # It was there all the time.
    assert mine.status == ("online", since)
