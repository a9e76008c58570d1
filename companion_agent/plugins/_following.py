"""The base of the collectors whose readings depend on what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.plugins.base import Collector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from companion_agent.models import Reading, Selection
    from companion_agent.platforms.base import Platform


class FollowingCollector(Collector):
    """A collector whose readings follow what its last `collect()` saw.

    Attributes:
        described: Its readings; made anew only when something came or went.
    """

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self.described: tuple[Reading, ...] = ()

    def probe(self) -> None:
        """Read once: what can be read is there.

        Raises:
            Unavailable: There is nothing to read, or nothing of it is selected.
            OSError: Reading failed.
        """
        self.collect()

    def readings(self) -> Sequence[Reading]:
        """Describe what the last `probe()` or `collect()` found."""
        return self.described
