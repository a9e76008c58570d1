"""`pilot-agent run`: report this computer until stopped."""

from __future__ import annotations

from functools import partial
import os
import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.service.sd_notify import Notifier
from companion_agent.updates import launcher

if TYPE_CHECKING:
    import argparse


def main(parsed: argparse.Namespace) -> int:
    """Start the release that is to run; here, if it is this one."""
    launched = launcher.launch(parsed.config)
    # Not before: another release brings its own.
    from companion_agent import identity, logs, runtime
    from companion_agent.cli.loading import load_config
    from companion_agent.config import load

    config = load_config(parsed.config)
    if config is None:
        Notifier().status("The configuration has mistakes: pilot-agent config check")
        return BAD_INPUT
    logs.set_up(config.log)
    try:
        another = runtime.run(config, launched, partial(load, parsed.config))
    except identity.IdentityError as error:
        Notifier().status(str(error))
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    if another:
        os.execv(launched.command[0], launched.command)  # noqa: S606  (no shell is wanted)
    return OK
