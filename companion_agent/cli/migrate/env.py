"""Environment files, as shells, systemd and dotenv libraries read them alike.

Where they would read a value differently (a backslash outside quotes, a quote in the middle) it
is a mistake that names the line, because a password that lost a character is found out late.
That is why this is not python-dotenv, which takes one of the readings without a word.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Between the name and the equals sign shells allow nothing, but dotenv libraries do.
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.\-]*)[ \t]*=[ \t]*", re.ASCII)
_EXPANDS = re.compile(r"\$[\w{(]")
# What a backslash protects within double quotes; before anything else it stands for itself.
_PROTECTED = '"\\$`'


class Line(NamedTuple):
    """A variable.

    Attributes:
        number: The line that it begins in.
        name: Its name.
        value: Its value, without quotes.
        note: What another reader might understand differently; empty where nothing.
    """

    number: int
    name: str
    value: str
    note: str


class Wrong(NamedTuple):
    """A line that cannot be read.

    Attributes:
        number: Its number.
        name: The variable's name; empty where there is none.
        problem: What is wrong, and the way out.
    """

    number: int
    name: str
    problem: str


class _WrongError(Exception):
    """A value cannot be read; the text says why."""


def looks_like_one(text: str) -> bool:
    """Tell whether a text is an environment file rather than YAML."""
    return any(_NAME.match(line) for line in text.splitlines())


def read(text: str) -> tuple[list[Line], list[Wrong]]:
    """Read an environment file.

    Returns:
        Its variables, and what is wrong with it.
    """
    text = text.replace("\r\n", "\n")
    lines: list[Line] = []
    wrong: list[Wrong] = []
    at, number = 0, 1
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        row = text[at:end].strip()
        if row and row[0] not in "#;":
            found = _NAME.match(text, at, end)
            if found is None:
                problem = "is not NAME=VALUE; a comment begins with #"
                wrong.append(Wrong(number, "", problem))
            else:
                try:
                    value, end, note = _value(text, found.end())
                    lines.append(Line(number, found[1], value, note))
                except _WrongError as error:
                    wrong.append(Wrong(number, found[1], str(error)))
        number += text.count("\n", at, end + 1)
        at = end + 1
    return lines, wrong


def _value(text: str, at: int) -> tuple[str, int, str]:
    """Read a value; return it, where its last line ends, and what to note."""
    if text[at : at + 1] in {"'", '"'}:
        return _quoted(text, at)
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    value, hash_, _ = _split_comment(text[at - 1 : end])
    value = value[1:].strip(" \t\r")
    if "\\" in value:
        raise _WrongError(
            "has a backslash outside quotes, which some programs drop and others keep; "
            "put the value in single quotes"
        )
    if "'" in value or '"' in value:
        raise _WrongError(
            "has a quote in its middle, which some programs drop and others keep; "
            "put the whole value in quotes"
        )
    notes = []
    if hash_:
        notes.append("what follows “ #” is taken for a comment")
    if _EXPANDS.search(value):
        notes.append("its $ is taken as it stands")
    return value, end, "; ".join(notes)


def _split_comment(text: str) -> tuple[str, str, str]:
    for place, character in enumerate(text):
        if character == "#" and place and text[place - 1] in " \t":
            return text[:place], "#", text[place + 1 :]
    return text, "", ""


def _quoted(text: str, at: int) -> tuple[str, int, str]:
    """Read quoted texts that stand side by side; they may go over several lines."""
    value = ""
    note = ""
    while text[at : at + 1] in {"'", '"'}:
        quote, begin = text[at], at + 1
        at = begin
        while text[at : at + 1] != quote:
            if at >= len(text):
                raise _WrongError(f"has no closing {quote}")
            protected = quote == '"' and text[at] == "\\" and at + 1 < len(text)
            if protected and text[at + 1] in _PROTECTED:
                at += 1
            elif protected and text[at + 1] == "\n":
                at += 2
                continue
            value += text[at]
            at += 1
        if quote == '"' and re.search(r"(?<!\\)\$[\w{(]", text[begin:at]):
            note = "its $ is taken as it stands"
        at += 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    rest = text[at:end]
    if rest.strip() and not re.match(r"[ \t]+#", rest):
        raise _WrongError("goes on after its closing quote; put the whole value in quotes")
    return value, end, note
