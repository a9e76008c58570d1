"""The command line, `pilot-agent`: one module for each command."""

from __future__ import annotations

from importlib import import_module
import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, OK
from companion_agent.cli.parser import parser

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 done, 1 something does not work, 2 the input was wrong.
    """
    parsed = parser().parse_args(arguments)
    if parsed.command is None:
        parsed.usage(sys.stderr)
        return BAD_INPUT
    try:
        # A command's module brings what that command needs, and only that.
        module = import_module(f"companion_agent.cli.{parsed.command}")
        code: int = module.main(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `pilot-agent read | head`: the reader has seen enough.
        sys.stderr.close()
        return OK
    return code
