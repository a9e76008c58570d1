"""From the names that a system gives to the segments of keys, and to words for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

from companion_agent.protocol.validation import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

_OTHER = re.compile(r"[^a-z0-9_-]+")
_LONGEST = 48
_LONGEST_OF = 128


def segment(name: str, *, fold_case: bool = False) -> str:
    """Make a key segment of a name, another one for each name and always the same.

    A name that is a segment already stays as it is. Any other loses something on the way, and
    gets a hash of the whole behind two underscores, which no unchanged name contains.

    Args:
        name: Any text.
        fold_case: Names that differ in case only are the same.
    """
    if fold_case:
        name = name.lower()
    plain = _OTHER.sub("_", name.lower()).strip("_")[:_LONGEST]
    return plain if plain == name and "__" not in plain else _with_hash(plain, name)


def mount_segment(point: str) -> str:
    """Make a key segment of a mount point: `/` is `root`, `/mnt/data` is `mnt_data`, `C:` is `c`.

    A point whose name has an underscore of its own, or anything else that the segment cannot
    tell, gets a hash: `/mnt_data` must not become `/mnt/data`.
    """
    if point == "/":
        return "root"
    if re.fullmatch(r"[A-Za-z]:", point):
        return point[0].lower()
    inner = point.strip("/")
    plain = _OTHER.sub("_", inner.lower()).strip("_")[:_LONGEST]
    # One letter is a drive's, "root" is the root's.
    clear = re.fullmatch(r"[a-z0-9-]+(?:/[a-z0-9-]+)*", inner) and inner != "root"
    return plain if clear and 1 < len(inner) <= _LONGEST else _with_hash(plain, point)


def _with_hash(plain: str, name: str) -> str:
    return f"{plain or 'x'}__{crc32(name.encode('utf-8', 'surrogatepass')):08x}"


def title(name: str) -> str:
    """Make a text for people of a name: whatever bytes it had, it can be sent and is not empty."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = " ".join(text.split())
    return (text if len(text) <= _LONGEST_OF else f"{text[: _LONGEST_OF - 1]}…") or "?"


def listing(texts: Iterable[str]) -> str:
    """Make one text of several, with commas between: as many as a reading's value takes."""
    told = ""
    for one in texts:
        longer = f"{told}, {one}" if told else one
        if len(longer) > MAX_TEXT:
            break
        told = longer
    return told
