"""The record of who asked this host for what, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
import json
import logging
from typing import TYPE_CHECKING, Any

from companion_agent.security.rate_limit import TokenBucket
from companion_agent.storage.files import append_private

if TYPE_CHECKING:
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

MAX_SIZE = 1024 * 1024
KEPT_FILES = 3
_MAX_ARGS = 1024

# What any client that may write to the broker can cause: ten lines at once, then one in five
# minutes that counts the others. A flood needs years to push a command out of the record.
_STRANGER_RATE = 1 / 300
_STRANGER_BURST = 10


class AuditLog:
    """JSON lines in a file for the owner only, rotated by size.

    Args:
        path: The file; older ones get `.1`, `.2`, … behind their name.
        clock: Returns the time in seconds since 1970.
        monotonic: Returns seconds that never go back.
        max_size: Size in bytes at which a new file is begun.
        kept: Older files that are kept.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        *,
        max_size: int = MAX_SIZE,
        kept: int = KEPT_FILES,
    ) -> None:
        self._path = path
        self._clock = clock
        self._max_size = max_size
        self._kept = kept
        self._strangers = TokenBucket(_STRANGER_RATE, _STRANGER_BURST, monotonic)
        self._unwritten: Counter[str] = Counter()
        self._working = True

    def write(self, event: str, **details: object) -> None:
        """Record something that only the owner of a key, or of this host, can cause."""
        if "args" in details:
            details["args"] = _short(details["args"])
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        # ASCII only: the record is read in terminals, and names come from other machines.
        line = json.dumps({"time": moment, "event": event, **details}, default=str)
        try:
            self._rotate(len(line) + 1)
            append_private(self._path, line)
        except OSError as error:
            self._complain(error)
        else:
            self._working = True

    def write_stranger(self, event: str, reason: str, **details: object) -> None:
        """Record what any client can cause, in full or, when it is too much, as a sum."""
        if not self._strangers.take():
            self._unwritten[reason] += 1
            return
        self._write_sum()
        self.write(event, reason=reason, **details)

    def close(self) -> None:
        """Record what was only counted until now."""
        self._write_sum()

    def _write_sum(self) -> None:
        if self._unwritten:
            self.write("suppressed", count=self._unwritten.total(), reasons=dict(self._unwritten))
            self._unwritten.clear()

    def _rotate(self, size: int) -> None:
        try:
            full = self._path.stat().st_size + size > self._max_size
        except FileNotFoundError:
            return
        if not full:
            return
        names = [self._path, *(self._numbered(number) for number in range(1, self._kept + 1))]
        for older, newer in zip(reversed(names), list(reversed(names))[1:], strict=False):
            if newer.exists():
                newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _complain(self, error: OSError) -> None:
        """Say once that the record cannot be written: a full disk must not stop a shutdown."""
        if self._working:
            _LOGGER.error("The record of commands cannot be written to %s: %s", self._path, error)
        self._working = False


def _short(args: object) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """Cut arguments that would bloat the record."""
    text = json.dumps(args, default=str)
    if len(text) <= _MAX_ARGS:
        return dict(args) if isinstance(args, Mapping) else args
    return text[:_MAX_ARGS] + "…"
