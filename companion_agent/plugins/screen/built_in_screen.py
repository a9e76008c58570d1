"""The built-in screen of a Windows computer, dimmed by its driver or by WMI.

The driver is asked first: it answers at once. Not every one lets itself be asked, and WMI has those
that Windows itself dims. What is here waits for them, so it is called in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from companion_agent.errors import Unavailable
from companion_agent.winapi import display, wmi

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMESPACE = "root\\wmi"
# Sources: Microsoft's reference of "WmiCoreProv" (`WmiMonitorBrightness`, and `WmiSetBrightness` of
# `WmiMonitorBrightnessMethods`).
_LEVELS, _METHODS = "WmiMonitorBrightness", "WmiMonitorBrightnessMethods"
_SET = "WmiSetBrightness"
# Seconds; it is dimmed at once.
_TIMEOUT = 1
_WORDS = {
    wmi.NOT_SUPPORTED: "no screen is dimmed by it",
    wmi.ACCESS_DENIED: "this user may not ask it",
    wmi.NO_NAMESPACE: "this Windows does not have it",
    wmi.NO_CLASS: "this Windows does not have it",
}


class BuiltInScreen(Protocol):
    """Dims it.

    Attributes:
        name: By what, for `pilot-agent doctor`.
    """

    name: str

    def brightness(self) -> int:
        """Return its brightness in percent.

        Raises:
            OSError: It does not answer.
        """

    def set(self, percent: int) -> int:
        """Set the nearest brightness that it has, and return what was read back.

        Raises:
            OSError: It does not answer.
        """


class ByDriver:
    """Dims it by its driver."""

    name = "the built-in screen's driver"

    def brightness(self) -> int:
        """Ask for it."""
        return display.panel_brightness()

    def set(self, percent: int) -> int:
        """Set it on mains and on battery."""
        display.set_panel_brightness(_nearest(display.panel_levels(), percent))
        return display.panel_brightness()


class ByWmi:
    """Dims it by WMI; the first one, where a computer has two."""

    name = "WMI"

    def brightness(self) -> int:
        """Ask for it."""
        with wmi.connected(_NAMESPACE) as namespace:
            return _first(namespace).percent

    def set(self, percent: int) -> int:
        """Set it."""
        with wmi.connected(_NAMESPACE) as namespace:
            screen = _first(namespace)
            rows = namespace.read(_METHODS, "InstanceName", "__PATH")
            path = next((str(path) for name, path in rows if name == screen.instance), "")
            level = _nearest(screen.levels, percent)
            arguments = {"Timeout": wmi.number(_TIMEOUT), "Brightness": wmi.byte(level)}
            namespace.call(_METHODS, path, _SET, arguments)
            return _first(namespace).percent


class _Screen(NamedTuple):
    instance: str
    percent: int
    levels: bytes


def find() -> BuiltInScreen:
    """Return what dims the built-in screen.

    Raises:
        Unavailable: There is none, or none that lets itself be dimmed.
    """
    try:
        if display.panel_levels():
            return ByDriver()
        driver = "it has no levels"
    except OSError as error:
        driver = str(error)
    by_wmi = ByWmi()
    try:
        by_wmi.brightness()
    except OSError as error:
        why = _WORDS.get(getattr(error, "winerror", None) or 0, str(error))
        raise Unavailable(
            f"no built-in screen is dimmed by its driver ({driver}) or by WMI ({why})"
        ) from error
    return by_wmi


def _first(namespace: wmi.Namespace) -> _Screen:
    rows = namespace.read(_LEVELS, "Active", "InstanceName", "CurrentBrightness", "Level")
    for active, instance, percent, levels in rows:
        if active and isinstance(percent, int) and isinstance(levels, bytes) and levels:
            return _Screen(str(instance), percent, levels)
    raise OSError("no screen is dimmed by it")


def _nearest(levels: Iterable[int], percent: int) -> int:
    return min(levels, key=lambda level: abs(level - percent))
