"""The drives of a Windows machine."""

from __future__ import annotations

from companion_agent.platforms.base import Mount
from companion_agent.platforms.time_limit import TimeLimitedCalls
from companion_agent.winapi import volumes


class Drives:
    """Tells which drives are disks that can fill up.

    Network drives, discs and drives of memory are reported when an `include` names them, and so is
    a folder that has a letter (`subst`), whose space is that of another drive. A card reader
    without a card is no drive.
    """

    def __init__(self) -> None:
        self._media = TimeLimitedCalls[str, bool](volumes.has_medium)

    def mounts(self) -> list[Mount]:
        """List them, called as people call them.

        Raises:
            OSError: They cannot be listed.
        """
        types = volumes.drives()
        removable = [name for name, kind in types.items() if kind == volumes.REMOVABLE]
        # One that does not answer is there.
        media = self._media.results(removable) if removable else {}
        return [
            Mount(name, kind in _DISKS and not volumes.is_substitute(name))
            for name, kind in types.items()
            if kind in _KNOWN and media.get(name, True)
        ]


_DISKS = {volumes.FIXED, volumes.REMOVABLE}
_KNOWN = {*_DISKS, volumes.REMOTE, volumes.DISC, volumes.MEMORY}
