"""What the parts of the stack have logged during a test, to explain a failure."""

from __future__ import annotations

from dataclasses import dataclass, field
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack.process import Process

_ENTRY = re.compile(r"(?m)^(?=\d{4}-\d\d-\d\d )")


@dataclass
class Logs:
    """The logs of all processes, from the start of the running test on.

    Attributes:
        processes: Whose logs.
    """

    processes: list[Process] = field(default_factory=list)
    _starts: dict[str, int] = field(default_factory=dict)

    def watch(self, process: Process) -> None:
        """Add a process."""
        self.processes.append(process)

    def begin(self) -> None:
        """Leave out what was logged until now, and processes that are gone."""
        self.processes = [process for process in self.processes if process.running]
        self._starts = {
            str(process.log): process.log.stat().st_size
            for process in self.processes
            if process.log.exists()
        }

    def since_begin(self, process: Process) -> str:
        """Return what a process has logged since the test began."""
        if not process.log.exists():
            return ""
        with process.log.open("rb") as log:
            log.seek(self._starts.get(str(process.log), 0))
            return log.read().decode(errors="replace")

    def tails(self, lines: int = 40) -> list[tuple[str, str]]:
        """Return the ends of all logs by title."""
        tails = []
        for process in self.processes:
            text = self.since_begin(process).splitlines()
            left_out = f"({len(text) - lines} lines before)\n" if len(text) > lines else ""
            tails.append((f"log of {process.name}", left_out + "\n".join(text[-lines:])))
        return tails


def entries(log: str) -> list[str]:
    """Split a log of Home Assistant into its entries, tracebacks included."""
    return [entry for entry in _ENTRY.split(log) if entry.strip()]


def tracebacks(log: str, about: str = "custom_components/pilot") -> list[str]:
    """Return tracebacks through some code, errors of its logger, and complaints about its use."""
    module = about.replace("/", ".")
    return [
        entry
        for entry in entries(log)
        if ("Traceback" in entry and about in entry)
        or "Detected that custom integration 'pilot'" in entry
        or re.match(rf"\S+ \S+ (ERROR|CRITICAL).*{re.escape(module)}", entry)
    ]
