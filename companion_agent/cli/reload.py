"""`pilot-agent reload`: have the running agent go on with the configuration as it is now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.cli.loading import load_config
from companion_agent.ipc.client import ChannelError, LocalClient

if TYPE_CHECKING:
    import argparse


def main(parsed: argparse.Namespace) -> int:
    """Check the configuration here, and have the agent read it; mistakes change nothing."""
    config = load_config(parsed.config)
    if config is None:
        return BAD_INPUT
    try:
        client = LocalClient(config.state_dir)
        try:
            client.ask({"ask": "reload"})
        finally:
            client.close()
    except ChannelError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    print("the agent goes on with the configuration as it is now")
    return OK
