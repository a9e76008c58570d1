"""Hears what happens to files, for asyncio. Source: inotify(7).

A library is not used: it is three calls of libc, and what reads their answers.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

assert sys.platform == "linux"

ATTRIB, CLOSE_WRITE, CLOSE_NOWRITE, OPEN = 0x4, 0x8, 0x10, 0x20
MOVED_TO, CREATE, DELETE = 0x80, 0x100, 0x200
CLOSE = CLOSE_WRITE | CLOSE_NOWRITE
_EVENT = struct.Struct("=iIII")


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        watch: What was watched; -1 where some were lost.
        mask: What happened to it.
        name: To which file of a folder; empty for what is watched itself.
    """

    watch: int
    mask: int
    name: str


class EventQueue:
    """Watches files and folders; what happens is read when the descriptor can be.

    Raises:
        OSError: This user watches too much already, or the system cannot.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def watch(self, path: os.PathLike[str], mask: int) -> int:
        """Hear of what happens to a file, or in a folder; return what events name it by.

        Raises:
            OSError: It is not there, or may not be read.
        """
        return self._checked(
            self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
        )

    def forget(self, watch: int) -> None:
        """Hear no more of it; it may have gone already."""
        self._libc.inotify_rm_watch(self._descriptor, watch)

    def read(self) -> list[Event]:
        """Return what has happened."""
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return []
        events, place = [], 0
        while place < len(data):
            watch, mask, _, size = _EVENT.unpack_from(data, place)
            place += _EVENT.size
            name = os.fsdecode(data[place : place + size].rstrip(b"\0"))
            place += size
            events.append(Event(watch, mask, name))
        return events

    def close(self) -> None:
        """Hear no more."""
        os.close(self._descriptor)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


class Inotify(EventQueue):
    """Watches files and folders, and has what happens called back in the event loop.

    Args:
        happened: Takes an event.

    Raises:
        OSError: This user watches too much already, or the system cannot.
    """

    def __init__(self, happened: Callable[[Event], None]) -> None:
        super().__init__()
        self._happened = happened
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self, self._tell)

    def close(self) -> None:
        """Hear no more."""
        self._loop.remove_reader(self)
        super().close()

    def _tell(self) -> None:
        for event in self.read():
            self._happened(event)
