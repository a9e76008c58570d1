"""Wi-Fi: the network and the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import segment, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class WifiPlugin(Collector):
    """Reads the Wi-Fi interfaces."""

    name: ClassVar[str] = "wifi"
    interval: ClassVar[float] = 30
    selects: ClassVar[str] = "interface"

    def collect(self) -> Mapping[str, Value]:
        """Read every selected interface.

        Raises:
            Unavailable: There is no interface, or none is selected.
        """
        links = self.platform.wifi(self.wants)
        if not links:
            raise self.none_selected("Wi-Fi interface")
        values: dict[str, Value] = {}
        for link in links:
            values[f"{segment(link.interface)}.ssid"] = link.ssid
            values[f"{segment(link.interface)}.signal"] = link.signal
        names = tuple(link.interface for link in links)
        self.describe(names, lambda: _readings(names))
        return values


def _readings(names: tuple[str, ...]) -> Iterator[Reading]:
    for name in names:
        yield Reading(f"{segment(name)}.ssid", kind="wifi.ssid", of=title(name))
        # A person who walks by is 3 dB.
        yield Reading(
            f"{segment(name)}.signal", kind="wifi.signal", of=title(name), resolution=1, deadband=3
        )
