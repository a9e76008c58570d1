"""Cameras in use in a Windows session."""

from __future__ import annotations

from typing import ClassVar

from companion_agent.desktop.messages import Thing
from companion_agent.plugins.device_use import DeviceUseDomain


class WindowsCameraDomain(DeviceUseDomain):
    """Tells which programs of this user use a camera."""

    name: ClassVar[str] = "camera"
    device = "webcam"
    in_use = Thing("in_use")
    programs = Thing("programs")
