"""The whole agent against a real broker: what Home Assistant sees."""

from __future__ import annotations

from collections.abc import Callable
import itertools
import json
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.agent import ARRIVAL_LIMIT
from companion_agent.errors import Unavailable
from companion_agent.models import Event, Reading
from companion_agent.platforms.base import HostInfo
from companion_agent.platforms.control import Watch
from companion_agent.timing import SPREAD
from support.agent_host import HOST, PREFIX, FakeCollector, FakePlatform, RunningAgent

if TYPE_CHECKING:
    from collections.abc import Mapping
    import subprocess

    from companion_agent.models import Value
    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

RunAgent = Callable[..., RunningAgent]


def keys(announce: bytes) -> list[str]:
    return [reading["key"] for reading in json.loads(announce)["readings"]]


def values(state: bytes) -> Any:
    return json.loads(state)["values"]


def test_appears_with_everything_it_reads(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    run_agent(mosquitto.broker(), collectors=[FakeCollector("cpu", percent=12.5)])

    home_assistant.wait_for("availability", b"online")
    announce = home_assistant.wait_for("announce")
    state = home_assistant.wait_for("state/cpu")
    assert json.loads(announce)["host"]["name"] == "office-pc"
    assert keys(announce) == ["cpu.percent"]
    assert values(state) == {"percent": 12.5}


def test_reads_twice_at_the_start_so_that_rates_come_soon(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    agent = run_agent(mosquitto.broker(), collectors=[FakeCollector("cpu")], interval=3600)
    home_assistant.wait_for("state/cpu")

    agent.advance(1)

    home_assistant.wait_for("state/cpu", count=2)


def test_what_is_set_while_it_is_being_read_is_read_again(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    class Counting(FakeCollector):
        count = itertools.count()

        def collect(self) -> Mapping[str, Value]:
            # Else two reads within a millisecond would be one.
            self.values["percent"] = next(self.count)
            return super().collect()

    collector = Counting("cpu", percent=0)
    collector.gate = threading.Event()
    running = run_agent(mosquitto.broker(), collectors=[collector], interval=3600)
    assert collector.entered.wait(20)

    running.read_again("cpu.percent")
    collector.gate.set()

    # At the start, for what was set, and the second time for rates.
    home_assistant.wait_for("state/cpu", count=3)


def test_reports_at_every_interval_changed_or_not(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    agent = run_agent(mosquitto.broker(), collectors=[FakeCollector("cpu")], interval=100)
    home_assistant.wait_for("state/cpu")

    for count in (2, 3, 4):
        agent.advance(100)
        home_assistant.wait_for("state/cpu", count=count)


def test_shows_the_configured_name(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    run_agent(mosquitto.broker(), name="Upstairs")

    assert json.loads(home_assistant.wait_for("announce"))["host"]["name"] == "Upstairs"


def test_says_off_when_it_is_stopped(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    agent = run_agent(mosquitto.broker())
    home_assistant.wait_for("state/fake")

    agent.stop()

    home_assistant.wait_for("availability", b"off")
    assert not [
        p for t, p in home_assistant.published if t.endswith("availability") and p == b"lost"
    ]


def test_one_that_goes_on_for_another_is_heard_before_it_says_off(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    collector = FakeCollector("cpu")
    collector.gate = threading.Event()
    agent = run_agent(mosquitto.broker(), collectors=[collector], present=True)
    assert collector.entered.wait(20)

    agent.agent.stop()
    collector.gate.set()

    agent.thread.wait_for_end()
    home_assistant.wait_for("availability", b"off")


def test_one_that_goes_on_for_another_does_not_wait_for_a_broker_for_ever(
    run_agent: RunAgent, mosquitto: Mosquitto
) -> None:
    broker = mosquitto.broker()
    mosquitto.stop()
    agent = run_agent(broker, present=True)

    agent.agent.stop()
    agent.advance(ARRIVAL_LIMIT)

    agent.thread.wait_for_end()


def test_a_broker_that_does_not_answer_does_not_hold_up_the_end(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    agent = run_agent(mosquitto.broker())
    home_assistant.wait_for("state/fake")
    mosquitto.freeze()

    agent.agent.stop()
    agent.advance(1)

    agent.thread.wait_for_end()


def test_a_part_that_fails_ends_the_others_in_order(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = run_agent(mosquitto.broker())
    home_assistant.wait_for("state/fake")

    monkeypatch.setattr(agent.agent._scheduler, "_submit", lambda: 1 / 0)
    agent.advance(1)

    home_assistant.wait_for("availability", b"off")
    agent.thread.wait_for_end()
    assert "A part of the agent has failed" in caplog.text
    assert isinstance(agent.thread.error, ExceptionGroup)
    agent.thread.error = None


def test_a_message_that_cannot_be_handled_ends_the_agent_in_order(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = run_agent(mosquitto.broker())
    home_assistant.wait_for("state/fake")
    monkeypatch.setattr(agent.agent._router, "received", lambda *_, **__: 1 / 0)

    home_assistant.publish(f"{PREFIX}/availability", "lost")

    home_assistant.wait_for("availability", b"off")
    agent.thread.wait_for_end()
    assert isinstance(agent.thread.error, ZeroDivisionError)
    agent.thread.error = None


def test_announces_a_renamed_host(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    platform = FakePlatform()
    agent = run_agent(mosquitto.broker(), platform=platform)
    home_assistant.wait_for("announce", b"office-pc")

    platform.info = HostInfo("new-name", "Test OS 1", "x86_64")
    agent.advance(60)

    home_assistant.wait_for("announce", b"new-name")


def test_announces_a_plugged_disk_before_its_values(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    disk = FakeCollector("disk", free=1)
    agent = run_agent(mosquitto.broker(), collectors=[disk], interval=10)
    home_assistant.wait_for("state/disk")

    disk.values = {"free": 1, "usb": 2}
    agent.advance(10)

    home_assistant.wait_for("state/disk", b"usb")
    topics = [topic for topic, payload in home_assistant.published if b"usb" in payload]
    assert topics == [f"{PREFIX}/announce", f"{PREFIX}/state/disk"]


def test_what_comes_and_goes_is_announced(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    battery, cpu = FakeCollector("battery", level=80), FakeCollector("cpu")
    battery.missing = Unavailable("no battery")
    agent = run_agent(mosquitto.broker(), collectors=[cpu, battery], interval=10)
    before = keys(home_assistant.wait_for("announce"))

    battery.missing = None
    agent.advance(61)
    with_battery = keys(home_assistant.wait_for("announce", b"battery.level"))
    home_assistant.wait_for("state/battery")
    battery.missing = Unavailable("taken out")
    agent.advance(10)
    after = keys(home_assistant.wait_for("announce", count=3))

    assert before == after == ["cpu.percent"]
    assert with_battery == ["cpu.percent", "battery.level"]


def test_a_collector_that_hangs_does_not_stop_the_others(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    slow, good = FakeCollector("slow", x=1), FakeCollector("good", y=2)
    agent = run_agent(mosquitto.broker(), collectors=[slow, good], interval=10)
    home_assistant.wait_for("state/slow")
    home_assistant.wait_for("state/good")
    slow.entered.clear()
    slow.gate = threading.Event()

    agent.advance(10)
    assert slow.entered.wait(20)
    agent.advance(6)  # its thread is relieved
    home_assistant.wait_for("state/good", count=2)
    agent.advance(6)  # it is declared hung
    hung = values(home_assistant.wait_for("state/slow", b"null"))
    slow.gate.set()
    healed = values(home_assistant.wait_for("state/slow", b'"x":1', count=2))

    assert hung == {"x": None}
    assert healed == {"x": 1}


def test_a_collector_that_raises_says_null(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    broken = FakeCollector("disk", free=1)
    agent = run_agent(mosquitto.broker(), collectors=[broken], interval=10)
    home_assistant.wait_for("state/disk")

    broken.failure = OSError("bad sector")
    agent.advance(10)

    assert values(home_assistant.wait_for("state/disk", b"null")) == {"free": None}


def test_answers_home_assistants_birth(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    agent = run_agent(mosquitto.broker(), collectors=[FakeCollector("cpu")])
    home_assistant.wait_for("state/cpu")
    # A busy machine has read a second time by itself, and reads a third time now.
    agent.advance(2 * SPREAD)
    agent.wait_until_nothing_is_read_within(2 * SPREAD)
    # What it hears after its own announce proves that it listens.
    home_assistant.publish(f"{PREFIX}/availability", "lost")
    home_assistant.wait_for("availability", b"online", count=2)
    home_assistant.forget()

    home_assistant.publish("homeassistant/status", "online")

    home_assistant.wait_for("state/cpu")
    # It had not said that it went: what it may not have heard is delivered.
    home_assistant.wait_for("backlog")
    said = [topic.removeprefix(f"{PREFIX}/") for topic, _ in home_assistant.published]
    assert said[:3] == ["homeassistant/status", "availability", "announce"]
    assert sorted(said[3:]) == ["backlog", "state/cpu"]


def test_contradicts_a_will_that_comes_late(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    run_agent(mosquitto.broker())
    home_assistant.wait_for("availability", b"online")

    home_assistant.publish(f"{PREFIX}/availability", "lost", retain=True)

    home_assistant.wait_for("availability", b"online", count=2)


def test_the_broker_restarts(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    agent = run_agent(mosquitto.broker(), collectors=[FakeCollector("cpu")])
    home_assistant.wait_for("state/cpu")
    home_assistant.forget()

    mosquitto.stop()
    mosquitto.start()

    home_assistant.wait_for("availability", b"online")
    home_assistant.wait_for("state/cpu")
    assert agent.counts.reconnects == 1


def test_the_machine_was_suspended(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    platform = FakePlatform()
    agent = run_agent(mosquitto.broker(), platform=platform, collectors=[FakeCollector("cpu")])
    home_assistant.wait_for("state/cpu")
    home_assistant.forget()

    platform.suspended = 3600.0
    agent.wake()

    home_assistant.wait_for("availability", b"online")
    home_assistant.wait_for("state/cpu")


def test_a_clone_gives_way_and_both_say_so(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_agent(mosquitto.broker(), session="1111111111111111", name="first")
    home_assistant.wait_for("state/fake")

    second = run_agent(mosquitto.broker(), session="2222222222222222", name="second")

    answer = json.loads(home_assistant.wait_for("announce", b"conflict"))
    assert answer["session"] == "1111111111111111"
    assert answer["conflict"] == {"session": "2222222222222222", "name": "second"}
    second.wait_until_it_gave_way()
    home_assistant.publish(
        f"{PREFIX}/availability", "lost"
    )  # only the first is there to contradict
    home_assistant.wait_for("availability", b"online", count=3)
    assert "Another agent (second) came online" in caplog.text
    assert "Another agent (first) is already online" in caplog.text


def test_the_clone_comes_back_when_the_other_has_gone(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    first = run_agent(mosquitto.broker(), session="1111111111111111")
    home_assistant.wait_for("state/fake")
    second = run_agent(mosquitto.broker(), session="2222222222222222")
    second.wait_until_it_gave_way()
    first.stop()
    home_assistant.wait_for("availability", b"off")
    home_assistant.forget()

    second.advance(400)  # it looks
    home_assistant.wait_for("announce", b"2222222222222222")
    second.advance(10)  # no answer came

    home_assistant.wait_for("availability", b"online")
    home_assistant.wait_for("state/fake")


def test_a_suspended_or_busy_machine_does_not_catch_up(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    cpu = FakeCollector("cpu")
    agent = run_agent(mosquitto.broker(), collectors=[cpu], interval=10)
    home_assistant.wait_for("state/cpu")

    agent.advance(1000)
    home_assistant.wait_for("state/cpu", count=2)
    agent.stop()

    assert len([topic for topic, _ in home_assistant.published if topic.endswith("state/cpu")]) == 2


def test_too_many_readings_are_cut_and_reported(
    run_agent: RunAgent,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    caplog: pytest.LogCaptureFixture,
) -> None:
    many = FakeCollector("many")
    many.offered = [Reading(f"r{number}") for number in range(2500)]

    run_agent(mosquitto.broker(), collectors=[many])

    assert len(keys(home_assistant.wait_for("announce"))) == 1250
    assert "Half of the readings are left out" in caplog.text


# --- As a process ----------------------------------------------------------------------------


@pytest.fixture
def process(
    run_command: Callable[..., subprocess.Popen[str]], mosquitto: Mosquitto, tmp_path: Any
) -> subprocess.Popen[str]:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "host-id").write_text(HOST)
    return run_command("run", PILOT_BROKER=f"127.0.0.1:{mosquitto.port}")


def test_home_assistant_hears_lost_when_the_agent_is_killed(
    process: subprocess.Popen[str], home_assistant: FakeHomeAssistant
) -> None:
    home_assistant.wait_for("state/cpu")

    process.kill()

    home_assistant.wait_for("availability", b"lost")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_home_assistant_hears_off_when_the_agent_is_told_to_end(
    process: subprocess.Popen[str], home_assistant: FakeHomeAssistant, number: signal.Signals
) -> None:
    home_assistant.wait_for("state/cpu")

    process.send_signal(number)
    _, log = process.communicate(timeout=20)

    home_assistant.wait_for("availability", b"off")
    assert process.returncode == 0
    assert "Traceback" not in log


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_home_assistant_hears_off_when_the_agent_ends_while_it_begins_anew(
    process: subprocess.Popen[str], home_assistant: FakeHomeAssistant
) -> None:
    home_assistant.wait_for("state/cpu")
    process.send_signal(signal.SIGHUP)
    assert process.stderr
    assert any("Beginning anew" in line for line in process.stderr)

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    home_assistant.wait_for("availability", b"off")
    assert process.returncode == 0


class Door(Watch):
    """What a test opens to have a collector read."""

    def __init__(self) -> None:
        self._inner, self._outer = socket.socketpair()
        self._inner.setblocking(False)

    def open(self) -> None:
        self._outer.send(b"x")

    def fileno(self) -> int:
        return self._inner.fileno()

    def changed(self) -> bool:
        return bool(self._inner.recv(64))

    def close(self) -> None:
        self._inner.close()
        self._outer.close()


class Watching(FakeCollector):
    """A collector that is told of changes, and tells of events."""

    events = ("opened", "closed")

    def __init__(self) -> None:
        super().__init__("usb", devices=1)
        self.door = Door()
        self.happened: list[Event] = []

    def watch(self) -> Watch:
        return self.door

    def take_events(self) -> list[Event]:
        events, self.happened = self.happened, []
        return events


def test_a_collector_is_read_when_its_watch_hears_something_and_tells_events(
    run_agent: RunAgent, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    collector = Watching()
    run_agent(mosquitto.broker(), collectors=[collector], interval=3600)
    home_assistant.wait_for("availability", b"online")
    announce = json.loads(home_assistant.wait_for("announce"))
    assert announce["events"] == [{"key": "usb", "types": ["opened", "closed"]}]
    home_assistant.wait_for("state/usb")

    collector.values = {"devices": 2}
    collector.happened = [Event("opened", {"device": "door"})]
    collector.door.open()

    home_assistant.wait_for("state/usb", count=2)
    event = json.loads(home_assistant.wait_for("event/usb"))
    assert (event["type"], event["data"]) == ("opened", {"device": "door"})
    assert len([topic for topic, _ in home_assistant.published if "/event/" in topic]) == 1
