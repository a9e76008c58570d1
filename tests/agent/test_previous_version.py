"""What an agent of the previous version kept and heard, taken over by this one.

`tests/previous/README.md` says how it was written.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent import identity
from companion_agent.buffer.store import Store
from companion_agent.buffer.task import Task
from companion_agent.clock import Moment
from companion_agent.config.buffer import FILE, BacklogConfig
from companion_agent.config.settings import Config
from companion_agent.plugins.i2c.overrides import Change, Overrides
from companion_agent.security.audit import AuditLog
from companion_agent.security.key_store import TrustStore
from companion_agent.security.start_counter import next_start
from support.agent_host import HOST, FakePlatform
from support.agent_security import BASE, FakeController, PairedHost
from support.paired_agent import PairedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

PREVIOUS = Path(__file__).parents[1] / "previous"
RECORDED: dict[str, Any] = json.loads((PREVIOUS / "agent.json").read_text("utf-8"))
CONTROLLER = "4f1d2c3b5a697887"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder of the previous version."""
    return shutil.copytree(PREVIOUS / "state", tmp_path / "state")


def test_the_host_keeps_its_id(state: Path) -> None:
    elsewhere = FakePlatform(installation="another installation")

    assert identity.host_id(state, elsewhere) == HOST  # type: ignore[arg-type]


def test_the_pairing_stays(state: Path) -> None:
    [controller] = TrustStore(state).load()

    assert (controller.id, controller.name) == (CONTROLLER, "Home")
    assert len(controller.secret) == 32


def test_the_number_of_starts_goes_on_where_it_was(state: Path) -> None:
    before = int((state / "starts").read_text("ascii"))

    # Also with a clock that stands before it.
    assert next_start(state, 0) == before + 1


def test_what_was_changed_of_sensors_stays(state: Path) -> None:
    assert Overrides.as_of_now(state).of("aht20-1-38") == Change({"temperature": -0.5}, 30, 4)


def test_what_was_not_delivered_is_delivered(state: Path) -> None:
    store = Store(state, BacklogConfig(), "another start")
    now = Moment(RECORDED["recorded"] + 3600, 100.0)
    values: list[float | None] = []
    acknowledged: list[tuple[str, str]] = []
    dropped = 0

    while (state / FILE).exists():
        report = store.work(
            Task(now, "another boot", (CONTROLLER,), acknowledged=acknowledged, deliver=True)
        )
        dropped += report.too_old + report.timeless
        for chunk in report.chunks.values():
            values += [value for _, value in chunk.values["cpu.percent"]]
            acknowledged = [(CONTROLLER, chunk.id)]

    assert values == [12.5, 13.5, 14, 15, 16, None]
    assert dropped == 0


def test_the_record_of_commands_goes_on(state: Path) -> None:
    before = (state / "audit.log").read_text("utf-8")

    AuditLog(state / "audit.log", lambda: 0.0, lambda: 0.0).write("paired", name="Home")

    assert (state / "audit.log").read_text("utf-8").startswith(before)


@pytest.fixture
def running(
    state: Path, home_assistant: FakeHomeAssistant, mosquitto: Mosquitto
) -> Iterator[PairedAgent]:
    """An agent of this version on that folder, and the Home Assistant that it is paired with."""
    # Delivering depends on the clock of this machine, see above.
    (state / "backlog.db").unlink()
    [controller] = TrustStore(state).load()
    agent = PairedAgent(
        state, home_assistant, Config((mosquitto.broker(),), state), "5e551017dddddddd"
    )
    agent.home = FakeController(
        secret=controller.secret, counter=int(RECORDED["recorded"] * 1000) + 1_000_000
    )
    home_assistant.wait_for("availability", b"online")
    agent.wait_until_it_listens()
    yield agent
    agent.stop()


def sequences(kind: str) -> list[list[int]]:
    """Return the numbers of what the previous version said."""
    bodies = [
        json.loads(json.loads(payload)["body"])
        for topic, payload in RECORDED["messages"]
        if topic == f"{BASE}/{kind}" and "signatures" in payload
    ]
    return [body["sequence"] for body in bodies]


@pytest.mark.parametrize("kind", ["announce", "availability"])
def test_numbers_are_above_those_of_the_previous_version(running: PairedAgent, kind: str) -> None:
    said = running.announce(b"signatures") if kind == "announce" else running.availability()

    assert said["sequence"] > max(sequences(kind))


def test_the_paired_home_assistant_commands_it(running: PairedAgent) -> None:
    assert running.call("power.shutdown", {"delay": 60})["status"] == "done"


def test_a_command_to_the_previous_version_is_refused(
    running: PairedAgent, home_assistant: FakeHomeAssistant
) -> None:
    [recorded] = [
        payload
        for topic, payload in RECORDED["messages"]
        if topic == f"{BASE}/command/power.shutdown"
    ]

    home_assistant.publish(f"{BASE}/command/power.shutdown", recorded)

    request = json.loads(json.loads(recorded)["body"])["id"]
    assert running.result("power.shutdown", request)["reason"] == "wrong_session"
    assert running.power.done == []


# --- Commands of the previous integration ----------------------------------------------------

INTEGRATION: dict[str, Any] = json.loads((PREVIOUS / "integration.json").read_text("utf-8"))


@pytest.mark.parametrize("key", ["power.suspend", "power.shutdown"])
def test_a_command_of_the_previous_integration_is_carried_out(tmp_path: Path, key: str) -> None:
    stored = json.loads((PREVIOUS / "storage" / "pilot.trust").read_text("utf-8"))["data"]
    secret = base64.b64decode(stored["hosts"][HOST]["secret"])
    host = PairedHost(tmp_path, session=INTEGRATION["session"])
    host.ring.add(stored["controller"], "Home", secret)
    host.clock.now = INTEGRATION["recorded"]
    [recorded] = [
        payload for topic, payload in INTEGRATION["commands"] if topic == f"{BASE}/command/{key}"
    ]

    host.send(key, recorded.encode())

    topic, payload = host.published[-1]
    result = FakeController(id=stored["controller"], secret=secret).read(topic, payload)
    assert (topic, result["status"]) == (f"{BASE}/result/{key}", "done")
    assert [done for done, _ in host.power.done] == [key]
