"""A chunk of a backlog: bytes in, frozen values or `ProtocolError` out. Pure."""

from dataclasses import dataclass
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from ..protocol import MAX_NUMBER, ProtocolError, is_key, is_session, load_object

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CHUNK: Final = 64 * 1024
"""The body, in bytes. The envelope around it has at most twice as many."""
MAX_CHUNK_ENVELOPE: Final = 128 * 1024
MAX_POINTS: Final = 2000
MAX_KEYS: Final = 200

_CHUNK_ID = re.compile(r"[0-9a-f]{16}")


class Point(NamedTuple):
    """What a reading was from a moment on, until its next point."""

    at: float
    """Seconds since 1970, UTC."""
    value: float | None
    """None: not readable from then on."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of what a host measured while it was not heard.

    Attributes:
        id: Drawn once for a chunk; a repeat has the same.
        more: Whether further chunks wait behind it.
        values: The points of each reading, in order of time.
    """

    id: str
    more: bool
    values: Mapping[str, tuple[Point, ...]]

    @property
    def newest(self) -> float | None:
        """The moment of its last point."""
        return max((points[-1].at for points in self.values.values() if points), default=None)


def parse_chunk(body: bytes) -> Chunk:
    """Read the body of a chunk."""
    data = load_object(body, MAX_CHUNK)
    chunk_id, more, values = data.get("chunk"), data.get("more"), data.get("values")
    if type(chunk_id) is not str or not _CHUNK_ID.fullmatch(chunk_id):
        raise ProtocolError("chunk", "chunk is not 16 hexadecimal digits")
    if not is_session(data.get("session")):
        raise ProtocolError("session", "session is not 8 to 64 characters of a-z and 0-9")
    if not _is_number(data.get("time")):
        raise ProtocolError("time", "time is not a number")
    if type(more) is not bool:
        raise ProtocolError("more", "more is neither true nor false")
    if type(values) is not dict or len(values) > MAX_KEYS:
        raise ProtocolError("values", f"values is not an object of at most {MAX_KEYS} readings")
    points = {key: _points(key, listed) for key, listed in values.items()}
    if sum(map(len, points.values())) > MAX_POINTS:
        raise ProtocolError("values", f"more than {MAX_POINTS} points")
    return Chunk(chunk_id, more, MappingProxyType(points))


def _points(key: str, listed: object) -> tuple[Point, ...]:
    if not is_key(key):
        raise ProtocolError("key", "something in values is not the key of a reading")
    if type(listed) is not list or len(listed) > MAX_POINTS:
        raise ProtocolError("points", f"the points of a reading are not a list of {MAX_POINTS}")
    points: list[Point] = []
    before = 0.0
    for pair in listed:
        if type(pair) is not list or len(pair) != 2:
            raise ProtocolError("point", "a point is not a pair of a time and a value")
        at, value = pair
        if not _is_number(at) or at < before:
            raise ProtocolError("time", "the times of a reading's points do not ascend")
        if value is not None and not _is_number(value):
            raise ProtocolError("value", "a point's value is neither a number nor null")
        before = at
        points.append(Point(float(at), None if value is None else float(value)))
    return tuple(points)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -MAX_NUMBER < value < MAX_NUMBER  # type: ignore[operator]
