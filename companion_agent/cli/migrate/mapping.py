"""How the values of the first version's keys are carried over."""

from __future__ import annotations

from dataclasses import dataclass, field
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import voluptuous as vol

from companion_agent.config.broker_address import BROKER_FORM, parse_broker
from companion_agent.config.settings import LEVELS, Tls
from companion_agent.protocol.validation import MAX_INTERVAL
from companion_agent.values import (
    Choice,
    FilePath,
    HostName,
    Integer,
    Leaf,
    MqttVersion,
    Password,
    Patterns,
    Seconds,
    SecretFile,
    Switch,
    Text,
    Topic,
)

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.cli.migrate.v1_config import Entry
    from companion_agent.values import Raw

T = TypeVar("T")


class Outcome(NamedTuple):
    """What became of a key.

    Attributes:
        entry: The key.
        to: Where its value went, in dots; empty where it went nowhere.
        why: Why it did not, or what to know of it.
    """

    entry: Entry
    to: str
    why: str = ""


@dataclass(slots=True)
class Found:
    """What the first version's file says, in this version's words.

    Attributes:
        broker: What is known of the broker, as in `Broker`, without `tls`.
        tls: What is known of its encryption, as in `Tls`.
        encrypted: Whether encryption is configured; `None` where the configuration does not say.
        name: What the host is shown as.
        device: What it was called in topics.
        mirror: What else is known of those topics.
        blocks: Other keys at the top, with what is below them.
        outcomes: What became of every key.
    """

    broker: dict[str, Any] = field(default_factory=dict, repr=False)
    tls: dict[str, Any] = field(default_factory=dict, repr=False)
    encrypted: bool | None = None
    name: str = ""
    device: str = ""
    mirror: dict[str, Any] = field(default_factory=dict)
    blocks: dict[str, Any] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def security(self) -> Tls | None:
        """How to encrypt."""
        wanted = self.encrypted if self.encrypted is not None else bool(self.tls)
        return Tls(**self.tls) if wanted else None


class Unmapped(Exception):  # noqa: N818 - a finding, not a mistake
    """A value has no counterpart; the text says why."""


# --- Commands and sensors ---------------------------------------------------------------------

COMMANDS = {
    "*": ("*",),
    "all": ("*",),
    "power": ("power.*",),
    "shutdown": ("power.shutdown",),
    "poweroff": ("power.shutdown",),
    "power_off": ("power.shutdown",),
    "reboot": ("power.reboot",),
    "restart": ("power.reboot",),
    "sleep": ("power.suspend",),
    "suspend": ("power.suspend",),
    "standby": ("power.suspend",),
    "hibernate": ("power.hibernate",),
    "lock": ("session.lock",),
    "lock_screen": ("session.lock",),
    "logout": ("session.log_out",),
    "log_out": ("session.log_out",),
    "logoff": ("session.log_out",),
    # A slider of the first version, in GHz.
    "cpu_frequency": ("processor.maximum_frequency",),
    "cpu_freq": ("processor.maximum_frequency",),
}

# A collector may read what the first version called several things.
SENSORS = {
    "cpu": "cpu",
    "cpu_temp": "cpu",
    "cpu_temperature": "cpu",
    "cpu_frequency": "cpu",
    "memory": "memory",
    "ram": "memory",
    "mem": "memory",
    "ip": "network",
    "network": "network",
    "net": "network",
    "battery": "battery",
    "temperature": "temperature",
    "temp": "temperature",
    "disk": "disk",
    "wifi": "wifi",
    "gpu": "graphics",
    "gpu_temp": "graphics",
    "gpu_temperature": "graphics",
    "gpu_memory": "graphics",
    "gpu_utilization": "graphics",
}
# What the first version's one interval was about.
_ALL_SENSORS = ("cpu", "memory", "network", "battery")

_LEVELS = {"warn": "warning", "critical": "error", "fatal": "error", "trace": "debug"}


# --- How values are carried over --------------------------------------------------------------


class Mapper:
    """Takes the values of one file's keys.

    Args:
        base: The file's folder, where its relative paths start.
        device: What the host was called in topics, whatever the file says; empty to believe it.
    """

    def __init__(self, base: Path, device: str = "") -> None:
        self.found = Found(device=device)
        self._named = bool(device)
        self._base = base
        self._said: dict[str, tuple[Entry, Any]] = {}

    def set(self, to: str, value: T, entry: Entry) -> T:
        """Note that a key says something; two keys must not say different things.

        Raises:
            vol.Invalid: They do.
        """
        first, said = self._said.setdefault(to, (entry, value))
        if said != value:
            raise vol.Invalid(
                f"says something else than {first.key} ({first.where}), and both are {to}; "
                "leave one of them"
            )
        return value

    # --- Each takes an entry and returns where its value went --------------------

    def address(self, entry: Entry, _: re.Match[str]) -> str:
        """Take a broker's name, address or URL."""
        if not isinstance(entry.value, str):
            raise vol.Invalid("expected one broker")
        text = re.sub(r"^(tcp|mqtt)://", "mqtt://", entry.value)
        text = re.sub(r"^(ssl|tls|mqtts)://", "mqtts://", text)
        try:
            parts = parse_broker(text)
        except ValueError as error:
            # The text itself may hold a password.
            raise vol.Invalid(f"expected {BROKER_FORM}, but it {error}") from None
        encrypted = parts.pop("tls", None)
        for key, value in parts.items():
            leaf: Leaf[Any] = Integer(1, 65535) if key == "port" else _BROKER.get(key, Text())
            self.found.broker[key] = self.set(f"broker.{key}", leaf(value), entry)
        if encrypted:
            self.found.encrypted = self.set("broker.tls", True, entry)
        return ", ".join(f"broker.{key}" for key in (*parts, *(["tls"] if encrypted else [])))

    def broker(self, entry: Entry, match: re.Match[str]) -> str:
        """Take one of the broker's keys."""
        key = next(key for key, value in match.groupdict().items() if value)
        self.found.broker[key] = self.set(f"broker.{key}", _BROKER[key](entry.value), entry)
        return f"broker.{key}"

    def password_file(self, entry: Entry, _: re.Match[str]) -> str:
        """Take what is in a password's file; it goes to one of its own."""
        secret = SecretFile(self._base)(entry.value)
        self.found.broker["password"] = self.set("broker.password", secret, entry)
        return "broker.password_file"

    def password(self, entry: Entry, _: re.Match[str]) -> str:
        """Take the password; it goes to a file of its own."""
        secret = Password()(entry.value)
        if "\n" in secret.reveal():
            raise vol.Invalid("expected a text of one line")
        self.found.broker["password"] = self.set("broker.password", secret, entry)
        return "broker.password_file"

    def encrypted(self, entry: Entry, _: re.Match[str]) -> str:
        """Take whether the connection was encrypted."""
        self.found.encrypted = self.set("broker.tls", _switch(entry.value), entry)
        return "broker.tls"

    def tls(self, entry: Entry, match: re.Match[str]) -> str:
        """Take one of the files of a TLS connection."""
        key = next(key for key, value in match.groupdict().items() if value)
        leaf: Leaf[Any] = Password() if key == "key_password" else FilePath(self._base)
        self.found.tls[key] = self.set(f"broker.tls.{key}", leaf(entry.value), entry)
        return f"broker.tls.{key}" + ("_file" if key == "key_password" else "")

    def name(self, entry: Entry, _: re.Match[str]) -> str:
        """Take what the host is shown as."""
        self.found.name = self.set("name", Text()(entry.value), entry)
        return "name"

    def device(self, entry: Entry, _: re.Match[str]) -> str:
        """Take what the host was called in topics."""
        if self._named:
            raise Unmapped(f"--device says {self.found.device}")
        self.found.device = self.set("mirror.v1.device", Topic()(entry.value), entry)
        return "mirror.v1.device"

    def prefix(self, entry: Entry, _: re.Match[str]) -> str:
        """Take what the topics started with. The new topics are others, and start elsewhere."""
        value = entry.value
        prefix = Topic()(value.strip("/") if isinstance(value, str) else value)
        if prefix.endswith("/v2"):
            self.found.blocks["topic_prefix"] = self.set("topic_prefix", prefix, entry)
            return "topic_prefix"
        self.found.mirror["prefix"] = self.set("mirror.v1.prefix", prefix, entry)
        return "mirror.v1.prefix"

    def availability(self, entry: Entry, _: re.Match[str]) -> str:
        """Take where the host said whether it was there."""
        to = "mirror.v1.availability_topic"
        if isinstance(entry.value, str) and entry.value.lower() in {"true", "yes", "on", "1"}:
            raise Unmapped("is so anyway")
        off = isinstance(entry.value, str) and entry.value.lower() in {"false", "no", "off", "0"}
        topic = "" if off else Topic()(entry.value)
        self.found.mirror["availability_topic"] = self.set(to, topic, entry)
        return to

    def allow(self, entry: Entry, match: re.Match[str]) -> str:
        """Take a list of commands."""
        key = "deny" if match["deny"] else "allow"
        taken: dict[str, None] = {}
        unknown = []
        for name in Patterns()(entry.value):
            keys = COMMANDS.get(normal(name) or name)
            taken.update(dict.fromkeys(keys or ()))
            if keys is None:
                unknown.append(name)
        to = f"commands.{key}"
        self._block("commands")[key] = self.set(to, list(taken), entry)
        return f"{to}, without {', '.join(unknown)}: no such commands" if unknown else to

    def cooldown(self, entry: Entry, match: re.Match[str]) -> str:
        """Take how long a command is refused after the last one."""
        name = match["before"] or match["after"] or ""
        if name and name not in COMMANDS:
            raise Unmapped(f"this version has no command {name}")
        patterns = COMMANDS[name] if name else ("*",)
        seconds = _number(seconds_of(entry.value, 0))
        for pattern in patterns:
            self.set(f"commands.cooldown.{pattern}", seconds, entry)
            cooldown = self._block("commands").setdefault("cooldown", {})
            cooldown[pattern] = seconds
            # The first that matches counts.
            if "*" in cooldown:
                cooldown["*"] = cooldown.pop("*")
        return ", ".join(f"commands.cooldown.{pattern}" for pattern in patterns)

    def dry_run(self, entry: Entry, _: re.Match[str]) -> str:
        """Take whether commands are only tried."""
        value = self.set("commands.dry_run", _switch(entry.value), entry)
        self._block("commands")["dry_run"] = value
        return "commands.dry_run"

    def interval(self, entry: Entry, match: re.Match[str]) -> str:
        """Take the time between two readings."""
        sensor = match["before"] or match["after"] or ""
        seconds = _number(seconds_of(entry.value, 1))
        names = [SENSORS[sensor]] if sensor else _ALL_SENSORS
        taken = []
        for name in names:
            below = self._block("collectors").setdefault(name, {})
            if below.setdefault("interval", seconds) == seconds:
                taken.append(f"collectors.{name}.interval")
        if not taken:
            what = f"{names[0]} is read as a whole" if sensor else "each has its own"
            raise Unmapped(f"another interval counts, {what}")
        return ", ".join(taken)

    def enabled(self, entry: Entry, match: re.Match[str]) -> str:
        """Take whether something is read."""
        sensor = match["before"] or match["after"]
        if _switch(entry.value):
            raise Unmapped("is so anyway")
        name = SENSORS[sensor]
        if sensor.startswith(("cpu_", "gpu_")):
            raise Unmapped(f"cannot be switched off alone; the collector {name} reads it")
        self.set(f"collectors.{name}.enabled", value=False, entry=entry)
        self._block("collectors").setdefault(name, {})["enabled"] = False
        return f"collectors.{name}.enabled"

    def level(self, entry: Entry, _: re.Match[str]) -> str:
        """Take the log's level."""
        value = entry.value
        value = _LEVELS.get(value.lower(), value) if isinstance(value, str) else value
        self._block("log")["level"] = self.set("log.level", Choice(*LEVELS)(value), entry)
        return "log.level"

    def debug(self, entry: Entry, _: re.Match[str]) -> str:
        """Take a switch that makes the log talkative."""
        if not _switch(entry.value):
            raise Unmapped("is so anyway")
        self._block("log")["level"] = self.set("log.level", "debug", entry)
        return "log.level"

    def format(self, entry: Entry, match: re.Match[str]) -> str:
        """Take the log's format."""
        if match["switch"]:
            value = "json" if _switch(entry.value) else "text"
        else:
            value = Choice("text", "json")(entry.value)
        self._block("log")["format"] = self.set("log.format", value, entry)
        return "log.format"

    def birth(self, entry: Entry, _: re.Match[str]) -> str:
        """Take where Home Assistant says that it is there."""
        to = "home_assistant.birth_topic"
        self._block("home_assistant")["birth_topic"] = self.set(to, Topic()(entry.value), entry)
        return to

    def _block(self, name: str) -> dict[str, Any]:
        block: dict[str, Any] = self.found.blocks.setdefault(name, {})
        return block


def _switch(value: Raw) -> bool:
    return Switch()(
        {"1": "true", "0": "false"}.get(value, value) if isinstance(value, str) else value
    )


def seconds_of(value: Raw, least: float) -> float:
    """Return seconds that may have their unit behind them.

    Raises:
        vol.Invalid: It is no time, or shorter than the least.
    """
    text = re.sub(r"\s*s(ec(onds?)?)?$", "", value) if isinstance(value, str) else value
    return Seconds(least, MAX_INTERVAL)(text)


def _number(seconds: float) -> float:
    return int(seconds) if seconds.is_integer() else seconds


_BROKER: dict[str, Leaf[Any]] = {
    "host": HostName(),
    "port": Integer(1, 65535),
    "username": Text(),
    "password": Password(),
    "protocol": MqttVersion(),
    "keepalive": Integer(5, 3600, "seconds"),
}


def normal(key: str) -> str:
    """Write a key as the table does: `MQTT_HOST`, `mqtt.host` and `mqttHost` are `mqtt_host`."""
    if not key.isupper():
        key = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    name = re.sub(r"[^a-z0-9*]+", "_", key.lower()).strip("_")
    return re.sub(r"^(?:(?:pilot|companion|agent|config|settings|app|general)_)+(?=.)", "", name)
