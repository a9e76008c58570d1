"""Any system that psutil knows: macOS, the BSDs, and the base of Windows."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
import os
from pathlib import PureWindowsPath
import platform
import re
import socket
import sys
from typing import TYPE_CHECKING

import psutil

from companion_agent.errors import Unavailable
from companion_agent.platforms.architecture import architecture
from companion_agent.platforms.base import (
    Battery,
    CpuSample,
    CpuTimes,
    DiskCounters,
    DiskUsage,
    HostInfo,
    InterfaceCounters,
    Link,
    MemorySample,
    Mount,
    Platform,
    PowerSample,
    ProcessSample,
    everything,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from companion_agent.platforms.base import BatteryState, Wanted

_INTERNAL = re.compile(
    r"lo\d*$|Loopback|vEthernet|.*\* \d+$|gif\d|stf\d|awdl\d|llw\d|anpi\d|ap\d|bridge\d|utun\d|"
    r"veth|docker|br-|virbr"
)
_HARDWARE_ADDRESS = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_DISCS = frozenset({"", "CDFS", "UDF", "cd9660", "udf"})
_IDLE = ("idle", "iowait")
# Parts of other fields, or counted in them.
_COUNTED_TWICE = {"guest", "guest_nice"}
if sys.platform == "win32":
    _COUNTED_TWICE |= {"interrupt", "dpc"}


class PortablePlatform(Platform):
    """A system of which only psutil knows more than the standard library."""

    def host_info(self) -> HostInfo:
        """Describe this computer; its maker and model are not known."""
        return HostInfo(
            name=host_name(),
            os=_os_name(),
            arch=architecture(),
            macs=hardware_addresses(),
        )

    def installation_id(self) -> str | None:
        """Return nothing: there is none that is the same everywhere."""
        return None

    def suspended_time(self) -> float | None:
        """Return nothing: the clocks of these systems do not tell."""
        return None

    def cpu(self) -> CpuSample:
        """Read the counters of every core."""
        cores = [_times(core) for core in psutil.cpu_times(percpu=True)]
        total = CpuTimes(sum(core.busy for core in cores), sum(core.total for core in cores))
        return CpuSample(total, dict(enumerate(cores)), _context_switches())

    def load(self) -> tuple[float, float, float] | None:
        """Return the load averages."""
        # Windows has none. psutil imitates one there with a thread of its own.
        get = getattr(os, "getloadavg", None)
        try:
            return get() if get else None
        except OSError:
            return None

    def cpu_frequency(self) -> float | None:
        """Return the frequency that psutil finds."""
        try:
            frequency = psutil.cpu_freq()
        except (OSError, RuntimeError, AttributeError, NotImplementedError):
            return None
        # None, or 0, on virtual machines and Apple's chips, whatever psutil's types say.
        return getattr(frequency, "current", None) or None

    def memory(self) -> MemorySample:
        """Read memory and swap space."""
        memory = psutil.virtual_memory()
        try:
            swap = psutil.swap_memory()
        except (OSError, RuntimeError):
            # Windows without performance counters.
            return MemorySample(memory.total, memory.available, 0, 0)
        return MemorySample(memory.total, memory.available, swap.total, swap.free)

    def mounts(self) -> list[Mount]:
        """List the file systems that psutil takes for disks."""
        mounts = {}
        for part in psutil.disk_partitions(all=False):
            # Apple's volumes share the space of one container, and "/" is one of them.
            # Discs are always full.
            shown = part.fstype not in _DISCS and not part.mountpoint.startswith("/System/Volumes/")
            mounts[part.mountpoint] = Mount(part.mountpoint, shown)
        return list(mounts.values())

    def disk_usage(self, point: str) -> DiskUsage:
        """Read the space of a file system."""
        usage = psutil.disk_usage(point)
        return DiskUsage(usage.total, usage.used, usage.free)

    def disks(self) -> list[DiskCounters]:
        """Read the counters of every disk."""
        counters = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        return [
            DiskCounters(name, disk.read_bytes, disk.write_bytes, shown=True)
            for name, disk in counters.items()
        ]

    def interfaces(self) -> list[InterfaceCounters]:
        """Read the counters of every interface."""
        counters = psutil.net_io_counters(pernic=True, nowrap=False)
        return [
            InterfaceCounters(name, nic.bytes_recv, nic.bytes_sent, not _INTERNAL.match(name))
            for name, nic in counters.items()
        ]

    def links(self, names: Iterable[str]) -> dict[str, Link]:
        """Read the state and addresses of some interfaces."""
        states, addresses = psutil.net_if_stats(), psutil.net_if_addrs()
        links = {}
        for name in names:
            state = states.get(name)
            families = [(one.family.name, one.address) for one in addresses.get(name, ())]
            links[name] = Link(
                connected=state.isup if state else None,
                ipv4=_first(address for family, address in families if family == "AF_INET"),
                ipv6=_first(
                    address.partition("%")[0]
                    for family, address in families
                    if family == "AF_INET6" and not address.lower().startswith("fe80")
                ),
            )
        return links

    def power(self, wanted: Wanted = everything) -> PowerSample:
        """Read the battery; psutil knows one, and not what flows."""
        sensor = getattr(psutil, "sensors_battery", None)
        found = sensor() if sensor else None
        if found is None:
            raise Unavailable("this computer has no battery")
        # psutil's special values for "unknown" and "unlimited" are negative.
        seconds = float(found.secsleft) if found.secsleft > 0 else None
        state: BatteryState = "unknown"
        if found.power_plugged is False:
            state = "discharging"
        elif found.power_plugged:
            state = "full" if found.percent >= 100 else "charging"
        battery = Battery(
            name="battery",
            level=min(max(float(found.percent), 0), 100),
            state=state,
            time_left=seconds if state == "discharging" else None,
            reports_time=True,
        )
        return PowerSample((battery,) if wanted(battery.name) else (), found.power_plugged)

    def started(self) -> float:
        """Return when the system started."""
        return psutil.boot_time()

    def kernel_version(self) -> str:
        """Return the version of the kernel."""
        return platform.release()[:255]

    def users(self) -> int | None:
        """Count the people who are logged in."""
        return len({user.name for user in psutil.users()})

    def process_samples(self) -> list[ProcessSample]:
        """Ask psutil; of processes that it may not look into, the name and command line alone."""
        return [one for one in map(_sample, psutil.process_iter()) if one]

    def processes(self) -> int | None:
        """Count the processes."""
        return len(psutil.pids())

    def own_memory(self) -> int | None:
        """Return the resident memory of this process."""
        return int(psutil.Process().memory_info().rss)


def _context_switches() -> int | None:
    try:
        return psutil.cpu_stats().ctx_switches
    except (OSError, RuntimeError):
        # A Windows that has not all counters of NtQuerySystemInformation.
        return None


def _times(core: object) -> CpuTimes:
    fields: dict[str, float] = core._asdict()  # type: ignore[attr-defined]
    busy = sum(
        value for name, value in fields.items() if name not in _IDLE and name not in _COUNTED_TWICE
    )
    return CpuTimes(busy, busy + sum(fields.get(name, 0) for name in _IDLE))


def _first(addresses: Iterable[str]) -> str | None:
    return next(iter(addresses), None)


def _sample(process: psutil.Process) -> ProcessSample | None:
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            name, started = _name(process), process.create_time()
            used, memory = 0.0, 0
            with suppress(psutil.AccessDenied):
                times = process.cpu_times()
                used, memory = times.user + times.system, process.memory_info().rss
    except (psutil.Error, OSError):
        # It has ended meanwhile, or Windows tells nothing of it.
        return None
    return ProcessSample(
        (process.pid, started), name, used, memory, partial(_command_line, process)
    )


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except OSError:
        # Wine 8 does not know the question that psutil asks for it.
        return PureWindowsPath(next(iter(_command_line(process)), "")).name


def _command_line(process: psutil.Process) -> tuple[str, ...]:
    with suppress(psutil.Error, OSError):
        return tuple(process.cmdline())
    return ()


def _os_name() -> str:
    apple = platform.mac_ver()[0]
    return f"macOS {apple}" if apple else f"{platform.system()} {platform.release()}".strip()


def host_name() -> str:
    """Return this computer's name, without its domain."""
    return socket.gethostname().split(".")[0] or "localhost"


def hardware_addresses() -> tuple[str, ...]:
    """Return the addresses of the network interfaces that are not internal, sorted."""
    found = set()
    for name, addresses in psutil.net_if_addrs().items():
        if not _INTERNAL.match(name):
            for one in addresses:
                address = one.address.lower().replace("-", ":")
                if _HARDWARE_ADDRESS.fullmatch(address) and address.strip("0:"):
                    found.add(address)
    return tuple(sorted(found))
