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
from support.event_loop import wait_until

from ..bench import (  # noqa: TID252
    HOST,
    PREFIX,
    FakeCollector,
    House,
    Mosquitto,
    RunningAgent,
)
from ..trust.peer import Controller  # noqa: TID252

if TYPE_CHECKING:
    import subprocess

RunAgent = Callable[..., RunningAgent]
HouseAt = Callable[[Mosquitto], House]
TOPIC = f"{PREFIX}/acknowledge"


def bare(chunk: str) -> str:
    return dump({"chunk": chunk, "controller": "0123456789abcdef"})


def signed(home: Controller, chunk: str, topic: str = TOPIC) -> str:
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


def acknowledge_all(
    house: House, file: Path, acknowledgement: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Acknowledge every chunk once until nothing waits, and return them."""
    chunks: dict[str, dict[str, Any]] = {}

    def gone() -> bool:
        for topic, payload in house.heard:
            if topic == f"{PREFIX}/backlog":
                content = json.loads(payload)
                chunk = json.loads(content["body"]) if "body" in content else content
                if chunk["chunk"] not in chunks:
                    chunks[chunk["chunk"]] = chunk
                    house.say(TOPIC, acknowledgement(chunk["chunk"]))
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
    run_agent: RunAgent, mosquitto: Mosquitto, house_at: HouseAt, cpu: FakeCollector, file: Path
) -> None:
    agent = run_agent(mosquitto.broker(), collectors=[cpu], interval=10)
    before = house_at(mosquitto)
    before.wait_for("state/cpu")
    assert not file.exists()
    before.leave()
    mosquitto.stop()
    wait_until(lambda: not agent.agent._transport.online)
    read(agent, cpu, 2, 3, 4)
    agent.advance(60)
    wait_until(file.exists)

    mosquitto.start()
    house = house_at(mosquitto)
    agent.advance(60)

    chunks = acknowledge_all(house, file, bare)
    assert [value for chunk in chunks for value in values(chunk)][-4:] == [1, 2, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process has loaded")
def test_while_all_is_well_sqlite_is_not_even_loaded(
    run_command: Callable[..., subprocess.Popen[str]],
    mosquitto: Mosquitto,
    house: House,
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "host-id").write_text(HOST)
    agent = run_command("run", PILOT_CONFIG="", PILOT_BROKER=f"127.0.0.1:{mosquitto.port}")

    house.wait_for("state/cpu", count=2)

    assert "sqlite" not in Path(f"/proc/{agent.pid}/maps").read_text("utf-8")
    assert not (state / FILE).exists()


def test_a_broker_that_froze_has_not_heard_the_end(
    run_agent: RunAgent, mosquitto: Mosquitto, house_at: HouseAt, cpu: FakeCollector
) -> None:
    agent = run_agent(mosquitto.broker(keepalive=1), collectors=[cpu], interval=10)
    house_at(mosquitto).wait_for("state/cpu")
    mosquitto.freeze()
    read(agent, cpu, 2, 3, 4, 5, 6, 7)  # into a dead connection
    wait_until(lambda: not agent.agent._transport.online)

    mosquitto.thaw()
    mosquitto.stop()
    mosquitto.start()
    house = house_at(mosquitto)
    agent.advance(60)

    assert values(json.loads(house.wait_for("backlog")))[-6:] == [2, 3, 4, 5, 6, 7]


def test_home_assistant_that_was_away_gets_it_when_it_is_back(
    run_agent: RunAgent, mosquitto: Mosquitto, house: House, cpu: FakeCollector, file: Path
) -> None:
    agent = run_agent(mosquitto.broker(), collectors=[cpu], interval=10)
    house.wait_for("state/cpu")
    house.say(f"{PREFIX}/availability", "lost")
    house.wait_for("availability", b"online", count=2)  # it listens
    house.say("homeassistant/status", "offline")
    wait_until(file.exists)
    read(agent, cpu, 2, 3)

    house.say("homeassistant/status", "online")
    agent.advance(60)

    house.wait_for("announce", count=2)  # it has heard that
    agent.advance(30)
    chunks = acknowledge_all(house, file, bare)
    said = [value for chunk in chunks for value in values(chunk)]
    assert [*dict.fromkeys(said)] == [1, 2, 3]


def test_what_is_not_kept_is_not_deleted(
    run_agent: RunAgent, mosquitto: Mosquitto, house: House, tmp_path: Path, file: Path
) -> None:
    home, stranger = Controller(), Controller(id="0123456789abcdef", secret=bytes(32))
    TrustStore(tmp_path).save([Known(home.id, home.name, home.secret, 0)])
    keep(tmp_path, 10, home.id)
    agent = run_agent(mosquitto.broker())
    chunk = home.read(f"{PREFIX}/backlog", house.wait_for("backlog").decode())
    name = chunk["chunk"]

    forged = Controller(secret=bytes(32))
    house.say(TOPIC, bare(name))
    house.say(TOPIC, "")
    house.say(TOPIC, signed(home, "f" * 16))
    house.say(TOPIC, signed(home, name, topic=f"{PREFIX}/command/acknowledge"))
    house.say(TOPIC, signed(stranger, name))
    house.say(TOPIC, signed(forged, name))
    house.say(TOPIC, signed(home, name).replace(name, "e" * 16))

    refused = agent.agent._acknowledgements.refused
    wait_until(lambda: refused.total() == 6)
    assert refused == {"malformed": 2, "not_paired": 1, "bad_signature": 3}
    assert file.exists()
    acknowledge_all(house, file, partial(signed, home))


def test_one_that_the_broker_had_kept_counts_for_nothing(
    run_agent: RunAgent, mosquitto: Mosquitto, house: House, tmp_path: Path, file: Path
) -> None:
    home = Controller()
    TrustStore(tmp_path).save([Known(home.id, home.name, home.secret, 0)])
    keep(tmp_path, 10, home.id)
    chunk = Store(tmp_path, BacklogConfig(), "test").work(task(0, home.id)).chunks[home.id]
    house.say(TOPIC, signed(home, chunk.id), retain=True)

    agent = run_agent(mosquitto.broker())

    refused = agent.agent._acknowledgements.refused
    wait_until(lambda: refused["retained"] == 1)
    house.wait_for("backlog", chunk.id.encode())
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
    house: House,
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "host-id").write_text(HOST)
    keep(state, 2500)
    settings = {"PILOT_CONFIG": "", "PILOT_BROKER": f"127.0.0.1:{mosquitto.port}"}
    agent = run_command("run", **settings)
    first = json.loads(house.wait_for("backlog"))
    house.say(TOPIC, bare(first["chunk"]))
    second = json.loads(house.wait_for("backlog", count=2))

    agent.send_signal(signal.SIGKILL)
    agent.wait(20)
    house.forget()
    run_command("run", **settings)

    again = json.loads(house.wait_for("backlog"))
    assert (again["chunk"], again["values"]) == (second["chunk"], second["values"])
    house.say(TOPIC, bare(again["chunk"]))
    third = json.loads(house.wait_for("backlog", count=2))
    assert values(first) + values(again) + values(third) == [*range(2500)]
