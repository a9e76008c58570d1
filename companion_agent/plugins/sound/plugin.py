"""Sound as the agent announces it; the session helper does the work (`helper.py`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError
from companion_agent.models import (
    Argument,
    ChoiceArgument,
    Command,
    FreeTextArgument,
    Output,
    Reading,
)
from companion_agent.plugins.desktop import DesktopPlugin
from companion_agent.protocol.validation import MAX_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = "sound.programs"

_DEVICE = {"value": ChoiceArgument(())}
_VOLUME = {"value": Argument(unit="percent", minimum=0, maximum=100, step=1)}
# 0 is off, 1 is on.
_SWITCH = {"value": Argument(unit="boolean", minimum=0, maximum=1, step=1)}

_PROGRAM = {"program": FreeTextArgument(longest=255, default=None)}


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
        Reading("microphone_programs"),
    )
    declared_commands: ClassVar[tuple[Command, ...]] = (
        Command("sound.output", _DEVICE, state="sound.output"),
        Command("sound.output_volume", _VOLUME, state="sound.output_volume"),
        Command("sound.output_muted", _SWITCH, state="sound.output_muted"),
        Command("sound.input", _DEVICE, state="sound.input"),
        Command("sound.input_volume", _VOLUME, state="sound.input_volume"),
        Command("sound.input_muted", _SWITCH, state="sound.input_muted"),
        Command(PROGRAMS),
        Command("sound.program_volume", {**_PROGRAM, **_VOLUME}),
        Command("sound.program_muted", {**_PROGRAM, **_SWITCH}),
    )

    def run(self, key: str, args: Mapping[str, Any]) -> Output | None:
        """Have the helper do it; the programs come back as JSON."""
        if key != PROGRAMS:
            return super().run(key, args)
        data = self.sessions.call(self.name, Thing("programs"), {}, str(args["session"]))
        try:
            programs = json.loads(str(data.get("programs")))
        except ValueError:
            raise CommandError("failed", "the session helper sent no list of programs") from None
        text = json.dumps(programs, ensure_ascii=False)
        if len(json.dumps(text).encode()) > MAX_OUTPUT:
            raise CommandError("failed", "too many programs play")
        return Output(text)
