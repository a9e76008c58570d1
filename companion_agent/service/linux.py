"""Makes the agent a service of a Linux with systemd, and takes it away again.

Everything is written only where it differs, so that a second run changes nothing, and every
change is told, so that who runs it from a script knows.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
import re
import shutil
import stat
import subprocess
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

from companion_agent.platforms.linux import cpufreq, polkit, smart_helper
from companion_agent.platforms.linux.logind import (
    POWER_ACTIONS,
    SESSION_ACTIONS,
    Action,
    polkit_actions,
)
from companion_agent.platforms.linux.power_profiles import ACTIONS as PROFILE_ACTIONS
from companion_agent.platforms.linux.services import unit_name
from companion_agent.plugins.services.settings import commands_of, key_of, permitted, refusal
from companion_agent.service import unit
from companion_agent.service.changes import ServiceError
from companion_agent.storage import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from companion_agent.config.policy import Policy
    from companion_agent.plugins.services.settings import WatchedService
    from companion_agent.service.unit import Helper, Program

_UNIT = PurePosixPath("/etc/systemd/system", unit.SERVICE)
_SESSION_UNIT = PurePosixPath("/etc/systemd/user", unit.SESSION_SERVICE)
_PROCESSOR_SOCKET = PurePosixPath("/etc/systemd/system", unit.PROCESSOR_SOCKET)
_PROCESSOR_SERVICE = PurePosixPath("/etc/systemd/system", unit.PROCESSOR_SERVICE)
_SMART_TIMER = PurePosixPath("/etc/systemd/system", unit.SMART_TIMER)
_SMART_SERVICE = PurePosixPath("/etc/systemd/system", unit.SMART_SERVICE)
_SMART_FOLDER = PurePosixPath("/", smart_helper.FOLDER)
_CPUFREQ = PurePosixPath("/", cpufreq.FOLDER)
_AUTOSTART = PurePosixPath("/etc/xdg/autostart", unit.AUTOSTART)
_SYSUSERS = PurePosixPath("/etc/sysusers.d/pilot-agent.conf")
_UDEV = PurePosixPath("/etc/udev/rules.d/60-pilot-agent.rules")
_POLKIT = PurePosixPath(polkit.RULE_PATH)
_DROP_INS = PurePosixPath("/etc/systemd/system", f"{unit.SERVICE}.d")
CONTAINER_DROP_IN = _DROP_INS / "pilot-container.conf"

PACKAGED_PROGRAM = PurePosixPath("/usr/bin/pilot-agent")
_PACKAGED_UNIT = PurePosixPath("/usr/lib/systemd/system", unit.SERVICE)

# A service that does not come up within this has said why in the journal.
_SYSTEMCTL_LIMIT = 120


def run_command(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it says.

    Raises:
        ServiceError: It is missing or does not end.
    """
    try:
        return subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SYSTEMCTL_LIMIT,
            check=False,
        )
    except FileNotFoundError:
        raise ServiceError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ServiceError(f"{' '.join(command)} does not end") from None


def this_program() -> Program:
    """Find out how this agent is installed.

    Raises:
        ServiceError: It is not installed, but runs from a checkout.
    """
    if sys.prefix != sys.base_prefix:
        path = _stable(Path(sys.prefix, "bin", "pilot-agent"))
        # uv keeps its Pythons side by side below one folder, with links from one to the other.
        interpreters = {Path(sys.base_prefix).parent, Path(sys.executable).resolve().parents[2]}
        folders = [Path(sys.prefix), *sorted(interpreters)]
    else:
        path, folders = Path(sys.argv[0]).absolute(), []
    if path.name != "pilot-agent" or not path.is_file():
        raise ServiceError(
            "the service needs the installed program pilot-agent, and this is not one; "
            "docs/deployment.md says how to install it"
        )
    private = tuple(PurePosixPath(folder) for folder in folders if _is_private(folder))
    return unit.Program(PurePosixPath(path), private, _helper())


def _helper() -> Helper | None:
    """Return what root may run: neither it nor a folder above it can be changed by others."""
    python = _by_link(Path(sys.executable))
    programs = [_by_link(Path(file)) for file in (cpufreq.__file__, smart_helper.__file__)]
    paths = [place for path in (python, *programs) for place in (path, path.resolve())]
    if not all(_is_roots(place) for path in paths for place in (path, *path.parents)):
        return None
    return unit.Helper(PurePosixPath(python), PurePosixPath(programs[0].parent))


def _is_roots(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_private(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in ("/root", "/home"))


def _called() -> Path:
    return Path(shutil.which(sys.argv[0]) or sys.argv[0]).absolute()


def _by_link(path: Path) -> Path:
    """Name a file of this environment by the link that leads to it, where the command names one.

    It outlives this version of the agent, as `_stable()` has it of the program: the link of
    `deploy/install.sh` leads to the release in use.
    """
    called = _called()
    if called.is_symlink() and path.is_relative_to(sys.prefix):
        environment = called.parent.joinpath(called.readlink()).parent.parent
        if environment.is_symlink() and environment.resolve() == Path(sys.prefix).resolve():
            return environment / path.relative_to(sys.prefix)
    return path


def _stable(path: Path) -> Path:
    """Prefer the link that the program was called by, which outlives this version of it."""
    called = _called()
    if called != path and called.is_symlink() and called.resolve() == path.resolve():
        return path if _is_private(called) else called
    return path


def permissions(policy: Policy, *, desktop: bool) -> frozenset[str]:
    """List polkit's actions behind the commands that the configuration allows.

    Args:
        policy: What it allows.
        desktop: Whether people work at this machine; only then there are sessions to end.
    """
    allowed: list[Action] = [one for one in POWER_ACTIONS if policy.allows(f"power.{one}")]
    if desktop:
        allowed += [one for one in SESSION_ACTIONS if policy.allows(f"session.{one}")]
    profile = PROFILE_ACTIONS if policy.allows("processor.profile") else frozenset()
    return polkit_actions(allowed) | profile


def unit_permissions(
    policy: Policy,
    services: Mapping[str, WatchedService],
    primary: Callable[[str], str] = lambda unit: unit,
) -> frozenset[str]:
    """List what polkit has to permit of single units for the configuration.

    Args:
        policy: What it allows.
        services: The services that it watches.
        primary: Returns the name that systemd, and so polkit, knows a unit by.
    """
    return frozenset(
        polkit.of_unit(own_name, verb)
        for name, verbs in permitted(services).items()
        for own_name in (primary(unit_name(name)),)
        for end, wanted in commands_of(verbs).items()
        if policy.allows(f"services.{key_of(name)}.{end}")
        for verb in wanted
        # As the agent does with a unit that another name hides.
        if not refusal(own_name, verb)
    )


class Service:
    """The agent's service on one system.

    Args:
        root: Where the system's files are; another than `/` in tests.
        run: Runs commands.
        check: Whether everything is only looked at: what would be changed is told as well.

    Attributes:
        changes: What was changed, or would be.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        run: Callable[[Sequence[str]], subprocess.CompletedProcess[str]] = run_command,
        *,
        check: bool = False,
    ) -> None:
        self._root = root
        self._run = run
        self.check = check
        self.changes: list[str] = []

    # --- Looking -------------------------------------------------------------------------

    @property
    def has_systemd(self) -> bool:
        """Whether systemd runs this system (sd_booted(3))."""
        return self._at(PurePosixPath("/run/systemd/system")).is_dir()

    def packaged(self, program: Program) -> bool:
        """Tell whether a package brought the program, and the unit with it."""
        return program.path == PACKAGED_PROGRAM and self._at(_PACKAGED_UNIT).exists()

    @property
    def active(self) -> bool:
        """Whether the service runs."""
        return self._ask("ActiveState") == "active"

    @property
    def hides_proc(self) -> bool:
        """Whether systemd hides the container's own /proc from the service; see the drop-in."""
        if self._run(["systemd-detect-virt", "--container", "--quiet"]).returncode:
            return False
        found = re.match(r"systemd (\d+)", self._run(["systemctl", "--version"]).stdout)
        return found is not None and int(found[1]) < unit.FIRST_SHARED_PROC

    def status(self) -> str:
        """Return what the service says of itself."""
        return self._ask("StatusText")

    def _ask(self, name: str) -> str:
        done = self._run(["systemctl", "show", "--property", name, "--value", unit.SERVICE])
        return done.stdout.strip()

    def properties(self, name: str, *wanted: str) -> dict[str, str]:
        """Ask systemd about any unit."""
        # A unit's name may begin with a hyphen.
        done = self._run(["systemctl", "show", "--property", ",".join(wanted), "--", name])
        return dict(line.partition("=")[::2] for line in done.stdout.splitlines())

    def last_words(self) -> str:
        """Return the end of the service's log."""
        done = self._run(
            ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", "8", "-u", unit.SERVICE]
        )
        return done.stdout.strip()

    @property
    def _has_desktop(self) -> bool:
        kinds = ("/usr/share/xsessions", "/usr/share/wayland-sessions")
        return any(self._at(PurePosixPath(kind)).is_dir() for kind in kinds)

    # --- Making --------------------------------------------------------------------------

    def add_user(self, *, packaged: bool) -> None:
        """Make the service's user.

        Raises:
            ServiceError: That did not work.
        """
        if not packaged:
            self.put(_SYSUSERS, unit.sysusers())
        if self.has_user:
            return
        # Containers and other minimal systems may lack the first.
        arguments = [
            "--system",
            "--home-dir",
            str(unit.STATE_FOLDER),
            "--shell",
            "/usr/sbin/nologin",
        ]
        if shutil.which("systemd-sysusers"):
            self.must("systemd-sysusers")
        else:
            self.must("useradd", *arguments, unit.USER)
        self.changes.append(f"user {unit.USER}")

    @property
    def has_user(self) -> bool:
        """Whether the service's user is there."""
        return self._run(["getent", "passwd", unit.USER]).returncode == 0

    def install(
        self,
        program: Program,
        policy: Policy,
        *,
        i2c: bool,
        disk_health: bool = True,
        services: Mapping[str, WatchedService] = MappingProxyType({}),
    ) -> None:
        """Write the units and the rules.

        Args:
            program: The agent.
            policy: What the configuration allows.
            i2c: Whether it reads sensors on I²C buses.
            disk_health: Whether it is to know how well the disks are.
            services: The services that it watches.

        Raises:
            ServiceError: That did not work.
        """
        if not self.packaged(program):
            if self.put(_UNIT, unit.unit(program, i2c=i2c)):
                self.must("systemctl", "daemon-reload")
            if self.put(_UDEV, unit.udev()):
                self._reload_udev()
            self._install_session_helper(program)
        self._follow_processor(program, policy)
        self._follow_smart(program, wanted=disk_health)
        if self._fit_to_container():
            self.must("systemctl", "daemon-reload")
        if self._at(PurePosixPath("/usr/share/polkit-1")).is_dir():
            wanted = permissions(policy, desktop=self._has_desktop)
            wanted |= unit_permissions(policy, services, self._primary)
            self.put(_POLKIT, polkit.rule(unit.USER, wanted))

    def _primary(self, name: str) -> str:
        """Return a unit's own name, where it was called by an alias."""
        return self.properties(name, "Id").get("Id") or name

    def _install_session_helper(self, program: Program) -> None:
        """Have a session helper start with every desktop."""
        if program.home:
            # Other users cannot start a program in there.
            return
        if self.put(_SESSION_UNIT, unit.session_unit(program)):
            self.must("systemctl", "--global", "enable", unit.SESSION_SERVICE)
        self.put(_AUTOSTART, unit.autostart(program))

    def _follow_processor(self, program: Program, policy: Policy) -> None:
        """Have root set the processor where the configuration allows that, and only there."""
        allowed = any(policy.allows(f"processor.{name}") for name in cpufreq.SETTINGS)
        if program.helper is None or not allowed or not any(self._at(_CPUFREQ).glob("policy*")):
            self._drop_processor()
            return
        texts = {
            _PROCESSOR_SOCKET: unit.processor_socket(program.helper),
            _PROCESSOR_SERVICE: unit.processor_service(program.helper),
        }
        self._enable(program, texts, unit.PROCESSOR_SOCKET, "the processor can be set")

    def _drop_processor(self) -> None:
        texts = (_PROCESSOR_SOCKET, _PROCESSOR_SERVICE)
        self._disable(texts, unit.PROCESSOR_SOCKET, "the processor cannot be set any more")

    def _follow_smart(self, program: Program, *, wanted: bool) -> None:
        """Have root ask the disks how they are, where that is wanted."""
        if program.helper is None or not wanted:
            self._drop_smart()
            return
        texts = {
            _SMART_TIMER: unit.smart_timer(),
            _SMART_SERVICE: unit.smart_service(program.helper),
        }
        self._enable(program, texts, unit.SMART_TIMER, "disks are asked how they are")

    def _drop_smart(self) -> None:
        texts = (_SMART_TIMER, _SMART_SERVICE)
        self._disable(texts, unit.SMART_TIMER, "disks are not asked any more")
        self.drop(_SMART_FOLDER)

    def _enable(
        self, program: Program, texts: Mapping[PurePosixPath, str], name: str, change: str
    ) -> None:
        """Write units that root runs for the agent, unless a package brought them; enable one."""
        if not self.packaged(program):
            written = [self.put(path, text) for path, text in texts.items()]
            if any(written):
                self.must("systemctl", "daemon-reload")
        if not self._is_enabled(name):
            self.must("systemctl", "enable", name)
            self.changes.append(change)

    def _disable(self, paths: Iterable[PurePosixPath], name: str, change: str) -> None:
        if self._is_enabled(name):
            self.must("systemctl", "disable", "--now", name)
            self.changes.append(change)
        for path in paths:
            self.drop(path)

    def _is_enabled(self, name: str) -> bool:
        return self.properties(name, "UnitFileState").get("UnitFileState") == "enabled"

    def _fit_to_container(self) -> bool:
        """Write the drop-in that a container needs, or remove one that it needs no more."""
        if self.hides_proc:
            return self.put(CONTAINER_DROP_IN, unit.own_proc_drop_in())
        count = len(self.changes)
        self.drop(CONTAINER_DROP_IN)
        return len(self.changes) > count

    def start(self, *, restart: bool) -> None:
        """Start the service now and at every boot.

        Args:
            restart: Whether one that runs has to begin anew.

        Raises:
            ServiceError: It does not start; the end of its log is in the text.
        """
        if self._ask("UnitFileState") != "enabled":
            self.must("systemctl", "enable", unit.SERVICE)
            self.changes.append("start at boot")
        running = self.active
        if running and not restart:
            return
        # One that gave up earlier may try again.
        self._may("systemctl", "reset-failed", unit.SERVICE)
        if not self._may("systemctl", "restart", unit.SERVICE):
            raise ServiceError(f"the service does not start:\n{self.last_words()}")
        self.changes.append("service restarted" if running else "service started")

    # --- Taking away ---------------------------------------------------------------------

    def remove(self) -> None:
        """Stop the service and remove what `install()` wrote; keys and history stay."""
        known = self._run(["systemctl", "cat", unit.SERVICE]).returncode == 0
        if known and (self.active or self._ask("UnitFileState") == "enabled"):
            self.must("systemctl", "disable", "--now", unit.SERVICE)
            self.changes.append("service stopped")
        if self._at(_SESSION_UNIT).exists():
            self._may("systemctl", "--global", "disable", unit.SESSION_SERVICE)
        self._drop_processor()
        self._drop_smart()
        for path in (_UNIT, _UDEV, _SYSUSERS, _POLKIT, _SESSION_UNIT, _AUTOSTART):
            self.drop(path)
        self.drop(_DROP_INS)
        self._may("systemctl", "daemon-reload")
        self._may("systemctl", "reset-failed", unit.SERVICE)
        self._reload_udev()

    def purge(self, *folders: PurePosixPath) -> None:
        """Remove configuration, keys and history, and the user whose they were.

        Raises:
            ServiceError: That did not work.
        """
        for folder in folders:
            self.drop(folder)
        if self.has_user:
            self.must("userdel", unit.USER)
            self.changes.append(f"user {unit.USER} removed")

    def drop(self, path: PurePath) -> None:
        """Remove a file or a folder with all that is in it."""
        place = self._at(path)
        try:
            if self.check:
                place.lstat()
            elif place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ServiceError(f"{path} cannot be removed: {error.strerror}") from error
        self.changes.append(f"{path} removed")

    # --- Files ---------------------------------------------------------------------------

    def make_folder(
        self, path: PurePath, *, mode: int, owner: str = "root", group: str = "root"
    ) -> None:
        """Make a folder.

        Raises:
            ServiceError: That did not work.
        """
        place = self._at(path)
        try:
            if not place.is_dir():
                self.changes.append(str(path))
            if self.check:
                return
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(mode)
            self._give(place, owner, group)
        except OSError as error:
            raise ServiceError(f"{path} cannot be made: {error.strerror}") from error

    def put(
        self,
        path: PurePath,
        content: str | bytes,
        *,
        mode: int = 0o644,
        owner: str = "root",
        group: str = "root",
    ) -> bool:
        """Write a file in one step, unless it is there and the same.

        Args:
            path: The file.
            content: What it shall hold.
            mode: Who may do what with it.
            owner: The user that owns it; the current user when empty.
            group: Its group.

        Returns:
            Whether it was written, or would be.

        Raises:
            ServiceError: That did not work; what was there before still is.
        """
        data = content.encode() if isinstance(content, str) else content
        place = self._at(path)
        try:
            if place.is_file() and not place.is_symlink() and place.read_bytes() == data:
                if not self.check:
                    place.chmod(mode)
                    self._give(place, owner, group)
                return False
            if self.check:
                self.changes.append(str(path))
                return True
            place.parent.mkdir(parents=True, exist_ok=True)
            files.write(
                place, data, mode=mode, give=lambda handle: self._give(handle, owner, group)
            )
        except OSError as error:
            raise ServiceError(f"{path} cannot be written: {error.strerror}") from error
        self.changes.append(str(path))
        return True

    def _give(self, place: Path | int, owner: str, group: str) -> None:
        # Below another root there are none of these users.
        if owner and self._root == Path("/"):
            try:
                shutil.chown(place, owner, group)
            except LookupError as error:
                raise ServiceError(f"{error}; the service's user is missing") from error

    # --- Commands ------------------------------------------------------------------------

    def _at(self, path: PurePath) -> Path:
        return self._root / path.relative_to("/")

    def _may(self, *command: str) -> bool:
        """Run a command that changes something, and tell whether it succeeded."""
        return self.check or self._run(command).returncode == 0

    def must(self, *command: str) -> None:
        """Run a command that has to succeed.

        Raises:
            ServiceError: It did not; what it said is in the text.
        """
        if self.check:
            return
        done = self._run(command)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise ServiceError(f"{' '.join(command)} failed: {said}")

    def _reload_udev(self) -> None:
        # Containers have none, and no devices either.
        for command in (
            ["udevadm", "control", "--reload"],
            ["udevadm", "trigger", "--subsystem-match=i2c-dev"],
        ):
            with suppress(ServiceError):
                self._may(*command)
