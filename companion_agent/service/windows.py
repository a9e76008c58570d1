"""Makes the agent a service of Windows, and takes it away again.

The service has an account with few rights and a SID of its own; what it may read and write is
given to that SID alone. A second run changes nothing, and every change is told.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
import os
from pathlib import Path, PureWindowsPath
import shutil
import subprocess
import sys
import sysconfig
import time
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.service import event_log, session_start
from companion_agent.service.changes import ServiceError
from companion_agent.storage import files
from companion_agent.storage.permissions import SERVICE, SERVICE_SID, changers_in
from companion_agent.winapi import (
    accounts,
    folders,
    privileges,
    processes,
    registry,
    security,
    services,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    import ctypes

NAME = SERVICE
DISPLAY_NAME = "Pilot"
DESCRIPTION = "Reports this computer to Home Assistant over MQTT."
ACCOUNT = r"NT AUTHORITY\LocalService"
RECOVERY = (5.0, 30.0, 60.0)
"""Seconds before the service is started again after it failed: once, twice, and more often."""
RECOVERY_RESET = 24 * 3600
"""Seconds without a failure after which the next one is the first again."""
PRIVILEGES = ("SeChangeNotifyPrivilege", "SeShutdownPrivilege")
"""All that the service's token keeps: to walk through folders, and to shut down."""
PRESHUTDOWN_LIMIT = 10_000
"""Milliseconds that Windows waits for the service's good-bye before it shuts down."""

_START_LIMIT = 60.0
_STOP_LIMIT = 30.0
_LOOK = 0.1

# SDDL: the system and the administrators may do everything; the service reads (0x1200a9) what
# it is told, and does everything with what it keeps.
_CONFIG_RULES = f"O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;{SERVICE_SID})"
_STATE_RULES = f"O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{SERVICE_SID})"
_CONFIG_FILE_RULES = f"O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x1200a9;;;{SERVICE_SID})"
_REPARSE_POINT = 0x400

_NEEDS_RIGHTS = (
    "this needs administrator rights: open a terminal with “Run as administrator” and try again"
)


class ServiceStatus(NamedTuple):
    """How the service is.

    Attributes:
        state: `stopped`, `starting`, `running`, `stopping`; `absent` where it is not installed.
        pid: Its process; 0 while it does not run.
        exit_code: How it ended last; 0 for well.
        start: `automatic`, `manual` or `disabled`.
        account: What it runs as.
        command: Its command line.
    """

    state: str
    pid: int = 0
    exit_code: int = 0
    start: str = ""
    account: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the service's files are.

    Attributes:
        config: The configuration file.
        state: The state folder.
    """

    config: Path
    state: Path


def usual_places() -> Places:
    """Return where a service's files belong.

    Raises:
        ServiceError: Windows does not tell.
    """
    with _explained("the folder for programs' data cannot be found"):
        folder = folders.known(folders.PROGRAM_DATA) / NAME
    return Places(folder / "config.yaml", folder / "state")


def command_line(program: Sequence[str], places: Places) -> str:
    """Return what the service manager starts, quoted as Windows wants it.

    Args:
        program: The interpreter, and what of its arguments starts the agent.
        places: What the agent is to use.
    """
    arguments = [*program[1:], "service", "run", "--config", str(places.config)]
    arguments += ["--state-dir", str(places.state)]
    # The program always in quotes: without them Windows tries C:\Program.exe first.
    return f'"{program[0]}" {subprocess.list2cmdline(arguments)}'


def this_program() -> tuple[str, ...]:
    """Find out how this agent is started, in a way that a service can use.

    Raises:
        ServiceError: It cannot be used by a service; the text says why.
    """
    # In a virtual environment `python.exe` only starts another process, which the service
    # manager does not know; this one has to be told where the environment's libraries are.
    interpreter = Path(getattr(sys, "_base_executable", sys.executable))
    if "WindowsApps" in interpreter.parts:
        raise ServiceError(
            f"this Python comes from the Microsoft Store ({interpreter}): only the user who "
            "installed it can run it, so no service can; install Python from python.org for all "
            "users, or Pilot with its installer"
        )
    package = Path(__file__).parents[2]
    with _explained("the users' folders cannot be found"):
        users = folders.profiles()
    for path in (interpreter, package):
        if PureWindowsPath(path).is_relative_to(PureWindowsPath(users)):
            raise ServiceError(
                f"{path} lies in a user's folder, which the service's account cannot read and "
                "that user can change; install Python and pilot-agent for all users, or Pilot "
                "with its installer"
            )
    _check_changers(interpreter)
    _check_changers(package / "companion_agent")
    interpreter = interpreter.with_name(interpreter.name.lower().replace("pythonw", "python"))
    isolated = "-I" if sys.flags.isolated else "-P"
    if sys.prefix == sys.base_prefix and package == Path(sysconfig.get_path("purelib")):
        return (str(interpreter), isolated, "-m", "companion_agent")
    start = (
        f"import site; site.addsitedir({str(package)!r}); "
        "from companion_agent.cli import main; raise SystemExit(main())"
    )
    return (str(interpreter), isolated, "-c", start)


def _check_changers(program: Path) -> None:
    """Check that only administrators can change a program, or put another in its place.

    Others would have whatever they like run as the service, and in the sessions of all who log in.

    Raises:
        ServiceError: Others can, or Windows does not tell.
    """
    own = {accounts.current_user()}
    for number, path in enumerate((program, *program.parents)):
        with _explained(f"who may change {path} cannot be found out"):
            found = changers_in(security.file_rules(str(path)), inside=number < 2) - own
        if found:
            raise ServiceError(
                f"{path} can be changed by others ({', '.join(sorted(found))}), who could so have "
                "this computer run what they like: install below the folder for programs "
                "(C:\\Program Files), or close this one first: "
                f'icacls "{path}" /inheritance:r /grant *{accounts.SYSTEM}:(OI)(CI)F '
                f"*{accounts.ADMINISTRATORS}:(OI)(CI)F *{accounts.USERS}:(OI)(CI)RX"
            )


class WindowsService:
    """The agent's service on this machine.

    Args:
        check: Whether everything is only looked at: what would be changed is told as well.

    Attributes:
        changes: What was changed, or would be.
        unknown: What this Windows does not know of services, and the service so does not have.
    """

    def __init__(self, *, check: bool = False) -> None:
        self.check = check
        self.changes: list[str] = []
        self.unknown: list[str] = []

    # --- Looking -------------------------------------------------------------------------

    def status(self) -> ServiceStatus:
        """Return how the service is.

        Raises:
            ServiceError: Windows does not tell.
        """
        access = services.SERVICE_QUERY_STATUS | services.SERVICE_QUERY_CONFIG
        try:
            with services.service(NAME, access) as handle:
                found, config = services.status_of(handle), services.config_of(handle)
        except OSError as error:
            if _code(error) == services.ERROR_SERVICE_DOES_NOT_EXIST:
                return ServiceStatus("absent")
            raise ServiceError(_text("the service cannot be asked", error)) from error
        code = found.exit_code
        if code == services.ERROR_SERVICE_SPECIFIC:
            code = found.specific_exit_code
        starts = {
            services.SERVICE_AUTO_START: "automatic",
            services.SERVICE_DEMAND_START: "manual",
            services.SERVICE_DISABLED: "disabled",
        }
        return ServiceStatus(
            services.STATES.get(found.state, str(found.state)),
            found.pid,
            code,
            starts.get(config.start, str(config.start)),
            config.account,
            config.path,
        )

    # --- Making --------------------------------------------------------------------------

    def install(self, program: Sequence[str], places: Places) -> None:
        """Make the service, its folders and its source of events; change what differs.

        Raises:
            ServiceError: That did not work.
        """
        require_administrator()
        self.make_folders(places)
        wanted = services.Config(
            command_line(program, places), ACCOUNT, services.SERVICE_AUTO_START, DISPLAY_NAME
        )
        status = self.status()
        there = (status.command, status.start, status.account.lower())
        if there != (wanted.path, "automatic", ACCOUNT.lower()):
            self.changes.append(f"service {NAME}")
        if session_start.registered() != session_start.command(program):
            self.changes.append("session helpers, from the next log-in on")
        if self.check:
            return
        with _explained("the service cannot be installed"):
            if status.state == "absent":
                services.create(NAME, wanted)
            access = (
                services.SERVICE_CHANGE_CONFIG
                | services.SERVICE_QUERY_CONFIG
                # Without it Windows takes no recovery that restarts a service.
                | services.SERVICE_START
            )
            with services.service(NAME, access) as handle:
                if status.state != "absent":
                    services.change(handle, wanted)
                self._set_more(handle)
            event_log.register(NAME)
            session_start.register(session_start.command(program))

    def _set_more(self, handle: int) -> None:
        few, _kept = services.required_privileges(PRIVILEGES)
        wanted: dict[str, tuple[int, ctypes.Structure]] = {
            "its description": (services.CONFIG_DESCRIPTION, services.Description(DESCRIPTION)),
            "restarts after a failure": (
                services.CONFIG_FAILURE_ACTIONS,
                services.restarts(RECOVERY, RECOVERY_RESET),
            ),
            # Not only after a crash.
            "restarts after an end with an error": (
                services.CONFIG_FAILURE_ACTIONS_FLAG,
                services.Switch(1),
            ),
            "a start after other services": (
                services.CONFIG_DELAYED_AUTO_START,
                services.Switch(1),
            ),
            "a SID of its own": (
                services.CONFIG_SERVICE_SID,
                services.Number(services.SERVICE_SID_TYPE_UNRESTRICTED),
            ),
            "few privileges": (services.CONFIG_REQUIRED_PRIVILEGES, few),
            "time before shutdown": (
                services.CONFIG_PRESHUTDOWN,
                services.Number(PRESHUTDOWN_LIMIT),
            ),
        }
        for what, (level, info) in wanted.items():
            try:
                services.set_more(handle, level, info)
            except OSError as error:
                if _code(error) != services.ERROR_INVALID_LEVEL:
                    raise
                self.unknown.append(what)

    def start(self, *, restart: bool = False) -> None:
        """Start the service, and wait until it runs.

        Args:
            restart: Whether one that runs has to begin anew.

        Raises:
            ServiceError: It does not start.
        """
        status = self.status()
        if status.state == "absent" and not self.check:
            raise ServiceError("the service is not installed: pilot-agent service install")
        if status.state == "running" and not restart:
            return
        self.changes.append("service restarted" if status.pid else "service started")
        if self.check:
            return
        if status.pid:
            self._stop()
        with (
            _explained("the service does not start"),
            services.service(NAME, services.SERVICE_START) as handle,
        ):
            try:
                services.start(handle)
            except OSError as error:
                # Its first reading of Python can take a busy PC more than the thirty seconds that
                # Windows waits for a service. Then the second one is quick.
                if _code(error) != services.ERROR_SERVICE_REQUEST_TIMEOUT:
                    raise
                services.start(handle)
        status = self._wait_while(_START_LIMIT, "starting")
        if status.state != "running":
            raise ServiceError(
                f"the service does not stay up (exit code {status.exit_code}): its reason is in "
                f"Windows' event log, source {NAME}; `pilot-agent config check` looks for mistakes"
            )

    def stop(self) -> None:
        """Stop the service, and wait until it has said good-bye.

        Raises:
            ServiceError: It does not stop.
        """
        if self.status().pid:
            self.changes.append("service stopped")
            if not self.check:
                self._stop()

    def _stop(self) -> None:
        # What it has open (its log, its program) can be replaced only when its process has gone.
        with processes.gone_afterwards(self.status().pid, _STOP_LIMIT):
            self._ask_to_stop()
            status = self._wait_while(_STOP_LIMIT, "running", "stopping")
            if status.state != "stopped":
                raise ServiceError(f"the service (process {status.pid}) does not stop")

    @staticmethod
    def _ask_to_stop() -> None:
        with (
            _explained("the service does not stop"),
            services.service(NAME, services.SERVICE_STOP) as handle,
        ):
            try:
                services.stop(handle)
            except OSError as error:
                ended = {
                    services.ERROR_SERVICE_NOT_ACTIVE,
                    services.ERROR_SERVICE_CANNOT_ACCEPT_CONTROL,
                }
                if _code(error) not in ended:
                    raise

    def _wait_while(self, limit: float, *states: str) -> ServiceStatus:
        until = time.monotonic() + limit
        while (status := self.status()).state in states and time.monotonic() < until:
            time.sleep(_LOOK)
        return status

    # --- Taking away ---------------------------------------------------------------------

    def remove(self) -> None:
        """Stop the service and remove it; configuration, keys and history stay.

        Raises:
            ServiceError: That did not work.
        """
        require_administrator()
        if self.status().state != "absent":
            self.stop()
            self.changes.append(f"service {NAME} removed")
            if not self.check:
                with (
                    _explained("the service cannot be removed"),
                    services.service(NAME, services.DELETE) as handle,
                ):
                    services.DeleteService.check(handle)
        if session_start.registered():
            self.changes.append("session helpers removed")
        if not self.check:
            with _explained("the session helpers cannot be removed"):
                session_start.unregister()
                session_start.end_running()
            with _explained("the name of notifications cannot be removed"):
                registry.remove_of_all_users(registry.REGISTERED)
            with _explained("the source of events cannot be removed"):
                event_log.remove(NAME)

    def purge(self, *places: Path, all_users: bool = True) -> None:
        """Remove files, folders with all that is in them, and what accounts keep in the registry.

        Args:
            places: What is removed.
            all_users: What all accounts keep, which administrators alone may remove; else what
                this one keeps.

        Raises:
            ServiceError: That did not work.
        """
        for place in places:
            if not place.exists():
                continue
            self.changes.append(f"{place} removed")
            if self.check:
                continue
            with _explained(f"{place} cannot be removed"):
                if place.is_dir():
                    shutil.rmtree(place)
                else:
                    place.unlink()
        if not self.check:
            with _explained("what is kept in the registry cannot be removed"):
                if all_users:
                    registry.remove_of_all_users(registry.AGENT)
                else:
                    registry.remove(registry.AGENT, registry.REGISTERED)

    # --- Files ---------------------------------------------------------------------------

    def make_folders(self, places: Places) -> None:
        """Make the folders of the service, closed to all but it and the administrators.

        Raises:
            ServiceError: Another account made one of them, or it cannot be made.
        """
        usual = usual_places()
        if places.config.parent == usual.config.parent:
            self._make_folder(places.config.parent, _CONFIG_RULES)
            for file in _files_in(places.config.parent):
                _check_origin(file)
                self._close(file, _CONFIG_FILE_RULES)
        elif usual.config.parent in places.state.parents:
            self._make_folder(usual.config.parent, _CONFIG_RULES)
        self._make_folder(places.state, _STATE_RULES)
        for path in _all_in(places.state):
            self._close(path, _STATE_RULES)

    def put(self, path: Path, content: str | bytes) -> bool:
        """Write a file that the service reads in one step, unless it is there and the same.

        Args:
            path: The file.
            content: What it shall hold.

        Returns:
            Whether it was written, or would be.

        Raises:
            ServiceError: That did not work; what was there before still is.
        """
        data = content.encode() if isinstance(content, str) else content
        with _explained(f"{path} cannot be written"):
            if path.is_file() and path.read_bytes() == data:
                return False
            self.changes.append(str(path))
            if not self.check:
                files.write(path, data)
                self._close(path, _CONFIG_FILE_RULES)
        return True

    def _make_folder(self, folder: Path, rules: str) -> None:
        """Make a folder, or make sure that one that is there is ours."""
        with _explained(f"{folder} cannot be made"):
            try:
                attributes = getattr(os.lstat(folder), "st_file_attributes", 0)
            except FileNotFoundError:
                self.changes.append(str(folder))
                if not self.check:
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    security.make_folder(str(folder), rules)
                return
            if attributes & _REPARSE_POINT or not folder.is_dir():
                raise ServiceError(
                    f"{folder} is a link or a file and not a folder: remove it, and try again"
                )
            if (owner := _owner(folder)) in _trusted_owners():
                self._close(folder, rules)
                return
            if any(folder.iterdir()):
                raise ServiceError(
                    f"{folder} was made by another account ({owner}), so what is in it is not "
                    "trusted: look at it, move it away, and try again"
                )
            # What is made anew has no open handle of its former owner's.
            self.changes.append(f"{folder} taken over")
            if not self.check:
                folder.rmdir()
                security.make_folder(str(folder), rules)

    def _close(self, path: Path, rules: str) -> None:
        if not self.check:
            with _explained(f"{path} cannot be closed to others"):
                # Only with it a file can be given to the administrators.
                privileges.enable("SeTakeOwnershipPrivilege")
                security.set_file_owner_and_rules(str(path), rules)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []


def _all_in(folder: Path) -> Iterator[Path]:
    """Return what is in a folder and in those below it, before a link to elsewhere is followed."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        _check_origin(path)
        yield path
        yield from _all_in(path)


def _check_origin(path: Path) -> None:
    """Check that something in our folders was made there by a trusted account.

    Who made the folder by hand has let all users put something into it.

    Raises:
        ServiceError: It was not, or it is a link.
    """
    with _explained(f"{path} cannot be looked at"):
        if getattr(os.lstat(path), "st_file_attributes", 0) & _REPARSE_POINT:
            raise ServiceError(f"{path} is a link to elsewhere: remove it, and try again")
        if (owner := _owner(path)) not in _trusted_owners():
            raise ServiceError(
                f"{path} was put there by another account ({owner}), so it is not trusted: look "
                f'at it, move it away or take it over (icacls "{path}" /setowner '
                f"*{accounts.ADMINISTRATORS}), and try again"
            )


def _owner(path: Path) -> str:
    return security.owner_of(security.file_rules(str(path)))


def _trusted_owners() -> set[str]:
    """Return whose folders are taken as they are: an administrator's, and the service's own."""
    known = {"SY", "BA", "LS", accounts.SYSTEM, accounts.ADMINISTRATORS, accounts.LOCAL_SERVICE}
    return {*known, SERVICE_SID, accounts.current_user()}


def require_administrator() -> None:
    """Check that this process may change services.

    Raises:
        ServiceError: It may not.
    """
    with _explained("whether this process has administrator rights cannot be found out"):
        may = privileges.is_administrator()
    if not may:
        raise ServiceError(_NEEDS_RIGHTS)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceError(_text(what, error)) from error


def _code(error: OSError) -> int:
    return getattr(error, "winerror", None) or 0


def _text(what: str, error: OSError) -> str:
    match _code(error):
        case services.ERROR_ACCESS_DENIED:
            return f"{what}: {_NEEDS_RIGHTS}"
        case services.ERROR_SERVICE_DOES_NOT_EXIST:
            return "the service is not installed: pilot-agent service install"
        case services.ERROR_SERVICE_MARKED_FOR_DELETE:
            return (
                f"{what}: Windows is about to remove it; close the window of services (and "
                "Task Manager), or start this computer anew"
            )
        case _:
            return f"{what}: {error.strerror or error}"
