"""Every key of the configuration, and the frozen values that they become.

A key is a field: its type, its default, its unit and range, whether it is a secret, and what it
means stand here and nowhere else. Parts that are configured as a whole declare their section in
a `settings.py` of their own, with the same words; `Config` names it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from companion_agent.config.broker_address import BROKER_FORM, parse_broker
from companion_agent.config.buffer import BacklogConfig
from companion_agent.config.origins import Origins
from companion_agent.config.policy import Policy
from companion_agent.config.updates import UpdateConfig, check_update
from companion_agent.fields import ByName, Section, Setting, construct, declared, group, setting
from companion_agent.models import Selection
from companion_agent.plugins.desktop_settings import DesktopConfig
from companion_agent.plugins.hardware_monitor import LibreHardwareMonitorConfig
from companion_agent.plugins.i2c.settings import I2cConfig, make_i2c
from companion_agent.plugins.own.reading_settings import OwnReading, OwnReadings, make_reading
from companion_agent.plugins.own.settings import OwnCommand, OwnCommands, OwnName, make_command
from companion_agent.plugins.processes.settings import WatchedProcess, WatchedProcesses
from companion_agent.plugins.processor.settings import ProcessorConfig
from companion_agent.plugins.screen.settings import ScreenConfig
from companion_agent.plugins.services.settings import ServiceName, WatchedService, WatchedServices
from companion_agent.plugins.ups.settings import UpsConfig
from companion_agent.protocol.signing import fleet_secret
from companion_agent.protocol.topics import DEFAULT_PREFIX
from companion_agent.protocol.validation import MAX_INTERVAL
from companion_agent.secret import HIDDEN, Secret
from companion_agent.values import (
    MIB,
    AnyPath,
    Choice,
    FilePath,
    Folder,
    HostName,
    Integer,
    Leaf,
    MqttVersion,
    NewFile,
    Password,
    Patterns,
    Seconds,
    SecretFile,
    Switch,
    Text,
    Topic,
    WebSocketPath,
    invalid,
    read_secret,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from voluptuous import Invalid

    from companion_agent.config.errors import Mistake
    from companion_agent.values import Raw

Protocol = Literal["5", "3.1.1"]
LogFormat = Literal["text", "json"]
Carrier = Literal["tcp", "websockets"]
Discovery = Literal["integration", "mqtt"]

_TCP_PORTS = (1883, 8883)
_WEBSOCKET_PORTS = (80, 443)
LEVELS = ("debug", "info", "warning", "error")
PARTS = (
    "agent",
    "buffer",
    "config",
    "host_events",
    "identity",
    "ipc",
    "mqtt",
    "platforms",
    "plugins",
    "security",
    "updates",
)
FORMER_PARTS = {
    "backlog": "buffer",
    "collectors": "plugins",
    "commands": "plugins",
    "presence": "mqtt",
    "transport": "mqtt",
    "trust": "security",
}
"""What parts were called up to 0.1; configurations may still name them."""


class FleetKey(Leaf[Secret[bytes]]):
    """A fleet key."""

    expected = "base64 of 32 random bytes"
    secret = True

    def _read(self, text: str) -> Secret[bytes]:
        return Secret(fleet_secret(text))

    def _dump(self, value: Secret[bytes]) -> object:
        return HIDDEN


class FleetKeyFile(AnyPath[Secret[bytes]]):
    """A file that holds a fleet key and nothing else."""

    expected = "the path of a file that holds a fleet key"

    def _read(self, text: str) -> Secret[bytes]:
        if _is_fleet_key(text):
            raise ValueError("this is the key itself, which belongs into fleet_key")
        return Secret(fleet_secret(read_secret(self._place(text))))

    def _quote(self, text: str) -> str:
        return HIDDEN if _is_fleet_key(text) else super()._quote(text)


def _is_fleet_key(text: str) -> bool:
    try:
        fleet_secret(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted. The broker's certificate is always verified.

    Attributes:
        ca_cert: The only authority that is trusted; the operating system's ones when `None`.
        client_cert: This agent's certificate, for brokers that ask for one.
        client_key: Its key; in `client_cert` itself when `None`.
        key_password: What the key is encrypted with.
    """

    ca_cert: Path | None = setting(
        FilePath(), "Trust only this authority (PEM).", None, shown="the system's"
    )
    client_cert: Path | None = setting(FilePath(), "The agent's own certificate (PEM).", None)
    client_key: Path | None = setting(
        FilePath(), "Its key (PEM).", None, shown="in `client_cert`", needs="client_cert"
    )
    key_password: Secret[str] = setting(
        Password(), "What the key is encrypted with.", Secret(""), file=SecretFile()
    )


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker and how to log in to it.

    Attributes:
        host: Its name or address.
        port: Its TCP port.
        username: The login; empty without one.
        password: Its password.
        protocol: The version of MQTT to speak.
        keepalive: Seconds of silence after which a connection is probed.
        client_id: The MQTT client id; one per connection when empty.
        transport: What carries MQTT.
        websocket_path: The path that a WebSocket is opened at.
        tls: How to encrypt; `None` for plain TCP.
    """

    host: str = setting(HostName(), "Its name or address.", required=True)
    port: int = setting(
        Integer(1, 65535),
        "Its TCP port.",
        _TCP_PORTS[0],
        shown="{}, with TLS {}; by WebSocket {} and {}".format(*_TCP_PORTS, *_WEBSOCKET_PORTS),
    )
    username: str = setting(Text(), "The login.", "")
    password: Secret[str] = setting(
        Password(), "Its password.", Secret(""), needs="username", file=SecretFile()
    )
    protocol: Protocol = setting(MqttVersion(), "The version of MQTT.", "5")
    keepalive: int = setting(
        Integer(5, 3600, "seconds"), "Silence after which the connection is tested.", 30
    )
    client_id: str = setting(Text(128), "The MQTT client id.", "", shown="new for every connection")
    transport: Carrier = setting(
        Choice("tcp", "websockets"),
        "What carries MQTT: TCP, or a WebSocket (RFC 6455).",
        "tcp",
        quiet=True,
    )
    websocket_path: str = setting(
        WebSocketPath(), "Of a WebSocket: its path on the server.", "/mqtt", quiet=True
    )
    tls: Tls | None = setting(
        Section(Tls, switch=True),
        "Encrypt, and verify the broker's certificate; `true` trusts the authorities that the "
        "operating system trusts.",
        None,
        shown="false",
    )

    @property
    def authority(self) -> str:
        """Host and port as in an address (RFC 3986)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.transport == "tcp":
            return self.authority
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{self.websocket_path}"


def usual_port(transport: str, *, encrypted: bool) -> int:
    """Return the port that a broker has where none is named."""
    return (_WEBSOCKET_PORTS if transport == "websockets" else _TCP_PORTS)[encrypted]


def make_broker(values: dict[str, Any]) -> Broker:
    """Make a broker of its keys' values; the usual port depends on the others."""
    port = usual_port(values.get("transport", "tcp"), encrypted=bool(values.get("tls")))
    return construct(Broker, {"port": port, **values})


def check_broker(given: Mapping[str, Raw]) -> Iterator[Invalid]:
    """Find what does not go together among the keys as they were written."""
    if "websocket_path" in given and str(given.get("transport")).lower() != "websockets":
        yield invalid("only with transport: websockets", ["websocket_path"])


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What is logged.

    Attributes:
        level: The least important level that is shown.
        format: Text for people or JSON lines for machines.
        parts: Levels of single parts of the agent, by the part's name.
        file: Where it is written; standard error when `None`.
        max_size: Bytes after which a new file is begun.
        keep: How many full files are kept.
    """

    level: str = setting(
        Choice(*LEVELS), "The least important messages that are shown.", "info", remote=True
    )
    format: LogFormat = setting(
        Choice("text", "json"), "Text for people, JSON lines for machines.", "text"
    )
    parts: Mapping[str, str] = setting(
        ByName("part", Choice(*LEVELS), PARTS, tuple(FORMER_PARTS)),
        f"Another level for one part: {', '.join(PARTS)}.",
        factory=dict,
    )
    file: Path | None = setting(
        NewFile(), "Where they are written instead.", None, shown="standard error"
    )
    max_size: int = setting(
        Integer(1, 1000, "MiB", MIB), "Begin a new file when this one is larger.", 5 * MIB
    )
    keep: int = setting(Integer(0, 100), "How many full files are kept beside it.", 3)


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """How one collector works.

    Attributes:
        enabled: Whether it works at all.
        interval: Seconds between two readings; the collector's own when `None`.
        selection: Which of several things it reads.
    """

    enabled: bool = setting(Switch(), "Whether it works.", True, remote=True)
    interval: float | None = setting(
        Seconds(1, MAX_INTERVAL),
        "Time between two readings.",
        None,
        shown="the collector's own",
        remote=True,
    )
    selection: Selection = group(
        Selection,
        factory=Selection,
        include=Setting(Patterns(), "Only these.", shown="all", remote=True),
        exclude=Setting(Patterns(), "Not these.", remote=True),
    )


@dataclass(frozen=True, slots=True)
class V1Topics:
    """The topics of Pilot's first version.

    Attributes:
        device: What the host was called in them.
        prefix: What they all start with.
        availability_topic: Where it said whether it was there; `None` for
            `<prefix>/<device>/availability`, empty to not say it.
        commands: Whether its command topics are obeyed, where nothing is signed.
    """

    device: str = setting(
        Topic(), "Publish the topics of v1 too; what the host is called in them.", required=True
    )
    prefix: str = setting(Topic(), "What those topics start with.", "pilot")
    availability_topic: str | None = setting(
        Topic(optional=True),
        'Where `online` and `offline` are said; `""` to not say it.',
        None,
        shown="`<prefix>/<device>/availability`",
    )
    commands: bool = setting(
        Switch(),
        "Obey the command topics of v1, where nothing is signed. Every client that may publish to "
        "the broker can then command this host.",
        False,
        quiet=True,
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration.

    Attributes:
        brokers: The brokers, the preferred one first.
        state_dir: Where the agent keeps what it must remember.
        topic_prefix: What all topics start with.
        name: What the host is shown as; its host name when empty.
        birth_topic: Where Home Assistant says that it is there; empty to not listen.
        discovery: How Home Assistant finds this host.
        discovery_prefix: What the topics of its own MQTT discovery begin with.
        log: What is logged.
        collectors: Collectors that differ from their defaults, by name.
        desktop: What is looked at of users' desktops.
        i2c: The sensors on the I²C buses.
        libre_hardware_monitor: Whether LibreHardwareMonitor is asked for temperatures.
        processor: When the processor is put back as it was found.
        screen: How the screen is set.
        ups: The server that knows the uninterruptible power supplies; `None` for none.
        services: The services that are watched, by name or pattern.
        processes: The programs that are watched, by name.
        own_commands: What the owner has added for Home Assistant to start, by name.
        own_readings: What the owner has added for Home Assistant to see, by name.
        backlog: What is kept of what could not be delivered.
        commands: What paired controllers may do.
        update: Where new versions come from.
        fleet: The secret that many hosts share; `None` without one.
        mirror: The first version's topics to publish as well; `None` for not.
        path: The file that it was read from; `None` when it all came from the environment.
        secret_files: The files that hold a password or a key, this one among them if it does.
        origins: Where each value was written.
        overlay_mistakes: What Home Assistant has set and cannot count, and why.
    """

    brokers: tuple[Broker, ...] = setting(
        Section(
            Broker,
            make_broker,
            check_broker,
            several=True,
            text=parse_broker,
            text_form=BROKER_FORM,
        ),
        "The broker: a text, keys, or a list of either in order of preference.",
        key="broker",
        required=True,
    )
    state_dir: Path = setting(Folder(), "Where the agent keeps the host's id.", shown="see below")
    topic_prefix: str = setting(Topic(), "What all topics start with.", DEFAULT_PREFIX)
    name: str = setting(
        Text(), "What the host is shown as in Home Assistant.", "", shown="the host name"
    )
    birth_topic: str = setting(
        Topic(optional=True),
        'Where Home Assistant says that it has started; `""` to not listen.',
        "homeassistant/status",
        key="home_assistant.birth_topic",
    )
    discovery: Discovery = setting(
        Choice("integration", "mqtt"),
        "How Home Assistant finds this host: by the Pilot integration alone, or by its own MQTT "
        "discovery as well.",
        "integration",
        quiet=True,
    )
    discovery_prefix: str = setting(
        Topic(),
        "What the topics of Home Assistant's own MQTT discovery begin with.",
        "homeassistant",
        key="home_assistant.discovery_prefix",
        quiet=True,
    )
    log: LogConfig = setting(Section(LogConfig), "What is logged.", factory=LogConfig)
    collectors: Mapping[str, CollectorConfig] = setting(
        ByName("collector", Section(CollectorConfig)), "How collectors work.", factory=dict
    )
    desktop: DesktopConfig = setting(
        Section(DesktopConfig), "What is looked at of users' desktops.", factory=DesktopConfig
    )
    i2c: I2cConfig = setting(
        Section(I2cConfig, make_i2c), "Sensors on I²C buses.", factory=I2cConfig
    )
    libre_hardware_monitor: LibreHardwareMonitorConfig = setting(
        Section(LibreHardwareMonitorConfig),
        "Temperatures from LibreHardwareMonitor.",
        factory=LibreHardwareMonitorConfig,
    )
    processor: ProcessorConfig = setting(
        Section(ProcessorConfig), "The processor's settings.", factory=ProcessorConfig
    )
    screen: ScreenConfig = setting(
        Section(ScreenConfig), "How the screen is set.", factory=ScreenConfig
    )
    ups: UpsConfig | None = setting(
        Section(UpsConfig, switch=True),
        "Show the uninterruptible power supplies that a server of Network UPS Tools knows; `true` "
        "for the one on this machine.",
        None,
        shown="false",
    )
    services: Mapping[str, WatchedService] = setting(
        ByName("service", Section(WatchedService), free=ServiceName()),
        "Services that are watched, by the system's name of them; * and ? stand for others.",
        factory=dict,
    )
    processes: Mapping[str, WatchedProcess] = setting(
        ByName("program", Section(WatchedProcess), free=OwnName()),
        "Programs that are watched: whether they run, and what they take.",
        factory=dict,
    )
    own_commands: Mapping[str, OwnCommand] = setting(
        ByName("command", Section(OwnCommand, make_command), free=OwnName()),
        "Programs of your own that Home Assistant may start.",
        factory=dict,
    )
    own_readings: Mapping[str, OwnReading] = setting(
        ByName("reading", Section(OwnReading, make_reading), free=OwnName()),
        "Values of your own that Home Assistant shows.",
        factory=dict,
    )
    backlog: BacklogConfig = setting(
        Section(BacklogConfig), "What is kept of what cannot be delivered.", factory=BacklogConfig
    )
    commands: Policy = setting(Section(Policy), "What paired controllers may do.", factory=Policy)
    fleet: Secret[bytes] | None = setting(
        FleetKey(),
        "Trust every Home Assistant that has this key, without pairing: 32 random bytes in "
        "base64, as `openssl rand -base64 32` prints them.",
        None,
        key="security.fleet_key",
        file=FleetKeyFile(),
    )
    mirror: V1Topics | None = setting(
        Section(V1Topics), "The topics of Pilot's first version.", None, key="mirror.v1"
    )
    update: UpdateConfig = setting(
        Section(UpdateConfig, check=check_update),
        "Where new versions come from.",
        factory=UpdateConfig,
    )
    path: Path | None = None
    secret_files: tuple[Path, ...] = field(default=(), compare=False)
    origins: Origins = field(default_factory=Origins, compare=False, repr=False)
    overlay_mistakes: tuple[Mistake, ...] = field(default=(), compare=False)

    def of_plugins(self) -> dict[type, object]:
        """Return the sections that belong to single plug-ins, by their type."""
        return {
            # What is not read cannot be tuned.
            DesktopConfig: self.desktop,
            I2cConfig: self.i2c if self.collector("i2c").enabled else None,
            LibreHardwareMonitorConfig: self.libre_hardware_monitor,
            ProcessorConfig: self.processor,
            ScreenConfig: self.screen,
            UpsConfig: self.ups,
            WatchedServices: WatchedServices(self.services),
            WatchedProcesses: WatchedProcesses(self.processes),
            OwnCommands: OwnCommands(self.own_commands),
            OwnReadings: OwnReadings(self.own_readings),
        }

    def collector(self, name: str) -> CollectorConfig:
        """Return how a collector works, named in the configuration or not."""
        return self.collectors.get(name) or CollectorConfig()


def _secret_names(of: type) -> Iterator[str]:
    for one in declared(of):
        kind = one.setting.kind
        if isinstance(kind, Section):
            yield from _secret_names(kind.of)
        elif isinstance(kind, Leaf) and kind.secret:
            yield one.key.rpartition(".")[2]


SECRETS = frozenset(_secret_names(Config))
"""Last steps of keys that hold a secret; with `_file` behind them they name a file that does."""
