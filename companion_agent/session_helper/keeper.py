"""Keeps the session helper running on Windows, where no service manager does so for users.

Windows starts this process at each log-in (`service.session_start`). It starts the helper as a
process of its own, waits for its end without waking up, and starts it again where it failed. The
agent could not do so: its account may start nothing in a user's session.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from companion_agent.winapi.jobs import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOGGER = logging.getLogger(__name__)

SOONEST, LATEST = 1.0, 60.0
"""Seconds until a helper that has failed is started again: the wait doubles while it fails."""
SETTLED = 60.0
"""Seconds after which a helper that fails is thought to have worked."""

NO_WINDOW = 0x0800_0000
"""CREATE_NO_WINDOW: no console is opened for it."""


def keep(
    command: Sequence[str],
    final: frozenset[int],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Run a helper until it ends for good.

    Args:
        command: Starts it.
        final: The exit codes after which it is not started again.
        sleep: Waits for some seconds.
        clock: Seconds that never go back.

    Returns:
        Its exit code.
    """
    job = Job()
    wait = SOONEST
    while True:
        began = clock()
        helper = subprocess.Popen(command, creationflags=_flags())
        with helper:
            # It ends with this process, whatever becomes of it.
            job.take(_handle(helper))
            code = helper.wait()
        if code in final:
            job.close()
            return code
        if clock() - began >= SETTLED:
            wait = SOONEST
        _LOGGER.warning("The helper ended with %d; it is started again in %g s", code, wait)
        sleep(wait)
        wait = min(2 * wait, LATEST)


if sys.platform == "win32":

    def _flags() -> int:
        return NO_WINDOW

    def _handle(process: subprocess.Popen[bytes]) -> int:
        # The process cannot be mistaken for another one by its handle, as it can by its number.
        return int(process._handle)  # type: ignore[attr-defined]  # noqa: SLF001

else:

    def _flags() -> int:
        return 0

    def _handle(process: subprocess.Popen[bytes]) -> int:
        return process.pid
