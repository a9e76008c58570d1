"""All processes, from one file of each. Source: proc_pid_stat(5).

`comm` is the name that the kernel keeps, of 15 letters at most, and is what `ps -C` and `pgrep`
match; the command line is read only when it is asked for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from companion_agent.platforms.base import LONGEST_COMMAND_LINE, ProcessSample
from companion_agent.platforms.linux import system

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

# They have ended, and their parents have not asked for the exit code yet.
_ENDED = frozenset({b"Z", b"X", b"x"})


def sample(files: Files) -> list[ProcessSample]:
    """Read every process that runs."""
    found = []
    for number in files.names("proc"):
        if number[0].isdigit() and (stat := files.read(f"proc/{number}/stat")):
            process = _parse(int(number), stat, files)
            if process is not None:
                found.append(process)
    return found


def _parse(pid: int, stat: bytes, files: Files) -> ProcessSample | None:
    # The name stands in brackets, and may hold any.
    begin, end = stat.find(b"("), stat.rfind(b")")
    fields = stat[end + 2 :].split()
    if begin < 0 or len(fields) < 22 or fields[0] in _ENDED:
        return None
    return ProcessSample(
        id=(pid, int(fields[19])),
        name=stat[begin + 1 : end].decode("utf-8", "replace"),
        cpu_time=(int(fields[11]) + int(fields[12])) / system.TICKS,
        memory=int(fields[21]) * system.PAGE,
        arguments=partial(_arguments, files, pid),
    )


def _arguments(files: Files, pid: int) -> tuple[str, ...]:
    line = files.read(f"proc/{pid}/cmdline", LONGEST_COMMAND_LINE) or b""
    return tuple(line.decode("utf-8", "replace").rstrip("\0").split("\0")) if line else ()
