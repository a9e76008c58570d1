"""What is plugged into USB."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Event, Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import listing, title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.platforms.base import Platform, UsbDevice
    from companion_agent.platforms.control import Watch

CONNECTED, DISCONNECTED = "connected", "disconnected"


class UsbPlugin(Collector):
    """Counts and names what is plugged in, and tells when something comes or goes.

    It is read when the system says that something has changed; where nothing tells, every minute.
    Hubs are left out unless an include names them.
    """

    name: ClassVar[str] = "usb"
    events: ClassVar[tuple[str, ...]] = (CONNECTED, DISCONNECTED)
    interval: ClassVar[float] = 900
    selects: ClassVar[str] = "name"

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self.described = (Reading("devices", resolution=1), Reading("names"))
        self._known: Mapping[tuple[str, int], UsbDevice] | None = None
        self._events: list[Event] = []
        self._watch: Watch | None = None

    def collect(self) -> Mapping[str, Value]:
        """List what is plugged in.

        Raises:
            Unavailable: There is no USB.
        """
        # Before the list is read: what comes in between is heard.
        if self._watch is None:
            self._watch = self.platform.usb_watch()
        found = {
            (one.port, one.number): one
            for one in self.platform.usb_devices()
            if self.wants(title(one.name), shown=one.shown)
        }
        if self._known is not None:
            gone = [one for key, one in self._known.items() if key not in found]
            come = [one for key, one in found.items() if key not in self._known]
            self._events += [_event(DISCONNECTED, one) for one in gone]
            self._events += [_event(CONNECTED, one) for one in come]
        self._known = found
        # Names are told with commas between.
        names = sorted(title(one.name).replace(",", "") for one in found.values())
        return {"devices": len(found), "names": listing(names)}

    def pace(self, interval: float) -> float:
        """Return how often it is read where nothing tells of changes."""
        return interval if self._watch else min(interval, 60)

    def take_events(self) -> Sequence[Event]:
        """Return what has come and gone since the last call."""
        events, self._events = self._events, []
        return events

    def watch(self) -> Watch | None:
        """Return what hears of changes."""
        return self._watch

    def close(self) -> None:
        """Hear no more."""
        if self._watch:
            self._watch.close()
            self._watch = None


def _event(kind: str, one: UsbDevice) -> Event:
    return Event(kind, {"device": title(one.name), "code": one.code})
