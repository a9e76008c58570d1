"""Messages on the terminal, and the one error that is shown there."""

from __future__ import annotations

import os
import sys

_COLOUR = sys.stdout.isatty() and sys.stderr.isatty() and "NO_COLOR" not in os.environ


class StackError(Exception):
    """Something that cannot be had or did not work, in words for the user.

    ``hint`` is what they can do about it, usually a command.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


def paint(text: str, code: str) -> str:
    """Colour ``text`` where the terminal can show it."""
    return f"\033[{code}m{text}\033[0m" if _COLOUR else text


def say(message: str) -> None:
    """Report progress. It goes to stderr, so that stdout holds results only."""
    print(f"{paint('→', '36')} {message}", file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Report something that is odd but not in the way."""
    print(f"{paint('!', '33')} {message}", file=sys.stderr, flush=True)


def fail(error: StackError) -> None:
    """Report an error and what to do about it."""
    print(f"{paint('✗', '31')} {error}", file=sys.stderr, flush=True)
