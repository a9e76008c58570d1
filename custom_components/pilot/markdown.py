"""Texts for the places where Home Assistant draws Markdown.

Descriptions of config flows and of repairs, and what an update says of a release, are Markdown,
and what a host says of itself goes into them. None of it may become an image, a link, markup or
a new line there. The same placeholders go into titles, which are plain text, so that only what
would be markup is escaped: the names that computers usually have stay as they are.
"""

import re
from typing import TYPE_CHECKING, Final
import unicodedata

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL: Final = re.compile(
    r"""
    [\\`*\[\]<>|~]                # code, emphasis, links and images, HTML, tables, struck out
    | (?<![^\W_])_ | _(?![^\W_])   # emphasis: within a word an underscore is none
    | &(?=\#?\w+;)                 # a character by its name
    | :(?=//)                      # addresses, of which GFM makes links by itself
    | (?<=www)\.
    | @(?=[\w-]+\.)
    | ^[-+=\#](?=[-+=\#\s]|$)      # lists, headings, rules
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NUMBERED: Final = re.compile(r"^(\d+)([.)])(?=\s|$)")
_INVISIBLE: Final = frozenset({"Cf", "Cs"})
"""Unicode's categories of what has no width, or turns the direction of writing, and of halves
of characters."""


class Markdown(str):
    """A text that is Markdown already."""

    __slots__ = ()


NOT_KNOWN: Final = Markdown("-")
"""What stands where a host has said nothing."""


def escape_markdown(text: str) -> str:
    """Return Markdown that is drawn as the text, on one line; as a dash if nothing is visible."""
    escaped = _SPECIAL.sub(r"\\\g<0>", _visible(text) or "-")
    return _NUMBERED.sub(r"\1\\\2", escaped)


def escape_markdown_lines(text: str) -> str:
    """Return Markdown that is drawn as the text, line by line."""
    lines = (line.strip() for line in text.strip().splitlines())
    # A backslash at the end of a line breaks it; an empty line separates paragraphs.
    return "\n\n".join(
        "\\\n".join(escape_markdown(line) for line in paragraph.split("\n"))
        for paragraph in re.split(r"\n{2,}", "\n".join(lines))
        if paragraph
    )


def code_span(text: str) -> Markdown:
    """Return a text as code within a line."""
    visible = _visible(text)
    fence = _fence(visible, 1)
    space = " " if visible.startswith("`") or visible.endswith("`") else ""
    return Markdown(f"{fence}{space}{visible}{space}{fence}")


def code_block(text: str) -> Markdown:
    """Return lines as code; what they are indented by stays."""
    lines = "\n".join(
        "\t".join(map(_without_invisible, line.split("\t"))) for line in text.splitlines()
    )
    fence = _fence(lines, 3)
    return Markdown(f"{fence}\n{lines}\n{fence}")


def markdown_placeholders(values: Mapping[str, str]) -> dict[str, str]:
    """Return what a translation that is drawn as Markdown gets for its placeholders.

    Everything is escaped, except what is `Markdown` already.
    """
    return {
        name: str(value) if isinstance(value, Markdown) else escape_markdown(value)
        for name, value in values.items()
    }


def _fence(text: str, least: int) -> str:
    """Return more backticks than the text has in a row."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))


def _visible(text: str) -> str:
    """Return what is to be seen of a text, on one line."""
    return " ".join(_without_invisible(text).split())


def _without_invisible(text: str) -> str:
    """Return a text without what has no width; what controls becomes a space."""
    return "".join(
        " " if unicodedata.category(character) == "Cc" else character
        for character in text
        if unicodedata.category(character) not in _INVISIBLE
    )
