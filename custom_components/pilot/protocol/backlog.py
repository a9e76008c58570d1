"""Chunks of the backlog, and their acknowledgement."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from .encoding import dump, load_object
from .errors import ProtocolError
from .validation import (
    FLEET,
    MAX_ACKNOWLEDGEMENT,
    MAX_CHUNK,
    MAX_CHUNK_POINTS,
    MAX_CHUNK_READINGS,
    get_number,
    get_session,
    is_controller,
    is_hex_id,
    is_key,
    is_number,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Point(NamedTuple):
    """What a reading was from a moment on, until its next point."""

    at: float
    """Seconds since 1970 UTC."""
    value: float | None
    """`None`: not readable from then on."""


class Chunk(NamedTuple):
    """A part of the values of the time in which no broker or controller took them.

    Attributes:
        id: Drawn once for a chunk; a repeat has the same.
        more: Whether further chunks wait behind it.
        values: The points of each reading, in order of time.
        sent_at: When it was sent by the host's clock, in seconds since 1970 UTC.
    """

    id: str
    more: bool
    values: Mapping[str, tuple[Point, ...]]
    sent_at: float | None = None

    @property
    def newest(self) -> float | None:
        """The moment of its last point."""
        return max((points[-1].at for points in self.values.values() if points), default=None)


def write_chunk(
    chunk: str,
    session: str,
    now: float,
    values: Mapping[str, Sequence[tuple[float, float | None]]],
    *,
    more: bool,
) -> bytes:
    """Write the body of a chunk.

    Args:
        chunk: The chunk's id.
        session: The session of this start of the agent.
        now: Seconds since 1970 UTC by this host's clock.
        values: Points by key, ascending in time: seconds since 1970 UTC, and the value.
        more: Whether others wait behind it.

    Raises:
        ProtocolError: It is more than a reader takes.
    """
    payload = dump(
        {"chunk": chunk, "session": session, "time": round(now, 3), "more": more, "values": values}
    ).encode()
    if len(payload) > MAX_CHUNK:
        raise ProtocolError("size", f"a chunk of {len(payload)} bytes is more than {MAX_CHUNK}")
    return payload


def parse_chunk(body: bytes) -> Chunk:
    """Read the body of a chunk.

    Raises:
        ProtocolError: It is something else.
    """
    data = load_object(body, MAX_CHUNK)
    chunk_id, more, values = data.get("chunk"), data.get("more"), data.get("values")
    if not is_hex_id(chunk_id):
        raise ProtocolError("chunk", "chunk is not 16 hexadecimal digits")
    get_session(data)
    sent_at = get_number(data, "time")
    if not isinstance(more, bool):
        raise ProtocolError("more", "more is neither true nor false")
    if not isinstance(values, dict) or len(values) > MAX_CHUNK_READINGS:
        text = f"values is not an object of at most {MAX_CHUNK_READINGS} readings"
        raise ProtocolError("values", text)
    points = {key: _points(key, listed) for key, listed in values.items()}
    if sum(map(len, points.values())) > MAX_CHUNK_POINTS:
        raise ProtocolError("values", f"more than {MAX_CHUNK_POINTS} points")
    return Chunk(chunk_id, more, MappingProxyType(points), sent_at)


def _points(key: str, listed: object) -> tuple[Point, ...]:
    if not is_key(key):
        raise ProtocolError("key", "something in values is not the key of a reading")
    if not isinstance(listed, list) or len(listed) > MAX_CHUNK_POINTS:
        text = f"the points of a reading are not a list of at most {MAX_CHUNK_POINTS}"
        raise ProtocolError("points", text)
    points: list[Point] = []
    before = 0.0
    for pair in listed:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ProtocolError("point", "a point is not a pair of a time and a value")
        at, value = pair
        if not is_number(at) or at < before:
            raise ProtocolError("time", "the times of a reading's points do not ascend")
        if value is not None and not is_number(value):
            raise ProtocolError("value", "a point's value is neither a number nor null")
        before = at
        points.append(Point(float(at), None if value is None else float(value)))
    return tuple(points)


def acknowledgement_body(chunk: str, controller: str) -> str:
    """Write the body of an acknowledgement: the controller keeps this chunk."""
    return dump({"chunk": chunk, "controller": controller})


def parse_acknowledgement(body: bytes, key_id: str = FLEET) -> str:
    """Read the body of an acknowledgement.

    Args:
        body: The body.
        key_id: The key that it is signed with; as the fleet key, none binds it to a controller.

    Returns:
        The chunk's id.

    Raises:
        ProtocolError: The body breaks a rule.
    """
    data = load_object(body, MAX_ACKNOWLEDGEMENT)
    chunk, controller = data.get("chunk"), data.get("controller")
    if not is_hex_id(chunk):
        raise ProtocolError("chunk", "chunk is not 16 hexadecimal digits")
    if not is_controller(controller):
        raise ProtocolError("controller", "controller is not 16 hexadecimal digits")
    if key_id not in (controller, FLEET):
        raise ProtocolError("controller", "controller is not the one that signs")
    return chunk
