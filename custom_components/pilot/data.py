"""The config entry of a host, and what it has at run time."""

from dataclasses import dataclass

from homeassistant.config_entries import ConfigEntry

from .coordinator import PilotCoordinator


@dataclass(frozen=True, slots=True)
class PilotRuntimeData:
    """What exists while the config entry of a host is loaded."""

    coordinator: PilotCoordinator


type PilotConfigEntry = ConfigEntry[PilotRuntimeData]
