"""Built-in screens whose backlight can be dimmed, and what is connected to graphics cards.

Sources: Documentation/ABI/stable/sysfs-class-backlight; drivers/gpu/drm/drm_sysfs.c.
"""

from __future__ import annotations

from contextlib import suppress
import re
import select
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from companion_agent.platforms.linux.files import Files

# Types for Windows do not have what only Linux has.
_linux_select: Any = select

_BACKLIGHTS = "sys/class/backlight"
_DRM = "sys/class/drm"
# `card0-eDP-1`; the cards themselves and their render nodes have no connector's name.
_CONNECTOR = re.compile(r"card\d+-(.+)")
# Connectors of screens that are built in, of which a backlight without a parent is one.
_BUILT_IN = ("eDP-", "LVDS-", "DSI-")
# Where several drivers offer the same screen: what the firmware knows beats what was guessed from
# registers. It is the order of the kernel's document.
_TRUST = ("firmware", "platform", "raw")


class Connector(NamedTuple):
    """A socket of a graphics card that a monitor is connected to.

    Attributes:
        name: Its name, as compositors call the monitor: `DP-1`.
        folder: Where its files are, below the root.
    """

    name: str
    folder: str


def connectors(files: Files) -> list[Connector]:
    """Return the sockets that a monitor is connected to."""
    return [
        Connector(found[1], f"{_DRM}/{entry}")
        for entry in files.names(_DRM)
        if (found := _CONNECTOR.fullmatch(entry))
        and files.text(f"{_DRM}/{entry}/status") == "connected"
    ]


def is_built_in(connector: str) -> bool:
    """Tell whether a connector is that of a screen that is built in."""
    return connector.startswith(_BUILT_IN)


class Backlight(NamedTuple):
    """A backlight.

    Attributes:
        panel: The screen that it lights: its connector's name, or the driver's where none is known.
        device: What the kernel calls it, as logind wants to hear it.
        brightest: The raw value of the full brightness.
    """

    panel: str
    device: str
    brightest: int

    @property
    def level_file(self) -> str:
        """Where the level is that was asked for last, by any program or key."""
        return f"{_BACKLIGHTS}/{self.device}/brightness"

    @property
    def notified_file(self) -> str:
        """The file whose readers the kernel wakes when the level has changed."""
        return f"{_BACKLIGHTS}/{self.device}/actual_brightness"


def backlights(files: Files) -> list[Backlight]:
    """Return one backlight for each screen that has any."""
    built_in = [one.name for one in connectors(files) if is_built_in(one.name)]
    found: dict[str, tuple[int, Backlight]] = {}
    for device in files.names(_BACKLIGHTS):
        folder = f"{_BACKLIGHTS}/{device}"
        brightest = files.number(f"{folder}/max_brightness")
        if not brightest or brightest < 0:
            continue
        panel = _panel(files, folder) or (built_in[0] if len(built_in) == 1 else device)
        kind = files.text(f"{folder}/type") or ""
        trust = _TRUST.index(kind) if kind in _TRUST else len(_TRUST)
        if panel not in found or trust < found[panel][0]:
            found[panel] = trust, Backlight(panel, device, brightest)
    return [backlight for _, backlight in found.values()]


def _panel(files: Files, folder: str) -> str:
    """Return the connector that a backlight hangs on; empty where its parent is another device."""
    parent = (files.target(f"{folder}/device") or "").rpartition("/")[2]
    found = _CONNECTOR.fullmatch(parent)
    return found[1] if found else ""


class SysfsWatch:
    """Waits for files of sysfs that the kernel tells of when they change (`sysfs_notify`).

    Such files are always readable, so that an event loop cannot wait for them by themselves; what
    collects their news can be waited for, and is readable when there is any.

    Args:
        paths: The files; one that tells nothing is left out.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._epoll = _linux_select.epoll()
        self._files = []
        for path in paths:
            with suppress(OSError):
                file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115
                self._files.append(file)
                # The first wake-up is about what was not read yet.
                file.read()
                self._epoll.register(file, _linux_select.EPOLLPRI | _linux_select.EPOLLERR)

    def fileno(self) -> int:
        """Return what is readable when there is news."""
        return int(self._epoll.fileno())

    def take(self) -> None:
        """Take the news, so that it waits for others; the files have to be read after that."""
        self._epoll.poll(0)
        for file in self._files:
            with suppress(OSError):
                file.seek(0)
                file.read()

    def close(self) -> None:
        """Wait no more."""
        self._epoll.close()
        for file in self._files:
            file.close()
