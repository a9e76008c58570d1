"""What a system's package managers say of updates that wait; none is ever asked to fetch lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
import subprocess
import threading
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A program that was killed has gone within this, unless a disk holds it.
_KILLED_WITHIN = 1.0

Signature: TypeAlias = tuple[float | None, ...]
"""Times of files, in seconds since 1970; `None` for one that is not there."""


class Waiting(NamedTuple):
    """Updates that wait.

    Attributes:
        packages: Which packages.
        security: How many of them are about security; `None` where that is not told.
    """

    packages: tuple[str, ...]
    security: int | None = None


class PackageManagerError(OSError):
    """A package manager cannot tell what waits; the text says why."""


class Ended(NamedTuple):
    """What a program left: its exit code, what it printed, and what it complained of."""

    code: int
    printed: str
    complaint: str


class Programs:
    """Runs programs, one at a time, and knows which runs now, so that it can be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._closed = False

    def run(
        self,
        name: str,
        command: Sequence[str],
        limit: float,
        *,
        env: Mapping[str, str] | None = None,
        flags: int = 0,
    ) -> Ended:
        """Run a program, and return what it left.

        Args:
            name: What is asked by it, for errors.
            command: The program and its arguments.
            limit: Seconds that it may take.
            env: Its environment; the agent's own when `None`.
            flags: How Windows starts it.

        Raises:
            PackageManagerError: It took too long, or is not to be asked any more.
            OSError: It cannot be started.
        """
        with self._lock:
            if self._closed:
                raise PackageManagerError(f"{name} is not asked any more")
            process = self._running = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=env,
                creationflags=flags,
            )
        with process:
            try:
                printed, complaint = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                raise PackageManagerError(f"{name} did not end within {limit:.0f} s") from None
            finally:
                process.kill()
                with self._lock:
                    self._running = None
        return Ended(process.returncode, printed, complaint)

    def close(self) -> None:
        """End what runs, and start nothing any more."""
        with self._lock:
            self._closed = True
            if self._running:
                self._running.kill()
                with suppress(subprocess.TimeoutExpired):
                    self._running.wait(_KILLED_WITHIN)


class PackageManager(ABC):
    """A package manager; it blocks for long, so it is asked in a thread of its own.

    Class attributes:
        name: What it is called.
        tells_security: Whether it knows which updates are about security.
    """

    name: ClassVar[str]
    tells_security: ClassVar[bool] = False

    @abstractmethod
    def signature(self) -> Signature:
        """Return what is another when something was installed or lists were fetched; cheap."""

    @abstractmethod
    def refreshed(self) -> float | None:
        """Return when its lists were fetched, in seconds since 1970; `None` when not known."""

    @abstractmethod
    def look(self) -> Waiting:
        """Find out what waits, by the lists that there are; it takes seconds.

        Raises:
            OSError: It cannot tell; the text says why.
        """

    @abstractmethod
    def close(self) -> None:
        """End what runs for it, in whichever thread: it is not asked any more."""
