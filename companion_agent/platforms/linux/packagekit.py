"""What waits by PackageKit, for systems whose own package manager is not asked directly.

D-Bus starts its daemon for the question. It takes tens of megabytes and ends by itself some
minutes later, so nothing else is asked of it, not even how old the lists are.
Source: the introspection data of PackageKit 1.2 (org.freedesktop.PackageKit.Transaction.xml) and
the numbers of its enumerations (pk-enum.h).
"""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING, Any

from companion_agent.platforms.linux.dbus import BusError, Listener, Signal, Target
from companion_agent.platforms.linux.packages import LIMIT, FilesOfPackages
from companion_agent.platforms.packages import PackageManagerError, Waiting

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files
    from companion_agent.platforms.packages import PackageManager

SERVICE = "org.freedesktop.PackageKit"
DAEMON = Target(SERVICE, "/org/freedesktop/PackageKit", SERVICE)
TRANSACTION = f"{SERVICE}.Transaction"
ACTIVATION = f"usr/share/dbus-1/system-services/{SERVICE}.service"
"""What says that D-Bus can start it."""

_BUS = Target("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")

# It keeps to the lists that there are, however old, and asks nothing of a user.
_HINTS = ["background=true", "interactive=false", "cache-age=4294967295"]
# PK_FILTER_ENUM_NONE, as a bit.
_NO_FILTER = 1 << 1
# PK_INFO_ENUM_SECURITY and PK_INFO_ENUM_BLOCKED. Newer versions say in the upper half how severe
# it is.
_SECURITY, _BLOCKED = 8, 9
_INFO = 0xFFFF
# PK_EXIT_ENUM_SUCCESS
_SUCCESS = 1
# Seconds until the end of the agent is noticed.
_NOTICED_WITHIN = 0.5


class PackageKit(FilesOfPackages):
    """PackageKit. It is asked when what rpm, eopkg or apk know has changed, and once a day."""

    name = "packagekit"
    tells_security = True
    installed = (
        "usr/lib/sysimage/rpm/Packages.db",
        "usr/lib/sysimage/rpm/rpmdb.sqlite",
        "var/lib/eopkg/info/files.db",
        "lib/apk/db/installed",
    )
    # When these are checked and found unchanged, nothing tells.
    lists = ("var/cache/zypp/solv", "var/lib/eopkg/index", "var/cache/apk")

    def __init__(self, files: Files) -> None:
        super().__init__(files)
        self._ending = threading.Event()

    def refreshed(self) -> None:
        """Say nothing: what knows it would have to be started."""

    def look(self) -> Waiting:
        """Ask it for the updates."""
        try:
            return _Question(self._ending).ask()
        except BusError as error:
            raise PackageManagerError(f"PackageKit: {error.text}") from error

    def close(self) -> None:
        """Wait for its answer no more; it ends what nothing waits for."""
        self._ending.set()


class _Question:
    """One transaction: made, asked for updates, heard until it has finished.

    Args:
        ending: Set when its answer is not waited for any more.
    """

    def __init__(self, ending: threading.Event) -> None:
        self._ending = ending
        self._owner = ""
        self._path = ""
        self._packages: dict[str, int] = {}
        self._complaint = ""
        self._error: BusError | None = None
        self._exit: int | None = None

    def ask(self) -> Waiting:
        """Return what waits.

        Raises:
            PackageManagerError: It fails, or takes too long.
            BusError: It cannot be asked.
        """
        self._listener = Listener()
        try:
            self._listener.listen(sender=SERVICE, interface=TRANSACTION)
            self._listener.listen(
                sender=_BUS.service, interface=_BUS.interface, member="NameOwnerChanged",
                arg0=SERVICE,
            )  # fmt: skip
            self._listener.call(self._take_path, DAEMON, "CreateTransaction")
            self._wait()
        finally:
            self._listener.close()
        if self._exit != _SUCCESS:
            why = self._complaint or f"it ended with {self._exit}"
            raise PackageManagerError(f"PackageKit failed: {why}")
        security = sum(info == _SECURITY for info in self._packages.values())
        return Waiting(tuple(sorted(self._packages)), security)

    def _wait(self) -> None:
        deadline = time.monotonic() + LIMIT
        while self._exit is None:
            if self._ending.is_set():
                raise PackageManagerError("PackageKit is not asked any more")
            if time.monotonic() > deadline:
                raise PackageManagerError(f"PackageKit did not end within {LIMIT:.0f} s")
            select.select([self._listener.socket], [], [], _NOTICED_WITHIN)
            for signal in self._listener.pump():
                self._hear(signal)
            if self._error:
                raise self._error

    def _take_path(self, answer: tuple[Any, ...] | BusError) -> None:
        self._take_error(answer)
        if not isinstance(answer, BusError):
            self._path = answer[0]
            self._listener.call(self._take_owner, _BUS, "GetNameOwner", "s", SERVICE)

    def _take_owner(self, answer: tuple[Any, ...] | BusError) -> None:
        self._take_error(answer)
        if not isinstance(answer, BusError):
            self._owner = answer[0]
            transaction = DAEMON.at(self._path, TRANSACTION)
            self._listener.call(self._take_error, transaction, "SetHints", "as", _HINTS)
            self._listener.call(self._take_error, transaction, "GetUpdates", "t", _NO_FILTER)

    def _take_error(self, answer: tuple[Any, ...] | BusError) -> None:
        if isinstance(answer, BusError):
            self._error = answer

    def _hear(self, signal: Signal) -> None:
        if (signal.sender, signal.member) == (_BUS.service, "NameOwnerChanged"):
            if signal.body[1] == self._owner:
                raise PackageManagerError("PackageKit ended before it answered")
            return
        if (signal.sender, signal.path) != (self._owner, self._path):
            return
        match signal.member, signal.body:
            case "Package", (int(info), str(package), _):
                self._note(info, package)
            case "ErrorCode", (_, str(details)):
                self._complaint = details.strip().rpartition("\n")[2]
            case "Finished", (int(code), _):
                self._exit = code

    def _note(self, info: int, package: str) -> None:
        # name;version;architecture;source
        if info & _INFO != _BLOCKED:
            self._packages[package.partition(";")[0]] = info & _INFO


def managers(files: Files) -> list[PackageManager]:
    """Return PackageKit where D-Bus can start it."""
    return [PackageKit(files)] if files.exists(ACTIVATION) else []
