"""Notifications that wait for a session, kept in the state folder until they are shown."""

from __future__ import annotations

from collections import OrderedDict
import logging
import threading
from typing import TYPE_CHECKING, Any

from companion_agent.errors import CommandError
from companion_agent.storage.state_file import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

KEPT_FILE = "notifications.json"
MAX_KEPT = 20
"""Notifications that wait; the oldest go first."""


class KeptNotifications:
    """What waits to be shown. Its methods may be called from several threads.

    One that is being shown still waits, so that a power cut at that moment shows it again rather
    than not at all.

    Args:
        folder: The state folder; without one nothing outlasts the process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = StateFile(folder, KEPT_FILE)
        self._lock = threading.Lock()
        # By tag where they have one: a newer one replaces what was not shown yet.
        self._waiting: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._under_way: set[str] = set()
        self._number = 0
        for arguments in self._file.load(_parse) or ():
            self._waiting[self._name(arguments)] = arguments

    def keep(self, arguments: Mapping[str, Any]) -> None:
        """Keep the arguments of a notification.

        Raises:
            CommandError: They cannot be written; nothing has changed.
        """
        with self._lock:
            waiting = self._waiting.copy()
            name = self._name(arguments)
            waiting.pop(name, None)
            waiting[name] = arguments
            if len(waiting) > MAX_KEPT:
                _LOGGER.warning("More than %d notifications wait for a session", MAX_KEPT)
                waiting.popitem(last=False)
            try:
                self._save(waiting)
            except OSError as error:
                detail = f"{self._file.path} cannot be written: {error.strerror}"
                raise CommandError("failed", detail) from error
            self._waiting = waiting

    def forget(self, tag: str) -> None:
        """Let one with a tag wait no longer."""
        with self._lock:
            if self._waiting.pop(_name_of_tag(tag), None):
                self._save_if_possible()

    def waiting(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Return what waits and is not being shown just now, by its name."""
        with self._lock:
            return iter([one for one in self._waiting.items() if one[0] not in self._under_way])

    def take(self, name: str) -> bool:
        """Begin to show one; false if another thread has begun, or it waits no longer."""
        with self._lock:
            if name in self._under_way or name not in self._waiting:
                return False
            self._under_way.add(name)
            return True

    def give_back(self, name: str) -> None:
        """Let one that could not be shown wait further."""
        with self._lock:
            self._under_way.discard(name)

    def shown(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Let one wait no longer; another one that has replaced it meanwhile does."""
        with self._lock:
            self._under_way.discard(name)
            if self._waiting.get(name) is arguments:
                del self._waiting[name]
                self._save_if_possible()

    def _name(self, arguments: Mapping[str, Any]) -> str:
        self._number += 1
        return _name_of_tag(arguments["tag"]) if arguments["tag"] else str(self._number)

    def _save_if_possible(self) -> None:
        try:
            self._save(self._waiting)
        except OSError as error:
            # What was shown would be shown again after a restart.
            _LOGGER.warning("%s cannot be written: %s", self._file.path, error.strerror)

    def _save(self, waiting: OrderedDict[str, Mapping[str, Any]]) -> None:
        self._file.save({"waiting": list(waiting.values())})


def _name_of_tag(tag: str) -> str:
    return f"tag {tag}"


def _parse(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Read what was kept.

    Raises:
        ValueError: It is something else.
    """
    waiting = content.get("waiting")
    if not isinstance(waiting, list) or len(waiting) > MAX_KEPT:
        raise ValueError(f"waiting is not a list of up to {MAX_KEPT}")
    for arguments in waiting:
        if not isinstance(arguments, dict) or not all(
            isinstance(arguments.get(name), str) for name in ("message", "tag", "session")
        ):
            raise ValueError("a notification is damaged")
    return waiting
