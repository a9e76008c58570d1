"""What the loop and the worker hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.buffer.record import Point
    from companion_agent.clock import Moment

# The values alone; the contract allows 64 KiB with what is around them.
CHUNK_BYTES = 56 * 1024


class Chunk(NamedTuple):
    """Some points, ready to be delivered.

    Attributes:
        id: Names it, the same in repeats.
        values: Points by key, ascending in time: seconds since 1970 UTC, and the value.
        more: Whether others wait behind it.
        acknowledged: Who has it already.
    """

    id: str
    values: Mapping[str, Sequence[tuple[float, float | None]]]
    more: bool = False
    acknowledged: frozenset[str] = frozenset()


class Task(NamedTuple):
    """What is to be done in one transaction.

    Attributes:
        moment: The present.
        boot: What names this start of the system.
        readers: Who has to acknowledge.
        points: What is to be kept.
        acknowledged: Who acknowledged which chunk.
        recording: Whether more is to come, so that what was kept does not end here.
        away: Whether Home Assistant is away; `None` while that was not heard in this start.
        deliver: Whether chunks are wanted.
        chunk_bytes: How large the values of a chunk may be.
    """

    moment: Moment
    boot: str
    readers: tuple[str, ...]
    points: Sequence[Point] = ()
    acknowledged: Sequence[tuple[str, str]] = ()
    recording: bool = False
    away: bool | None = None
    deliver: bool = False
    chunk_bytes: int = CHUNK_BYTES


@dataclass(slots=True)
class Report:
    """What became of a task.

    Attributes:
        chunks: The next chunk of every reader that lacks one.
        away: Whether Home Assistant is away, as far as was ever heard.
        empty: Nothing is kept any more; the file is gone.
        held: Points wait until the clock is set.
        too_old: How many points were dropped because of their age.
        too_many: How many were dropped because there was no room.
        timeless: How many were dropped because the time they were read at is unknown.
        moved: By how many seconds earlier points of this boot were moved.
    """

    chunks: dict[str, Chunk] = field(default_factory=dict)
    away: bool = False
    empty: bool = False
    held: bool = False
    too_old: int = 0
    too_many: int = 0
    timeless: int = 0
    moved: float = 0.0
