"""The drives of a Windows machine."""

from __future__ import annotations

from contextlib import suppress

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
        self._labels = TimeLimitedCalls[str, str | None](volumes.label)

    def mounts(self) -> list[Mount]:
        """List them, called as people call them.

        Raises:
            OSError: They cannot be listed.
        """
        types = volumes.drives()
        # One that does not answer is there.
        labels = self._labels.results([name for name, kind in types.items() if kind in _DISKS])
        return [
            Mount(
                name,
                kind in _DISKS and not volumes.is_substitute(name),
                _share(name) if kind == volumes.REMOTE else labels.get(name) or "",
            )
            for name, kind in types.items()
            if kind in _KNOWN and (kind != volumes.REMOVABLE or labels.get(name, "") is not None)
        ]


def _share(name: str) -> str:
    # A Windows without the network's part has no such function.
    with suppress(OSError):
        return volumes.share(name)
    return ""


_DISKS = {volumes.FIXED, volumes.REMOVABLE}
_KNOWN = {*_DISKS, volumes.REMOTE, volumes.DISC, volumes.MEMORY}
