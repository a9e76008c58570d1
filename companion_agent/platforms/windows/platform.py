"""A Windows machine: psutil, the registry and a few calls."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.architecture import architecture
from companion_agent.platforms.base import DiskUsage, HostInfo, Mount, PowerSample, everything
from companion_agent.platforms.firmware import filled_in
from companion_agent.platforms.portable import PortablePlatform, hardware_addresses, host_name
from companion_agent.platforms.windows import batteries, reboot, wifi
from companion_agent.platforms.windows.drives import Drives
from companion_agent.platforms.windows.graphics import WindowsGraphics
from companion_agent.winapi import system

if TYPE_CHECKING:
    from companion_agent.platforms.base import GraphicsSample, Sensor, Wanted, WifiLink
    from companion_agent.platforms.control import HostWatch, NetworkWatch, Session
    from companion_agent.platforms.packages import PackageManager
    from companion_agent.platforms.windows.control import WindowsControl
    from companion_agent.platforms.windows.processor import WindowsProcessor
    from companion_agent.platforms.windows.services import WindowsServices
    from companion_agent.platforms.windows.updates import WindowsUpdate

_VERSION = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_FIRMWARE = r"HARDWARE\DESCRIPTION\System\BIOS"
_CRYPTOGRAPHY = r"SOFTWARE\Microsoft\Cryptography"
_FIRST_WINDOWS_11 = 22_000
_YEAR = re.compile(r"\b20\d\d\b")
_NO_TEMPERATURES = "Windows does not tell temperatures and fans: they take a driver in its kernel"
_HOW_TO_HAVE_THEM = (
    "run LibreHardwareMonitor with 'Remote Web Server' switched on, and set "
    "libre_hardware_monitor.port"
)


class WindowsPlatform(PortablePlatform):
    """A Windows machine."""

    def __init__(self) -> None:
        self._drives = Drives()
        self._falls_asleep = threading.Event()
        self._control: WindowsControl | None = None
        self._services: WindowsServices | None = None
        self._watch: HostWatch | None = None
        self._processor: WindowsProcessor | None = None
        self._graphics = WindowsGraphics()
        self._updates: WindowsUpdate | None = None

    def host_info(self) -> HostInfo:
        """Describe this computer."""
        return HostInfo(
            name=host_name(),
            os=_os_name(),
            arch=architecture(),
            manufacturer=filled_in(_registry_text(_FIRMWARE, "SystemManufacturer")),
            model=filled_in(_registry_text(_FIRMWARE, "SystemProductName")),
            macs=hardware_addresses(),
        )

    def installation_id(self) -> str | None:
        """Return the machine's GUID, drawn by Windows' set-up."""
        return _registry_text(_CRYPTOGRAPHY, "MachineGuid") or None

    def suspended_time(self) -> float | None:
        """Return how far the clock that counts sleep is ahead of the one that does not."""
        try:
            awake = system.time_awake()
        except OSError:
            return None
        # The tick count moves in steps of 16 ms, so the difference may be a little below zero.
        return max(system.time_since_boot() - awake, 0.0)

    # Imported when used: `read` needs none of it.
    def control(self) -> WindowsControl:
        """Return what ends or pauses this machine's work."""
        from companion_agent.platforms.windows.control import WindowsControl  # noqa: PLC0415

        if self._control is None:
            self._control = WindowsControl(self._falls_asleep, self.suspended_time)
        return self._control

    def services(self) -> WindowsServices:
        """Return what asks the service manager."""
        from companion_agent.platforms.windows.services import WindowsServices  # noqa: PLC0415

        if self._services is None:
            self._services = WindowsServices()
        return self._services

    def watch(self) -> HostWatch | None:
        """Return what hears of sleep, shutdown and sessions."""
        from companion_agent.platforms.windows.watch import WindowsWatch  # noqa: PLC0415

        if self._watch is None:
            self._watch = WindowsWatch(self._falls_asleep)
        return self._watch

    def session_locked(self) -> bool:
        """Ask the watch, which hears of every change, and Windows itself where none listens."""
        locked = self._watch.locked if self._watch else None
        return self.control().locked() if locked is None else locked

    def sessions(self) -> tuple[Session, ...]:
        """Ask the watch, which hears of every change, and Windows itself where none listens."""
        if self._watch and self._watch.knows_sessions:
            return self._watch.sessions
        return self.control().sessions()

    def planned_shutdown(self) -> float | None:
        """Return what the agent has planned."""
        return self.control().planned_shutdown()

    def network_watch(self) -> NetworkWatch | None:
        """Return what hears that the network has changed."""
        from companion_agent.platforms.windows.network_watch import AddressWatch  # noqa: PLC0415

        with contextlib.suppress(OSError):
            return AddressWatch()
        return None

    def mounts(self) -> list[Mount]:
        """List the drives."""
        # "C:\\" is called "C:", which is what people say and what patterns can be written for.
        return self._drives.mounts()

    def disk_usage(self, point: str) -> DiskUsage:
        """Read the space of a drive."""
        # Without the backslash, "C:" is the working folder on that drive.
        return super().disk_usage(f"{point}\\")

    def processor(self) -> WindowsProcessor:
        """Return what reads and sets power plans."""
        from companion_agent.platforms.windows.processor import WindowsProcessor  # noqa: PLC0415

        if self._processor is None:
            self._processor = WindowsProcessor()
        return self._processor

    def leave(self) -> None:
        """Put power plans back as they were found."""
        self.processor().restore()

    def power(self, wanted: Wanted = everything) -> PowerSample:
        """Ask the batteries' drivers."""
        return batteries.sample(wanted)

    def kernel_version(self) -> str:
        """Return the version with its build, "10.0.22631"."""
        return ".".join(map(str, _version()))

    def pending_reboot(self) -> bool | None:
        """Look for what updates, and changes of the name, leave in the registry."""
        return reboot.pending(_registry_key_exists, _registry_text)

    def package_managers(self) -> list[PackageManager]:
        """Return Windows' own update service."""
        from companion_agent.platforms.windows.updates import WindowsUpdate  # noqa: PLC0415

        if self._updates is None:
            self._updates = WindowsUpdate()
        return [self._updates]

    def temperatures(self, wanted: Wanted = everything) -> list[Sensor]:
        """Say what it takes: Windows itself tells none."""
        raise Unavailable(_NO_TEMPERATURES, _HOW_TO_HAVE_THEM)

    def fans(self, wanted: Wanted = everything) -> list[Sensor]:
        """Say what it takes: Windows itself tells none."""
        raise Unavailable(_NO_TEMPERATURES, _HOW_TO_HAVE_THEM)

    def graphics(self, wanted: Wanted = everything) -> list[GraphicsSample]:
        """Read performance counters, and ask NVIDIA's library."""
        return self._graphics.samples(wanted)

    def wifi(self, wanted: Wanted = everything) -> list[WifiLink]:
        """Ask the service WLAN AutoConfig."""
        return wifi.links(wanted)


def _os_name() -> str:
    name = _registry_text(_VERSION, "ProductName") or "Windows"
    build = _registry_text(_VERSION, "CurrentBuildNumber")
    # Windows 11 still calls itself 10 here.
    if build.isdecimal() and int(build) >= _FIRST_WINDOWS_11:
        name = name.replace("Windows 10", "Windows 11")
    if _YEAR.search(name):
        # Servers and the long-term channel have a year in their name, and a version beside it
        # that is another product's.
        core = _registry_text(_VERSION, "InstallationType") == "Server Core"
        return f"{name} (Server Core)"[:255] if core else name
    # Before 20H2 the version was a number, in another value.
    version = _registry_text(_VERSION, "DisplayVersion") or _registry_text(_VERSION, "ReleaseId")
    return " ".join(filter(None, (name, version)))[:255]


def _registry_text(key: str, value: str) -> str:
    """Read a text from the local machine's part of the registry; empty when it is not there."""
    with contextlib.suppress(OSError), _open_key(key) as opened:
        return str(_value(opened, value)).strip()[:255]
    return ""


def _registry_key_exists(key: str) -> bool:
    with contextlib.suppress(OSError), _open_key(key):
        return True
    return False


if sys.platform == "win32":
    import winreg

    def _open_key(key: str) -> winreg.HKEYType:
        # A 32-bit Python must see the same registry.
        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        return winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key, 0, access)

    def _value(key: winreg.HKEYType, name: str) -> object:
        return winreg.QueryValueEx(key, name)[0]

    def _version() -> tuple[int, int, int]:
        return sys.getwindowsversion()[:3]

else:

    def _open_key(key: str) -> contextlib.AbstractContextManager[object]:
        raise OSError(key)

    def _value(key: object, name: str) -> object:
        raise OSError(name)

    def _version() -> tuple[int, int, int]:
        raise OSError("Windows' version")
