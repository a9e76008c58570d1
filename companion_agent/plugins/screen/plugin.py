"""The screen as the agent announces it; the session helper does the work (`helper.py`)."""

from __future__ import annotations

from typing import ClassVar

from companion_agent.models import Argument, Command, Reading
from companion_agent.plugins.desktop import DesktopPlugin

# 0 is off, 1 is on.
_SWITCH = {"value": Argument(unit="boolean", minimum=0, maximum=1, step=1)}


class ScreenPlugin(DesktopPlugin):
    """Switches the screen of the session that is meant, and keeps it on."""

    name: ClassVar[str] = "screen"
    events: ClassVar[tuple[str, ...]] = ("turned_on", "turned_off")
    declared_readings: ClassVar[tuple[Reading, ...]] = (
        Reading("on"),
        Reading("keep_awake"),
    )
    declared_commands: ClassVar[tuple[Command, ...]] = (
        Command("screen.on", _SWITCH, state="screen.on"),
        Command("screen.keep_awake", _SWITCH, state="screen.keep_awake"),
    )
