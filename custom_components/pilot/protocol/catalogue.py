"""The catalogue: every kind of reading that both sides know, with all that is fixed about it.

`docs/protocol.md` shows it as a table, made from here by `scripts/generate-docs`. Whatever an
announce says of a kind that stands here, its type, unit and options are those of this table.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class ReadingType(StrEnum):
    """What the values of a reading are."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    ENUM = "enum"


class Several(Enum):
    """Whether a host has several readings of a kind, told apart by `of`."""

    NO = "no"
    YES = "yes"
    OPTIONAL = "optional"


OPTIONAL: Final = "optional"


class Kind(NamedTuple):
    """What is known of all readings of a kind.

    Attributes:
        name: The kind, as announces say it.
        meaning: What it measures; empty for an enum, which its options explain.
        type: The type of its values.
        unit: Home Assistant's native unit; empty where it has none.
        of: What tells several readings of it apart, `mount point`; `optional` where there may be
            one or several; empty where there is one.
        options: The values of an enum.
        setting: Whether it is how something is set, and a command of the same kind sets it.
        nullable: Whether `null` is a value of it (nothing is planned), and no reading that failed.
    """

    name: str
    meaning: str
    type: ReadingType = ReadingType.NUMBER
    unit: str = ""
    of: str = ""
    options: tuple[str, ...] = ()
    setting: bool = False
    nullable: bool = False

    @property
    def several(self) -> Several:
        """Whether a host has several of it."""
        if not self.of:
            return Several.NO
        return Several.OPTIONAL if self.of == OPTIONAL else Several.YES


CATALOGUE: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("cpu.percent", "processor use, all cores", unit="%"),
            Kind("cpu.core_percent", "use of one core", unit="%", of="core number"),
            Kind("cpu.load_1m", "load average over 1 minute"),
            Kind("cpu.load_5m", "load average over 5 minutes"),
            Kind("cpu.load_15m", "load average over 15 minutes"),
            Kind("cpu.frequency", "current frequency, mean of the cores", unit="MHz"),
            Kind("cpu.temperature", "the processor's own temperature", unit="°C"),
            Kind("cpu.context_switches", "context switches per second", unit="1/s"),
            Kind(
                "memory.percent", "memory in use (not counting what can be freed at once)", unit="%"
            ),
            Kind("memory.used", "memory in use", unit="B"),
            Kind("memory.available", "memory that programs can still get", unit="B"),
            Kind("memory.total", "memory in the machine", unit="B"),
            Kind("memory.swap_percent", "swap space in use", unit="%"),
            Kind("memory.swap_used", "swap space in use", unit="B"),
            Kind("memory.swap_total", "swap space", unit="B"),
            Kind("disk.used_percent", "file system, in use", unit="%", of="mount point"),
            Kind("disk.used", "file system, in use", unit="B", of="mount point"),
            Kind("disk.free", "file system, free for ordinary users", unit="B", of="mount point"),
            Kind("disk.total", "file system, size", unit="B", of="mount point"),
            Kind("disk_io.read_rate", "read from the device", unit="B/s", of="device"),
            Kind("disk_io.write_rate", "written to the device", unit="B/s", of="device"),
            Kind(
                "disk_health.health",
                "",
                type=ReadingType.ENUM,
                options=("passed", "failed"),
            ),
            Kind("disk_health.wear", "how much of its life a disk has used", unit="%"),
            Kind("disk_health.temperature", "a disk's temperature", unit="°C"),
            Kind("disk_health.reallocated_sectors", "sectors that a disk has replaced"),
            Kind("disk_health.pending_sectors", "sectors that a disk could not read lately"),
            Kind("disk_health.power_on_time", "how long a disk has been on, ever", unit="h"),
            Kind("disk_health.unsafe_shutdowns", "how often a disk lost power unprepared"),
            Kind(
                "disk_health.array_state",
                "",
                type=ReadingType.ENUM,
                of="array",
                options=("clean", "degraded", "recovering", "checking", "failed", "inactive"),
            ),
            Kind(
                "disk_health.array_degraded",
                "a disk is missing of an array",
                type=ReadingType.BOOLEAN,
                of="array",
            ),
            Kind(
                "disk_health.array_progress",
                "how much of an array is recovered or checked; null while nothing is",
                unit="%",
                of="array",
                nullable=True,
            ),
            Kind(
                "disk_health.array_errors",
                "errors that btrfs has counted on the devices of a file system, ever",
                of="array",
            ),
            Kind("network.download_rate", "received", unit="B/s", of="interface"),
            Kind("network.upload_rate", "sent", unit="B/s", of="interface"),
            Kind(
                "network.received",
                "received since the interface came up; starts again at 0",
                unit="B",
                of="interface",
            ),
            Kind(
                "network.sent",
                "sent since the interface came up; starts again at 0",
                unit="B",
                of="interface",
            ),
            Kind("network.connected", "the link is up", type=ReadingType.BOOLEAN, of="interface"),
            Kind("network.ipv4", "its first IPv4 address", type=ReadingType.TEXT, of="interface"),
            Kind(
                "network.ipv6",
                "its first IPv6 address that is not link-local",
                type=ReadingType.TEXT,
                of="interface",
            ),
            Kind(
                "temperature.sensor",
                "a temperature inside the machine",
                unit="°C",
                of="chip and label",
            ),
            Kind("fan.speed", "a fan's speed", unit="rpm", of="chip and label"),
            Kind("graphics.percent", "use of a graphics card", unit="%"),
            Kind("graphics.memory_percent", "its memory, in use", unit="%"),
            Kind("graphics.memory_used", "its memory, in use", unit="B"),
            Kind("graphics.memory_total", "its memory, size", unit="B"),
            Kind(
                "graphics.temperature",
                "its temperature, where that is no `temperature.sensor`",
                unit="°C",
            ),
            Kind(
                "graphics.too_hot",
                "it has reached the temperature from which on it protects itself",
                type=ReadingType.BOOLEAN,
            ),
            Kind("graphics.power", "the power that it draws", unit="W"),
            Kind("graphics.frequency", "frequency of its processor", unit="MHz"),
            Kind(
                "graphics.fan_percent",
                "speed of its fan, where that is no `fan.speed`",
                unit="%",
            ),
            Kind("battery.level", "charge", unit="%", of=OPTIONAL),
            Kind(
                "battery.state",
                "what it does now",
                type=ReadingType.ENUM,
                of=OPTIONAL,
                options=("charging", "discharging", "full", "not_charging", "unknown"),
            ),
            Kind(
                "battery.time_left",
                "until empty, or until full while charging",
                unit="s",
                of=OPTIONAL,
            ),
            Kind(
                "battery.power",
                "flowing out of the battery (positive) or into it (negative)",
                unit="W",
                of=OPTIONAL,
            ),
            Kind("battery.energy", "held by the battery now", unit="Wh", of=OPTIONAL),
            Kind(
                "battery.health",
                "what the battery holds when full, of what it held when it was new",
                unit="%",
                of=OPTIONAL,
            ),
            Kind("battery.plugged", "external power is connected", type=ReadingType.BOOLEAN),
            Kind(
                "ups.status",
                "",
                type=ReadingType.ENUM,
                options=(
                    "online",
                    "on_battery",
                    "low_battery",
                    "overloaded",
                    "bypass",
                    "calibrating",
                    "off",
                    "shutting_down",
                    "unknown",
                ),
            ),
            Kind(
                "ups.on_battery",
                "the mains have failed: an uninterruptible power supply (UPS) feeds from its "
                "battery",
                type=ReadingType.BOOLEAN,
            ),
            Kind("ups.low_battery", "a UPS says it is nearly empty", type=ReadingType.BOOLEAN),
            Kind(
                "ups.replace_battery",
                "a UPS says that its battery is to be replaced",
                type=ReadingType.BOOLEAN,
            ),
            Kind("ups.charge", "charge of a UPS", unit="%"),
            Kind("ups.runtime", "how long a UPS lasts on battery", unit="s"),
            Kind("ups.battery_voltage", "voltage of a UPS's battery", unit="V"),
            Kind("ups.input_voltage", "voltage of the mains", unit="V"),
            Kind("ups.output_voltage", "voltage that a UPS gives", unit="V"),
            Kind("ups.load", "how much of what it can a UPS gives", unit="%"),
            Kind(
                "power.planned_shutdown",
                "when it is to be shut down or restarted; null while nothing is planned",
                type=ReadingType.TIMESTAMP,
                nullable=True,
            ),
            Kind(
                "processor.profile",
                "power profile of this machine",
                type=ReadingType.TEXT,
                setting=True,
            ),
            Kind(
                "processor.profile_degraded",
                "what keeps the profile from its full performance; null while nothing does",
                type=ReadingType.TEXT,
                nullable=True,
            ),
            Kind(
                "processor.governor",
                "what the kernel chooses the processor's frequency by",
                type=ReadingType.TEXT,
                setting=True,
            ),
            Kind(
                "processor.energy_preference",
                "what the processor prefers, performance or saving energy",
                type=ReadingType.TEXT,
                setting=True,
            ),
            Kind(
                "processor.minimum_frequency",
                "frequency that the kernel does not go below",
                unit="MHz",
                setting=True,
            ),
            Kind(
                "processor.maximum_frequency",
                "frequency that the kernel does not go above",
                unit="MHz",
                setting=True,
            ),
            Kind(
                "processor.boost",
                "the processor may exceed its nominal frequency for a while",
                type=ReadingType.BOOLEAN,
                setting=True,
            ),
            Kind("system.started", "when the system started", type=ReadingType.TIMESTAMP),
            Kind("system.users", "users logged in"),
            Kind("system.processes", "processes"),
            Kind("system.os", "operating system and version", type=ReadingType.TEXT),
            Kind("system.kernel", "kernel version", type=ReadingType.TEXT),
            Kind("system.pending_reboot", "an update waits for a reboot", type=ReadingType.BOOLEAN),
            Kind("services.failed", "services that have failed"),
            Kind(
                "services.failed_units",
                "which have failed, with commas between, as many as fit",
                type=ReadingType.TEXT,
            ),
            Kind(
                "services.running",
                "a service that is watched runs",
                type=ReadingType.BOOLEAN,
                of="service",
            ),
            Kind(
                "services.switch",
                "a service that may be started and stopped runs",
                type=ReadingType.BOOLEAN,
                of="service",
                setting=True,
            ),
            Kind(
                "processes.running",
                "a program that is watched runs",
                type=ReadingType.BOOLEAN,
                of="program",
            ),
            Kind("processes.count", "how many processes of it run", of="program"),
            Kind(
                "processes.cpu_percent",
                "processor use of these, all cores",
                unit="%",
                of="program",
            ),
            Kind(
                "processes.memory",
                "resident memory of these; what they share counts for each",
                unit="B",
                of="program",
            ),
            Kind(
                "updates.waiting",
                "updates that wait to be installed, by the lists that this machine has",
            ),
            Kind("updates.security", "those of them that are about security"),
            Kind(
                "updates.packages",
                "packages that have an update, with commas between, as many as fit",
                type=ReadingType.TEXT,
            ),
            Kind(
                "updates.lists_refreshed",
                "when these lists were fetched, the oldest of them",
                type=ReadingType.TIMESTAMP,
            ),
            Kind(
                "session.locked",
                "this machine asks for a log-in, or to be unlocked, before it can be used",
                type=ReadingType.BOOLEAN,
            ),
            Kind(
                "session.users",
                "who is logged in: `wayland`, `x11`, `tty` or another type of session, `local` or "
                "`remote`, and the user; several with commas between, as many as fit",
                type=ReadingType.TEXT,
            ),
            Kind(
                "presence.in_use",
                "a key was pressed or the mouse moved in the session that is in use, not long ago",
                type=ReadingType.BOOLEAN,
            ),
            Kind(
                "presence.since",
                "since when it is in use, or is not: the first or the last movement",
                type=ReadingType.TIMESTAMP,
            ),
            Kind(
                "window.title",
                "title of the active window; null while none is",
                type=ReadingType.TEXT,
                nullable=True,
            ),
            Kind(
                "window.program",
                "program of the active window; null while none is",
                type=ReadingType.TEXT,
                nullable=True,
            ),
            Kind(
                "window.full_screen",
                "the active window fills the screen",
                type=ReadingType.BOOLEAN,
            ),
            Kind(
                "camera.in_use",
                "a program of the user has a camera open",
                type=ReadingType.BOOLEAN,
            ),
            Kind(
                "camera.programs",
                "programs that have a camera open, with commas between, as many as fit",
                type=ReadingType.TEXT,
            ),
            Kind(
                "hotkeys.keys",
                "the hotkeys, and the keys that the desktop has bound them to",
                type=ReadingType.TEXT,
            ),
            Kind(
                "screen.on",
                "the screen of the session that is in use is on",
                type=ReadingType.BOOLEAN,
                of=OPTIONAL,
                setting=True,
            ),
            Kind(
                "screen.brightness",
                "how bright it is",
                unit="%",
                of="monitor",
                setting=True,
            ),
            Kind(
                "screen.keep_awake",
                "the session does not become idle and the machine does not sleep by itself",
                type=ReadingType.BOOLEAN,
                setting=True,
            ),
            Kind(
                "screen.time_out",
                "after how long without a touch the screen goes off by itself; 0 for never",
                unit="s",
                setting=True,
            ),
            Kind(
                "notifications.server",
                "program that shows notifications, and its version",
                type=ReadingType.TEXT,
            ),
            Kind(
                "sound.output",
                "where sound is played, unless a program chooses otherwise",
                type=ReadingType.TEXT,
                setting=True,
            ),
            Kind("sound.output_volume", "its volume", unit="%", setting=True),
            Kind("sound.output_muted", "it is muted", type=ReadingType.BOOLEAN, setting=True),
            Kind(
                "sound.input",
                "where sound is recorded, unless a program chooses otherwise",
                type=ReadingType.TEXT,
                setting=True,
            ),
            Kind("sound.input_volume", "its volume", unit="%", setting=True),
            Kind("sound.input_muted", "it is muted", type=ReadingType.BOOLEAN, setting=True),
            Kind(
                "sound.microphone_in_use",
                "a program records from a microphone or another input",
                type=ReadingType.BOOLEAN,
            ),
            Kind(
                "sound.microphone_programs",
                "the programs that do so, with commas between",
                type=ReadingType.TEXT,
            ),
            Kind(
                "media.state",
                "",
                type=ReadingType.ENUM,
                options=("playing", "paused", "stopped", "no_player"),
            ),
            Kind("media.title", "what is played", type=ReadingType.TEXT),
            Kind("media.artist", "its artists", type=ReadingType.TEXT),
            Kind("media.album", "its album", type=ReadingType.TEXT),
            Kind("media.art", "names its picture for `media.art`", type=ReadingType.TEXT),
            Kind("media.duration", "its length", unit="s"),
            Kind("media.position", "where it was then", unit="s"),
            Kind("media.position_at", "when the position was read", type=ReadingType.TIMESTAMP),
            Kind("media.volume", "the player's own volume", unit="%"),
            Kind("media.shuffle", "tracks are played in any order", type=ReadingType.BOOLEAN),
            Kind("media.repeat", "", type=ReadingType.ENUM, options=("off", "one", "all")),
            Kind("media.source", "the active player", type=ReadingType.TEXT),
            Kind(
                "media.can",
                "the commands that it takes now, with commas between",
                type=ReadingType.TEXT,
            ),
            Kind(
                "wifi.ssid",
                "network that it is connected to",
                type=ReadingType.TEXT,
                of="interface",
            ),
            Kind("wifi.signal", "signal strength", unit="dBm", of="interface"),
            Kind("usb.devices", "devices that are plugged into USB"),
            Kind(
                "usb.names",
                "their names, with commas between, as many as fit",
                type=ReadingType.TEXT,
            ),
            Kind(
                "rpi.under_voltage",
                "a Raspberry Pi's supply is too weak, or was since the last reading",
                type=ReadingType.BOOLEAN,
            ),
            Kind("rpi.throttled", "its processor is slowed down, or was", type=ReadingType.BOOLEAN),
            Kind(
                "rpi.frequency_capped",
                "its processor's frequency is limited, or was",
                type=ReadingType.BOOLEAN,
            ),
            Kind(
                "rpi.soft_temperature_limit",
                "it is so warm that it slows down, or was",
                type=ReadingType.BOOLEAN,
            ),
            Kind("agent.memory", "the agent's own memory (resident)", unit="B"),
            Kind("agent.cpu_time", "processor time the agent used since its start", unit="s"),
            Kind("agent.reconnects", "connections lost since the agent's start"),
            Kind(
                "agent.dropped_messages", "messages that could not be sent since the agent's start"
            ),
            Kind(
                "agent.refused_messages",
                "messages of others that were refused since the agent's start",
            ),
            Kind("temperature", "a room sensor's temperature", unit="°C", of=OPTIONAL),
            Kind("humidity", "a room sensor's relative humidity", unit="%", of=OPTIONAL),
            Kind("pressure", "a room sensor's air pressure", unit="hPa", of=OPTIONAL),
            Kind("illuminance", "a room sensor's illuminance", unit="lx", of=OPTIONAL),
            Kind("carbon_dioxide", "a room sensor's CO₂", unit="ppm", of=OPTIONAL),
            Kind("voltage", "a meter's voltage", unit="V", of=OPTIONAL),
            Kind("current", "the current through it", unit="A", of=OPTIONAL),
            Kind("power", "the power through it", unit="W", of=OPTIONAL),
            Kind(
                "i2c.interval",
                "time between two measurements of a room sensor",
                unit="s",
                setting=True,
            ),
            Kind("i2c.average", "of how many measurements its values are the mean", setting=True),
            Kind(
                "i2c.temperature_offset",
                "added to the temperature that it measures",
                unit="°C",
                setting=True,
            ),
            Kind(
                "i2c.humidity_offset",
                "added to the humidity that it measures",
                unit="%",
                setting=True,
            ),
            Kind(
                "i2c.pressure_offset",
                "added to the pressure that it measures",
                unit="hPa",
                setting=True,
            ),
            Kind(
                "i2c.illuminance_offset",
                "added to the illuminance that it measures",
                unit="lx",
                setting=True,
            ),
            Kind(
                "i2c.carbon_dioxide_offset",
                "added to the CO₂ that it measures",
                unit="ppm",
                setting=True,
            ),
            Kind(
                "i2c.voltage_offset",
                "added to the voltage that it measures",
                unit="V",
                setting=True,
            ),
            Kind(
                "i2c.current_offset",
                "added to the current that it measures",
                unit="A",
                setting=True,
            ),
            Kind("i2c.power_offset", "added to the power that it measures", unit="W", setting=True),
        )
    }
)

SETTINGS: Final = frozenset(kind.name for kind in CATALOGUE.values() if kind.setting)
"""The kinds that say how something is set."""
