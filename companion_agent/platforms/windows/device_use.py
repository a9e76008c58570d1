"""Which programs of this user use a camera or a microphone, as Windows records it for its privacy.

The record is the registry's `ConsentStore`, where a program that uses a device has begun and not
ended. Builds from 26200 on (version 25H2) keep it elsewhere: what stands there does not change any
more (seen with 26220, https://github.com/hass-agent/HASS.Agent/pull/476), so it is not believed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
import sys
import threading
from typing import TYPE_CHECKING, Literal

from companion_agent.errors import Unavailable
from companion_agent.winapi import registry_watch

if TYPE_CHECKING:
    from collections.abc import Callable

Device = Literal["webcam", "microphone"]

_STORE = r"Software\Microsoft\Windows\CurrentVersion\CapabilityAccessManager\ConsentStore"
# Programs that are not from the Microsoft Store, each by its path with # for \.
_OTHERS = "NonPackaged"
_KEPT_ELSEWHERE = 26_200


class DeviceUse:
    """Follows the record of one sort of devices.

    Args:
        device: The sort.
        changed: Called in the event loop when the record has changed.
        build: Windows' build; the present one when left out.
    """

    def __init__(
        self, device: Device, changed: Callable[[], None], build: int | None = None
    ) -> None:
        self._device = device
        self._changed = changed
        self._build = _own_build() if build is None else build
        self._loop = asyncio.get_running_loop()
        self._key = 0
        self._stop = 0

    def open(self) -> None:
        """Begin to follow.

        Raises:
            Unavailable: Windows keeps no such record.
        """
        if self._build >= _KEPT_ELSEWHERE:
            raise Unavailable(f"this build of Windows does not tell who uses a {self._device}")
        try:
            self._key = registry_watch.open_key(rf"{_STORE}\{self._device}")
            self._stop = registry_watch.new_event()
        except OSError as error:
            self.close()
            raise Unavailable(f"Windows has no record of who uses a {self._device}") from error
        name = f"use of a {self._device}"
        threading.Thread(target=self._wait, args=(self._stop,), name=name, daemon=True).start()

    def close(self) -> None:
        """Follow no more."""
        if self._stop:
            # The thread closes what it waits for.
            registry_watch.set_event(self._stop)
        elif self._key:
            registry_watch.close_key(self._key)
        self._key = self._stop = 0

    def programs(self) -> list[str]:
        """Return the names of the programs that use one now.

        Raises:
            OSError: The record cannot be read.
        """
        key = registry_watch.open_key(rf"{_STORE}\{self._device}")
        try:
            found = {_packaged(name) for name in registry_watch.subkeys(key) if _uses(key, name)}
        finally:
            registry_watch.close_key(key)
        with suppress(OSError):
            others = registry_watch.open_key(rf"{_STORE}\{self._device}\{_OTHERS}")
            try:
                found |= {
                    _of_path(name) for name in registry_watch.subkeys(others) if _uses(others, name)
                }
            finally:
                registry_watch.close_key(others)
        return sorted(found)

    def _wait(self, stop: int) -> None:
        key, changed = self._key, registry_watch.new_event()
        try:
            while True:
                registry_watch.notify(key, changed)
                if registry_watch.wait(stop, changed) == 0 or self._loop.is_closed():
                    return
                self._loop.call_soon_threadsafe(self._changed)
        finally:
            registry_watch.close_key(key)
            registry_watch.close_event(changed)
            registry_watch.close_event(stop)


def _uses(key: int, program: str) -> bool:
    began = registry_watch.number(key, program, "LastUsedTimeStart")
    return bool(began) and registry_watch.number(key, program, "LastUsedTimeStop") == 0


def _packaged(name: str) -> str:
    """Return the name of a package without its publisher's, `Microsoft.WindowsCamera`."""
    return name.partition("_")[0]


def _of_path(name: str) -> str:
    return name.rpartition("#")[2].removesuffix(".exe")


if sys.platform == "win32":

    def _own_build() -> int:
        return sys.getwindowsversion().build

else:

    def _own_build() -> int:
        return 0
