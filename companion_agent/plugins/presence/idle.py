"""What the ways to hear of a user's absence have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class IdleWatch(ABC):
    """Hears when nothing has been touched for a time, and when something is again.

    Args:
        name: What it is called in `pilot-agent doctor`.
        after: Seconds without a key or a movement.
        changed: Called when it is otherwise.

    Attributes:
        idle: Whether nothing has been touched for so long.
        since: Since when, seconds since 1970: the last key or movement, or the first one.
    """

    def __init__(self, name: str, after: float, changed: Callable[[], None]) -> None:
        self.name = name
        self.after = after
        self.idle = False
        self.since = time.time()
        self._tell_changed = changed

    @abstractmethod
    async def open(self) -> None:
        """Find out how it is, and begin to hear of changes.

        Raises:
            Unavailable: It is no way here.
        """

    @abstractmethod
    def close(self) -> None:
        """Hear no more."""

    def take(self, *, idle: bool, ago: float = 0) -> None:
        """Take what was heard.

        Args:
            idle: Whether it is idle now.
            ago: Seconds since the last key or movement, where it is.
        """
        if idle != self.idle:
            self.idle = idle
            self.since = time.time() - ago
            self._tell_changed()
