"""Standard output and error, in the characters that they can carry."""

from __future__ import annotations

import codecs
import io
import sys

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
    """Have characters that the locale does not know replaced, instead of ending the command."""
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def use_utf8() -> None:
    """Write UTF-8 to standard output whatever the locale says: a program or a file reads it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors=_HANDLER)


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
