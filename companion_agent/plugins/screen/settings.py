"""How the screen is set, as the local file says."""

from __future__ import annotations

from dataclasses import dataclass

from companion_agent.fields import setting
from companion_agent.values import Switch


@dataclass(frozen=True, slots=True)
class ScreenConfig:
    """What of the screen has to be allowed.

    Attributes:
        ddc: Whether monitors are dimmed by DDC/CI.
    """

    ddc: bool = setting(
        Switch(), "Dim monitors by DDC/CI, over their cable; needs the program ddcutil.", False
    )
