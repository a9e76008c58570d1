"""The system as a whole: start time, people, processes, versions, a waiting reboot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, TypeVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins.base import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.platforms.base import Platform

_Read = TypeVar("_Read")

# The start is computed from a clock that is being corrected all the time. A correction of more
# than this is a clock that was wrong (a Raspberry Pi before it found a time server).
_DRIFT = 10.0

_READINGS = (
    Reading("started"),
    Reading("users", resolution=1),
    # Short-lived helpers come and go between any two readings.
    Reading("processes", resolution=1, deadband=5),
    Reading("os"),
    Reading("kernel"),
    Reading("pending_reboot"),
)


class SystemPlugin(Collector):
    """Reads what the system says of itself; each part of it may be missing."""

    name: ClassVar[str] = "system"
    interval: ClassVar[float] = 60

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._started: float | None = None
        self._offered: frozenset[str] = frozenset()
        self._troubles: dict[str, str] = {}
        self._left_out: dict[str, str] = {}

    def collect(self) -> Mapping[str, Value]:
        """Read what can be read."""
        values: dict[str, Value] = {
            "started": self._start(),
            "users": self._try("users", self.platform.users),
            "processes": self._try("processes", self.platform.processes),
            "os": self._try("os", lambda: self.platform.host_info().os or None),
            "kernel": self._try("kernel", lambda: self.platform.kernel_version() or None),
            "pending_reboot": self._try("pending_reboot", self.platform.pending_reboot),
        }
        self._offered |= {key for key, value in values.items() if value is not None}
        offered = self._offered
        self.describe(offered, lambda: (one for one in _READINGS if one.key in offered))
        return {key: value for key, value in values.items() if key in offered}

    def troubles(self) -> Mapping[str, str]:
        """Say which parts could not be read."""
        return self._troubles

    def left_out(self) -> Mapping[str, str]:
        """Say which parts this host does not tell."""
        return self._left_out

    def _try(self, key: str, read: Callable[[], _Read | None]) -> _Read | None:
        """Read a part; where that fails, the others are still told."""
        self._troubles.pop(key, None)
        self._left_out.pop(key, None)
        try:
            return read()
        except Unavailable as error:
            self._left_out[key] = error.reason
            return None
        except OSError as error:
            self._troubles[key] = error.strerror or str(error)
            return None

    def _start(self) -> str | None:
        try:
            started = self.platform.started()
            if self._started is None or abs(started - self._started) > _DRIFT:
                datetime.fromtimestamp(started, UTC)
                self._started = started
        except Unavailable:
            return None
        except (ValueError, OverflowError, OSError):
            # Not a time, or not one that a calendar has.
            return None
        return datetime.fromtimestamp(round(self._started), UTC).isoformat()
