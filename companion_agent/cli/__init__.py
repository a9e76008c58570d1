"""The command line, `pilot-agent`: one module for each command."""

from __future__ import annotations

import errno
from functools import partial
from importlib import import_module
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from companion_agent.cli import output
from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence


# What a full disk says of what is printed into a file on it.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 done, 1 something does not work, 2 the input was wrong.
    """
    output.make_safe()
    match list(sys.argv[1:] if arguments is None else arguments):
        # As services start it. The parser would stay for as long: 0.4 MiB.
        case ["run"]:
            return _code_of(partial(_report, None))
        case ["run", "--config", file] if file and not file.startswith("-"):
            return _code_of(partial(_report, Path(file)))
        case given:
            return _parse_and_run(given)


def _report(config: Path | None) -> int:
    # A command's module brings what that command needs, and only that.
    from companion_agent.cli import run  # noqa: PLC0415

    return run.report(config)


def _parse_and_run(arguments: Sequence[str]) -> int:
    from companion_agent.cli.parser import parser  # noqa: PLC0415  (see `main()`)

    parsed, unknown = parser().parse_known_args(arguments)
    if unknown:
        # With the usage of the command that was meant: it shows what that takes.
        parsed.refuse(f"unrecognized arguments: {' '.join(unknown)}")
    if _is_read_by_programs(parsed):
        output.use_utf8()
    if parsed.command is None:
        parsed.usage(sys.stderr)
        return BAD_INPUT
    return _code_of(lambda: import_module(f"companion_agent.cli.{parsed.command}").main(parsed))


def _code_of(command: Callable[[], int]) -> int:
    try:
        code = command()
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
