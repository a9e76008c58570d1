"""Standard output and error, in the characters that they can carry."""

from __future__ import annotations

import codecs
import io
import os
from pathlib import Path
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from companion_agent.config import ConfigError

_HANDLER = "pilot-plain"
# What the agent writes beside letters, for terminals and files that have no such characters.
_PLAIN = {
    "→": "->",
    "✓": "+",
    "✗": "x",
    "…": "...",
    "“": '"',
    "”": '"',
    "\u2018": "'",
    "\u2019": "'",
    "\u2013": "-",
    "—": "-",
    "─": "-",
    "━": "-",
    "°": "deg ",
    "µ": "u",
    "μ": "u",
    "Ω": "Ohm",
}


def make_safe() -> None:
    """Make standard output and error such that writing text to them never ends the command.

    Characters that the locale does not know are replaced. On Windows that concerns consoles alone:
    whatever else reads gets UTF-8, since the code page there is one of the 1980s. A program without
    these streams (a service, `pythonw`) gets some that forget what is written.
    """
    codecs.register_error(_HANDLER, _replace)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            utf8 = sys.platform == "win32" and not stream.isatty()
            stream.reconfigure(encoding="utf-8" if utf8 else None, errors=_HANDLER)


def use_utf8() -> None:
    """Write UTF-8 to standard output whatever the locale says: a program or a file reads it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors=_HANDLER)


def forget() -> None:
    """Forget what was printed and could not be written: Python tries once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def complain(text: str) -> None:
    """Say what is wrong on standard error, and to whom else the log goes: a service's events."""
    print(text, file=sys.stderr)
    from companion_agent import logs  # noqa: PLC0415  (seldom wanted)

    logs.tell_others(text)


def complain_of(error: ConfigError) -> None:
    """Say all that is wrong with a configuration, as `complain` does."""
    for mistake in error.mistakes:
        complain(str(mistake))


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    import unicodedata  # noqa: PLC0415  (seldom wanted)

    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters or "?"
