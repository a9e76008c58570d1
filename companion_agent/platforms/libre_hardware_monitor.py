"""LibreHardwareMonitor: temperatures and fans of Windows PCs, from the web server of a program.

Windows has no interface for these: it takes a driver in the kernel, which the agent does not bring.
Where the owner of a computer runs LibreHardwareMonitor, with "Remote Web Server" switched on, its
page is read, on this computer alone.

Source: github.com/LibreHardwareMonitor/LibreHardwareMonitor, HttpServer.cs (`/data.json`): a tree
of nodes with `Text` and `Children`; those of sensors have `SensorId`
(`/gpu-nvidia/0/temperature/0`), `Type` and `Value` ("54,0 °C" in the form of the user's language).
"""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.platforms import limited_socket
from companion_agent.platforms.base import Sensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from companion_agent.platforms.base import GraphicsQuantity, Wanted

_HOST = "127.0.0.1"
_TIMEOUT = 3.0  # seconds, for the whole page
# A page of a large PC has 100 KiB.
_LONGEST = 4 << 20
_DEEPEST = 16
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")
_IDENTITY = re.compile(r"/([\w%-]+(?:/[\w%-]+)*)/([a-z]+)/(\d+)")
_GRAPHICS = ("gpu-nvidia", "gpu-amd", "gpu-intel", "gpu-intel-integrated", "nvidiagpu", "atigpu")
_PROCESSORS = ("intelcpu", "amdcpu", "genericcpu")
# What the processor's own temperature is called, best first.
_PROCESSOR_SENSORS = ("CPU Package", "Core (Tctl/Tdie)", "Core (Tdie)", "Core (Tctl)", "Package")
_HINT = (
    "start it on this computer with 'Remote Web Server' switched on, at the port that "
    "libre_hardware_monitor.port names"
)

# What a graphics card's sensors are called, by their type; GPU Package is an older one's.
_OF_CARDS: dict[tuple[str, str], GraphicsQuantity] = {
    ("Temperature", "GPU Core"): "temperature",
    ("Power", "GPU Package"): "power",
    ("Power", "GPU Power"): "power",
    ("Clock", "GPU Core"): "frequency",
    ("Control", "GPU Fan"): "fan_percent",
    ("Control", "GPU Fan 1"): "fan_percent",
}


class _Reading(NamedTuple):
    """A sensor on the page.

    Attributes:
        hardware: What it is part of, as the page calls it.
        identity: Which hardware that is, `gpu-nvidia/0`.
        number: Its type and number there, `temperature0`.
    """

    hardware: str
    identity: str
    number: str
    type: str
    text: str
    value: float | None


class LibreHardwareMonitor:
    """The page of one computer.

    Args:
        port: The port of its web server.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def temperatures(self, wanted: Wanted) -> list[Sensor]:
        """Read the temperatures whose label is wanted, in °C; see `Platform`.

        Raises:
            Unavailable: The program does not run, or does not answer as expected.
        """
        return self._sensors("Temperature", wanted)

    def fans(self, wanted: Wanted) -> list[Sensor]:
        """Read the fans whose label is wanted, in rpm; see `temperatures()`."""
        return self._sensors("Fan", wanted)

    def processor(self) -> float | None:
        """Return the processor's own temperature in °C; `None` where the page has none.

        Raises:
            Unavailable: See `temperatures()`.
        """
        found = {
            one.text: one.value
            for one in self._read()
            if one.type == "Temperature" and one.identity.startswith(_PROCESSORS)
        }
        values = (found.get(name) for name in _PROCESSOR_SENSORS)
        return next((value for value in values if value is not None), None)

    def cards(self) -> dict[str, dict[GraphicsQuantity, float | None]]:
        """Return what graphics cards tell, by their names.

        Raises:
            Unavailable: See `temperatures()`.
        """
        cards: dict[str, dict[GraphicsQuantity, float | None]] = {}
        for one in self._read():
            quantity = _OF_CARDS.get((one.type, one.text))
            if quantity and one.identity.startswith(_GRAPHICS):
                cards.setdefault(one.hardware, {})[quantity] = one.value
        return cards

    def _sensors(self, kind: str, wanted: Wanted) -> list[Sensor]:
        found = [
            one
            for one in self._read()
            # Those of graphics cards are read with the cards.
            if one.type == kind and not one.identity.startswith(_GRAPHICS)
        ]
        if not found:
            raise Unavailable(f"LibreHardwareMonitor shows no {kind.lower()}")
        return [
            Sensor(one.identity.replace("/", "-"), one.number, label, one.value)
            for one in found
            if wanted(label := f"{one.hardware} {one.text}")
        ]

    def _read(self) -> list[_Reading]:
        connection = HTTPConnection(_HOST, self._port)
        try:
            connection.sock = limited_socket.connect(_HOST, self._port, _TIMEOUT)
            connection.request("GET", "/data.json")
            answer = connection.getresponse()
            body = answer.read(_LONGEST)
        except (OSError, HTTPException) as error:
            raise Unavailable(f"LibreHardwareMonitor does not answer: {error}", _HINT) from None
        finally:
            connection.close()
        if answer.status != 200:
            raise Unavailable(
                f"LibreHardwareMonitor answers {answer.status} {answer.reason}",
                "its web server must not ask for a password",
            )
        try:
            page = json.loads(body)
        except (ValueError, RecursionError):
            raise Unavailable(
                f"what answers at port {self._port} is another program", _HINT
            ) from None
        return list(_readings(page, "", 0))


def _readings(node: Any, hardware: str, depth: int) -> Iterator[_Reading]:  # noqa: ANN401
    """Walk the tree; a sensor belongs to the hardware whose groups of sensors it is below."""
    if not isinstance(node, dict) or depth > _DEEPEST:
        return
    text, identity, kind = (node.get(key) for key in ("Text", "SensorId", "Type"))
    if isinstance(identity, str) and (match := _IDENTITY.fullmatch(identity)):
        number = _NUMBER.match(str(node.get("Value", "")))
        value = float(number[0].replace(",", ".")) if number else None
        yield _Reading(hardware, match[1], f"{match[2]}{match[3]}", str(kind), str(text), value)
        return
    children = node.get("Children")
    children = children if isinstance(children, list) else []
    # What has groups of sensors below it is hardware; a group has sensors alone.
    is_group = all(isinstance(one, dict) and "SensorId" in one for one in children)
    for child in children:
        yield from _readings(child, hardware if is_group else str(text), depth + 1)
