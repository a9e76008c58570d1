"""The command line, `pilot-agent`: one module for each command."""

from __future__ import annotations

import errno
from importlib import import_module
import sys
from typing import TYPE_CHECKING

from companion_agent.cli import output
from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.cli.parser import parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


# What a full disk says of what is printed into a file on it.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 done, 1 something does not work, 2 the input was wrong.
    """
    output.make_safe()
    parsed = parser().parse_args(arguments)
    if _is_read_by_programs(parsed):
        output.use_utf8()
    if parsed.command is None:
        parsed.usage(sys.stderr)
        return BAD_INPUT
    try:
        # A command's module brings what that command needs, and only that.
        module = import_module(f"companion_agent.cli.{parsed.command}")
        code: int = module.main(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `pilot-agent read | head`: the reader has seen enough.
        sys.stderr.close()
        return OK
    except OSError as error:
        # One of a file names it.
        if error.filename or error.errno not in _NO_ROOM:
            raise
        output.complain(f"pilot-agent: the output cannot be written: {error.strerror}")
        output.forget()
        return NOT_WELL
    return code


def _is_read_by_programs(parsed: argparse.Namespace) -> bool:
    """Tell whether a program reads the output, or a file that is a configuration."""
    if parsed.command == "config":
        return parsed.action == "schema" or (parsed.action == "show" and not sys.stdout.isatty())
    return getattr(parsed, "json", False)
