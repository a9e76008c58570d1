"""`pilot-agent session` on Windows: without a console, and started again when it fails."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
import sys

from companion_agent.session_helper import keeper, runtime
from companion_agent.winapi import folders

FOLDER, LOG, KEEPERS_LOG = "Pilot", "session.log", "session-keeper.log"
"""In the user's own folder for data of programs that stays on this machine."""

_LOG_SIZE, _LOGS_KEPT = 256 * 1024, 1


def main(*, once: bool) -> int:
    """Run the helper.

    Args:
        once: Run it in this process, and not again.

    Returns:
        The exit code.
    """
    # Two processes cannot rotate one file.
    _log_to(LOG if once else KEEPERS_LOG)
    if once:
        return runtime.run()
    # However this process was started: as a module, or with the libraries of an environment.
    command = [sys.executable, *sys.orig_argv[1:], "--once"]
    return keeper.keep(command, frozenset({runtime.ENDED, runtime.ANOTHER_RUNS}))


def _log_to(name: str) -> None:
    handlers: list[logging.Handler] = []
    # There is none where pythonw runs it.
    if sys.stderr:
        handlers.append(logging.StreamHandler())
    try:
        folder = folders.known(folders.LOCAL_APP_DATA) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        handlers.append(
            RotatingFileHandler(
                folder / name,
                maxBytes=_LOG_SIZE,
                backupCount=_LOGS_KEPT,
                encoding="utf-8",
                errors="backslashreplace",
                delay=True,
            )
        )
    except OSError:
        # A helper that cannot write what it does is better than none.
        handlers.append(logging.NullHandler())
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, handlers=handlers
    )
