"""Setup on Windows: a service where an administrator asks for it, else an agent of one user's."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from companion_agent.cli.setup.writer import Place, WriteError
from companion_agent.config import default_state_dir, search_path
from companion_agent.ipc.client import ChannelError, LocalClient
from companion_agent.service.changes import ServiceError
from companion_agent.service.windows import (
    NAME,
    Places,
    WindowsService,
    require_administrator,
    this_program,
    usual_places,
)
from companion_agent.storage import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.cli.setup.prompts import Asker
    from companion_agent.config import Config

_LIMITS = """\
This terminal has no administrator's rights, so Pilot is set up for you alone: it runs while you
are logged in and not before, reports nothing at the login screen, and cannot update itself for
other users. `Run as administrator` sets up a service instead."""


class WindowsHost:
    """A Windows with the agent as its service.

    Args:
        service: The system's service.
        wanted: Whether a service is wanted; else only a configuration is written.
    """

    def __init__(self, service: WindowsService, *, wanted: bool = True) -> None:
        self._service = service
        self._wanted = wanted
        self._program: tuple[str, ...] = ()
        self.files = _Files(service.changes, service.put, check=service.check)

    def look_first(self, _: Asker) -> None:
        """Find out whether a service could run this program."""
        if self._wanted:
            require_administrator()
            self._program = this_program()

    def place(self, given: Path | None) -> Place:
        """Return the file that the service reads."""
        usual = usual_places().config
        if self._wanted and given and given.absolute() != usual:
            raise WriteError(f"the service reads {usual} and no other file")
        return Place((given or usual).absolute())

    def blocks(self, _: Config | None) -> Mapping[str, Any]:
        """Return nothing: the service's places are those of the machine."""
        return {}

    def prepare(self) -> None:
        """Make the service's folders, which nothing may be written to before they are closed."""
        if self._wanted:
            self._service.make_folders(usual_places())

    def install(self, config: Config, *, written: bool) -> None:
        """Make and start the service."""
        service = self._service
        count = len(service.changes)
        state = config.state_dir if config.path else usual_places().state
        service.install(self._program, Places(usual_places().config, state))
        service.start(restart=written or len(service.changes) > count)

    def active(self) -> bool:
        """Ask the service manager."""
        return self._service.status().state in {"starting", "running"}

    def status(self, config: Config) -> str:
        """Ask the agent."""
        return _status(config)

    def last_words(self) -> str:
        """Say where the reason is."""
        code = self._service.status().exit_code
        return (
            f"The service does not run (exit code {code}): its reason is in Windows' event log, "
            f"source {NAME}."
        )

    def look_before_removal(self) -> None:
        """Only an administrator removes it."""
        require_administrator()

    def remove(self, *, purge: bool) -> str:
        """Remove the service."""
        folder = usual_places().config.parent
        self._service.remove()
        if not purge:
            return str(folder)
        self._service.purge(folder)
        return ""


class UserHost:
    """A Windows with an agent that one user runs, from the log-in on.

    Args:
        check: Whether everything is only looked at.
    """

    def __init__(self, *, check: bool = False) -> None:
        self.files = _Files([], self._put, check=check)

    def look_first(self, _: Asker) -> None:
        """Say what such an agent cannot do."""
        print(_LIMITS)

    def place(self, given: Path | None) -> Place:
        """Return the user's file."""
        return Place((given or search_path({})[0]).absolute())

    def blocks(self, before: Config | None) -> Mapping[str, Any]:
        """Keep the state in the user's folder: the machine's belongs to a service."""
        with suppress(ServiceError):
            if before is None or before.state_dir == default_state_dir({}):
                return {"state_dir": str(search_path({})[0].with_name("state"))}
        return {}

    def prepare(self) -> None:
        """Do nothing: the user is there."""

    def install(self, config: Config, *, written: bool) -> None:
        """Have the agent started at every log-in, and now; one that runs reads its settings."""
        command = user_command(config.path)
        line = subprocess.list2cmdline(command)
        if _run_entry() != line:
            self.files.changes.append("start at log-in")
            if not self.files.check:
                _set_run_entry(line)
        if self.files.check:
            return
        if _ask(config, {"ask": "online"}) is None:
            _start_apart(command)
            self.files.changes.append("agent started")
        elif written:
            _ask(config, {"ask": "reload"})

    def active(self) -> bool:
        """Tell yes: nothing manages it that could say otherwise."""
        return True

    def status(self, config: Config) -> str:
        """Ask the agent."""
        return _status(config)

    def last_words(self) -> str:
        """Say how to find out."""
        return "The agent does not run: `pilot-agent run` says why."

    def look_before_removal(self) -> None:
        """Look at nothing: a user may always remove what is their own."""

    def remove(self, *, purge: bool) -> str:
        """Have the agent started no more."""
        if _run_entry():
            self.files.changes.append("start at log-in removed")
            if not self.files.check:
                _set_run_entry("")
        folder = search_path({})[0].parent
        kept = f"{folder}; an agent that runs now ends when you log out"
        if not purge:
            return kept
        WindowsService(check=self.files.check).purge(folder, all_users=False)
        return "" if not folder.exists() else kept

    def _put(self, path: Path, content: str | bytes) -> bool:
        data = content.encode() if isinstance(content, str) else content
        try:
            if path.is_file() and path.read_bytes() == data:
                return False
            self.files.changes.append(str(path))
            if not self.files.check:
                files.write(path, data)
        except OSError as error:
            raise ServiceError(f"{path} cannot be written: {error.strerror}") from error
        return True


class _Files:
    """Writes files that are closed to other users; modes and groups are Unix'.

    Args:
        changes: What was changed, or would be.
        write: Writes a file unless it is the same.
        check: Whether nothing is written, but only told.
    """

    def __init__(
        self, changes: list[str], write: Callable[[Path, str | bytes], bool], *, check: bool
    ) -> None:
        self.changes = changes
        self.check = check
        self._write = write

    def make_folder(self, path: Path, *, mode: int, owner: str, group: str) -> None:
        """Make a folder; the service's are there already, with rules of their own."""
        del mode, owner, group
        if path.is_dir():
            return
        self.changes.append(str(path))
        if not self.check:
            try:
                files.make_private_folder(path)
            except OSError as error:
                raise ServiceError(f"{path} cannot be made: {error.strerror}") from error

    def put(self, path: Path, content: str | bytes, *, mode: int, owner: str, group: str) -> bool:
        """Write a file unless it is the same."""
        del mode, owner, group
        return self._write(path, content)


def user_command(config: Path | None) -> list[str]:
    """Return what starts the agent at a log-in, without a window."""
    interpreter = Path(sys.executable)
    windowless = interpreter.with_name("pythonw.exe")
    program = str(windowless if windowless.exists() else interpreter)
    named = ["--config", str(config)] if config else []
    return [program, "-P", "-m", "companion_agent", "run", *named]


def _status(config: Config) -> str:
    answer = _ask(config, {"ask": "online"})
    if answer is None:
        return "It is not ready yet"
    broker = config.brokers[0]
    return f"Connected to {broker}" if answer.get("online") else f"Not connected to {broker} yet"


def _ask(config: Config, message: dict[str, Any]) -> dict[str, Any] | None:
    """Ask the running agent; `None` where none answers."""
    try:
        client = LocalClient(config.state_dir)
    except ChannelError:
        return None
    try:
        return client.ask(message)
    except ChannelError:
        return None
    finally:
        client.close()


if sys.platform == "win32":
    import winreg

    _RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"

    def _run_entry() -> str:
        try:
            with winreg.OpenKey(winreg.HKEY_CURRENT_USER, _RUN) as key:
                return str(winreg.QueryValueEx(key, NAME)[0])
        except FileNotFoundError:
            return ""

    def _set_run_entry(line: str) -> None:
        with winreg.CreateKey(winreg.HKEY_CURRENT_USER, _RUN) as key:
            if line:
                winreg.SetValueEx(key, NAME, 0, winreg.REG_SZ, line)
            else:
                winreg.DeleteValue(key, NAME)

    def _start_apart(command: Sequence[str]) -> None:
        """Start a program that outlives this terminal."""
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        nothing = subprocess.DEVNULL
        subprocess.Popen(
            command, stdin=nothing, stdout=nothing, stderr=nothing, creationflags=flags
        )

else:

    def _run_entry() -> str:
        return ""

    def _set_run_entry(line: str) -> None:
        raise OSError(line)

    def _start_apart(command: Sequence[str]) -> None:
        raise OSError(command[0])
