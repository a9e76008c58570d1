"""Microphones in use in a Windows session; the volume is not there yet."""

from __future__ import annotations

from typing import ClassVar

from companion_agent.desktop.messages import Thing
from companion_agent.plugins.device_use import DeviceUseDomain


class WindowsSoundDomain(DeviceUseDomain):
    """Tells which programs of this user use a microphone."""

    name: ClassVar[str] = "sound"
    device = "microphone"
    in_use = Thing("microphone_in_use")
    programs = Thing("microphone_programs")
