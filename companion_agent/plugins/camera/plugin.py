"""Cameras in use, as the agent announces them; the session helper looks (`helper.py`)."""

from __future__ import annotations

from typing import ClassVar

from companion_agent.models import Reading
from companion_agent.plugins.desktop import DesktopPlugin


class CameraPlugin(DesktopPlugin):
    """Tells whether programs of the user in the session that is meant use a camera."""

    name: ClassVar[str] = "camera"
    declared_readings: ClassVar[tuple[Reading, ...]] = (Reading("in_use"), Reading("programs"))
