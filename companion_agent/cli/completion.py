"""`pilot-agent completion`: a completion script for a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shtab

from companion_agent.cli.exit_codes import OK
from companion_agent.cli.parser import parser

if TYPE_CHECKING:
    import argparse


def main(parsed: argparse.Namespace) -> int:
    """Print the script."""
    print(shtab.complete(parser(), parsed.shell))
    return OK
