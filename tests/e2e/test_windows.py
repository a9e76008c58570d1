"""A Windows PC in Home Assistant: the installed service, paired, commanded, cut off and back.

The PC is Wine's, which is not Windows: docs/windows-checklist.md has what only a real one shows.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Self

from harness.host import NO_VALUE, Shown
from harness.settings import KEEP_ALIVE
import pytest

from stack.browser import screenshot
from stack.console import StackError
from stack.process import wait_for
from stack.wine import Display, WinePc, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.bus import Bus

    from stack.broker import Mosquitto
    from stack.browser import Browser
    from stack.homeassistant import HomeAssistant
    from stack.process import Process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there can be such PCs"),
    pytest.mark.proves("cpu.percent", "memory.*", "session.lock"),
]

AGENT = ("-m", "companion_agent")
ADMITTED = "Connected to"
# EWX_LOGOFF and EWX_SHUTDOWN of ExitWindowsEx.
LOG_OFF, SHUTDOWN = 0, 1
# Programs start slowly there, and the machine may be busy.
PATIENCE = 120


class PcHost(Shown):
    """A PC that has the agent as its service."""

    def __init__(self, ha: HomeAssistant, bus: Bus, pc: WinePc) -> None:
        super().__init__(ha, bus, secrets.token_hex(8))
        self.pc = pc

    def install(self, broker: Mosquitto) -> Self:
        """Make the service and start it."""
        self.pc.install_agent()
        self.agent("service", "install")
        folder = self.pc.drive / "ProgramData" / "pilot-agent"
        (folder / "state" / "host-id").write_text(self.id)
        settings = {
            "name": "gaming-pc",
            "broker": {"host": broker.host, "port": broker.port, "keepalive": KEEP_ALIVE},
            "collectors": {"network": {"exclude": ["*"]}},
        }
        (folder / "config.yaml").write_text(json.dumps(settings))
        self.agent("service", "start")
        return self

    def add_with_code(self) -> Self:
        """Add it as a user does who types the code that it shows."""
        flow = self.wait_until_offered(PATIENCE)
        showing = self.pc.start("python", *AGENT, "pair", "--json")
        code = showing.wait_for_output(r'"code": "(\d{4}) ?(\d{4})"', timeout=PATIENCE)
        result = self.ha.confirm(flow["flow_id"], {"code": code[1] + code[2]})
        assert result["type"] == "create_entry", f"adding it came to {result}"
        self.wait_for_status("online", PATIENCE)
        return self

    def log_in(self) -> Process:
        """Start the helper of its user's session, and wait until the agent has admitted it."""
        before = self.pc.helpers_log.count(ADMITTED)
        helper = self.pc.start("pythonw", *AGENT, "session")
        wait_for(
            lambda: self.pc.helpers_log.count(ADMITTED) > before,
            "a session helper",
            timeout=PATIENCE,
        )
        return helper

    def end_session(self, flags: int) -> None:
        """Have Windows end the session: all of its windows are asked, and then told."""
        code = f"import ctypes; assert ctypes.windll.user32.ExitWindowsEx({flags}, 0)"
        self.pc.run("python", "-c", code)

    def agent(self, *arguments: str) -> str:
        """Run a command of the agent there, and return what it says."""
        said: str = self.pc.run("python", *AGENT, *arguments).stdout
        return said


@pytest.fixture
def gaming_pc(tmp_path: Path, ha: HomeAssistant, bus: Bus, broker: Mosquitto) -> Iterator[PcHost]:
    """Return a PC that was added to Home Assistant with its code."""
    with Display(tmp_path) as display, WinePc(tmp_path / "pc", display.name_of_display) as pc:
        host = PcHost(ha, bus, pc).install(broker).add_with_code()
        yield host
        bus.forget_host(host.id)
        host.remove()


def test_a_windows_pc_is_a_computer_of_home_assistant(
    gaming_pc: PcHost, ha: HomeAssistant, browser: Browser, artifacts: Path
) -> None:
    for key in ("cpu.percent", "memory.percent", "disk.c.used_percent"):
        gaming_pc.wait_for_state(key, lambda state: state["state"] not in NO_VALUE, PATIENCE)
    assert gaming_pc.device["sw_version"]
    assert "Windows" in gaming_pc.announce()["host"]["os"]

    # Its user's session: Wine refuses to lock, and Home Assistant says so.
    helper = gaming_pc.log_in()
    lock = gaming_pc.wait_for_entity("session_lock", PATIENCE)["entity_id"]
    with pytest.raises(StackError, match="Windows refuses it"):
        ha.ws("call_service", domain="button", service="press", service_data={"entity_id": lock})

    with browser.page(ha, f"/config/devices/device/{gaming_pc.device['id']}", height=1600) as page:
        page.get_by_text("gaming-pc").first.wait_for()
        page.get_by_text("Processor").first.wait_for()
        screenshot(page, artifacts / "windows-device.png")

    # The user logs off: the helper's window hears it, and the computer stays.
    gaming_pc.end_session(LOG_OFF)
    wait_for(lambda: not helper.running, "the session helper's end", timeout=PATIENCE)
    assert helper.returncode == 0
    assert gaming_pc.status[0] == "online"

    # Windows accepts the shutdown that Home Assistant asks for; Wine leaves ending the session, as
    # Windows then does, to the test.
    helper = gaming_pc.log_in()
    switch = gaming_pc.wait_for_entity("power", PATIENCE)["entity_id"]
    ha.ws("call_service", domain="switch", service="turn_off", service_data={"entity_id": switch})
    gaming_pc.end_session(SHUTDOWN)
    wait_for(lambda: not helper.running, "the session helper's end", timeout=PATIENCE)
    assert helper.returncode == 0

    gaming_pc.pc.power_cut()
    gaming_pc.wait_for_status("lost", PATIENCE)
    gaming_pc.pc.boot()
    gaming_pc.wait_for_status("online", PATIENCE)
    gaming_pc.agent("service", "stop")
    gaming_pc.wait_for_status("off", PATIENCE)
