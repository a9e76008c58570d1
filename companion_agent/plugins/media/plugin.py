"""Media players as the agent announces them; the session helper does the work (`helper.py`)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError
from companion_agent.models import (
    Argument,
    ChoiceArgument,
    Command,
    DataArgument,
    FreeTextArgument,
    Output,
    Reading,
    TextArgument,
)
from companion_agent.plugins.desktop import DesktopPlugin
from companion_agent.plugins.media.inbox import MAX_MEDIA, MAX_PART
from companion_agent.protocol.catalogue import CATALOGUE
from companion_agent.protocol.validation import MAX_PICTURE

if TYPE_CHECKING:
    from collections.abc import Mapping

ART = "media.art"
PLAY_MEDIA = "media.play_media"
PLAY_LIMIT = 20.0
"""Seconds in which a player is found, started and heard; more than the helper gives each."""

# A week: longer than anything that is played in one piece.
_LONGEST = 604_800
_PERCENT = {"value": Argument(unit="percent", minimum=0, maximum=100, step=1)}
_ID = TextArgument(longest=64, default=None)
# 0 is off, 1 is on.
_SWITCH = {"value": Argument(unit="boolean", minimum=0, maximum=1, step=1)}


class MediaPlugin(DesktopPlugin):
    """Follows and controls the media player that is in use."""

    name: ClassVar[str] = "media"
    declared_readings: ClassVar[tuple[Reading, ...]] = tuple(
        Reading(kind.removeprefix("media.")) for kind in CATALOGUE if kind.startswith("media.")
    )
    declared_commands: ClassVar[tuple[Command, ...]] = (
        Command("media.play"),
        Command("media.pause"),
        Command("media.stop"),
        Command("media.next"),
        Command("media.previous"),
        Command("media.seek", {"position": Argument("seconds", minimum=0, maximum=_LONGEST)}),
        Command("media.volume", _PERCENT, state="media.volume"),
        Command("media.shuffle", _SWITCH, state="media.shuffle"),
        Command(
            "media.repeat",
            {"value": ChoiceArgument(CATALOGUE["media.repeat"].options)},
            state="media.repeat",
        ),
        Command("media.source", {"value": ChoiceArgument(())}, state="media.source"),
        Command(ART, {"token": TextArgument(longest=64, default="")}),
        Command(
            "media.load",
            {
                "id": _ID,
                "offset": Argument("bytes", minimum=0, maximum=MAX_MEDIA, step=1),
                "data": DataArgument(longest=MAX_PART),
            },
        ),
        Command(
            PLAY_MEDIA,
            {
                "id": _ID,
                "title": FreeTextArgument(longest=255),
                "announce": Argument("boolean", minimum=0, maximum=1, default=0, step=1),
            },
            time_limit=PLAY_LIMIT,
        ),
    )

    def run(self, key: str, args: Mapping[str, Any]) -> Output | None:
        """Have the helper do it; art comes back with it."""
        if key == PLAY_MEDIA:
            rest = {name: value for name, value in args.items() if name != "session"}
            self.sessions.call(
                self.name, Thing("play_media"), rest, str(args["session"]), within=PLAY_LIMIT
            )
            return None
        if key != ART:
            return super().run(key, args)
        data = self.sessions.call(
            self.name, Thing("art"), {"token": args["token"]}, str(args["session"])
        )
        try:
            picture = base64.b64decode(data.get("picture", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise CommandError("failed", "the session helper sent no picture") from None
        if not 0 < len(picture) <= MAX_PICTURE:
            raise CommandError("failed", f"a picture of {len(picture)} bytes is not handed on")
        return Output(data=picture)
