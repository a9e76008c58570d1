r"""Has Windows start the session helper at each log-in: `HKLM\…\CurrentVersion\Run`.

`service install` registers it and `service remove` takes it away. Unlike a task of the Task
Scheduler it runs in the session that logs in, as its user and without a window.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import PureWindowsPath
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"
VALUE = "Pilot session helper"

_SESSION, _ONCE = "session", "--once"
_PACKAGE = re.compile(r"companion_agent|pilot-agent")
_END_LIMIT = 5.0


def command(program: Sequence[str]) -> str:
    """Return the command line that starts the helper without a console.

    Args:
        program: The interpreter, and what of its arguments starts the agent.
    """
    windowless = PureWindowsPath(program[0]).with_name("pythonw.exe")
    return f'"{windowless}" {subprocess.list2cmdline([*program[1:], _SESSION])}'


def register(line: str) -> bool:
    """Have each log-in run a command line from now on; tell whether that is new.

    Raises:
        OSError: It cannot be written: administrators alone may.
    """
    if registered() == line:
        return False
    _write(line)
    return True


def registered() -> str:
    """Return the command line that each log-in runs; empty where none does."""
    with suppress(OSError):
        return _read()
    return ""


def unregister() -> bool:
    """Have no log-in start it any more; tell whether one did.

    Raises:
        OSError: It cannot be taken away: administrators alone may.
    """
    try:
        _delete()
    except FileNotFoundError:
        return False
    return True


def end_running() -> int:
    """End the helpers of all sessions, as before their program is removed; return how many ran.

    Those of other users only administrators can end.
    """
    # What keeps a helper is ended first, and takes the helper along.
    found = sorted(_running(), key=lambda one: _ONCE in one[1])
    ended = []
    for process, _ in found:
        with suppress(psutil.Error):
            process.terminate()
            ended.append(process)
    psutil.wait_procs(ended, _END_LIMIT)
    return len(found)


def _running() -> Iterator[tuple[psutil.Process, list[str]]]:
    for process in psutil.process_iter():
        # Some of the system's do not let themselves be looked at.
        with suppress(psutil.Error, OSError):
            line = process.cmdline()
            if _is_helper(line):
                yield process, line


def _is_helper(line: Sequence[str]) -> bool:
    """Tell by its command line whether a process is a helper of this installation."""
    program, *arguments = [one for one in line if one != _ONCE] or [""]
    # In a virtual environment the interpreter's launcher stands beside it.
    own = {sys.executable, getattr(sys, "_base_executable", sys.executable)}
    return (
        arguments[-1:] == [_SESSION]
        and any(_PACKAGE.search(one) for one in arguments)
        and PureWindowsPath(program).parent in {PureWindowsPath(one).parent for one in own}
    )


if sys.platform == "win32":
    import winreg

    # A 32-bit Python has a view of its own otherwise, which no log-in looks at.
    _VIEW = winreg.KEY_WOW64_64KEY

    def _read() -> str:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, RUN, 0, winreg.KEY_READ | _VIEW) as key:
            return str(winreg.QueryValueEx(key, VALUE)[0])

    def _write(line: str) -> None:
        access = winreg.KEY_SET_VALUE | _VIEW
        with winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, RUN, 0, access) as key:
            winreg.SetValueEx(key, VALUE, 0, winreg.REG_SZ, line)

    def _delete() -> None:
        access = winreg.KEY_SET_VALUE | _VIEW
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, RUN, 0, access) as key:
            winreg.DeleteValue(key, VALUE)

else:

    def _read() -> str:
        raise FileNotFoundError(RUN)

    def _write(line: str) -> None:
        raise FileNotFoundError(RUN)

    def _delete() -> None:
        raise FileNotFoundError(RUN)
