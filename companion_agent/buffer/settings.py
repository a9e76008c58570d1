"""What the configuration says about the backlog."""

from __future__ import annotations

from dataclasses import dataclass

FILE = "backlog.db"
"""Its name in the state folder."""

DAY = 86_400.0
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BacklogConfig:
    """How long and how much is kept, and how often it is written.

    Attributes:
        enabled: Whether anything is kept at all.
        max_age: Seconds after which a reading is dropped that nobody has acknowledged.
        max_size: Bytes of the file at which the oldest readings are dropped.
        write_interval: Seconds between two writes to the disk.
    """

    enabled: bool = True
    max_age: float = 7 * DAY
    max_size: int = 32 * MIB
    write_interval: float = 60
