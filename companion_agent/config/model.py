"""What a valid configuration says, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from companion_agent.buffer.settings import BacklogConfig
from companion_agent.models import Selection
from companion_agent.plugins.i2c.settings import I2cConfig
from companion_agent.security.policy import Policy
from companion_agent.updates.settings import UpdateConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Protocol = Literal["5", "3.1.1"]
LogFormat = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted. The broker's certificate is always verified.

    Attributes:
        ca_cert: The only authority that is trusted; the operating system's ones when `None`.
        client_cert: This agent's certificate, for brokers that ask for one.
        client_key: Its key; in `client_cert` itself when `None`.
        key_password: What the key is encrypted with.
    """

    ca_cert: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    key_password: str = field(default="", repr=False)


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
        client_id: The MQTT client id; one per start of the agent when empty.
        tls: How to encrypt; `None` for plain TCP.
    """

    host: str
    port: int = 1883
    username: str = ""
    password: str = field(default="", repr=False)
    protocol: Protocol = "5"
    keepalive: int = 30
    client_id: str = ""
    tls: Tls | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


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

    level: str = "info"
    format: LogFormat = "text"
    parts: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    max_size: int = 5 * 1024 * 1024
    keep: int = 3


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """How one collector works.

    Attributes:
        enabled: Whether it works at all.
        interval: Seconds between two readings; the collector's own when `None`.
        selection: Which of several things it reads.
    """

    enabled: bool = True
    interval: float | None = None
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class V1Topics:
    """The topics of Pilot's first version.

    Attributes:
        device: What the host was called in them.
        prefix: What they all start with.
        availability_topic: Where it said whether it was there; `None` for
            `<prefix>/<device>/availability`, empty to not say it.
    """

    device: str
    prefix: str = "pilot"
    availability_topic: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration.

    Attributes:
        brokers: The brokers, the preferred one first.
        state_dir: Where the agent keeps what it must remember.
        topic_prefix: What all topics start with.
        name: What the host is shown as; its host name when empty.
        birth_topic: Where Home Assistant says that it is there; empty to not listen.
        log: What is logged.
        collectors: Collectors that differ from their defaults, by name.
        i2c: The sensors on the I²C buses.
        backlog: What is kept of what nobody hears.
        commands: What paired controllers may do.
        update: Where new versions come from.
        fleet: The secret that many hosts share; `None` without one.
        mirror: The first version's topics to publish as well; `None` for not.
        path: The file that it was read from; `None` when it all came from the environment.
        secret_files: The files that hold a password or a key, this one among them if it does.
    """

    brokers: tuple[Broker, ...]
    state_dir: Path
    topic_prefix: str = "pilot/v2"
    name: str = ""
    birth_topic: str = "homeassistant/status"
    log: LogConfig = field(default_factory=LogConfig)
    collectors: Mapping[str, CollectorConfig] = field(default_factory=dict)
    i2c: I2cConfig = field(default_factory=I2cConfig)
    backlog: BacklogConfig = field(default_factory=BacklogConfig)
    commands: Policy = field(default_factory=Policy)
    update: UpdateConfig = field(default_factory=UpdateConfig)
    fleet: bytes | None = field(default=None, repr=False)
    mirror: V1Topics | None = None
    path: Path | None = None
    secret_files: tuple[Path, ...] = field(default=(), compare=False)

    def collector(self, name: str) -> CollectorConfig:
        """Return how a collector works, named in the configuration or not."""
        return self.collectors.get(name) or CollectorConfig()
