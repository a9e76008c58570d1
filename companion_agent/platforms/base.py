"""What differs by operating system, behind one interface.

A platform reads; it decides nothing. Which of the things that it lists are reported, under which
key and how they are rounded is the collectors' business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

from companion_agent.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from companion_agent.models import Missing, Selection
    from companion_agent.platforms.control import (
        HostControl,
        HostWatch,
        NetworkWatch,
        Session,
        Watch,
    )
    from companion_agent.platforms.i2c import I2cBus
    from companion_agent.platforms.packages import PackageManager
    from companion_agent.platforms.processor import ProcessorControl
    from companion_agent.platforms.services import Services


class HostInfo(NamedTuple):
    """What this computer is.

    Attributes:
        name: Its host name, without a domain.
        os: Operating system and version for people, "Debian GNU/Linux 12 (bookworm)".
        arch: Machine architecture as the kernel names it, "x86_64".
        manufacturer: Who built it; empty when not known.
        model: What it is; empty when not known.
        macs: Hardware addresses of its real network cards, lower case with colons.
    """

    name: str
    os: str
    arch: str
    manufacturer: str = ""
    model: str = ""
    macs: tuple[str, ...] = ()


class CpuTimes(NamedTuple):
    """How long a processor has worked, and worked or idled; the unit does not matter."""

    busy: float
    total: float


class CpuSample(NamedTuple):
    """Counters of the processor since the start of the system.

    Attributes:
        all: All cores together.
        cores: Each core that is switched on, by its number.
        context_switches: How often a core went from one task to another; `None` when not counted.
    """

    all: CpuTimes
    cores: Mapping[int, CpuTimes]
    context_switches: int | None


class MemorySample(NamedTuple):
    """Memory in bytes; `swap_total` is 0 without swap space."""

    total: int
    available: int
    swap_total: int
    swap_free: int


class Mount(NamedTuple):
    """A mounted file system.

    Attributes:
        point: Where it is mounted, as the system spells it.
        shown: It is one that people mean by "my disks".
        label: What its owner calls it, or the share that it is; empty for nothing.
    """

    point: str
    shown: bool
    label: str = ""


class DiskUsage(NamedTuple):
    """Space of a file system in bytes; `free` is what ordinary users can get of it."""

    total: int
    used: int
    free: int


class DiskCounters(NamedTuple):
    """Bytes that a block device has read and written since it appeared.

    Attributes:
        shown: It is a disk, and not a part or a view of one.
    """

    name: str
    read: int
    written: int
    shown: bool


class DiskHealth(NamedTuple):
    """How well a disk says it is.

    Attributes:
        name: What the system calls it now: `sda`.
        id: Names it for ever: 12 hexadecimal digits that tell nothing of it.
        model: What it is; empty when not known.
        serial: Its serial number; empty when not known.
        values: What it says: `health` (`passed`, `failed`), `wear` (percent used), `temperature`
            (°C), `reallocated_sectors`, `pending_sectors`, `power_on_time` (hours),
            `unsafe_shutdowns`; those that it has.
        asleep: It sleeps, and was not woken: the values are those from before.
        missing: Why it could not be asked lately, or tells nothing; empty when all is well.
    """

    name: str
    id: str
    model: str
    serial: str
    values: Mapping[str, float | str]
    asleep: bool = False
    missing: str = ""


ArrayState = Literal["clean", "degraded", "recovering", "checking", "failed", "inactive"]


class DiskArray(NamedTuple):
    """Several disks that are made one, or a file system that counts their errors.

    Attributes:
        degraded: A disk is missing; `None` where none can.
        progress: How much is recovered or checked, in percent; `None` while nothing is.
        errors: What was read or written wrong, ever; `None` where nothing counts.
        reports_progress: The system can tell `progress`, at least at other times.
    """

    name: str
    state: ArrayState
    degraded: bool | None = None
    progress: float | None = None
    errors: int | None = None
    reports_progress: bool = False


class InterfaceCounters(NamedTuple):
    """Bytes that a network interface has received and sent since it appeared.

    Attributes:
        shown: It connects this host, and not a container or virtual machine within it.
    """

    name: str
    received: int
    sent: int
    shown: bool


class Link(NamedTuple):
    """Whether a network interface is connected, and its addresses."""

    connected: bool | None = None
    ipv4: str | None = None
    ipv6: str | None = None


class Sensor(NamedTuple):
    """A sensor inside the machine.

    Attributes:
        chip: Names its chip for ever, whatever else is found: `nvme-0000-01-00-0`.
        name: Names the sensor within the chip: `temp1`.
        label: What to call it, "nvme Composite".
        value: °C or rpm; `None` when it cannot be read now.
        doubt: Why there may be nothing that measures; empty where something did once.
        card: The id of the graphics card that it is on; empty where it is on none.
    """

    chip: str
    name: str
    label: str
    value: float | None
    doubt: str = ""
    card: str = ""


class GraphicsCard(NamedTuple):
    """A graphics card, or what a processor has of one; what is known without asking the card.

    Attributes:
        id: Names it on this host for as long as it stays in its slot: `0000-0b-00-0`.
        name: What to call it, "AMD Radeon RX 5700".
        label: Its name and where it is, "AMD Radeon RX 5700 (0000:0b:00.0)".
        manufacturer: Who made its chip.
        model: The chip; empty when not known.
    """

    id: str
    name: str
    label: str
    manufacturer: str
    model: str = ""


GraphicsQuantity = Literal[
    "percent",
    "memory_used",
    "memory_total",
    "temperature",
    "too_hot",
    "power",
    "frequency",
    "fan_percent",
]
"""What a graphics card can tell: %, B, B, °C, whether it is at its limit, W, MHz, %."""


class GraphicsSample(NamedTuple):
    """What a graphics card tells.

    Attributes:
        values: The quantities that it tells; `None` for those that cannot be read now, as while it
            sleeps.
        left_out: Why it does not tell others.
    """

    card: GraphicsCard
    values: Mapping[GraphicsQuantity, float | None]
    left_out: Mapping[GraphicsQuantity, str]


MOST_HEALTH = 150.0
"""New batteries may hold more than their design; what says more than this does not know."""

BatteryState = Literal["charging", "discharging", "full", "not_charging", "unknown"]


class Battery(NamedTuple):
    """A battery that this computer runs on.

    Attributes:
        level: Charge in percent.
        time_left: Seconds until empty, or until full while charging.
        power: Watts out of it (positive) or into it (negative).
        energy: What it holds, in Wh; `None` where it is not told.
        health: What it holds when it is full, in percent of what it held when it was new; `None`
            where it is not told.
        reports_time: The system can tell `time_left`, at least at other times.
        reports_power: The system can tell `power`, at least at other times.
    """

    name: str
    level: float | None
    state: BatteryState
    time_left: float | None = None
    power: float | None = None
    energy: float | None = None
    health: float | None = None
    reports_time: bool = False
    reports_power: bool = False


class PowerSample(NamedTuple):
    """The batteries, and whether external power is connected (`None` when nothing tells)."""

    batteries: tuple[Battery, ...]
    plugged: bool | None


class WifiLink(NamedTuple):
    """A Wi-Fi interface: its network's name and the signal in dBm, `None` when not connected."""

    interface: str
    ssid: str | None
    signal: float | None


class UsbDevice(NamedTuple):
    """Something that is plugged into USB.

    Attributes:
        port: Where it is plugged in: `1-4.2`.
        number: Another one each time that it is plugged in.
        name: Its maker and product, as it says itself.
        code: The numbers of its vendor and product: `046d:c52b`; empty when not known.
        shown: It is no hub.
    """

    port: str
    number: int
    name: str
    code: str = ""
    shown: bool = True


class FirmwareFlags(NamedTuple):
    """What a Raspberry Pi's firmware complains about; `None` for what nothing tells.

    Attributes:
        throttled: The bits of `get_throttled`.
        low_voltage: The supply was too low within the last two seconds.
    """

    throttled: int | None
    low_voltage: bool | None


Wanted = Callable[[str], bool]
"""Tells whether something is to be read, by its name; what is not is left alone."""


def everything(_: str) -> bool:
    """Want it all."""
    return True


def not_offered(what: str) -> NoReturn:
    """Say that an operating system does not offer something.

    Raises:
        Unavailable: Always.
    """
    raise Unavailable(f"this operating system does not tell {what}")


class DdcLevel(NamedTuple):
    """A monitor's brightness, in its own steps."""

    value: int
    maximum: int


class ConsoleScreen(ABC):
    """The screen of a console: the one that is there while no desktop is.

    Args:
        name: By what it is switched, for `pilot-agent doctor`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def monitors(self) -> Mapping[str, bool]:
        """Read whether each monitor is on; an empty name stands for all of them.

        Raises:
            Unavailable: It cannot be read.
        """

    @abstractmethod
    def request(self, *, on: bool) -> None:
        """Ask that all be switched.

        Raises:
            OSError: It was refused.
            Unavailable: It cannot be asked.
        """

    @abstractmethod
    def missing(self) -> Missing | None:
        """Find out which permission the agent lacks to switch it."""


LONGEST_COMMAND_LINE = 4096
"""How many characters of a command line are looked at: as many as Linux itself kept before 4.2
(proc_pid_cmdline(5)). Any user may start a program with two million, over which an expression
with some `.*` would hold the agent up for hours."""


class ProcessSample(NamedTuple):
    """A process.

    Attributes:
        id: Its number, and when it started by a clock of the system's: another process may get
            the number later.
        name: What the system calls it.
        cpu_time: The processor time that it has used, in seconds.
        memory: Its resident memory in bytes, what it shares with others included.
        arguments: Reads its command line, of a long one the beginning; empty where that cannot
            be read.
    """

    id: tuple[int, float]
    name: str
    cpu_time: float
    memory: int
    arguments: Callable[[], tuple[str, ...]]


class Platform(ABC):
    """The operating system that the agent runs on.

    Everything that a collector asks may raise `Unavailable` (there is no such thing here) or
    `OSError` (reading failed this time). What is not overridden is unavailable.
    """

    @abstractmethod
    def host_info(self) -> HostInfo:
        """Describe this computer; cheap enough to be asked every minute."""

    @abstractmethod
    def installation_id(self) -> str | None:
        """Return the identity that the operating system drew when it was installed.

        Raw and private: hash it before it leaves the machine. `None` where there is none.
        """

    @abstractmethod
    def suspended_time(self) -> float | None:
        """Return the seconds that this machine has spent suspended since it started.

        `None` where the system cannot tell.
        """

    def boot_id(self) -> str | None:
        """Return what names this start of the system; `None` where nothing does."""
        return None

    def clock_confirmed(self) -> bool:
        """Tell whether a time server has set the clock since the start; no where nothing tells."""
        return False

    def control(self) -> HostControl:
        """Return what ends or pauses this machine's work; the same one every time."""
        raise Unavailable("the agent cannot control this operating system yet")

    def watch(self) -> HostWatch | None:
        """Return what hears of sleep, shutdown and sessions, the same one every time.

        It is `None` where nothing tells.
        """
        return None

    def session_locked(self) -> bool:
        """Tell whether this machine has to be unlocked or logged in to before it can be used."""
        not_offered("whether it is locked")

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions of people that there are."""
        not_offered("which sessions there are")

    def planned_shutdown(self) -> float | None:
        """Return when it is to be shut down or rebooted, in seconds since 1970.

        `None` while nothing is planned.
        """
        not_offered("what is planned of it")

    def network_watch(self) -> NetworkWatch | None:
        """Return what hears that the network has changed; `None` where nothing tells."""
        return None

    def cpu(self) -> CpuSample:
        """Read the processor's counters."""
        not_offered("how busy its processor is")

    def load(self) -> tuple[float, float, float] | None:
        """Return the load averages over 1, 5 and 15 minutes; `None` where there are none."""
        return None

    def cpu_frequency(self) -> float | None:
        """Return the cores' mean frequency in MHz; `None` where nothing tells."""
        return None

    def cpu_temperature(self) -> float | None:
        """Return the processor's own temperature in °C; `None` where nothing tells."""
        return None

    def processor(self) -> ProcessorControl:
        """Return what reads and sets how the processor works; the same one every time."""
        not_offered("how its processor is set")

    def leave(self) -> None:  # noqa: B027  (most have nothing to put back)
        """Put back what shall not outlast the agent, and what nothing else puts back.

        Raises:
            CommandError: It could not be put back.
            OSError: The same.
        """

    def services(self) -> Services:
        """Return what reads and commands its services; the same one every time."""
        not_offered("about its services")

    def memory(self) -> MemorySample:
        """Read how much memory there is and can still be had."""
        not_offered("how much memory is in use")

    def mounts(self) -> list[Mount]:
        """List the mounted file systems, each mount point once."""
        not_offered("which file systems are mounted")

    def disk_usage(self, point: str) -> DiskUsage:
        """Read the space of the file system that is mounted at a point of `mounts()`."""
        not_offered("how full its file systems are")

    def disks(self) -> list[DiskCounters]:
        """Read the counters of every block device."""
        not_offered("what its disks read and write")

    def disk_health(self, selection: Selection) -> list[DiskHealth]:
        """Read how well the disks are that are selected by name; no other is opened."""
        not_offered("how well its disks are")

    def disk_arrays(self, wanted: Wanted = everything) -> list[DiskArray]:
        """Read the arrays of disks that are wanted by name; none where there are none."""
        return []

    def interfaces(self) -> list[InterfaceCounters]:
        """Read the counters of every network interface."""
        not_offered("what its network interfaces carry")

    def links(self, names: Iterable[str]) -> dict[str, Link]:
        """Read the state and addresses of some network interfaces."""
        return {name: Link() for name in names}

    def temperatures(self, wanted: Wanted = everything) -> list[Sensor]:
        """Read the temperature sensors inside the machine, in °C.

        Args:
            wanted: Takes a sensor's label; no other is opened. With none of those that there are,
                the list is empty.
        """
        not_offered("temperatures")

    def fans(self, wanted: Wanted = everything) -> list[Sensor]:
        """Read the fans' speeds in rpm; see `temperatures()`."""
        not_offered("fan speeds")

    def graphics(self, wanted: Wanted = everything) -> list[GraphicsSample]:
        """Read the graphics cards whose labels are wanted; no other is asked, and none is woken."""
        not_offered("about graphics cards")

    def graphics_card(self, card: str) -> GraphicsCard | None:
        """Return a graphics card by its id, without asking it; `None` where there is no such."""
        return None

    def power(self, wanted: Wanted = everything) -> PowerSample:
        """Read the batteries that are wanted by name, and external power."""
        not_offered("about batteries")

    def started(self) -> float:
        """Return when the system started, in seconds since 1970 by the present clock."""
        not_offered("when it started")

    def kernel_version(self) -> str:
        """Return the version of the running kernel."""
        not_offered("its kernel's version")

    def process_samples(self) -> list[ProcessSample]:
        """Read every process that runs."""
        not_offered("which programs run")

    def package_managers(self) -> list[PackageManager]:
        """Return the package managers that it has; the same or equal ones every time."""
        not_offered("which updates wait")

    def users(self) -> int | None:
        """Count the people who are logged in; `None` where nothing tells."""
        return None

    def processes(self) -> int | None:
        """Count the processes; `None` where nothing tells."""
        return None

    def pending_reboot(self) -> bool | None:
        """Tell whether an update waits for a reboot; `None` where nothing tells."""
        return None

    def wifi(self, wanted: Wanted = everything) -> list[WifiLink]:
        """Read the Wi-Fi interfaces that are wanted by name."""
        not_offered("about its Wi-Fi")

    def usb_devices(self) -> list[UsbDevice]:
        """List what is plugged into USB."""
        not_offered("what is plugged into USB")

    def usb_watch(self) -> Watch | None:
        """Return what hears that something is plugged in or out; `None` where nothing tells."""
        return None

    def firmware_flags(self) -> FirmwareFlags:
        """Read what a Raspberry Pi's firmware complains about."""
        raise Unavailable("this computer is not a Raspberry Pi")

    def console_screen(self) -> ConsoleScreen:
        """Find the way to switch the screen that is shown while no desktop is there."""
        not_offered("how its console's screen is switched")

    def connected_monitors(self) -> list[str]:
        """List the monitors that are connected, by their connectors' names."""
        return []

    def ddc_buses(self) -> Mapping[str, int]:
        """List the monitors that may answer by DDC/CI, and the I²C bus that each is on."""
        return {}

    def ddc_level(self, bus: int) -> DdcLevel:
        """Read the brightness of the monitor on a bus of `ddc_buses()`."""
        raise Unavailable(f"there is no monitor on the I²C bus {bus}")

    def set_ddc_level(self, bus: int, value: int) -> None:
        """Set the brightness of the monitor on a bus of `ddc_buses()`."""
        raise Unavailable(f"there is no monitor on the I²C bus {bus}")

    def i2c_buses(self) -> list[int]:
        """List the numbers of the I²C buses."""
        not_offered("what hangs on an I²C bus")

    def i2c_bus(self, number: int) -> I2cBus:
        """Open a bus of `i2c_buses()`."""
        raise Unavailable(f"there is no I²C bus {number}")

    def own_memory(self) -> int | None:
        """Return the resident memory of this process in bytes; `None` where nothing tells."""
        return None
