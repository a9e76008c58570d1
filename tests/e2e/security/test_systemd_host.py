"""Home Assistant and a computer that really boots and shuts down: Debian with systemd."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from harness.host import Shown
from harness.settings import QUICK
import pytest
from security.commanded import unique_part
from security.victim import Code

from stack import toolchain
from stack.browser import screenshot
from stack.console import StackError
from stack.linux_host import LIBRARIES, SOURCE
from stack.nspawn import SystemdHost, why_not
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.bus import Bus
    from security.conftest import OpenPage

    from stack.broker import Mosquitto
    from stack.homeassistant import HomeAssistant

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there can be such hosts"),
]

AGENT = "pilot-agent"
CONFIG = "/etc/pilot-agent.json"
RULE = "/etc/polkit-1/rules.d/50-pilot-agent.rules"
UNIT = f"""\
[Unit]
After=network.target dbus.service

[Service]
User={AGENT}
StateDirectory=pilot-agent
Environment=PYTHONPATH={SOURCE}:{LIBRARIES} PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 -m companion_agent run --config {CONFIG}
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


class Computer(Shown):
    """A computer with the agent as a service, and what Home Assistant shows of it."""

    def __init__(self, ha: HomeAssistant, bus: Bus, host: SystemdHost, broker: Mosquitto) -> None:
        self.host = host
        host.add_user(AGENT, system_user=True)
        config = {
            "broker": {"host": broker.host, "port": broker.port},
            "state_dir": "/var/lib/pilot-agent",
            "collectors": QUICK,
        }
        host.write(CONFIG, json.dumps(config))
        host.write("/etc/systemd/system/pilot-agent.service", UNIT)
        host.run("systemctl", "enable", "--now", "pilot-agent")
        kept = host.path / "var/lib/pilot-agent/host-id"
        wait_for(kept.exists, "the id of the host")
        super().__init__(ha, bus, kept.read_text(encoding="ascii").strip())

    def add_with_code(self) -> None:
        """Add it as a user does who types the code that it shows."""
        command = ("python3", "-m", "companion_agent", "pair", "--no-qr", "--config", CONFIG)
        inside = self.host.command(*command, env={"PYTHONUNBUFFERED": "1"})
        code = Code(inside, self.host.folder / "pair.log")
        flow = self.wait_until_offered()
        result = self.ha.confirm(flow["flow_id"], {"code": code.digits})
        assert result["type"] == "create_entry", f"adding it came to {result}"
        assert "Paired" in code.end()
        for key in ("power", "power_event", "power_reboot"):
            self.wait_for_entity(key)

    def permit(self) -> None:
        """Do what the repair in Home Assistant says, and have the host look at once."""
        self.write_rule()
        # A second attempt does not wait for the minute's look.
        with pytest.raises(StackError, match="Repairs"):
            self.press("power.cancel")
        wait_for(lambda: self.repair() is None, "the end of the repair")

    def write_rule(self) -> None:
        """Do what the repair in Home Assistant says."""
        fix = wait_for(self.repair, "the repair")["translation_placeholders"]["fix"]
        rule = fix[fix.index("//") : fix.rindex("});") + len("});\n")]
        self.host.write(RULE, rule)

    def repair(self) -> dict[str, Any] | None:
        """Return the repair that says which permission it lacks."""
        issues = self.ha.ws("repairs/list_issues")["issues"]
        return next((i for i in issues if i["translation_key"] == "permission"), None)

    def press(self, key: str) -> None:
        """Press the button of a command; an error is raised as the user sees it."""
        self.ha.ws(
            "call_service",
            domain="button",
            service="press",
            service_data={"entity_id": self.entity(unique_part(key))["entity_id"]},
        )

    def switch_off(self) -> None:
        """Turn its power switch off; an error is raised as the user sees it."""
        self.ha.ws(
            "call_service",
            domain="switch",
            service="turn_off",
            service_data={"entity_id": self.entity("power")["entity_id"]},
        )


@pytest.fixture
def computer(tmp_path: Path, ha: HomeAssistant, bus: Bus, broker: Mosquitto) -> Iterator[Computer]:
    """Return a computer that is paired, and may do nothing yet."""
    python = toolchain.python_of("agent-3.11")
    libraries = python.parent.parent / "lib" / "python3.11" / "site-packages"
    with SystemdHost(tmp_path / "office-pc", "office-pc", libraries=libraries) as host:
        computer = Computer(ha, bus, host, broker)
        try:
            computer.add_with_code()
            yield computer
        except BaseException:
            print(host.journal("-u", "pilot-agent"), file=sys.stderr)
            raise
        finally:
            computer.remove()
    bus.forget_host(computer.id)


def test_missing_permission_is_a_repair_that_heals(
    computer: Computer, open_page: OpenPage, artifacts: Path
) -> None:
    """It is found by asking the system, before a button was pressed."""
    wait_for(computer.repair, "the repair")
    with pytest.raises(StackError, match="Repairs"):
        computer.switch_off()
    with open_page("/config/repairs", height=1100) as page:
        page.get_by_text("lacks a permission").first.click()
        page.get_by_text("polkit.addRule").first.wait_for()
        screenshot(page, artifacts / "repair-permission.png")

    computer.write_rule()

    # Within a minute, by itself.
    wait_for(lambda: computer.repair() is None, "the end of the repair", timeout=90)
    assert computer.host.running


def test_shutdown_in_home_assistant_and_up_again(
    computer: Computer, open_page: OpenPage, artifacts: Path
) -> None:
    computer.permit()
    computer.wait_for_state("power", "on")

    computer.switch_off()

    computer.host.wait_until_off()
    computer.wait_for_status("off")
    assert computer.state("power_event")["attributes"]["event_type"] == "shutting_down"
    device = f"/config/devices/device/{computer.device['id']}"
    with open_page(device, height=1300) as page:
        page.get_by_text("Off", exact=True).first.wait_for()
        screenshot(page, artifacts / "device-shut-down.png")

    computer.host.boot()

    computer.wait_for_status("online")
    computer.wait_for_state("power", "on")
    computer.wait_for_state("cpu.percent", lambda state: state["state"] != "unavailable")


def test_restart_in_home_assistant(computer: Computer) -> None:
    computer.permit()

    computer.press("power.reboot")

    computer.host.wait_until_rebooted()
    computer.wait_for_status("online")
