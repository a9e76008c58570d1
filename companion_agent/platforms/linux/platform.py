"""Linux, read from the files of its kernel; docs/architecture.md says why not by psutil."""

from __future__ import annotations

from contextlib import suppress
import sys
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import (
    ConsoleScreen,
    CpuSample,
    DdcLevel,
    DiskArray,
    DiskCounters,
    DiskHealth,
    DiskUsage,
    FirmwareFlags,
    GraphicsCard,
    GraphicsSample,
    HostInfo,
    InterfaceCounters,
    Link,
    MemorySample,
    Mount,
    Platform,
    PowerSample,
    ProcessSample,
    Sensor,
    UsbDevice,
    WifiLink,
    everything,
)
from companion_agent.platforms.linux import (
    arrays,
    ddc,
    i2c,
    identity,
    reboot,
    sessions,
    system,
)
from companion_agent.platforms.linux.backlight import connectors
from companion_agent.platforms.linux.cpu import Processor
from companion_agent.platforms.linux.disks import Disks
from companion_agent.platforms.linux.files import Files, integer
from companion_agent.platforms.linux.graphics import Graphics
from companion_agent.platforms.linux.hwmon import Hwmon
from companion_agent.platforms.linux.memory import parse_arcstats, parse_meminfo
from companion_agent.platforms.linux.mounts import choose, parse_mountinfo
from companion_agent.platforms.linux.netlink import RouteWatch
from companion_agent.platforms.linux.network import Network
from companion_agent.platforms.linux.power import Power
from companion_agent.platforms.linux.raspberry_pi import RaspberryPi
from companion_agent.platforms.linux.smart import Smart
from companion_agent.platforms.linux.wifi import Wifi
from companion_agent.platforms.time_limit import TimeLimitedCalls

if TYPE_CHECKING:
    from collections.abc import Iterable
    import os

    from companion_agent.models import Selection
    from companion_agent.platforms.base import Wanted
    from companion_agent.platforms.control import HostWatch, NetworkWatch, Session, Watch
    from companion_agent.platforms.i2c import I2cBus
    from companion_agent.platforms.linux.logind import LogindControl
    from companion_agent.platforms.linux.processor import LinuxProcessor
    from companion_agent.platforms.linux.services import SystemdServices
    from companion_agent.platforms.packages import PackageManager

# What the kernel says before a name was set (init/version.c).
_NOT_SET = "(none)"
_NAMELESS = "localhost"
_ONLY_OWN = (
    "this user sees no processes but its own: /proc is mounted with hidepid",
    "add the agent's user to the group that /proc is mounted with (gid=)",
)


class LinuxPlatform(Platform):
    """A Linux machine.

    Args:
        root: Where its files are; `proc`, `sys`, `etc` and `run` lie below.
    """

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self._files = Files(root)
        self._processor = Processor(self._files)
        self._disks = Disks(self._files)
        self._smart = Smart(self._files)
        self._network = Network(self._files)
        self._hwmon = Hwmon(self._files)
        self._graphics = Graphics(self._files)
        self._power = Power(self._files)
        self._wifi = Wifi(self._files)
        self._pi = RaspberryPi(self._files)
        self._ddcutil = ddc.Ddcutil()
        self._folders = TimeLimitedCalls[str, bool](self._is_folder)
        self._mountinfo = b""
        self._mounts: list[Mount] = []
        self._made: tuple[str, str] | None = None
        self._control: LogindControl | None = None
        self._set_processor: LinuxProcessor | None = None
        self._services: SystemdServices | None = None
        self._watch: HostWatch | None = None

    # Firmware does not change while the system runs; names, releases and network cards do.
    def host_info(self) -> HostInfo:
        """Describe this computer."""
        if self._made is None:
            self._made = identity.maker_and_model(self._files)
        manufacturer, model = self._made
        name = self._files.text("proc/sys/kernel/hostname") or _NAMELESS
        if name == _NOT_SET:
            name = _NAMELESS
        return HostInfo(
            name=name.split(".")[0] or name,
            os=identity.os_name(self._files),
            arch=system.ARCH,
            manufacturer=manufacturer,
            model=model,
            macs=self._network.hardware_addresses(),
        )

    def installation_id(self) -> str | None:
        """Return the machine id, see machine-id(5)."""
        return identity.machine_id(self._files)

    def suspended_time(self) -> float | None:
        """Return how far the clock that counts sleep is ahead of the one that does not."""
        return system.suspended_time()

    def boot_id(self) -> str | None:
        """Return the boot id, see random(4)."""
        return self._files.text("proc/sys/kernel/random/boot_id") or None

    def clock_confirmed(self) -> bool:
        """Tell whether systemd-timesyncd(8) has set the clock.

        The kernel knows it of every time server, but the service may not ask it (adjtimex).
        """
        return self._files.exists("run/systemd/timesync/synchronized")

    # Imported when used: D-Bus costs two megabytes, which `read` does not need.
    def control(self) -> LogindControl:
        """Return what ends or pauses this machine's work."""
        from companion_agent.platforms.linux.logind import LogindControl  # noqa: PLC0415

        if self._control is None:
            self._control = LogindControl(also=self._also_permitted)
        return self._control

    def _also_permitted(self) -> frozenset[str]:
        """Return what the polkit rule permits besides: power profiles and services that are."""
        from companion_agent.platforms.linux import power_profiles  # noqa: PLC0415

        seen = self._set_processor is not None and self._set_processor.profile_seen
        permitted = self._services.permissions if self._services else frozenset[str]()
        return permitted | (power_profiles.ACTIONS if seen else frozenset())

    def watch(self) -> HostWatch | None:
        """Return what hears of sleep, shutdown and sessions, the power profile and services."""
        from companion_agent.platforms.linux import power_profiles, services  # noqa: PLC0415
        from companion_agent.platforms.linux.watch import Followed, LogindWatch  # noqa: PLC0415

        if self._watch is None:
            units = self._services.signals() if self._services else ()
            followed = (
                Followed("processor", power_profiles.SIGNALS),
                Followed("services", units, (services.MANAGER, "Subscribe")),
            )
            self._watch = LogindWatch(followed=followed)
        return self._watch

    def services(self) -> SystemdServices:
        """Return what asks systemd."""
        from companion_agent.platforms.linux.services import SystemdServices  # noqa: PLC0415

        if self._services is None:
            self._services = SystemdServices(self.control())
        return self._services

    def session_locked(self) -> bool:
        """Ask the watch, which hears of every change, and logind itself where none listens."""
        locked = self._watch.locked if self._watch else None
        return self.control().locked() if locked is None else locked

    def sessions(self) -> tuple[Session, ...]:
        """Ask the watch, which hears of every change, and logind itself where none listens."""
        if self._watch and self._watch.knows_sessions:
            return self._watch.sessions
        return self.control().sessions()

    def planned_shutdown(self) -> float | None:
        """Ask logind."""
        return self.control().planned_shutdown()

    def network_watch(self) -> NetworkWatch | None:
        """Return what hears that the network has changed."""
        with suppress(OSError):
            return RouteWatch()
        return None

    def cpu(self) -> CpuSample:
        """Read `/proc/stat`."""
        return self._processor.sample()

    def load(self) -> tuple[float, float, float] | None:
        """Read `/proc/loadavg`."""
        return self._processor.load()

    def cpu_frequency(self) -> float | None:
        """Read cpufreq."""
        return self._processor.frequency()

    def cpu_temperature(self) -> float | None:
        """Read the processor's sensor in hwmon or a thermal zone."""
        return self._hwmon.processor()

    def processor(self) -> LinuxProcessor:
        """Return what reads and sets cpufreq and the power profile."""
        from companion_agent.platforms.linux.processor import LinuxProcessor  # noqa: PLC0415

        if self._set_processor is None:
            self._set_processor = LinuxProcessor(self._files, self.control())
        return self._set_processor

    def memory(self) -> MemorySample:
        """Read `/proc/meminfo`, and what ZFS keeps, which the kernel does not count as free."""
        sample = parse_meminfo(self._files.read("proc/meminfo") or b"")
        if sample is None:
            raise Unavailable("/proc/meminfo cannot be read", "mount /proc")
        cached = parse_arcstats(self._files.read("proc/spl/kstat/zfs/arcstats") or b"")
        # In a container of LXC the memory is the container's, and the cache its host's.
        if not cached or self._files.text("run/systemd/container") == "lxc":
            return sample
        available = sample.available + cached
        return sample._replace(available=available) if available <= sample.total else sample

    def mounts(self) -> list[Mount]:
        """Read `/proc/self/mountinfo`; it is only looked into when it changed."""
        data = self._files.read("proc/self/mountinfo") or b""
        if data != self._mountinfo:
            # One that does not answer is hardly a single file.
            self._mounts = choose(
                parse_mountinfo(data),
                lambda point: self._folders.results([point]).get(point, True),
            )
            self._mountinfo = data
        return self._mounts

    def _is_folder(self, point: str) -> bool:
        return self._files.is_folder(point[1:])

    def disk_usage(self, point: str) -> DiskUsage:
        """Ask statvfs(3)."""
        return system.disk_usage(f"{self._files.root}{point}")

    def disks(self) -> list[DiskCounters]:
        """Read `/proc/diskstats`."""
        return self._disks.counters()

    def disk_health(self, selection: Selection) -> list[DiskHealth]:
        """Read what root's helper has learned of smartctl."""
        return self._smart.read(selection)

    def disk_arrays(self, wanted: Wanted = everything) -> list[DiskArray]:
        """Read md, btrfs and ZFS."""
        return arrays.arrays(self._files, wanted)

    def interfaces(self) -> list[InterfaceCounters]:
        """Read `/proc/net/dev`."""
        return self._network.counters()

    def links(self, names: Iterable[str]) -> dict[str, Link]:
        """Read sysfs and `/proc/net/if_inet6`, and ask netdevice(7)."""
        return self._network.links(names)

    def temperatures(self, wanted: Wanted = everything) -> list[Sensor]:
        """Read hwmon and thermal zones."""
        return self._hwmon.temperatures(wanted)

    def fans(self, wanted: Wanted = everything) -> list[Sensor]:
        """Read hwmon."""
        return self._hwmon.fans(wanted)

    def graphics(self, wanted: Wanted = everything) -> list[GraphicsSample]:
        """Read the files of their drivers."""
        return self._graphics.samples(wanted)

    def graphics_card(self, card: str) -> GraphicsCard | None:
        """Look the card up among those that the kernel shows."""
        return self._graphics.card(card)

    def power(self, wanted: Wanted = everything) -> PowerSample:
        """Read the class power_supply."""
        return self._power.sample(wanted)

    def started(self) -> float:
        """Read `btime` of `/proc/stat`, see proc(5).

        The kernel keeps it as an offset that only a clock that is set can move. Now minus
        `/proc/uptime`, which ticks in hundredths, would differ by a second between two starts
        of the agent and look like a reboot.
        """
        for line in (self._files.read("proc/stat") or b"").splitlines():
            if line.startswith(b"btime ") and line[6:].strip().isdigit():
                return float(line[6:])
        raise Unavailable("/proc/stat has no start time", "mount /proc")

    def kernel_version(self) -> str:
        """Read what `uname -r` shows."""
        version = self._files.text("proc/sys/kernel/osrelease")
        if not version:
            raise Unavailable("/proc/sys/kernel/osrelease cannot be read", "mount /proc")
        return version[:255]

    def process_samples(self) -> list[ProcessSample]:
        """Read `/proc/*/stat`."""
        from companion_agent.platforms.linux import processes  # noqa: PLC0415  (seldom wanted)

        # The first one is root's. See proc(5), `hidepid`.
        if self._files.read("proc/1/stat") is None:
            raise Unavailable(*_ONLY_OWN)
        return processes.sample(self._files)

    def package_managers(self) -> list[PackageManager]:
        """Look which of apt, dnf, pacman and flatpak there are; PackageKit speaks for others."""
        from companion_agent.platforms.linux import packages  # noqa: PLC0415

        found = packages.managers(self._files)
        if all(isinstance(one, packages.Flatpak) for one in found):
            from companion_agent.platforms.linux import packagekit  # noqa: PLC0415

            found += packagekit.managers(self._files)
        return found

    def users(self) -> int | None:
        """Ask logind's files or utmp."""
        return sessions.count_users(self._files, system.ARCH)

    def processes(self) -> int | None:
        """Count the numbers in `/proc`."""
        if not self._files.exists("proc/1"):
            raise Unavailable(*_ONLY_OWN)
        return sum(name[0].isdigit() for name in self._files.names("proc")) or None

    def pending_reboot(self) -> bool | None:
        """Look for the flag of Debian and Ubuntu, and for other kernels than the running one."""
        return reboot.pending(self._files, self._files.text("proc/sys/kernel/osrelease") or "")

    def wifi(self, wanted: Wanted = everything) -> list[WifiLink]:
        """Ask nl80211."""
        return self._wifi.links(wanted)

    def usb_devices(self) -> list[UsbDevice]:
        """Read sysfs."""
        from companion_agent.platforms.linux import usb  # noqa: PLC0415

        if not self._files.is_folder(usb.NODES):
            raise Unavailable("this machine has no USB (/dev/bus/usb)")
        return usb.devices(self._files)

    def usb_watch(self) -> Watch | None:
        """Watch the devices' nodes."""
        # Not with the rest: inotify brings ctypes.
        if sys.platform == "linux":
            from companion_agent.platforms.linux.usb_watch import UsbWatch  # noqa: PLC0415

            with suppress(OSError):
                return UsbWatch(self._files)
        return None

    def firmware_flags(self) -> FirmwareFlags:
        """Ask the firmware's driver, hwmon and vcgencmd."""
        return self._pi.flags()

    def console_screen(self) -> ConsoleScreen:
        """Ask the kernel's framebuffers, and vcgencmd on a Raspberry Pi without any."""
        from companion_agent.platforms.linux import console  # noqa: PLC0415

        return console.console_screen(self._files, console.run_vcgencmd)

    def connected_monitors(self) -> list[str]:
        """Read the status of the connectors."""
        return [one.name for one in connectors(self._files)]

    def ddc_buses(self) -> dict[str, int]:
        """Read where the connectors' buses are."""
        return ddc.buses(self._files)

    def ddc_level(self, bus: int) -> DdcLevel:
        """Ask ddcutil."""
        return self._ddcutil.level(bus)

    def set_ddc_level(self, bus: int, value: int) -> None:
        """Tell ddcutil."""
        self._ddcutil.set_level(bus, value)

    def i2c_buses(self) -> list[int]:
        """List `/dev/i2c-*`."""
        return i2c.numbers(self._files)

    def i2c_bus(self, number: int) -> I2cBus:
        """Open `/dev/i2c-N`."""
        return i2c.open_bus(self._files, number)

    def own_memory(self) -> int | None:
        """Read `/proc/self/statm`."""
        fields = (self._files.read("proc/self/statm") or b"").split()
        pages = integer(fields[1]) if len(fields) > 1 else None
        return None if pages is None else pages * system.PAGE
