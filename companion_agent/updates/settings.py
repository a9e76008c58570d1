"""What the configuration says about updates."""

from __future__ import annotations

from dataclasses import dataclass

HOME_ASSISTANT = "homeassistant"
TRIAL = 120.0
"""Seconds that a new version has to come online, unless configured."""


@dataclass(frozen=True, slots=True)
class UpdateConfig:
    """Where new versions come from, and whose signature counts.

    Attributes:
        source: `homeassistant`, the path of a folder, or the address of an index.
        keys: Public keys (Ed25519, raw) of which one must have signed; those that the agent
            was released with count as well.
        automatic: Whether the agent installs what it finds by itself.
        trial: Seconds that a new version has to come online.
    """

    source: str = HOME_ASSISTANT
    keys: tuple[bytes, ...] = ()
    automatic: bool = False
    trial: float = TRIAL

    @property
    def kind(self) -> str:
        """What the source is: `homeassistant`, `index` or `folder`."""
        if self.source == HOME_ASSISTANT:
            return HOME_ASSISTANT
        return "index" if is_address(self.source) else "folder"


def is_address(source: str) -> bool:
    """Tell an address from the path of a folder."""
    return source.startswith(("https://", "http://"))
