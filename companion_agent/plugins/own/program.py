"""Programs of the owner: what is started, and how it ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.errors import PilotError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ProgramError(PilotError):
    """A program was not carried out to its end; the text says why."""


class Program(NamedTuple):
    """What is started, and how.

    Attributes:
        argv: The program and its arguments.
        user: Who it runs as; the agent's own user when empty.
        folder: Where it runs; `/` when `None`.
        environment: Variables that it has beside the usual ones. It has none of the agent's, which
            may hold a password.
    """

    argv: tuple[str, ...]
    user: str = ""
    folder: Path | None = None
    environment: Mapping[str, str] = {}


class Outcome(NamedTuple):
    """How a program ended.

    Attributes:
        code: Its exit code; the negative number of the signal that killed it.
        output: What it has printed, or the beginning.
        complaint: What it has printed as errors, or the beginning.
        truncated: Whether the output was longer.
    """

    code: int
    output: str
    complaint: str
    truncated: bool

    @property
    def failure(self) -> str:
        """Why it has failed; empty when it has not."""
        if not self.code:
            return ""
        ended = f"it ended with {self.code}"
        if self.code < 0:
            ended = f"it was killed by {_signal(-self.code)}"
        said = (self.complaint.strip() or self.output.strip()).rpartition("\n")[2]
        return f"{ended}: {said}" if said else ended


def _signal(number: int) -> str:
    """Return a signal's name; real-time signals have a number alone."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
