"""`pilot-agent run`: report this computer until stopped."""

from __future__ import annotations

from functools import partial
import os
import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.cli.output import complain, complain_of
from companion_agent.service.sd_notify import Notifier
from companion_agent.updates import launcher
from companion_agent.updates.exit_codes import AGAIN

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from companion_agent.config import Config
    from companion_agent.config.overlay import Overlay


def main(parsed: argparse.Namespace) -> int:
    """Start the release that is to run; here, if it is this one."""
    return report(parsed.config)


def report(path: Path | None, notifier: Callable[[], Notifier] = Notifier) -> int:
    """Report this computer until stopped; return the exit code.

    Args:
        path: The configuration file that the command line names.
        notifier: Makes what tells the service manager how the agent is.
    """
    while True:
        launched = launcher.launch(path, notifier=notifier)
        if launched.silence:
            from companion_agent.updates import supervised

            notifier = supervised.begin(launched.silence, launched.events)
        code = _report_as(launched, path, notifier)
        if launched.release:
            launcher.ended(launched.release, path)
        from companion_agent.signals import end_request

        if code is not None or end_request.asked:
            return code or OK
        if sys.platform != "win32":
            os.execv(launched.command[0], launched.command)  # noqa: S606  (no shell is wanted)


def _report_as(
    launched: launcher.Launched, path: Path | None, notifier: Callable[[], Notifier]
) -> int | None:
    """Report this computer as this version; return `None` where the base is to be started anew."""
    # Not before: another release brings its own. What the configuration can name comes first,
    # which both processes need; what only this one needs is imported while the other one reads.
    from companion_agent import forked
    from companion_agent.config import ConfigError
    from companion_agent.plugins import registry

    registry.load()
    configuration = forked.begin(partial(_read, path))

    from companion_agent import identity, logs, runtime

    try:
        config = configuration()
    except ConfigError as error:
        complain_of(error)
        notifier().status("The configuration has mistakes: pilot-agent config check")
        return BAD_INPUT
    logs.set_up(config.log)
    try:
        another = runtime.run(config, launched, partial(_read, path), notifier)
    except identity.IdentityError as error:
        notifier().status(str(error))
        complain(f"pilot-agent: {error}")
        return NOT_WELL
    if not another:
        return OK
    return AGAIN if launched.silence else None


def _read(path: Path | None, *, overlay: Overlay | None = None) -> Config:
    # Not before it is called, for YAML and voluptuous come with it.
    from companion_agent.config.loader import load

    return load(path, overlay=overlay)
