"""Keys of a user's registry that tests play: numbers below keys, and who is told of changes."""

from __future__ import annotations

from itertools import count
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .windows_api import FakeWindows

_NOT_FOUND, _NO_MORE = 2, 259


class FakeRegistry:
    """Keys with their numbers, by path.

    Attributes:
        keys: The numbers by name, by the path of their key.
        open: The keys that are open, by handle.
    """

    def __init__(self, windows: FakeWindows) -> None:
        self.keys: dict[str, dict[str, int]] = {}
        self.open: dict[int, str] = {}
        self._handles = count(0x1000)
        self._events: dict[int, bool] = {}
        self._told: dict[int, str] = {}
        self._changed = threading.Condition()
        windows.functions |= {
            "advapi32.RegOpenKeyExW": self._open_key,
            "advapi32.RegEnumKeyExW": self._enum_key,
            "advapi32.RegGetValueW": self._get_value,
            "advapi32.RegNotifyChangeKeyValue": self._notify,
            "advapi32.RegCloseKey": lambda key: 0 if self.open.pop(key, "") else 6,
            "kernel32.CreateEventW": self._create_event,
            "kernel32.SetEvent": self._set_event,
            "kernel32.WaitForMultipleObjects": self._wait,
        }

    def set(self, path: str, **numbers: int) -> None:
        with self._changed:
            self.keys.setdefault(path, {}).update(numbers)
            for event, key in self._told.items():
                if path.startswith(key):
                    self._events[event] = True
            self._changed.notify_all()

    def wait_for_followers(self) -> None:
        """Wait until changes are told."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._told, 20)

    def _open_key(self, _: int, path: str, __: int, ___: int, key: Any) -> int:
        if not any(one == path or one.startswith(f"{path}\\") for one in self.keys):
            return _NOT_FOUND
        key.value = next(self._handles)
        self.open[key.value] = path
        return 0

    def _enum_key(self, key: int, at: int, name: Any, *_: Any) -> int:
        above = f"{self.open[key]}\\"
        names = [one.removeprefix(above) for one in self.keys if one.startswith(above)]
        below = list(dict.fromkeys(one.partition("\\")[0] for one in names))
        if at >= len(below):
            return _NO_MORE
        name.value = below[at]
        return 0

    def _get_value(
        self, key: int, subkey: str, name: str, _: int, __: None, value: Any, ___: Any
    ) -> int:
        found = self.keys.get(f"{self.open[key]}\\{subkey}", {})
        if name not in found:
            return _NOT_FOUND
        value.value = found[name]
        return 0

    def _notify(self, key: int, _: int, __: int, event: int, ___: int) -> int:
        with self._changed:
            self._told[event] = self.open[key]
            self._changed.notify_all()
        return 0

    def _create_event(self, *_: Any) -> int:
        event = next(self._handles)
        self._events[event] = False
        return event

    def _set_event(self, event: int) -> int:
        with self._changed:
            self._events[event] = True
            self._changed.notify_all()
        return 1

    def _wait(self, _: int, handles: Any, __: int, ___: int) -> int:
        with self._changed:
            self._changed.wait_for(lambda: any(self._events[event] for event in handles))
            at = next(at for at, event in enumerate(handles) if self._events[event])
            self._events[handles[at]] = False
        return at
