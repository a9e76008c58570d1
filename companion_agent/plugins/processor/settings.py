"""What the configuration says about the processor's settings."""

from __future__ import annotations

from dataclasses import dataclass

from companion_agent.fields import setting
from companion_agent.values import DAY, Seconds


@dataclass(frozen=True, slots=True)
class ProcessorConfig:
    """How long settings of the processor stay without Home Assistant.

    Attributes:
        restore_after: Seconds without Home Assistant after which what was found is put back; 0
            for never.
    """

    restore_after: float = setting(
        Seconds(0, 7 * DAY),
        "Put the processor back as it was found when Home Assistant has not been there for so "
        "long; 0 to leave it.",
        3600.0,
    )
