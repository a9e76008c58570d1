"""Sound as the agent announces it; the session helper does the work (`helper.py`)."""

from __future__ import annotations

from typing import ClassVar

from companion_agent.models import Argument, ChoiceArgument, Command, Reading
from companion_agent.plugins.desktop import DesktopPlugin

_DEVICE = {"value": ChoiceArgument(())}
_VOLUME = {"value": Argument(unit="percent", minimum=0, maximum=100, step=1)}
# 0 is off, 1 is on.
_SWITCH = {"value": Argument(unit="boolean", minimum=0, maximum=1, step=1)}


class SoundPlugin(DesktopPlugin):
    """Chooses devices for sound, sets their volume, and tells when a microphone is in use."""

    name: ClassVar[str] = "sound"
    declared_readings: ClassVar[tuple[Reading, ...]] = (
        Reading("output"),
        Reading("output_volume", resolution=1),
        Reading("output_muted"),
        Reading("input"),
        Reading("input_volume", resolution=1),
        Reading("input_muted"),
        Reading("microphone_in_use"),
    )
    declared_commands: ClassVar[tuple[Command, ...]] = (
        Command("sound.output", _DEVICE, state="sound.output"),
        Command("sound.output_volume", _VOLUME, state="sound.output_volume"),
        Command("sound.output_muted", _SWITCH, state="sound.output_muted"),
        Command("sound.input", _DEVICE, state="sound.input"),
        Command("sound.input_volume", _VOLUME, state="sound.input_volume"),
        Command("sound.input_muted", _SWITCH, state="sound.input_muted"),
    )
