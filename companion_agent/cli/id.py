"""`pilot-agent id`: the id that this host is known by."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from companion_agent import identity, platforms
from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.cli.loading import load_config

if TYPE_CHECKING:
    import argparse


def main(parsed: argparse.Namespace) -> int:
    """Show the id, or draw a new one."""
    config = load_config(parsed.config, needs_broker=False)
    if config is None:
        return BAD_INPUT
    try:
        if parsed.new:
            with identity.only_agent(config.state_dir):
                print(identity.new_host_id(config.state_dir))
        else:
            print(identity.host_id(config.state_dir, platforms.current()))
    except identity.IdentityError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    return OK
