"""The settings of an agent, changed from Home Assistant's options flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from security.victim import Code

from stack.process import wait_for

if TYPE_CHECKING:
    from conftest import MakeHost
    from harness.host import Host

pytestmark = pytest.mark.proves("config.*", "agent.restart")

USED = "memory.percent"
STARTED = "system.started"


@pytest.fixture
def paired(make_host: MakeHost) -> Host:
    """Return a paired host whose own file says how often its processor is read."""
    host = make_host("study-pc", collectors={"cpu": {"interval": 1}}).start()
    flow = host.wait_until_offered()
    code = Code.on(host.agent)
    result = host.ha.confirm(flow["flow_id"], {"code": code.digits})
    assert result["type"] == "create_entry", f"adding it came to {result}"
    code.end()
    host.wait_for_entity(USED)
    host.wait_for_entity(STARTED)
    return host


class Dialog:
    """The dialog behind *Configure*, at the form of one section of the agent's settings."""

    def __init__(self, host: Host, section: str) -> None:
        self._ha = host.ha
        options = "config/config_entries/options/flow"
        flow = self._ha.post(options, {"handler": host.entry["entry_id"]})
        self._address = f"{options}/{flow['flow_id']}"
        self._ha.post(self._address, {"next_step_id": "settings"})
        self.form = self._ha.post(self._address, {"sections": [section]})
        assert self.form["step_id"] == "setting", self.form

    def submit(self, **entered: Any) -> None:
        """Enter values, which are applied."""
        done = self._ha.post(self._address, entered)
        assert done["type"] == "create_entry", done


def wait_until_announced(host: Host, intervals: dict[str, float | None]) -> None:
    """Wait until a host says that it reads collectors so often; `None` for not at all."""

    def collectors() -> dict[str, Any]:
        announced: dict[str, Any] = host.announce()["collectors"]
        return {name: announced.get(name, {}).get("interval") for name in intervals}

    wait_for(
        lambda: collectors() == intervals,
        f"intervals {intervals}",
        timeout=60,
        process=host.agent.process,
    )


def test_settings_are_changed_and_outlast_a_restart(paired: Host) -> None:
    file = paired.agent.config.read_bytes()
    since = paired.status[1]

    Dialog(paired, "collectors_memory").submit(enabled=True, interval=2)
    wait_until_announced(paired, {"memory": 2})
    Dialog(paired, "collectors_system").submit(enabled=False)
    wait_until_announced(paired, {"memory": 2, "system": None})
    wait_for(
        lambda: f"{paired.id}_{STARTED}" not in paired.entities(),
        f"the end of {STARTED}",
        timeout=60,
        process=paired.ha.process,
    )

    # What the host's own file says is shown with its line, and locked.
    form = Dialog(paired, "collectors_cpu").form
    locked = next(field for field in form["data_schema"] if field["name"] == "interval_fixed")
    assert locked["selector"]["number"]["read_only"] is True
    assert f"{paired.agent.config.name}:" in form["description_placeholders"]["interval_where"]

    session = paired.announce()["session"]
    button = paired.wait_for_entity("agent_restart")["entity_id"]
    paired.ha.call_service("button", "press", entity_id=button)
    wait_for(
        lambda: paired.announce()["session"] != session,
        "the agent's new start",
        timeout=60,
        process=paired.agent.process,
    )
    wait_until_announced(paired, {"memory": 2, "system": None, "cpu": 1})

    # It was there all the time, and its owner's file is untouched.
    assert paired.status == ("online", since)
    assert paired.agent.config.read_bytes() == file
    assert "collectors.memory.interval: 2" in paired.agent.run("settings")
