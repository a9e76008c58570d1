"""What a PC can be asked for and tells of itself, by Windows' own calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stack.broker import Mosquitto
from support.mqtt_client import RecordingClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.wine import WinePc

HERE = Path(__file__).parent
WM_POWERBROADCAST = "0x218"
SUSPEND, RESUME = "0x4", "0x12"


def test_calls_of_windows(pc: WinePc) -> None:
    found = json.loads(pc.run("python", pc.path(HERE / "probe_control.py")).stdout)

    assert found["session"] == [True, True]
    assert found["privileged"] is True
    assert found["offered"] == ["shutdown", "reboot", "cancel", "suspend", "hibernate"]
    assert found["s4"] == 1
    assert found["suspended"] == 0
    assert found["plugged"] == 1
    assert found["mounts"] == ["C:", "Z:"]
    assert found["network"] is True
    assert found["pending_reboot"] is False
    assert found["session_changes"] == [[7, 3]]
    # Kept in the registry between two calls.
    assert (found["planned"], found["cancelled"]) == (True, True)
    assert found["kept"] == "là"
    # Wine says yes and does nothing, refuses it, or has none: each is told as what it is.
    assert "did not sleep" in found["suspend"]
    assert "LockWorkStation" in found["lock"]
    assert "no battery" in found["battery"]
    assert "power plans" in found["plans"]


class Agent:
    """The agent on a PC, and what is heard of it."""

    def __init__(self, pc: WinePc, heard: RecordingClient) -> None:
        self._pc = pc
        self._heard = heard

    def tell(self, *message: str) -> str:
        """Have Windows tell the agent's window something, and return its answer."""
        return self._pc.run("python", self._pc.path(HERE / "send_message.py"), *message).stdout

    def wait_for(self, topic: str, text: str, count: int = 1) -> dict[str, Any]:
        """Wait for the nth message on a topic of the agent's that has a text in it."""
        return self._heard.wait_until_heard(
            lambda message: message.topic.endswith(topic) and text in message.payload.decode(),
            f"{text} on {topic}",
            count,
        ).body

    def wait_for_availability(self, word: str, count: int = 1) -> None:
        self._heard.wait_until_heard(
            lambda message: (
                message.topic.endswith("/availability") and message.payload.decode() == word
            ),
            word,
            count,
        )


@pytest.fixture
def agent(pc: WinePc, tmp_path: Path) -> Iterator[Agent]:
    """An agent that was started by a user, and has said that it is online."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        RecordingClient(broker.host, broker.port) as heard,
    ):
        config = pc.drive / "config.yaml"
        config.write_text(
            f"broker: {{host: 127.0.0.1, port: {broker.port}}}\nstate_dir: C:\\state\n", "utf-8"
        )
        process = pc.start("python", "-m", "companion_agent", "run", "--config", r"C:\config.yaml")
        process.wait_for_output("Connected to 127", timeout=120)
        agent = Agent(pc, heard)
        agent.wait_for_availability("online")
        yield agent


def test_sleep_waking_and_shutdown(agent: Agent) -> None:
    assert agent.tell(WM_POWERBROADCAST, SUSPEND) == "1\n"
    agent.wait_for("/event/power", "going_to_sleep")
    agent.wait_for_availability("asleep")

    agent.tell(WM_POWERBROADCAST, RESUME)
    agent.wait_for_availability("online", count=2)
    agent.wait_for("/event/power", "woke")

    agent.tell("exit")
    agent.wait_for("/event/power", "shutting_down")
    agent.wait_for_availability("off")
