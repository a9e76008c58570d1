"""The operating systems that the agent runs on, behind `platforms.base.Platform`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from companion_agent.platforms.base import Platform


def current() -> Platform:
    """Return the platform that this process runs on; only its own module is imported."""
    if sys.platform == "linux":
        from companion_agent.platforms.linux import (  # noqa: PLC0415 - see above
            LinuxPlatform as Found,
        )
    elif sys.platform == "win32":
        from companion_agent.platforms.windows import (  # noqa: PLC0415
            WindowsPlatform as Found,
        )
    else:
        from companion_agent.platforms.generic import (  # noqa: PLC0415
            GenericPlatform as Found,
        )
    return Found()
