"""What the network interfaces carry, and their addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import segment, title
from companion_agent.plugins.rates import Rates, sendable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from companion_agent.platforms.base import InterfaceCounters, Link, Platform

_MIB = 1024 * 1024
# Resolution and dead-band. What a quiet network broadcasts (ARP, mDNS, router
# advertisements) is some hundred B/s. The totals feed long-term statistics; below a MiB they only
# say that time went by.
_ROUNDING: dict[str, tuple[float, float]] = {
    "download_rate": (100, 500),
    "upload_rate": (100, 500),
    "received": (_MIB, _MIB),
    "sent": (_MIB, _MIB),
    "connected": (0, 0),
    "ipv4": (0, 0),
    "ipv6": (0, 0),
}


class NetworkPlugin(Collector):
    """Reads the interfaces.

    Without a selection these are the ones that connect this host: not loopback, and not what
    containers and virtual machines bring along.
    """

    name: ClassVar[str] = "network"
    interval: ClassVar[float] = 10
    selects: ClassVar[str] = "interface"

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._rates = Rates()

    def collect(self) -> Mapping[str, Value]:
        """Read every selected interface.

        Raises:
            Unavailable: There is no interface, or none is selected.
        """
        found = {
            one.name: one
            for one in self.platform.interfaces()
            if self.wants(one.name, shown=one.shown)
        }
        rates = self._rates.measure(_counters(found))
        if not found:
            raise self.none_selected("network interface", "there is no network interface")
        links = self.platform.links(found)
        values: dict[str, Value] = dict(rates)
        for name, one in found.items():
            values.update(_values(segment(name), one, links[name]))
        self.describe(tuple(found), lambda: _readings(found))
        return values


def _readings(names: Iterable[str]) -> Iterator[Reading]:
    for name in names:
        for key, (resolution, deadband) in _ROUNDING.items():
            yield Reading(
                f"{segment(name)}.{key}",
                kind=f"network.{key}",
                of=title(name),
                resolution=resolution,
                deadband=deadband,
            )


def _counters(found: Mapping[str, InterfaceCounters]) -> dict[str, int]:
    counters = {}
    for name, one in found.items():
        counters[f"{segment(name)}.download_rate"] = one.received
        counters[f"{segment(name)}.upload_rate"] = one.sent
    return counters


def _values(key: str, one: InterfaceCounters, link: Link) -> dict[str, Value]:
    return {
        f"{key}.received": sendable(one.received),
        f"{key}.sent": sendable(one.sent),
        f"{key}.connected": link.connected,
        f"{key}.ipv4": link.ipv4,
        f"{key}.ipv6": link.ipv6,
    }
