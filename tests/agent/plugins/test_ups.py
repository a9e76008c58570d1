"""Power supplies, from a real server of Network UPS Tools and from servers that answer anything."""

from __future__ import annotations

from contextlib import suppress
import socket
import threading
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st
import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Event, Selection
from companion_agent.platforms.portable import PortablePlatform
from companion_agent.plugins.base import PluginContext
from companion_agent.plugins.ups import nut as protocol
from companion_agent.plugins.ups.plugin import UpsPlugin
from companion_agent.plugins.ups.settings import UpsConfig
from stack.process import wait_for
from support.nut import NAME, SAYS, Nut, is_installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.proves("ups.*")

PATIENCE = 60


class Answering:
    """A server that answers each line with a text; nothing when it knows none."""

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def say(self, variables: dict[str, str], name: str = NAME) -> None:
        lines = "".join(f'VAR {name} {key} "{value}"\n' for key, value in variables.items())
        request = f"LIST VAR {name}"
        self._answers[request] = f"BEGIN {request}\n{lines}END {request}\n"

    def refuse(self, reason: str, name: str = NAME) -> None:
        self._answers[f"LIST VAR {name}"] = f"ERR {reason}\n"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            # A reader that has given up may be gone.
            with suppress(OSError), connection, connection.makefile("r") as lines:
                for line in lines:
                    connection.sendall(self._answers.get(line.strip(), "").encode())


ONE = f'BEGIN LIST UPS\nUPS {NAME} "The office"\nEND LIST UPS\n'


@pytest.fixture
def answering() -> Iterator[Answering]:
    server = Answering({"LIST UPS": ONE})
    server.say(SAYS)
    yield server
    server.close()


def plugin(port: int, selection: Selection | None = None) -> UpsPlugin:
    config = UpsConfig(port=port)
    context = PluginContext(PortablePlatform(), selection or Selection(), given={UpsConfig: config})
    return UpsPlugin.create(context)


@pytest.fixture
def nut(tmp_path: Path) -> Iterator[Nut]:
    if not is_installed():
        pytest.skip("upsd is not installed; `apt-get install nut-server` brings it")
    server = Nut(tmp_path)
    server.start()
    yield server
    server.stop()


def test_the_mains_fail_and_come_back(nut: Nut) -> None:
    ups = plugin(nut.port)
    values: dict[str, Any] = {}

    def reads(status: str | None) -> bool:
        values.clear()
        values.update(ups.collect())
        return values.get(f"{NAME}.status") == status and bool(values)

    wait_for(lambda: reads("online"), "the driver", timeout=PATIENCE)
    assert values == {
        "office.status": "online",
        "office.on_battery": False,
        "office.low_battery": False,
        "office.replace_battery": False,
        "office.charge": 96,
        "office.runtime": 1840,
        "office.battery_voltage": 13.5,
        "office.input_voltage": 231.4,
        "office.output_voltage": 231.4,
        "office.load": 17,
    }
    device = ups.readings()[0].device
    assert device is not None
    assert (device.name, device.manufacturer, device.model, device.serial) == (
        'The "office" UPS',
        "Eaton",
        "5E 850i",
        "G095",
    )
    assert ups.take_events() == []

    nut.say({**SAYS, "ups.status": "OB DISCHRG"})
    wait_for(lambda: reads("on_battery"), "the mains to fail", timeout=PATIENCE)
    nut.say({**SAYS, "ups.status": "OB DISCHRG LB"})
    wait_for(lambda: reads("low_battery"), "the battery to be low", timeout=PATIENCE)
    nut.say(SAYS)
    wait_for(lambda: reads("online"), "the mains", timeout=PATIENCE)
    assert [event.type for event in ups.take_events()] == ["on_battery", "low_battery", "on_line"]

    readings = ups.readings()
    nut.pull()
    wait_for(lambda: reads(None), "the driver to be missed", timeout=PATIENCE)
    assert set(values.values()) == {None}
    assert ups.troubles().keys() == {NAME}
    assert ups.readings() is readings


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("OL", "online"),
        ("OL CHRG", "online"),
        ("OB DISCHRG", "on_battery"),
        ("OB LB DISCHRG", "low_battery"),
        ("FSD OB LB", "shutting_down"),
        ("OL BYPASS", "bypass"),
        ("OL OVER", "overloaded"),
        ("OL CAL", "calibrating"),
        ("OFF", "off"),
        ("ALARM", "unknown"),
    ],
)
def test_states(answering: Answering, status: str, state: str) -> None:
    answering.say({"ups.status": status})

    assert plugin(answering.port).collect()["office.status"] == state


def test_a_battery_that_is_to_be_replaced(answering: Answering) -> None:
    answering.say({"ups.status": "OL RB"})

    assert plugin(answering.port).collect()["office.replace_battery"] is True


def test_what_was_so_when_the_agent_began_is_no_news(answering: Answering) -> None:
    answering.say({"ups.status": "OB LB"})
    ups = plugin(answering.port)
    ups.collect()
    assert ups.take_events() == []

    answering.say({"ups.status": "OL"})
    ups.collect()
    assert ups.take_events() == [Event("on_line", {"ups": NAME})]
    assert ups.take_events() == []


def test_a_driver_that_has_lost_it(answering: Answering) -> None:
    ups = plugin(answering.port)
    ups.collect()

    answering.refuse("DATA-STALE")

    assert set(ups.collect().values()) == {None}
    assert ups.troubles() == {NAME: "the server says DATA-STALE"}


def test_only_what_is_selected_is_asked(answering: Answering) -> None:
    with pytest.raises(Unavailable, match="no UPS is selected"):
        plugin(answering.port, Selection(exclude=(NAME,))).collect()


def test_numbers_that_are_none_are_left_out(answering: Answering) -> None:
    answering.say({"ups.status": "OL", "battery.charge": "n/a", "ups.load": "nan"})

    values = plugin(answering.port).collect()
    assert "office.charge" not in values
    assert values["office.load"] is None


def test_what_cannot_be_so_is_not_believed(answering: Answering) -> None:
    """Drivers of NUT say so where a device does not: usbhid-ups, nutdrv_qx."""
    answering.say({"ups.status": "OL", "battery.runtime": "-1", "battery.charge": "117"})

    values = plugin(answering.port).collect()
    assert values["office.runtime"] is None
    assert values["office.charge"] == 100


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"LIST UPS": "BEGIN LIST UPS\nEND LIST UPS\n"}, "has no UPS"),
        ({"LIST UPS": "HTTP/1.1 400 Bad Request\n"}, "no server of Network UPS Tools"),
        ({"LIST UPS": "ERR ACCESS-DENIED\n"}, "the server says ACCESS-DENIED"),
        ({"LIST UPS": "BEGIN LIST UPS\n" + "x" * 300_000}, "says too much"),
        ({"LIST UPS": 'BEGIN LIST UPS\nUPS a;b "x"\nEND LIST UPS\n'}, "has no UPS"),
    ],
)
def test_servers_that_are_none(answers: dict[str, str], error: str) -> None:
    server = Answering(answers)
    try:
        with pytest.raises((OSError, Unavailable), match=error):
            plugin(server.port).collect()
    finally:
        server.close()


def test_a_server_that_says_nothing_is_waited_for_briefly() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(TimeoutError),
    ):
        protocol.read("127.0.0.1", server.getsockname()[1], lambda _: True, limit=0.1)


def test_a_server_that_answers_in_drops_is_waited_for_no_longer(dripping: int) -> None:
    with pytest.raises(TimeoutError):
        protocol.read("127.0.0.1", dripping, lambda _: True, limit=0.3)


def test_without_a_server_in_the_configuration_nothing_is_asked() -> None:
    with pytest.raises(Unavailable, match="no server of Network UPS Tools is configured"):
        UpsPlugin(PortablePlatform()).collect()


@pytest.fixture(scope="module")
def module_server() -> Iterator[Answering]:
    server = Answering({"LIST UPS": ONE})
    yield server
    server.close()


@given(answer=st.text(max_size=200))
def test_nothing_that_a_server_says_breaks_the_reader(
    module_server: Answering, answer: str
) -> None:
    module_server.say({"ups.status": "OL", "ups.load": answer, answer: "1"})

    found = protocol.read("127.0.0.1", module_server.port, lambda _: True)

    assert [one.name for one in found] == [NAME]
