"""LibreHardwareMonitor's page, served on loopback as the program serves it."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
import json
from pathlib import Path
import threading
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.config.settings import Config
from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.platforms.base import CpuSample, CpuTimes, GraphicsCard, GraphicsSample
from companion_agent.platforms.libre_hardware_monitor import LibreHardwareMonitor
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.plugins.base import PluginContext
from companion_agent.plugins.cpu import CpuPlugin
from companion_agent.plugins.fan import FanPlugin
from companion_agent.plugins.graphics import GraphicsPlugin
from companion_agent.plugins.hardware_monitor import LibreHardwareMonitorConfig
from companion_agent.plugins.temperature import TemperaturePlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from companion_agent.platforms.base import Wanted

NAME = "NVIDIA GeForce RTX 4080 SUPER"


def node(text: str, *children: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"id": 1, "Text": text, "Min": "", "Value": "", "Children": list(children), **more}


def sensor(text: str, identity: str, kind: str, value: str) -> dict[str, Any]:
    return node(text, SensorId=identity, Type=kind, Value=value)


def temperature(text: str, identity: str, value: str) -> dict[str, Any]:
    return sensor(text, identity, "Temperature", value)


# In the form of LibreHardwareMonitor 0.9.4, on a system that writes a comma in numbers.
PAGE = node(
    "Sensor",
    node(
        "GAMING-PC",
        node(
            "MSI MAG B650M MORTAR WIFI",
            node(
                "Nuvoton NCT6687D",
                node(
                    "Temperatures",
                    temperature("System", "/lpc/nct6687d/0/temperature/1", "45,5 °C"),
                ),
                node(
                    "Fans",
                    sensor("CPU Fan", "/lpc/nct6687d/0/fan/0", "Fan", "812 RPM"),
                    sensor("System Fan #1", "/lpc/nct6687d/0/fan/2", "Fan", "-"),
                ),
            ),
        ),
        node(
            "AMD Ryzen 7 7800X3D",
            node(
                "Temperatures",
                temperature("Core (Tctl/Tdie)", "/amdcpu/0/temperature/2", "55,5 °C"),
                temperature("CCD1 (Tdie)", "/amdcpu/0/temperature/3", "52,8 °C"),
            ),
        ),
        node(
            NAME,
            node("Temperatures", temperature("GPU Core", "/gpu-nvidia/0/temperature/0", "36,0 °C")),
            node("Powers", sensor("GPU Package", "/gpu-nvidia/0/power/0", "Power", "59,6 W")),
            node("Clocks", sensor("GPU Core", "/gpu-nvidia/0/clock/0", "Clock", "2805,0 MHz")),
            node("Controls", sensor("GPU Fan", "/gpu-nvidia/0/control/0", "Control", "30 %")),
            node("Load", sensor("GPU Core", "/gpu-nvidia/0/load/0", "Load", "5,0 %")),
        ),
    ),
)  # fmt: skip


class CardPlatform(WindowsPlatform):
    """A Windows with one graphics card and one core."""

    def graphics(self, wanted: Wanted = lambda _: True) -> list[GraphicsSample]:
        card = GraphicsCard("10de-2702-0", NAME, f"{NAME} (10de-2702-0)", "NVIDIA", NAME)
        return [GraphicsSample(card, {"percent": 5, "power": 60}, {})]

    def cpu(self) -> CpuSample:
        return CpuSample(CpuTimes(1, 2), {}, None)


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Serve a page; return the port."""
    servers: list[HTTPServer] = []

    def serve(body: bytes = json.dumps(PAGE).encode(), status: int = 200) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/data.json" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def context(port: int | None, **selection: tuple[str, ...]) -> PluginContext:
    config = Config((), Path(), libre_hardware_monitor=LibreHardwareMonitorConfig(port))
    return PluginContext(CardPlatform(), Selection(**selection), given=config.of_plugins())


@pytest.mark.proves("temperature.sensor")
def test_temperatures_are_those_of_the_page(serve: Callable[..., int]) -> None:
    plugin = TemperaturePlugin.create(context(serve()))

    values = plugin.collect()

    assert values == {
        "lpc-nct6687d-0.temperature1": 45.5,
        "amdcpu-0.temperature2": 55.5,
        "amdcpu-0.temperature3": 52.8,
    }
    assert [reading.of for reading in plugin.readings()] == [
        "Nuvoton NCT6687D System",
        "AMD Ryzen 7 7800X3D Core (Tctl/Tdie)",
        "AMD Ryzen 7 7800X3D CCD1 (Tdie)",
    ]


def test_sensors_are_selected_by_their_names(serve: Callable[..., int]) -> None:
    plugin = TemperaturePlugin.create(context(serve(), exclude=("AMD *",)))

    assert list(plugin.collect()) == ["lpc-nct6687d-0.temperature1"]


@pytest.mark.proves("fan.speed")
def test_fans_are_those_of_the_page(serve: Callable[..., int]) -> None:
    values = FanPlugin.create(context(serve())).collect()

    assert values == {"lpc-nct6687d-0.fan0": 812, "lpc-nct6687d-0.fan2": None}


@pytest.mark.proves("cpu.temperature")
def test_the_processor_has_its_own_temperature(serve: Callable[..., int]) -> None:
    assert CpuPlugin.create(context(serve())).collect()["temperature"] == 55.5


def test_a_graphics_card_has_what_the_system_does_not_tell(serve: Callable[..., int]) -> None:
    values = GraphicsPlugin.create(context(serve())).collect()

    assert values == {
        "10de-2702-0.percent": 5,
        "10de-2702-0.power": 60,
        "10de-2702-0.temperature": 36,
        "10de-2702-0.frequency": 2805,
        "10de-2702-0.fan_percent": 30,
    }


def test_a_program_that_does_not_run_is_the_reason() -> None:
    plugin = GraphicsPlugin.create(context(1))

    assert plugin.collect()["10de-2702-0.percent"] == 5
    (reason,) = plugin.left_out().values()
    assert "LibreHardwareMonitor does not answer" in reason
    assert "temperature" not in CpuPlugin.create(context(1)).collect()
    with pytest.raises(Unavailable, match="does not answer"):
        TemperaturePlugin.create(context(1)).probe()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        pytest.param(b"<html>", 200, "is another program", id="another program"),
        pytest.param(b"[" * 100_000, 200, "is another program", id="a page that is too deep"),
        pytest.param(b"", 401, "answers 401", id="a password"),
        pytest.param(b"[]", 200, "shows no temperature", id="no tree"),
        pytest.param(b'{"Children": 5}', 200, "shows no temperature", id="no children"),
        pytest.param(
            b'{"Children": [{"SensorId": "/x", "Type": 3}, 7, null]}',
            200,
            "shows no temperature",
            id="no sensors",
        ),
    ],
)
def test_what_cannot_be_read_is_the_reason(
    serve: Callable[..., int], body: bytes, status: int, reason: str
) -> None:
    with pytest.raises(Unavailable, match=reason):
        LibreHardwareMonitor(serve(body, status)).temperatures(lambda _: True)


def test_it_is_not_asked_unless_the_configuration_names_its_port() -> None:
    with pytest.raises(Unavailable, match="Windows does not tell temperatures") as caught:
        TemperaturePlugin.create(context(None)).probe()
    assert "libre_hardware_monitor.port" in caught.value.hint
