"""apt, dnf, pacman and flatpak: what waits by the lists that this machine has, without root.

Sources: apt-get(8), dnf(8), dnf5(8), pacman(8), flatpak-remote-ls(1). None of them is given a
reason to write or to use the network: apt simulates without a lock, dnf and flatpak keep to their
caches, pacman compares with its databases.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
import os
import re
from typing import TYPE_CHECKING, ClassVar

from companion_agent.platforms.packages import (
    PackageManager,
    PackageManagerError,
    Programs,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from companion_agent.platforms.linux.files import Files
    from companion_agent.platforms.packages import Signature

LIMIT = 600.0
"""Seconds that one may take: its lower priority makes minutes of seconds on a busy machine."""

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}

# Inst libc6 [2.36-9] (2.36-9+deb12u4 Debian:12.4/stable, Debian-Security:12/stable-security [a])
# A package that is new has no version in square brackets.
_APT = re.compile(r"Inst (\S+) \[[^\]]*\] \(\S+ ([^\[)]*)")
# name.arch    version-release    repository
_DNF = re.compile(r"(\S+)\.[a-z0-9_]+\s+\S+-\S+\s+\S+\s*")
_PACMAN = re.compile(r"(\S+) \S+ -> \S+( \[ignored\])?")


class NicePrograms(Programs):
    """Runs package managers at a lower priority, in one language."""

    def ask(self, program: str, *arguments: str, fine: Sequence[int] = (0,)) -> str:
        """Run a package manager, and return what it prints.

        Args:
            program: Its name.
            arguments: Its arguments.
            fine: The exit codes that are no failures.

        Raises:
            PackageManagerError: It failed, took too long or was ended.
        """
        command = ("nice", program, *arguments)
        code, printed, complaint = self.run(program, command, LIMIT, env=_ENVIRONMENT)
        if code not in fine:
            said = (complaint.strip() or printed.strip()).rpartition("\n")[2]
            raise PackageManagerError(f"{program} failed ({code}): {said}")
        return printed


class FilesOfPackages(PackageManager):
    """A package manager whose files tell by their times whether something has changed.

    Class attributes:
        installed: What it knows to be installed: files and folders.
        lists: Where it keeps what it has fetched.
    """

    installed: ClassVar[tuple[str, ...]]
    lists: ClassVar[tuple[str, ...]]

    def __init__(self, files: Files) -> None:
        self._files = files

    def signature(self) -> Signature:
        """Return the times of its files."""
        return tuple(self._changed(path) for path in (*self.installed, *self.lists))

    def refreshed(self) -> float | None:
        """Return the newest time of its lists."""
        return max((when for one in self.lists if (when := self._changed(one))), default=None)

    def _changed(self, path: str) -> float | None:
        with suppress(OSError):
            return os.stat(self._files.path(path)).st_mtime  # noqa: PTH116 - a Path costs more
        return None


class _Program(FilesOfPackages):
    """A package manager that is a program."""

    def __init__(self, files: Files, programs: NicePrograms) -> None:
        super().__init__(files)
        self._programs = programs

    @abstractmethod
    def look(self) -> Waiting:
        """Run it."""

    def close(self) -> None:
        """Kill it: it only looks."""
        self._programs.close()


class Apt(_Program):
    """Debian, Ubuntu, Raspberry Pi OS."""

    name = "apt"
    tells_security = True
    installed = ("var/lib/dpkg/status", "etc/apt/preferences.d")
    # Fetching puts files into the second, whatever it finds.
    lists = ("var/lib/apt/lists", "var/lib/apt/lists/partial")

    def look(self) -> Waiting:
        """Simulate an upgrade, which needs neither root nor the lock."""
        told = self._programs.ask(
            "apt-get", "--simulate", "--quiet", "-o", "Debug::NoLocking=1", "dist-upgrade"
        )
        found = {one[1]: one[2] for one in map(_APT.match, told.splitlines()) if one}
        security = sum("security" in origins.lower() for origins in found.values())
        return Waiting(tuple(sorted(found)), security)


class Dnf(_Program):
    """Fedora, RHEL and their like; dnf and dnf5.

    Args:
        files: The system's files.
        programs: Runs it.
        program: What it is called.
    """

    name = "dnf"
    tells_security = True
    installed = (
        "usr/lib/sysimage/rpm/rpmdb.sqlite",
        "usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
        "var/lib/rpm/rpmdb.sqlite",
        "var/lib/rpm/rpmdb.sqlite-wal",
        "var/lib/rpm/Packages",
    )
    lists = ("var/cache/dnf", "var/cache/libdnf5")

    def __init__(self, files: Files, programs: NicePrograms, program: str = "dnf") -> None:
        super().__init__(files, programs)
        self._program = program

    def look(self) -> Waiting:
        """Check for updates by the cache."""
        packages = self._check()
        return Waiting(packages, len(self._check("--security")) if packages else 0)

    def _check(self, *more: str) -> tuple[str, ...]:
        # 100 says that there are some.
        told = self._programs.ask(
            self._program, "--cacheonly", "--quiet", "check-update", *more, fine=(0, 100)
        )
        # What is below is replaced by one of the above.
        current = re.split(r"(?im)^obsoleting", told)[0]
        found = (_DNF.fullmatch(line) for line in current.splitlines())
        return tuple(sorted({one[1] for one in found if one}))


class Pacman(_Program):
    """Arch Linux and its like."""

    name = "pacman"
    installed = ("var/lib/pacman/local",)
    lists = ("var/lib/pacman/sync",)

    def look(self) -> Waiting:
        """Compare with its databases; which updates are about security is not told."""
        # 1 says that there are none.
        told = self._programs.ask("pacman", "--query", "--upgrades", fine=(0, 1))
        found = (_PACMAN.fullmatch(line.strip()) for line in told.splitlines())
        return Waiting(tuple(sorted(one[1] for one in found if one and not one[2])))


class Flatpak(_Program):
    """Flatpak's programs, those for all users."""

    name = "flatpak"
    installed = ("var/lib/flatpak/.changed",)
    lists = ("var/lib/flatpak/repo/tmp/cache/summaries",)

    def look(self) -> Waiting:
        """Compare with the cached summaries."""
        told = self._programs.ask(
            "flatpak", "remote-ls", "--system", "--updates", "--cached", "--columns=application"
        )
        return Waiting(tuple(sorted({line.strip() for line in told.splitlines() if line.strip()})))


def managers(files: Files, programs: NicePrograms | None = None) -> list[PackageManager]:
    """Return the package managers of this machine that are asked directly."""
    programs = programs or NicePrograms()
    found: list[PackageManager] = []
    if files.exists("usr/bin/apt-get") and files.exists("var/lib/dpkg/status"):
        found.append(Apt(files, programs))
    dnf = next((one for one in ("dnf5", "dnf") if files.exists(f"usr/bin/{one}")), "")
    if dnf and any(files.exists(path) for path in Dnf.installed):
        found.append(Dnf(files, programs, dnf))
    if files.exists("usr/bin/pacman") and files.exists("var/lib/pacman/local"):
        found.append(Pacman(files, programs))
    if files.exists("usr/bin/flatpak") and files.exists("var/lib/flatpak/repo"):
        found.append(Flatpak(files, programs))
    return found
