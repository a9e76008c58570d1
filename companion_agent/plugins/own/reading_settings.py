"""How the local file names readings of its owner."""

from __future__ import annotations

from dataclasses import dataclass
import ipaddress
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from companion_agent.fields import construct, group, setting
from companion_agent.plugins.own.settings import Argv, Regex, Surroundings
from companion_agent.protocol.validation import MAX_INTERVAL
from companion_agent.values import (
    Choice,
    Leaf,
    NewFile,
    Number,
    Seconds,
    Text,
    all_invalid,
    invalid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from voluptuous import Invalid

    from companion_agent.models import ValueType

# A name, or a place in a list, counted from 0: `data.disks[0].temperature`.
_PATH = re.compile(r"(?:[^.\[\]]+|\[\d+\])(?:\.[^.\[\]]+|\[\d+\])*")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_SOURCES = ("command", "file", "url")
_CLASS = re.compile(r"[a-z0-9_]{1,64}")


class LoopbackUrl(Leaf[str]):
    """An address that this machine itself answers at."""

    expected = "an http:// address of this machine: http://127.0.0.1:8080/status"

    def _read(self, text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme != "http" or not parts.hostname or parts.username or not text.isprintable():
            raise ValueError
        if any(sign.isspace() or not sign.isascii() for sign in text):
            raise ValueError("what is no ASCII, and spaces, are written in percent-encoding")
        if parts.hostname != "localhost" and not _is_loopback(parts.hostname):
            raise ValueError(f"{parts.hostname} is another machine; write 127.0.0.1, or [::1]")
        if parts.port == 0:
            raise ValueError("no port is 0")
        return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class JsonPath(Leaf[str]):
    """Where in a JSON text the value stands."""

    expected = "names and places joined by dots: data.disks[0].temperature"

    def _read(self, text: str) -> str:
        if not _PATH.fullmatch(text):
            raise ValueError
        return text


class ClassName(Leaf[str]):
    """What Home Assistant calls a class."""

    expected = "one of Home Assistant's device classes, as temperature"

    def _read(self, text: str) -> str:
        if not _CLASS.fullmatch(text):
            raise ValueError
        return text


def steps_of(path: str) -> list[str | int]:
    """Return the steps of a path."""
    return [int(place) if place else name for place, name in _STEP.findall(path)]


@dataclass(frozen=True, slots=True)
class OwnReading:
    """One reading of the owner.

    Attributes:
        command: What is started and prints it; empty when that is not its source.
        file: The file that holds it; `None` when that is not its source.
        url: The address that answers with it; empty when that is not its source.
        name: What it is called; after its key when empty.
        type: What it is.
        unit: Its unit.
        device_class: What Home Assistant calls what it measures.
        state_class: How Home Assistant sums it up; as a measurement when empty.
        pattern: What of the text it is: the first group, or all that matches.
        json_path: Where in the text, which is JSON, it stands.
        resolution: Numbers are rounded to it, and smaller changes are not reported.
        interval: Seconds between two readings; the collector's when `None`.
        time_limit: Seconds that reading it may take.
        surroundings: How a program runs.
    """

    command: tuple[str, ...] = setting(
        Argv(), "Its source: a program that prints it, started without a shell.", ()
    )
    file: Path | None = setting(NewFile(), "Its source: a file that holds it.", None)
    url: str = setting(
        LoopbackUrl(), "Its source: an address of this machine that answers with it.", ""
    )
    name: str = setting(Text(), "What it is called in Home Assistant.", "", shown="its name here")
    type: str = setting(
        Choice("number", "text", "boolean", "timestamp"),
        "What it is. A timestamp is ISO 8601, or seconds since 1970.",
        "number",
    )
    unit: str = setting(Text(32), "Its unit, as Home Assistant writes it.", "")
    device_class: str = setting(
        ClassName(), "What it measures: one of Home Assistant's device classes.", ""
    )
    state_class: str = setting(
        Choice("measurement", "total", "total_increasing", "none"),
        "Of a number: how Home Assistant sums it up.",
        "",
        shown="measurement",
    )
    pattern: str = setting(
        Regex(), "What of the text it is: the first group, else all that matches.", ""
    )
    json_path: str = setting(JsonPath(), "Where in a JSON text it stands.", "")
    resolution: float | None = setting(
        Number(0.000001, 1_000_000),
        "Of a number: what it is rounded to; smaller changes are not reported.",
        None,
    )
    interval: float | None = setting(
        Seconds(1, MAX_INTERVAL), "Time between two readings.", None, shown="the collector's"
    )
    time_limit: float = setting(
        Seconds(0.1, 8), "Reading it has failed when it takes longer.", 5, quiet=True
    )
    surroundings: Surroundings = group(Surroundings, factory=Surroundings)

    @property
    def value_type(self) -> ValueType:
        """What its values are."""
        match self.type:
            case "text" | "boolean" | "timestamp" as kind:
                return kind
        return "number"


def make_reading(values: dict[str, Any]) -> OwnReading:
    """Make a reading of its keys' values.

    Raises:
        vol.Invalid: They do not go together.
    """
    if errors := list(_mistakes(values)):
        raise all_invalid(errors)
    config: OwnReading = construct(OwnReading, values)
    return config


def _mistakes(values: Mapping[str, Any]) -> Iterator[Invalid]:
    sources = [name for name in _SOURCES if name in values]
    if len(sources) != 1:
        known = ", ".join(_SOURCES[:-1])
        found = f"it has {' and '.join(sources)}" if sources else "it has none"
        yield invalid(f"expected one source, {known} or {_SOURCES[-1]}; {found}")
    for name in ("user", "folder", "environment"):
        if name in values and "command" not in values:
            yield invalid("is known only of a command", [name])
    if values.get("type", "number") != "number":
        for name in ("unit", "state_class", "resolution"):
            if name in values:
                yield invalid("is known only of a number", [name])


class OwnReadings(NamedTuple):
    """All readings of the owner, by name."""

    readings: Mapping[str, OwnReading]
