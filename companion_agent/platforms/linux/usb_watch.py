"""Hears which USB devices are plugged in and out.

inotify hears of their nodes; uevents would wake the agent for every other device of this machine
too.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from companion_agent.platforms.control import Watch
from companion_agent.platforms.linux.usb import NODES

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

if sys.platform == "linux":
    from companion_agent.platforms.linux.inotify import CREATE, DELETE, EventQueue

    class UsbWatch(Watch):
        """Hears what is plugged in and out.

        Raises:
            OSError: There is no USB, or this user watches too much already.
        """

        def __init__(self, files: Files) -> None:
            self._root = Path(files.path(NODES))
            self._queue = EventQueue()
            try:
                self._top = self._queue.watch(self._root, CREATE | DELETE)
            except OSError:
                self._queue.close()
                raise
            self._watch_buses()

        def _watch_buses(self) -> None:
            for bus in self._root.iterdir():
                # One that goes at this moment tells nothing any more.
                with suppress(OSError):
                    self._queue.watch(bus, CREATE | DELETE)

        def fileno(self) -> int:
            """The queue."""
            return self._queue.fileno()

        def changed(self) -> bool:
            """Take what inotify tells."""
            events = self._queue.read()
            if any(event.watch == self._top for event in events):
                # A bus has come, as with a dock. Watching one again changes nothing.
                with suppress(OSError):
                    self._watch_buses()
            return bool(events)

        def close(self) -> None:
            """Hear no more."""
            self._queue.close()
