"""Wi-Fi: the network and the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins._choice import chosen
from companion_agent.plugins._following import FollowingCollector
from companion_agent.plugins._names import segment, title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.base import Platform


class WifiCollector(FollowingCollector):
    """Reads the Wi-Fi interfaces."""

    name: ClassVar[str] = "wifi"
    interval: ClassVar[float] = 30
    selects: ClassVar[str] = "interface"

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._names: tuple[str, ...] = ()

    def collect(self) -> Mapping[str, Value]:
        """Read every selected interface.

        Raises:
            Unavailable: There is no interface, or none is selected.
        """
        values: dict[str, Value] = {}
        names = []
        for link in self.platform.wifi():
            if chosen(self.selection, link.interface):
                names.append(link.interface)
                values[f"{segment(link.interface)}.ssid"] = link.ssid
                values[f"{segment(link.interface)}.signal"] = link.signal
        if not names:
            raise Unavailable(
                "no Wi-Fi interface is selected",
                "look at 'include' and 'exclude' of the collector 'wifi'",
            )
        self._describe(tuple(names))
        return values

    def _describe(self, names: tuple[str, ...]) -> None:
        if names != self._names:
            self._names = names
            self.described = tuple(
                reading
                for name in names
                for reading in (
                    Reading(f"{segment(name)}.ssid", kind="wifi.ssid", of=title(name)),
                    # A person who walks by is 3 dB.
                    Reading(
                        f"{segment(name)}.signal",
                        kind="wifi.signal",
                        of=title(name),
                        resolution=1,
                        deadband=3,
                    ),
                )
            )
