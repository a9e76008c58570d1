"""The place at which this agent listens to session helpers, as its system has it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from companion_agent.ipc.listener import Listener

if sys.platform == "win32":
    from companion_agent.ipc.pipe_listener import PipeListener

    def of_the_agent() -> Listener | None:
        """Return the pipe."""
        return PipeListener()

else:
    from companion_agent.ipc import runtime_folder
    from companion_agent.ipc.unix_listener import UnixListener

    def of_the_agent() -> Listener | None:
        """Return the socket in the runtime folder; `None` where there is no such folder."""
        folder = runtime_folder.of_the_agent()
        return UnixListener(folder) if folder else None
