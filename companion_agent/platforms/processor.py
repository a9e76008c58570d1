"""How the processor is set, on whichever operating system: power profile, frequencies, boost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.models import Missing

SettingName = Literal[
    "profile",
    "governor",
    "energy_preference",
    "minimum_frequency",
    "maximum_frequency",
    "boost",
]
FREQUENCIES: tuple[SettingName, ...] = ("minimum_frequency", "maximum_frequency")


class ProcessorSetting(NamedTuple):
    """One setting as it is, and what it can be.

    Attributes:
        value: A word, MHz, or whether it is on; `None` where it cannot be said.
        trouble: Why it cannot.
        options: The words that it can be.
        minimum: The lowest frequency that can be chosen, in MHz.
        maximum: The highest one.
        step: By how much it is sensibly changed, in MHz.
        settable: Whether the agent sets it on this machine.
        missing: The permission that the agent lacks for it.
    """

    value: str | float | bool | None
    trouble: str = ""
    options: tuple[str, ...] = ()
    minimum: float = 0
    maximum: float = 0
    step: float = 0
    settable: bool = True
    missing: Missing | None = None


class ProcessorState(NamedTuple):
    """How the processor is set.

    Attributes:
        settings: Those that it has, by name.
        tells_degraded: Whether it is known what keeps the profile from its full performance.
        degraded: What does so now; `None` while nothing does.
    """

    settings: Mapping[SettingName, ProcessorSetting] = {}
    tells_degraded: bool = False
    degraded: str | None = None


class ProcessorControl(ABC):
    """Reads and sets how the processor works; it blocks, so it is asked in a worker."""

    @abstractmethod
    def state(self) -> ProcessorState:
        """Read everything; empty where there is nothing to set."""

    @abstractmethod
    def set(self, name: SettingName, value: str | float) -> None:
        """Set something, and return when it is read to be so.

        Args:
            name: What.
            value: One of its options, MHz within its range, or 1 for on and 0 for off.

        Raises:
            CommandError: It was refused, or did not come to be.
        """

    @abstractmethod
    def restore(self) -> bool:
        """Put back what was found before anything was set; tell whether anything had been.

        Raises:
            CommandError: It could not be put back.
        """

    @abstractmethod
    def overwritten(self) -> Mapping[str, str]:
        """Say what is not as the agent has set it any more, by what was set."""
