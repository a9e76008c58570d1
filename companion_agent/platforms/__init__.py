"""The operating systems that the agent runs on, behind `platforms.base.Platform`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from companion_agent.platforms.base import Platform


def current() -> Platform:
    """Return the platform that this process runs on; only its own module is imported."""
    if sys.platform == "linux":
        from companion_agent.platforms.linux.platform import LinuxPlatform as Found  # noqa: PLC0415
    elif sys.platform == "win32":
        from companion_agent.platforms.windows.platform import WindowsPlatform as Found  # noqa: PLC0415
    else:
        from companion_agent.platforms.portable import PortablePlatform as Found  # noqa: PLC0415
    return Found()
