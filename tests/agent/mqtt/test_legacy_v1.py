"""The topics of v1: what old dashboards go on reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st
import pytest

from companion_agent.config import load
from companion_agent.config.settings import Broker, Config, V1Topics
from companion_agent.config.show import show
from companion_agent.errors import Unavailable
from companion_agent.mqtt.legacy_v1 import TABLE, Mirror, flatten
from companion_agent.protocol.catalogue import CATALOGUE
from support.agent_host import HOST, FakeCollector, FakePlatform, RunningAgent
from support.agent_mqtt import FakeHomeAssistant, Mosquitto
from support.clock import PassingClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"
BASE = "pilot/office-pc"


class V1Dashboard:
    """What is heard on the topics of v1."""

    def __init__(self, home_assistant: FakeHomeAssistant) -> None:
        self._home_assistant = home_assistant

    def wait_for(self, name: str, payload: bytes, base: str = BASE) -> None:
        wanted = (f"{base}/{name}", payload)
        self._home_assistant.wait_until_heard(
            lambda message: (message.topic, message.payload) == wanted, str(wanted)
        )

    @property
    def topics(self) -> set[str]:
        return {
            topic
            for topic, _ in self._home_assistant.published
            if not topic.startswith("pilot/v2/")
        }


@pytest.fixture
def dashboard(home_assistant: FakeHomeAssistant) -> V1Dashboard:
    return V1Dashboard(home_assistant)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    """Start an agent that mirrors."""
    running: list[RunningAgent] = []

    def run(
        broker: Broker, *collectors: FakeCollector, session: str = "5e551017aaaaaaaa", **topics: Any
    ) -> RunningAgent:
        mirror = V1Topics("office-pc", **topics)
        config = Config(brokers=(broker,), state_dir=tmp_path, mirror=mirror)
        started = RunningAgent(config, FakePlatform(), collectors, PassingClock(), session, 10)
        running.append(started)
        return started

    yield run
    for agent in running:
        agent.stop()


# --- The table --------------------------------------------------------------------------------


def test_values_are_those_of_v1() -> None:
    cpu = {"percent": 12.5, "frequency": 2712, "temperature": 48.5, "load_1m": 0.1}

    assert flatten("cpu", cpu) == {"cpu": "12.5", "cpu_frequency": "2.712", "cpu_temp": "48.5"}


def test_of_several_the_first_that_can_be_read() -> None:
    network = {"eth0.ipv4": None, "eth0.sent": 5, "wlan0.ipv4": "192.0.2.7", "wlan1.ipv4": "x"}

    assert flatten("network", network) == {"ip": "192.0.2.7"}


def test_a_graphics_card_has_the_states_of_v1_with_memory_in_mebibytes() -> None:
    card = {"percent": 7, "memory_percent": 25, "memory_used": 2 << 30, "memory_total": 8 << 30}

    states = flatten("graphics", {f"0000-01-00-0.{key}": value for key, value in card.items()})

    assert states == {
        "gpu_utilization": "7",
        "gpu_memory_used_mb": "2048",
        "gpu_memory_total_mb": "8192",
    }


def test_what_cannot_be_read_is_unknown_and_what_is_not_there_is_not_said() -> None:
    assert flatten("battery", {"bat0.level": None}) == {"battery_level": "None"}
    assert flatten("battery", {"plugged": True}) == {}


@given(
    st.sampled_from([topic.key.partition(".")[0] for topic in TABLE]),
    st.dictionaries(
        st.sampled_from(["percent", "temperature", "frequency", "bat0.level", "eth0.ipv4"]),
        st.none() | st.integers(0, 10**6) | st.floats(0, 1e6, allow_nan=False),
    ),
)
def test_every_state_has_a_name_of_v1_and_a_text(collector: str, values: dict[str, Any]) -> None:
    states = flatten(collector, values)

    assert states.keys() <= {topic.name for topic in TABLE}
    assert all(states.values())


def test_the_table_is_about_readings_that_there_are() -> None:
    assert {topic.key.replace(".*", "") for topic in TABLE} <= CATALOGUE.keys()


def test_the_documentation_has_the_table() -> None:
    lines = [line for line in DOCS.read_text("utf-8").splitlines() if "<device>/state/" in line]
    told = [(cells[1].rpartition("/")[2], cells[3]) for cells in (li.split("`") for li in lines)]

    assert told == [(topic.name, topic.key) for topic in TABLE]


@pytest.mark.parametrize("more", ["", ', prefix: house, availability_topic: ""'])
def test_the_configuration_can_be_shown_and_read_again(tmp_path: Path, more: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"broker: a.local\nmirror: {{v1: {{device: office-pc{more}}}}}\n")
    config = load(path, {})
    path.write_text(show(config))

    assert load(path, {}).mirror == config.mirror
    assert config.mirror
    assert config.mirror.availability_topic == ("" if more else None)


# --- On a broker ------------------------------------------------------------------------------


def test_says_everything_in_both_forms(
    start: Callable[..., RunningAgent],
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    dashboard: V1Dashboard,
) -> None:
    start(
        mosquitto.broker(),
        FakeCollector("cpu", percent=12.5, frequency=2400),
        FakeCollector("battery", **{"bat0.level": 80.4, "bat0.state": "charging"}),
        FakeCollector("disk", used=1),
    )

    home_assistant.wait_for("state/cpu")
    dashboard.wait_for("state/cpu", b"12.5")
    dashboard.wait_for("state/cpu_frequency", b"2.4")
    dashboard.wait_for("state/battery_level", b"80")
    dashboard.wait_for("state/battery_state", b"charging")
    dashboard.wait_for("availability", b"online")
    names = ("cpu", "cpu_frequency", "battery_level", "battery_state")
    assert dashboard.topics == {f"{BASE}/availability", *(f"{BASE}/state/{name}" for name in names)}


def test_what_has_gone_is_taken_away(
    start: Callable[..., RunningAgent], mosquitto: Mosquitto, dashboard: V1Dashboard
) -> None:
    battery = FakeCollector("battery", **{"bat0.level": 80})
    agent = start(mosquitto.broker(), battery)
    dashboard.wait_for("state/battery_level", b"80")

    battery.missing = Unavailable("taken out")
    agent.advance(11)

    dashboard.wait_for("state/battery_level", b"")


def test_says_offline_at_its_end_and_by_its_will(
    start: Callable[..., RunningAgent],
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    dashboard: V1Dashboard,
) -> None:
    agent = start(mosquitto.broker(), FakeCollector("cpu"), availability_topic="pilot/lwt")
    dashboard.wait_for("lwt", b"online", "pilot")
    # A connection that ends without a word, as when the power fails.
    mirror = agent.agent._mirror
    assert mirror
    sock = mirror.transport._socket
    assert sock
    sock.shutdown(2)
    dashboard.wait_for("lwt", b"offline", "pilot")
    home_assistant.forget()
    dashboard.wait_for("lwt", b"online", "pilot")

    home_assistant.forget()
    agent.stop()

    home_assistant.wait_for("availability", b"off")
    dashboard.wait_for("lwt", b"offline", "pilot")


def test_availability_can_be_left_out(
    start: Callable[..., RunningAgent], mosquitto: Mosquitto, dashboard: V1Dashboard
) -> None:
    start(mosquitto.broker(), FakeCollector("cpu", percent=1), availability_topic="")

    dashboard.wait_for("state/cpu", b"1")
    assert dashboard.topics == {f"{BASE}/state/cpu"}


def test_a_client_id_of_ones_own_is_not_used_twice(
    start: Callable[..., RunningAgent],
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    dashboard: V1Dashboard,
) -> None:
    agent = start(mosquitto.broker(client_id="office"), FakeCollector("cpu", percent=1))

    home_assistant.wait_for("state/cpu")
    dashboard.wait_for("state/cpu", b"1")
    assert agent.counts.reconnects == 0


def test_commands_of_v1_are_not_heard(
    start: Callable[..., RunningAgent], make_mosquitto: Callable[..., Mosquitto]
) -> None:
    mosquitto = make_mosquitto("allow_anonymous true\nlog_type subscribe\n")
    home_assistant = FakeHomeAssistant(mosquitto.port)
    start(mosquitto.broker(), FakeCollector("cpu", percent=1))
    V1Dashboard(home_assistant).wait_for("state/cpu", b"1")
    home_assistant.wait_for("state/cpu")
    home_assistant.close()

    log = mosquitto._log.read_text()
    assert f"pilot/v2/{HOST}/announce" in log
    assert BASE not in log


def test_a_clone_that_gives_way_is_silent_here_too(
    start: Callable[..., RunningAgent],
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    dashboard: V1Dashboard,
) -> None:
    start(mosquitto.broker(), FakeCollector("cpu", percent=1))
    dashboard.wait_for("state/cpu", b"1")
    clone = start(mosquitto.broker(), FakeCollector("cpu", percent=2), session="b0b0b0b0b0b0b0b0")
    clone.wait_until_it_gave_way()

    clone.stop()

    assert (f"{BASE}/availability", b"offline") not in home_assistant.published


# --- Commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
def test_command_topics_are_heard_only_where_the_configuration_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wanted: bool
) -> None:
    asked: list[Any] = []
    heard: list[str] = []
    mirror = Mirror(
        V1Topics("office-pc", commands=wanted),
        [Broker("localhost")],
        "pilot-v1",
        PassingClock(),
        lambda *one: asked.append(one),
    )
    monkeypatch.setattr(mirror.transport, "subscribe", heard.extend)
    receive = mirror.transport.receiver

    mirror.connected()
    receive(f"{BASE}/cmd/power/set", b"sleep", retained=False)
    receive(f"{BASE}/cmd/power/set", b"sleep", retained=True)
    receive(f"{BASE}/cmd/volume/set", b"5", retained=False)

    assert heard == ([f"{BASE}/cmd/+/set"] if wanted else [])
    assert asked == ([("power.suspend", {}, "v1")] if wanted else [])
    assert ("'volume' of v1 with '5' is not known" in caplog.text) == wanted
