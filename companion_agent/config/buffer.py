"""What the configuration says about the backlog."""

from __future__ import annotations

from dataclasses import dataclass

from companion_agent.fields import setting
from companion_agent.values import DAY, MIB, Integer, Number, Seconds, Switch

__all__ = ["DAY", "FILE", "MIB", "BacklogConfig"]

FILE = "backlog.db"
"""Its name in the state folder."""


@dataclass(frozen=True, slots=True)
class BacklogConfig:
    """How long and how much is kept, and how often it is written.

    Attributes:
        enabled: Whether anything is kept at all.
        max_age: Seconds after which a reading is dropped that was not acknowledged.
        max_size: Bytes of the file at which the oldest readings are dropped.
        write_interval: Seconds between two writes to the disk.
    """

    enabled: bool = setting(
        Switch(),
        "Keep readings on the disk while they cannot be delivered, and deliver them afterwards.",
        True,
    )
    max_age: float = setting(
        Number(0.01, 60, "days", DAY), "Drop what was not fetched for so long.", 7 * DAY
    )
    max_size: int = setting(
        Integer(1, 10_000, "MiB", MIB), "Drop the oldest when the file is larger.", 32 * MIB
    )
    write_interval: float = setting(Seconds(1, 3600), "Time between two writes to the disk.", 60.0)
