"""The one schema: what is valid, what the documentation says, and what was probably meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import voluptuous as vol

from companion_agent.buffer.settings import DAY, MIB, BacklogConfig
from companion_agent.config.i2c import (
    Address,
    MultiplexerAddress,
    SensorType,
    make_i2c,
    make_sensor,
    sensor_rules,
)
from companion_agent.config.model import (
    Broker,
    CollectorConfig,
    LogConfig,
    Tls,
    V1Topics,
)
from companion_agent.config.source import Raw, parse_broker
from companion_agent.config.update import PublicKey, UpdateSource, update_rules
from companion_agent.config.values import (
    Choice,
    Cooldowns,
    FilePath,
    FleetKey,
    FleetKeyFile,
    Folder,
    HostName,
    Integer,
    Leaf,
    ListOf,
    MqttVersion,
    NewFile,
    NothingToChoose,
    Number,
    Patterns,
    Seconds,
    Secret,
    SecretFile,
    Switch,
    Text,
    Topic,
    hint,
    shown,
)
from companion_agent.models import Selection
from companion_agent.plugins.i2c.drivers import QUANTITIES
from companion_agent.protocol.topics import DEFAULT_PREFIX
from companion_agent.protocol.validation import MAX_INTERVAL
from companion_agent.security.policy import Policy
from companion_agent.updates.settings import UpdateConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from companion_agent.plugins.i2c.settings import I2cConfig, SensorConfig

T = TypeVar("T")

# What follows a key whose value is a list of keys; no variable can set what is below.
LISTED = "[]"
LEVELS = ("debug", "info", "warning", "error")
PARTS = (
    "agent",
    "backlog",
    "collectors",
    "commands",
    "config",
    "identity",
    "platforms",
    "presence",
    "transport",
    "trust",
)


class Doc(NamedTuple):
    """What the documentation says about a key."""

    default: str
    text: str


class Row(NamedTuple):
    """One line of the table in `docs/configuration.md`."""

    key: tuple[str, ...]
    expected: str
    default: str
    text: str


def key(name: str, default: str, text: str) -> vol.Optional:
    """Name a key that may be left out."""
    return vol.Optional(name, description=Doc(default, text))


def needed(name: str, text: str) -> vol.Required:
    """Name a key that must be there."""
    return vol.Required(name, msg="is missing", description=Doc("", text))


# --- What has keys below it ------------------------------------------------------------------


class Section(Generic[T]):
    """Keys and their values; every key that is not known is reported with the one that was meant.

    Args:
        keys: The keys, made by `key()` and `needed()`, and what their values are.
        make: Makes the section's value of its keys' values.
        rules: Finds what does not go together among the keys that were given.
    """

    def __init__(
        self,
        keys: Mapping[vol.Marker, Any],
        make: Callable[[dict[str, Any]], T],
        rules: Callable[[Collection[str]], Iterator[vol.Invalid]] = lambda _: iter(()),
    ) -> None:
        self.keys = keys
        self.rules = rules
        self.names = tuple(str(marker.schema) for marker in keys)
        self._schema = vol.Schema(dict(keys))
        self._make = make

    def __call__(self, raw: Raw) -> T:
        """Return the section's value.

        Raises:
            vol.Invalid: Something in it is wrong; all of it, as one `vol.MultipleInvalid`.
        """
        if not isinstance(raw, dict):
            what = "a list" if isinstance(raw, list) else shown(raw)
            raise vol.Invalid(f"expected keys below it ({', '.join(self.names)}), not {what}")
        errors = [
            vol.Invalid(f"is not known here{hint(name, self.names)}", [name])
            for name in raw
            if name not in self.names
        ]
        errors.extend(self.rules(raw))
        values = {}
        try:
            values = self._schema({name: raw[name] for name in raw if name in self.names})
        except vol.MultipleInvalid as error:
            errors.extend(error.errors)
        if errors:
            raise vol.MultipleInvalid(errors)
        return self._make(values)

    def rows(self, above: tuple[str, ...] = ()) -> Iterator[Row]:
        """Describe all keys."""
        for marker, value in self.keys.items():
            place = (*above, str(marker.schema))
            yield from describe(place, value, marker.description or Doc("", ""))


class ByName:
    """A value for each of some names.

    Args:
        noun: What the names are names of.
        sections: What the value of each name is.
        sample: What the documentation describes for all of them.
    """

    def __init__(
        self,
        noun: str,
        sections: Mapping[str, Section[Any] | Leaf[Any]],
        sample: Section[Any] | Leaf[Any],
    ) -> None:
        self.noun = noun
        self.names = tuple(sections)
        self.sections = sections
        self.sample = sample

    def __call__(self, raw: Raw) -> dict[str, Any]:
        """Return the values by name.

        Raises:
            vol.Invalid: Something in it is wrong.
        """
        if not isinstance(raw, dict):
            raise vol.Invalid(f"expected keys below it ({', '.join(self.names)})")
        errors: list[vol.Invalid] = []
        values = {}
        for name, below in raw.items():
            if name not in self.sections:
                wrong = f"is not a {self.noun}{hint(name, self.names)}"
                errors.append(vol.Invalid(wrong, [name]))
                continue
            try:
                values[name] = self.sections[name](below)
            except vol.Invalid as error:
                error.prepend([name])
                errors.extend(error.errors if isinstance(error, vol.MultipleInvalid) else [error])
        if errors:
            raise vol.MultipleInvalid(errors)
        return values


class Brokers:
    """One broker or a list of them, each a text or keys."""

    def __init__(self, section: Section[Broker]) -> None:
        self.section = section

    def __call__(self, raw: Raw) -> tuple[Broker, ...]:
        """Return the brokers.

        Raises:
            vol.Invalid: Something in them is wrong.
        """
        if not isinstance(raw, list):
            return (self._broker(raw),)
        if not raw:
            raise vol.Invalid("expected a broker or a list of them; the list is empty")
        brokers: list[Broker] = []
        errors: list[vol.Invalid] = []
        for number, item in enumerate(raw):
            try:
                brokers.append(self._broker(item))
            except vol.Invalid as error:
                error.prepend([number])
                errors.extend(error.errors if isinstance(error, vol.MultipleInvalid) else [error])
        if errors:
            raise vol.MultipleInvalid(errors)
        return tuple(brokers)

    def _broker(self, raw: Raw) -> Broker:
        if not isinstance(raw, str):
            return self.section(raw)
        try:
            return self.section(parse_broker(raw))
        except ValueError as error:
            wrong = f"expected a host, host:port or mqtt(s)://…, but {shown(raw)} {error}"
            raise vol.Invalid(wrong) from None


class Several(Generic[T]):
    """A list of sections; a single one needs no list."""

    def __init__(self, section: Section[T]) -> None:
        self.section = section

    def __call__(self, raw: Raw) -> tuple[T, ...]:
        """Return the sections' values.

        Raises:
            vol.Invalid: Something in them is wrong.
        """
        if not isinstance(raw, list):
            return (self.section(raw),)
        made: list[T] = []
        errors: list[vol.Invalid] = []
        for number, item in enumerate(raw):
            try:
                made.append(self.section(item))
            except vol.Invalid as error:
                error.prepend([number])
                errors.extend(error.errors if isinstance(error, vol.MultipleInvalid) else [error])
        if errors:
            raise vol.MultipleInvalid(errors)
        return tuple(made)


class Encryption:
    """`true`, `false`, or the keys of a TLS connection."""

    def __init__(self, section: Section[Tls]) -> None:
        self.section = section

    def __call__(self, raw: Raw) -> Tls | None:
        """Return how to encrypt; `None` for not at all.

        Raises:
            vol.Invalid: Something in it is wrong.
        """
        if isinstance(raw, str):
            return Tls() if Switch()(raw) else None
        return self.section(raw)


def describe(place: tuple[str, ...], value: object, doc: Doc) -> Iterator[Row]:
    """Describe a key and those below it."""
    if isinstance(value, Leaf):
        yield Row(place, value.expected, doc.default, doc.text)
    elif isinstance(value, Section):
        yield from value.rows(place)
    elif isinstance(value, Brokers):
        yield from value.section.rows(place)
    elif isinstance(value, Several):
        yield from value.section.rows((*place[:-1], f"{place[-1]}{LISTED}"))
    elif isinstance(value, Encryption):
        yield Row(place, "true, false or the keys below", doc.default, doc.text)
        yield from value.section.rows(place)
    elif isinstance(value, ByName):
        yield from describe((*place, f"<{value.noun}>"), value.sample, doc)


# --- The schema ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """What a collector is to the schema: its usual interval, and what it lets choose."""

    interval: float
    selects: str


def build(base: Path, collectors: Mapping[str, Known]) -> Section[dict[str, Any]]:
    """Build the schema.

    Args:
        base: Where relative paths start: the configuration's folder.
        collectors: The collectors that there are.
    """
    return Section(
        {
            needed(
                "broker", "The broker: a text, keys, or a list of either in order of preference."
            ): (Brokers(_broker(base))),
            key("name", "the host name", "What the host is shown as in Home Assistant."): Text(),
            key("topic_prefix", DEFAULT_PREFIX, "What all topics start with."): Topic(),
            key("state_dir", "see below", "Where the agent keeps the host's id."): Folder(base),
            key("home_assistant", "", ""): Section(
                {
                    key(
                        "birth_topic",
                        "homeassistant/status",
                        'Where Home Assistant says that it has started; `""` to not listen.',
                    ): Topic(optional=True)
                },
                dict,
            ),
            key("log", "", ""): Section(
                {
                    key("level", "info", "The least important messages that are shown."): (
                        Choice(*LEVELS)
                    ),
                    key("format", "text", "Text for people, JSON lines for machines."): (
                        Choice("text", "json")
                    ),
                    key("parts", "", f"Another level for one part: {', '.join(PARTS)}."): ByName(
                        "part", dict.fromkeys(PARTS, Choice(*LEVELS)), Choice(*LEVELS)
                    ),
                    key("file", "standard error", "Where they are written instead."): (
                        NewFile(base)
                    ),
                    key("max_size", "5", "Begin a new file when this one is larger."): (
                        Integer(1, 1000, "MiB")
                    ),
                    key("keep", "3", "How many full files are kept beside it."): Integer(0, 100),
                },
                _make_log,
            ),
            key("collectors", "", ""): ByName(
                "collector",
                {name: _collector(known) for name, known in collectors.items()},
                _collector(Known(1, "things")),
            ),
            key("i2c", "", ""): _i2c(),
            key("backlog", "", ""): _backlog(),
            key("commands", "", ""): _commands(),
            key("security", "", ""): _security(base),
            key("mirror", "", ""): _mirror(),
            key("update", "", ""): _update(base),
        },
        dict,
    )


def _make_log(values: dict[str, Any]) -> LogConfig:
    if "max_size" in values:
        values["max_size"] *= MIB
    return LogConfig(**values)


def _backlog() -> Section[BacklogConfig]:
    return Section(
        {
            key(
                "enabled",
                "true",
                "Keep readings on the disk while nobody hears them, and deliver them afterwards.",
            ): Switch(),
            key("max_age", "7", "Drop what nobody has fetched for so long."): (
                Number(0.01, 60, "days")
            ),
            key("max_size", "32", "Drop the oldest when the file is larger."): (
                Integer(1, 10_000, "MiB")
            ),
            key("write_interval", "60", "Time between two writes to the disk."): (Seconds(1, 3600)),
        },
        _make_backlog,
    )


def _make_backlog(values: dict[str, Any]) -> BacklogConfig:
    if "max_age" in values:
        values["max_age"] *= DAY
    if "max_size" in values:
        values["max_size"] *= MIB
    return BacklogConfig(**values)


def _commands() -> Section[Policy]:
    return Section(
        {
            key("allow", "all", "Only what matches one of these may be called: `power.*`."): (
                Patterns()
            ),
            key("deny", "", "This may not, even if it is allowed above."): Patterns(),
            key(
                "cooldown",
                "the command's own",
                "Refuse a second call within so many seconds; the first match counts.",
            ): Cooldowns(),
            key("dry_run", "false", "Check and record everything, and carry out nothing."): (
                Switch()
            ),
        },
        lambda values: Policy(**values),
    )


def _update(base: Path) -> Section[UpdateConfig]:
    return Section(
        {
            key("source", "homeassistant", "Where new versions of the agent come from."): (
                UpdateSource(base)
            ),
            key("keys", "", "Whose signature they need: public keys (Ed25519) in base64."): (
                ListOf(PublicKey(), "public keys")
            ),
            key("automatic", "false", "Install what is there without being asked."): Switch(),
            key("trial", "120", "Time in which a new version has to be online."): (
                Seconds(5, 3600)
            ),
        },
        lambda values: UpdateConfig(**values),
        update_rules,
    )


def _security(base: Path) -> Section[dict[str, Any]]:
    return Section(
        {
            key(
                "fleet_key",
                "",
                "Trust every Home Assistant that has this key, without pairing: 32 random bytes "
                "in base64, as `openssl rand -base64 32` prints them.",
            ): FleetKey(),
            key("fleet_key_file", "", "A file that holds the fleet key."): FleetKeyFile(base),
        },
        _make_security,
        lambda given: _one_of("fleet_key", given),
    )


def _mirror() -> Section[V1Topics | None]:
    v1 = Section(
        {
            needed("device", "Publish the topics of v1 too; what the host is called in them."): (
                Topic()
            ),
            key("prefix", "pilot", "What those topics start with."): Topic(),
            key(
                "availability_topic",
                "`<prefix>/<device>/availability`",
                'Where `online` and `offline` are said; `""` to not say it.',
            ): Topic(optional=True),
        },
        lambda values: V1Topics(**values),
    )
    return Section({key("v1", "", ""): v1}, lambda values: values.get("v1"))


def _make_security(values: dict[str, Any]) -> dict[str, Any]:
    _use_file(values, "fleet_key")
    return {"fleet": values.get("fleet_key")}


def _broker(base: Path) -> Section[Broker]:
    return Section(
        {
            needed("host", "Its name or address."): HostName(),
            key("port", "1883, with TLS 8883", "Its TCP port."): Integer(1, 65535),
            key("username", "", "The login."): Text(),
            key("password", "", "Its password."): Secret(),
            key("password_file", "", "A file that holds the password."): SecretFile(base),
            key("protocol", "5", "The version of MQTT."): MqttVersion(),
            key("keepalive", "30", "Silence after which the connection is tested."): (
                Integer(5, 3600, "seconds")
            ),
            key("client_id", "new at every start", "The MQTT client id."): Text(128),
            key(
                "tls",
                "false",
                "Encrypt, and verify the broker's certificate; `true` trusts the authorities "
                "that the operating system trusts.",
            ): Encryption(_tls(base)),
        },
        _make_broker,
        _broker_rules,
    )


def _tls(base: Path) -> Section[Tls]:
    return Section(
        {
            key("ca_cert", "the system's", "Trust only this authority (PEM)."): FilePath(base),
            key("client_cert", "", "The agent's own certificate (PEM)."): FilePath(base),
            key("client_key", "in `client_cert`", "Its key (PEM)."): FilePath(base),
            key("key_password", "", "What the key is encrypted with."): Secret(),
            key("key_password_file", "", "A file that holds that password."): SecretFile(base),
        },
        _make_tls,
        _tls_rules,
    )


def _collector(known: Known) -> Section[CollectorConfig]:
    patterns = Patterns() if known.selects else NothingToChoose()
    keys: dict[vol.Marker, Any] = {
        key("enabled", "true", "Whether it works."): Switch(),
        key("interval", "the collector's own", "Time between two readings."): (
            Seconds(1, MAX_INTERVAL)
        ),
        key("include", "all", "Only these."): patterns,
        key("exclude", "", "Not these."): patterns,
    }
    return Section(keys, _make_collector)


def _i2c() -> Section[I2cConfig]:
    bus = Integer(0, 9999)
    return Section(
        {
            key("sensors", "", ""): Several(_sensor()),
            key(
                "scan",
                "false",
                "Look for sensors that are not named here and can be told without harm.",
            ): Switch(),
            key("buses", "1", "Where to look: the N of `/dev/i2c-N`."): ListOf(bus, "bus numbers"),
            key(
                "multiplexers", "", "Multiplexers (TCA9548A) there, to look behind them too."
            ): ListOf(MultiplexerAddress(), "addresses from 0x70 to 0x77"),
        },
        make_i2c,
    )


def _sensor() -> Section[SensorConfig]:
    offset = Number(-100_000, 100_000)
    return Section(
        {
            needed("type", "What it is."): SensorType(),
            key("bus", "1", "The bus that it hangs on."): Integer(0, 9999),
            key("address", "the type's first", "Its address."): Address(),
            key("multiplexer", "", "The address of the TCA9548A that it hangs behind."): (
                MultiplexerAddress()
            ),
            key("channel", "", "Its channel there."): Integer(0, 7),
            key("name", "its model", "What it is shown as in Home Assistant."): Text(),
            key("interval", "the collector's", "Time between two measurements."): (
                Seconds(1, MAX_INTERVAL)
            ),
            key("average", "1", "Report the mean of so many measurements."): Integer(1, 1000),
            key("offset", "0", "Added to what it measures, in the quantity's unit."): ByName(
                "quantity", dict.fromkeys(QUANTITIES, offset), offset
            ),
            key("shunt", "0.1", "Of an INA219: the resistance of its shunt."): (
                Number(0.0001, 100, "ohms")
            ),
        },
        make_sensor,
        sensor_rules,
    )


def _make_collector(values: dict[str, Any]) -> CollectorConfig:
    return CollectorConfig(
        values.get("enabled", True),
        values.get("interval"),
        Selection(values.get("include", ()), values.get("exclude", ())),
    )


def _make_broker(values: dict[str, Any]) -> Broker:
    _use_file(values, "password")
    values.setdefault("port", 8883 if values.get("tls") else 1883)
    return Broker(**values)


def _broker_rules(given: Collection[str]) -> Iterator[vol.Invalid]:
    yield from _one_of("password", given)
    if "username" not in given and ("password" in given or "password_file" in given):
        yield vol.Invalid("is missing: there is a password", ["username"])


def _make_tls(values: dict[str, Any]) -> Tls:
    _use_file(values, "key_password")
    return Tls(**values)


def _tls_rules(given: Collection[str]) -> Iterator[vol.Invalid]:
    yield from _one_of("key_password", given)
    if "client_key" in given and "client_cert" not in given:
        yield vol.Invalid("is missing: there is a client_key", ["client_cert"])


def _one_of(secret: str, given: Collection[str]) -> Iterator[vol.Invalid]:
    if secret in given and f"{secret}_file" in given:
        yield vol.Invalid(f"give either this or {secret}", [f"{secret}_file"])


def _use_file(values: dict[str, Any], secret: str) -> None:
    if f"{secret}_file" in values:
        values[secret] = values.pop(f"{secret}_file")
