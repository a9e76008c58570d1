"""What the ways to follow the active window have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Window(NamedTuple):
    """A window.

    Attributes:
        id: Tells it from others while it is there.
        title: What stands above it.
        program: What it is of, as the program names itself.
        full_screen: Whether it fills the screen.
    """

    id: int
    title: str = ""
    program: str = ""
    full_screen: bool = False


class WindowWatch(ABC):
    """Follows the active window.

    Args:
        name: What it is called in `pilot-agent doctor`.
        changed: Called when another one is active, or it is otherwise.

    Attributes:
        active: The active window; `None` while none is.
    """

    def __init__(self, name: str, changed: Callable[[], None]) -> None:
        self.name = name
        self.active: Window | None = None
        self._tell_changed = changed

    @abstractmethod
    async def open(self) -> None:
        """Find the active window, and begin to follow it.

        Raises:
            Unavailable: It is no way here.
        """

    @abstractmethod
    def close(self) -> None:
        """Follow it no more."""

    def take(self, window: Window | None) -> None:
        """Take what is active now."""
        if window != self.active:
            self.active = window
            self._tell_changed()
