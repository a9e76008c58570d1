"""Which domains a session helper works on, and where each of them is; imported when it is begun."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.desktop.domain import Domain

LINUX: Mapping[str, str] = {
    "notifications": "companion_agent.plugins.notifications.helper:NotificationsDomain",
    "screen": "companion_agent.plugins.screen.helper:ScreenDomain",
    "sound": "companion_agent.plugins.sound.helper:SoundDomain",
    "media": "companion_agent.plugins.media.helper:MediaDomain",
    "presence": "companion_agent.plugins.presence.helper:PresenceDomain",
    "window": "companion_agent.plugins.window.helper:WindowDomain",
    "camera": "companion_agent.plugins.camera.helper:CameraDomain",
    "hotkeys": "companion_agent.plugins.hotkeys.helper:HotkeysDomain",
}
"""By the name of the domain, its module and class."""

WINDOWS: Mapping[str, str] = {
    "session": "companion_agent.plugins.session_windows:WindowsSessionDomain",
    "screen": "companion_agent.plugins.screen.windows:WindowsScreenDomain",
    "presence": "companion_agent.plugins.presence.windows:WindowsPresenceDomain",
    "camera": "companion_agent.plugins.camera.windows:WindowsCameraDomain",
    "sound": "companion_agent.plugins.sound.windows:WindowsSoundDomain",
    "window": "companion_agent.plugins.window.windows:WindowsWindowDomain",
    "hotkeys": "companion_agent.plugins.hotkeys.windows:WindowsHotkeysDomain",
    "notifications": "companion_agent.plugins.notifications.windows:WindowsNotificationsDomain",
    "media": "companion_agent.plugins.media.windows:WindowsMediaDomain",
}
"""The same on Windows."""


def load(place: str) -> type[Domain]:
    """Import a domain."""
    module, _, name = place.partition(":")
    found: type[Domain] = getattr(import_module(module), name)
    return found
