"""LibreHardwareMonitor as a source of temperatures: section `libre_hardware_monitor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from companion_agent.fields import setting
from companion_agent.values import Integer

if TYPE_CHECKING:
    from companion_agent.platforms.libre_hardware_monitor import LibreHardwareMonitor
    from companion_agent.plugins.base import PluginContext


@dataclass(frozen=True, slots=True)
class LibreHardwareMonitorConfig:
    """Whether LibreHardwareMonitor is asked.

    Attributes:
        port: The port of its web server; `None` for not.
    """

    port: int | None = setting(
        Integer(1, 65535),
        "Read temperatures and fans from the web server of LibreHardwareMonitor at this port of "
        "this computer, usually 8085.",
        None,
        shown="it is not asked",
    )


def monitor_of(context: PluginContext) -> LibreHardwareMonitor | None:
    """Return what reads it, where the configuration names its port."""
    config = context.get(LibreHardwareMonitorConfig)
    if config is None or config.port is None:
        return None
    # Few have it, and HTTP comes with it.
    from companion_agent.platforms.libre_hardware_monitor import (  # noqa: PLC0415
        LibreHardwareMonitor,
    )

    return LibreHardwareMonitor(config.port)
