"""Each half of the version before with the other half of this one, and then brought up to date.

Users do not update both at once: whichever comes first, the other goes on. `tests/previous` has
the version before; `docs/development.md` says how it is renewed.
"""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from harness.settings import QUICK_OF_ALL_VERSIONS
import pytest

from stack import previous, toolchain
from stack.agent import Agent
from stack.homeassistant import HomeAssistant
from stack.paths import ROOT
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.logs import Logs
    from security.commanded import Commanded
    from security.conftest import MakeCommanded

    from stack.broker import Mosquitto


class TestPreviousAgent:
    """The computer has the old agent, Home Assistant the new integration."""

    @pytest.fixture
    def host(self, make_commanded: MakeCommanded, tmp_path: Path) -> Commanded:
        """Return a host with the agent of the version before, paired by its code."""
        folder = tmp_path / "previous"
        previous.agent(folder)
        python = [str(toolchain.python_of("agent-3.14")), "-P"]
        env = {"PYTHONPATH": str(folder)}
        # Both call themselves 0.1.0, and the environment has the other one.
        where = subprocess.run(
            [*python, "-c", "import companion_agent; print(companion_agent.__file__)"],
            env=toolchain.clean_env(**env),
            capture_output=True,
            text=True,
            check=True,
        )
        assert where.stdout.startswith(str(folder))
        host = make_commanded(
            command=[*python, "-m", "companion_agent"], env=env, collectors=QUICK_OF_ALL_VERSIONS
        )
        return host.start().add_with_code()

    def test_works_and_is_updated(self, host: Commanded, broker: Mosquitto, logs: Logs) -> None:
        shows_obeys_and_tells(host)
        entities = host.entities().keys()

        host.agent.stop()
        host.wait_for_status("off")
        updated = Agent(host.agent.folder, broker, settings={}, env=host.machine.env)
        host.agent = updated
        logs.watch(updated.process)
        host.start()

        host.wait_for_status("online")
        shows_obeys_and_tells(host)
        assert host.entities().keys() >= entities


class TestPreviousIntegration:
    """Home Assistant has the old integration, the computer the new agent."""

    @pytest.fixture(scope="class")
    @classmethod
    def ha(
        cls, tmp_path_factory: pytest.TempPathFactory, broker: Mosquitto, logs: Logs
    ) -> Iterator[HomeAssistant]:
        """Return a Home Assistant with the integration of the version before."""
        integration = previous.integration(tmp_path_factory.mktemp("previous"))
        folder = tmp_path_factory.mktemp("homeassistant")
        with HomeAssistant(folder, integrations=[integration]) as ha:
            logs.watch(ha.process)
            ha.add_mqtt(broker)
            yield ha

    def test_works_and_is_updated(self, commanded: Commanded, ha: HomeAssistant) -> None:
        shows_obeys_and_tells(commanded)
        entity_ids = commanded.entity_ids()
        # Of an agent that cannot update itself the new integration shows no update.
        entity_ids.pop(f"{commanded.id}_agent", None)
        # The old one does not know it and draws it by itself, as soon as the agent has asked who
        # is logged in; in the new one it is an attribute of whether the computer is locked.
        entity_ids.pop(f"{commanded.id}_session.users", None)

        ha.link(ROOT / "custom_components" / "pilot")
        ha.restart()

        commanded.wait_for_status("online")
        shows_obeys_and_tells(commanded)
        wait_for(
            lambda: commanded.entity_ids().items() >= entity_ids.items(), "the same entity ids"
        )


def shows_obeys_and_tells(host: Commanded) -> None:
    """Assert that readings, commands and events get through."""
    host.wait_for_fresh_values(since=time.monotonic())
    assert host.obeys()
    before = host.state("session_event")["state"]
    host.machine.lock()
    host.wait_for_state("session_event", lambda state: state["state"] != before)
    assert host.state("session_event")["attributes"]["event_type"] == "locked"
    host.machine.lock(False)
    host.wait_for_state(
        "session_event", lambda state: state["attributes"].get("event_type") == "unlocked"
    )
