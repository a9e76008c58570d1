"""Every plug-in that there is: those of this package, and those that other packages install.

Another package names its plug-in in the entry points of the group `pilot_agent.plugins`; see
`docs/plugins.md`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
import logging
from pathlib import Path
import sys
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.errors import PluginError
from companion_agent.plugins.agent import AgentPlugin
from companion_agent.plugins.base import Collector, Plugin
from companion_agent.plugins.battery import BatteryPlugin
from companion_agent.plugins.camera.plugin import CameraPlugin
from companion_agent.plugins.config import ConfigPlugin
from companion_agent.plugins.cpu import CpuPlugin
from companion_agent.plugins.disk import DiskPlugin
from companion_agent.plugins.disk_health import DiskHealthPlugin
from companion_agent.plugins.disk_io import DiskIoPlugin
from companion_agent.plugins.fan import FanPlugin
from companion_agent.plugins.graphics import GraphicsPlugin
from companion_agent.plugins.hotkeys.plugin import HotkeysPlugin
from companion_agent.plugins.i2c.plugin import I2cPlugin
from companion_agent.plugins.media.plugin import MediaPlugin
from companion_agent.plugins.memory import MemoryPlugin
from companion_agent.plugins.network import NetworkPlugin
from companion_agent.plugins.notifications.plugin import NotificationsPlugin
from companion_agent.plugins.own.commands import OwnCommandsPlugin
from companion_agent.plugins.own.readings import OwnReadingsPlugin
from companion_agent.plugins.power import PowerPlugin
from companion_agent.plugins.presence.plugin import PresencePlugin
from companion_agent.plugins.processes.plugin import ProcessesPlugin
from companion_agent.plugins.processor.plugin import ProcessorPlugin
from companion_agent.plugins.raspberry_pi import RaspberryPiPlugin
from companion_agent.plugins.readings import ReadingsPlugin
from companion_agent.plugins.screen.plugin import ScreenPlugin
from companion_agent.plugins.services.plugin import ServicesPlugin
from companion_agent.plugins.session import SessionPlugin
from companion_agent.plugins.sound.plugin import SoundPlugin
from companion_agent.plugins.system import SystemPlugin
from companion_agent.plugins.temperature import TemperaturePlugin
from companion_agent.plugins.updates.plugin import UpdatesPlugin
from companion_agent.plugins.ups.plugin import UpsPlugin
from companion_agent.plugins.usb import UsbPlugin
from companion_agent.plugins.wifi import WifiPlugin
from companion_agent.plugins.window.plugin import WindowPlugin
from companion_agent.protocol.validation import SEGMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.plugins.base import PluginContext

_LOGGER = logging.getLogger(__name__)

GROUP = "pilot_agent.plugins"

BUILT_IN: Mapping[str, type[Plugin]] = {
    plugin.name: plugin
    for plugin in (
        CpuPlugin,
        MemoryPlugin,
        DiskPlugin,
        DiskIoPlugin,
        DiskHealthPlugin,
        NetworkPlugin,
        TemperaturePlugin,
        FanPlugin,
        GraphicsPlugin,
        BatteryPlugin,
        UpsPlugin,
        PowerPlugin,
        ProcessorPlugin,
        SystemPlugin,
        ServicesPlugin,
        ProcessesPlugin,
        UpdatesPlugin,
        SessionPlugin,
        PresencePlugin,
        WindowPlugin,
        CameraPlugin,
        HotkeysPlugin,
        ScreenPlugin,
        NotificationsPlugin,
        SoundPlugin,
        MediaPlugin,
        WifiPlugin,
        UsbPlugin,
        RaspberryPiPlugin,
        AgentPlugin,
        ConfigPlugin,
        I2cPlugin,
        OwnCommandsPlugin,
        OwnReadingsPlugin,
        ReadingsPlugin,
    )
}
"""The plug-ins of this package by name, in the order of the catalogue in `docs/protocol.md`."""

# First segments of keys that belong to the protocol.
_RESERVED = frozenset({"trust", "update"})


class Plugins(NamedTuple):
    """What was found.

    Attributes:
        types: The plug-ins by name, those of this package first.
        failures: Why a plug-in of another package cannot be used, by the name of its entry point.
    """

    types: Mapping[str, type[Plugin]]
    failures: Mapping[str, str]


@cache
def load() -> Plugins:
    """Find every plug-in, once for each process."""
    types, failures = dict(BUILT_IN), {}
    if _others_are_installed():
        # It brings 0.6 MiB and 30 ms with it.
        from importlib.metadata import entry_points  # noqa: PLC0415

        for entry in entry_points(group=GROUP):
            try:
                types[entry.name] = _checked(entry.name, entry.load(), types)
            except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever another package does)
                failures[entry.name] = reason_of(error)
    for name, reason in failures.items():
        _LOGGER.warning("The plug-in %s cannot be used: %s", name, reason)
    return Plugins(types, failures)


def collectors() -> dict[str, type[Collector]]:
    """Return every plug-in with readings by its name."""
    return {name: one for name, one in load().types.items() if issubclass(one, Collector)}


def create(name: str, context: PluginContext) -> Plugin:
    """Make a plug-in.

    Args:
        name: A key of `load().types`.
        context: What it is made of.

    Raises:
        PluginError: It cannot be made; the text says why.
    """
    plugin = load().types[name]
    try:
        return plugin.create(context)
    except Exception as error:
        if name in BUILT_IN:
            raise
        raise PluginError(reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """Say in one line what another package's code raised."""
    if isinstance(error, PluginError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _others_are_installed() -> bool:
    """Tell whether a package on Python's path names the group."""
    group = GROUP.encode()
    with suppress(OSError):
        return any(
            group in entries.read_bytes()
            for folder in sys.path
            for entries in Path(folder).glob("*-info/entry_points.txt")
        )
    return True


def _checked(name: str, found: object, known: Mapping[str, type[Plugin]]) -> type[Plugin]:
    """Return a plug-in that can be used.

    Raises:
        PluginError: It cannot; the text says why.
    """
    if not isinstance(found, type) or not issubclass(found, Plugin):
        raise PluginError("it is not a class derived from companion_agent.plugins.base.Plugin")
    own = getattr(found, "name", None)
    if own != name:
        raise PluginError(f"its class is named {own!r}, its entry point {name!r}: make them equal")
    if not SEGMENT.fullmatch(name):
        raise PluginError("its name has other characters than a-z, 0-9, _ and -")
    if issubclass(found, Collector) and not found.interval > 0:
        raise PluginError(f"its interval is {found.interval} s")
    if name in known or name in _RESERVED:
        raise PluginError("there is a plug-in of that name; choose another name")
    return found
