"""What runs the programs of a host's owner on this system."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from companion_agent.plugins.own.program import ProgramError

if TYPE_CHECKING:
    from companion_agent.models import Missing
    from companion_agent.plugins.own.program import Outcome, Program


class Runner(Protocol):
    """Runs the programs of a plug-in."""

    @property
    def cannot(self) -> str:
        """Why it can run none on this system; empty where it can."""

    def missing(self, program: Program) -> Missing | None:
        """Say what a program lacks to be started; `None` when nothing is known."""

    def run(self, program: Program, limit: float) -> Outcome:
        """Run a program to its end; what it has left in its process group ends with it.

        Args:
            program: What to start.
            limit: Seconds that it may take.

        Raises:
            ProgramError: It cannot be started, or took longer.
        """

    def close(self) -> None:
        """End all that run, and start none any more."""


class _NoRunner:
    """Stands where a program cannot be ended with all that it has started."""

    cannot = "programs of your own need Linux: only there can all that they start be ended"

    def missing(self, _: Program) -> None:
        """Say nothing."""

    def run(self, *_: object) -> Outcome:
        """Refuse.

        Raises:
            ProgramError: Always.
        """
        raise ProgramError(self.cannot)

    def close(self) -> None:
        """Do nothing."""


def make_runner() -> Runner:
    """Return what runs programs on this system."""
    if sys.platform != "linux":
        return _NoRunner()
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        from companion_agent.plugins.own.process import Processes  # noqa: PLC0415

        return Processes()
