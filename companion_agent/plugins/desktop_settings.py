"""What the owner of a host says of its desktop: section `desktop` of the configuration.

The session helper has no configuration of its own: the agent tells it what it has to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from companion_agent.fields import ByName, Section, setting
from companion_agent.plugins.desktop_defaults import IDLE_AFTER
from companion_agent.plugins.own.settings import OwnName
from companion_agent.values import Seconds, Switch, Text

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Hotkey:
    """A combination of keys that is told to Home Assistant.

    Attributes:
        name: What the desktop calls it; its name in the configuration when empty.
        keys: What is proposed to the desktop, which has the last word.
    """

    name: str = setting(Text(), "What the desktop calls it.", "", shown="its name here")
    keys: str = setting(
        Text(64), "The keys that are proposed to the desktop: `CTRL+ALT+l`.", "", shown="none"
    )


@dataclass(frozen=True, slots=True)
class DesktopConfig:
    """What is looked at of a desktop.

    Attributes:
        idle_after: Seconds without a key or a movement after which it is not in use.
        window: Whether the active window may be looked at.
        hotkeys: The hotkeys, by the name that events have.
    """

    idle_after: float = setting(
        Seconds(5, 86_400),
        "The computer is not in use after so long without a key or a movement.",
        IDLE_AFTER,
        remote=True,
    )
    window: bool = setting(
        Switch(),
        "Tell the title and the program of the active window, and whether it fills the screen. "
        "Home Assistant cannot switch this on.",
        False,
    )
    hotkeys: Mapping[str, Hotkey] = setting(
        ByName("hotkey", Section(Hotkey), free=OwnName()),
        "Combinations of keys that are told to Home Assistant.",
        factory=dict,
    )
