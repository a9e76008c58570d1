"""A whole agent at a real broker that goes and comes back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import json
from pathlib import Path
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.buffer.record import Point
from companion_agent.buffer.store import Store
from companion_agent.buffer.task import Task
from companion_agent.clock import Moment
from companion_agent.config.buffer import FILE, BacklogConfig
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.security.key_store import Controller as Known, TrustStore
from support.agent_host import HOST, PREFIX, FakeCollector, RunningAgent
from support.agent_mqtt import FakeHomeAssistant, Mosquitto
from support.agent_security import FakeController
from support.event_loop import wait_until

if TYPE_CHECKING:
    import subprocess

RunAgent = Callable[..., RunningAgent]
HomeAssistantAt = Callable[[Mosquitto], FakeHomeAssistant]
TOPIC = f"{PREFIX}/acknowledge"


def bare(chunk: str) -> str:
    return dump({"chunk": chunk, "controller": "0123456789abcdef"})


def signed(home: FakeController, chunk: str, topic: str = TOPIC) -> str:
    body = dump({"chunk": chunk, "controller": home.id})
    return seal(topic, body, {home.key_id: home.keys.command})


def values(chunk: dict[str, Any]) -> list[float | None]:
    return [value for _, value in chunk["values"]["cpu.percent"]]


def read(agent: RunningAgent, collector: FakeCollector, *percents: float) -> None:
    """Let a collector read values, one after the other."""
    for percent in percents:
        before = collector.reads
        collector.values = {"percent": percent}
        agent.advance(10)
        wait_until(lambda before=before: collector.reads > before)  # type: ignore[misc]
        # The loop has it, too, before it is later.
        agent.wait_until_nothing_is_read_within(0)


def acknowledge_all(
    home_assistant: FakeHomeAssistant, file: Path, acknowledgement: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Acknowledge every chunk once until nothing waits, and return them."""
    chunks: dict[str, dict[str, Any]] = {}

    def gone() -> bool:
        for topic, payload in home_assistant.published:
            if topic == f"{PREFIX}/backlog":
                content = json.loads(payload)
                chunk = json.loads(content["body"]) if "body" in content else content
                if chunk["chunk"] not in chunks:
                    chunks[chunk["chunk"]] = chunk
                    home_assistant.publish(TOPIC, acknowledgement(chunk["chunk"]))
        return not file.exists()

    wait_until(gone)
    return [*chunks.values()]


@pytest.fixture
def cpu() -> FakeCollector:
    return FakeCollector("cpu", percent=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE


def test_a_broker_that_was_down_makes_no_hole(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant_at: HomeAssistantAt,
    cpu: FakeCollector,
    file: Path,
) -> None:
    agent = run_agent(mosquitto.broker(), collectors=[cpu], interval=10)
    before = home_assistant_at(mosquitto)
    before.wait_for("state/cpu")
    assert not file.exists()
    before.close()
    mosquitto.stop()
    wait_until(lambda: not agent.agent._transport.online)
    read(agent, cpu, 2, 3, 4)
    agent.advance(60)
    wait_until(file.exists)

    mosquitto.start()
    home_assistant = home_assistant_at(mosquitto)
    agent.advance(60)

    chunks = acknowledge_all(home_assistant, file, bare)
    assert [value for chunk in chunks for value in values(chunk)][-4:] == [1, 2, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process has loaded")
def test_while_all_is_well_sqlite_is_not_even_loaded(
    run_command: Callable[..., subprocess.Popen[str]],
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "host-id").write_text(HOST)
    agent = run_command("run", PILOT_CONFIG="", PILOT_BROKER=f"127.0.0.1:{mosquitto.port}")

    home_assistant.wait_for("state/cpu", count=2)

    assert "sqlite" not in Path(f"/proc/{agent.pid}/maps").read_text("utf-8")
    assert not (state / FILE).exists()


def test_a_broker_that_froze_has_not_heard_the_end(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant_at: HomeAssistantAt,
    cpu: FakeCollector,
) -> None:
    agent = run_agent(mosquitto.broker(keepalive=1), collectors=[cpu], interval=10)
    home_assistant_at(mosquitto).wait_for("state/cpu")
    mosquitto.freeze()
    read(agent, cpu, 2, 3, 4, 5, 6, 7)  # into a dead connection
    wait_until(lambda: not agent.agent._transport.online)

    mosquitto.thaw()
    mosquitto.stop()
    mosquitto.start()
    home_assistant = home_assistant_at(mosquitto)
    agent.advance(60)

    assert values(json.loads(home_assistant.wait_for("backlog")))[-7:] == [2, 3, 4, 5, 6, 7, 7]


def test_home_assistant_that_was_away_gets_it_when_it_is_back(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    cpu: FakeCollector,
    file: Path,
) -> None:
    agent = run_agent(mosquitto.broker(), collectors=[cpu], interval=10)
    home_assistant.wait_for("state/cpu")
    home_assistant.publish(f"{PREFIX}/availability", "lost")
    home_assistant.wait_for("availability", b"online", count=2)  # it listens
    home_assistant.publish("homeassistant/status", "offline")
    wait_until(file.exists)
    read(agent, cpu, 2, 3)

    home_assistant.publish("homeassistant/status", "online")
    agent.advance(60)

    home_assistant.wait_for("announce", count=2)  # it has heard that
    agent.advance(30)
    chunks = acknowledge_all(home_assistant, file, bare)
    said = [value for chunk in chunks for value in values(chunk)]
    assert [*dict.fromkeys(said)] == [1, 2, 3]


def test_what_is_not_kept_is_not_deleted(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    tmp_path: Path,
    file: Path,
) -> None:
    home, stranger = FakeController(), FakeController(id="0123456789abcdef", secret=bytes(32))
    TrustStore(tmp_path).save([Known(home.id, home.name, home.secret, 0)])
    keep(tmp_path, 10, home.id)
    agent = run_agent(mosquitto.broker())
    chunk = home.read(f"{PREFIX}/backlog", home_assistant.wait_for("backlog").decode())
    name = chunk["chunk"]

    forged = FakeController(secret=bytes(32))
    home_assistant.publish(TOPIC, bare(name))
    home_assistant.publish(TOPIC, "")
    home_assistant.publish(TOPIC, signed(home, "f" * 16))
    home_assistant.publish(TOPIC, signed(home, name, topic=f"{PREFIX}/command/acknowledge"))
    home_assistant.publish(TOPIC, signed(stranger, name))
    home_assistant.publish(TOPIC, signed(forged, name))
    home_assistant.publish(TOPIC, signed(home, name).replace(name, "e" * 16))

    refused = agent.agent._acknowledgements.refused
    wait_until(lambda: refused.total() == 6)
    assert refused == {"malformed": 2, "not_paired": 1, "bad_signature": 3}
    assert file.exists()
    acknowledge_all(home_assistant, file, partial(signed, home))


def test_one_that_the_broker_had_kept_counts_for_nothing(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    tmp_path: Path,
    file: Path,
) -> None:
    home = FakeController()
    TrustStore(tmp_path).save([Known(home.id, home.name, home.secret, 0)])
    keep(tmp_path, 10, home.id)
    chunk = Store(tmp_path, BacklogConfig(), "test").work(task(0, home.id)).chunks[home.id]
    home_assistant.publish(TOPIC, signed(home, chunk.id), retain=True)

    agent = run_agent(mosquitto.broker())

    refused = agent.agent._acknowledgements.refused
    wait_until(lambda: refused["retained"] == 1)
    home_assistant.wait_for("backlog", chunk.id.encode())
    assert file.exists()


def task(count: int, *readers: str, first: int = 0) -> Task:
    now = Moment(time.time(), 1000.0)
    points = [
        Point("cpu.percent", Moment(now.wall - 4000 + step, 1000.0, sure=True), step)
        for step in range(first, first + count)
    ]
    return Task(now, "an earlier boot", readers or ("",), points, deliver=True)


def keep(folder: Path, count: int, *readers: str) -> None:
    """Leave a backlog behind."""
    store = Store(folder, BacklogConfig(), "test")
    store.work(task(count, *readers))
    store.close()


def test_an_agent_that_is_killed_during_delivery_goes_on_where_it_was(
    run_command: Callable[..., subprocess.Popen[str]],
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "host-id").write_text(HOST)
    keep(state, 2500)
    settings = {"PILOT_CONFIG": "", "PILOT_BROKER": f"127.0.0.1:{mosquitto.port}"}
    agent = run_command("run", **settings)
    first = json.loads(home_assistant.wait_for("backlog"))
    home_assistant.publish(TOPIC, bare(first["chunk"]))
    second = json.loads(home_assistant.wait_for("backlog", count=2))

    agent.send_signal(signal.SIGKILL)
    agent.wait(20)
    home_assistant.forget()
    run_command("run", **settings)

    again = json.loads(home_assistant.wait_for("backlog"))
    assert (again["chunk"], again["values"]) == (second["chunk"], second["values"])
    home_assistant.publish(TOPIC, bare(again["chunk"]))
    third = json.loads(home_assistant.wait_for("backlog", count=2))
    # What the agents have measured themselves follows.
    delivered = values(first) + values(again) + values(third)
    assert delivered[:2500] == [*range(2500)]
