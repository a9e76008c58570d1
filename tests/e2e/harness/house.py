"""A house with rooms, and sensors that were carried about in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
import secrets
from typing import TYPE_CHECKING, Any, Self

from stack.process import wait_for

from .host import FakeHost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stack.homeassistant import HomeAssistant

    from .bus import Bus

DASHBOARD = "pilot-rooms"


class FakeHouse:
    """Rooms, a host with sensors, a dashboard.

    Args:
        ha: Where all this is.
        bus: How the host speaks.
        rooms: Names of the rooms, with their icons.
        sensors: Names of the sensors, as they are announced.

    """

    def __init__(
        self, ha: HomeAssistant, bus: Bus, rooms: Mapping[str, str], sensors: Sequence[str]
    ) -> None:
        self.ha = ha
        self.bus = bus
        self.rooms = {
            name: str(ha.ws("config/area_registry/create", name=name, icon=icon)["area_id"])
            for name, icon in rooms.items()
        }
        self._slugs = {name: name.lower() for name in sensors}
        self.host = FakeHost(
            ha,
            bus,
            {
                "protocol": 2,
                "session": "5f1c0a9be3d24c77",
                "host": {"id": secrets.token_hex(8), "name": "raspberry-pi"},
                "agent": {"version": "0.1.0"},
                "collectors": {"i2c": {"interval": 60}},
                "devices": {slug: {"name": name} for name, slug in self._slugs.items()},
                "readings": [
                    {"key": f"i2c.{slug}.temperature", "kind": "temperature", "device": slug}
                    for slug in self._slugs.values()
                ],
            },
        )

    def __enter__(self) -> Self:
        self.host.say_everything(
            {"i2c": {f"{slug}.temperature": 20.5 for slug in self._slugs.values()}}
        )
        self.host.add()
        for name in self._slugs:
            wait_for(lambda name=name: self._device(name), f"device {name}")
        return self

    def __exit__(self, *_: object) -> None:
        devices = [self.device(name) for name in self._slugs]
        self.bus.forget_host(self.host.id)
        self.host.remove()
        for device_id in devices:
            self.ha.call_service("pilot", "untrack_device", device_id=device_id)
        for area_id in self.rooms.values():
            self.ha.ws("config/area_registry/delete", area_id=area_id)

    # -- what stands where -----------------------------------------------------------

    def device(self, name: str) -> str:
        """Return the id of a sensor's device."""
        found = self._device(name)
        assert found, f"there is no {name}"
        return found

    def carry(self, name: str, room: str | None) -> None:
        """Tell Home Assistant that a sensor stands there now."""
        self.ha.ws(
            "config/device_registry/update",
            device_id=self.device(name),
            area_id=self.rooms[room] if room else None,
        )
        wait_for(
            lambda: self._current(name) == (self.rooms[room] if room else None),
            f"{name} in {room}",
        )

    def tell_history(self, name: str, stays: Sequence[tuple[str | None, datetime]]) -> None:
        """Let a sensor have stood in these rooms since then; where it is last, it is now."""
        device_id = self.device(name)
        self.carry(name, None)
        for placement in self.placements(name):
            self.do("delete_placement", device_id=device_id, at=placement["start"])
        self.carry(name, stays[-1][0])
        if stays[-1][0] is not None:
            self.do(
                "move_placement",
                device_id=device_id,
                at=self.placements(name)[-1]["start"],
                start=stays[-1][1].isoformat(),
            )
        for (room, start), (_, end) in pairwise(stays):
            if room is not None:
                self.do(
                    "add_placement",
                    device_id=device_id,
                    area_id=self.rooms[room],
                    start=start.isoformat(),
                    end=end.isoformat(),
                )

    def placements(self, name: str) -> list[dict[str, Any]]:
        """Return what ``pilot.get_placements`` says of a sensor."""
        found = self.do("get_placements", device_id=self.device(name))["placements"]
        return list(found)

    def starts(self, name: str) -> list[tuple[str, datetime]]:
        """Return the rooms a sensor came to, and when."""
        return [
            (placement["area"], datetime.fromisoformat(placement["start"]))
            for placement in self.placements(name)
        ]

    def wait_for_start(self, name: str, number: int, start: datetime) -> None:
        """Wait until a placement begins then."""
        wait_for(
            lambda: self.starts(name)[number][1] == start,
            f"{name} to have come at {start:%c}",
            timeout=10,
        )

    def do(self, action: str, **data: Any) -> Any:
        """Call an action, and return its response."""
        return self.ha.ws(
            "call_service",
            domain="pilot",
            service=action,
            service_data=data,
            return_response=True,
        )["response"]

    # -- what is shown -----------------------------------------------------------------

    def show(self, *cards: Mapping[str, Any]) -> str:
        """Make a dashboard with these cards; return the path of its page."""
        with self.ha.websocket() as websocket:
            existing = {d["url_path"] for d in websocket.call("lovelace/dashboards/list")}
            if DASHBOARD not in existing:
                websocket.call(
                    "lovelace/dashboards/create",
                    url_path=DASHBOARD,
                    title="Rooms",
                    mode="storage",
                )
            section = {"type": "grid", "column_span": 3, "cards": list(cards)}
            view = {
                "title": "Rooms", "path": "rooms", "type": "sections", "max_columns": 3,
                "sections": [section],
            }  # fmt: skip
            config = {"title": "Rooms", "views": [view]}
            websocket.call("lovelace/config/save", url_path=DASHBOARD, config=config)
        return f"/{DASHBOARD}/rooms"

    # -- inside --------------------------------------------------------------------------

    def _device(self, name: str) -> str | None:
        identifier = ["pilot", f"{self.host.id}_{self._slugs[name]}"]
        return next(
            (str(one["id"]) for one in self.ha.devices() if identifier in one["identifiers"]), None
        )

    def _current(self, name: str) -> str | None:
        last = (self.placements(name) or [{"end": "", "area_id": None}])[-1]
        return last["area_id"] if last["end"] is None else None


def hours_ago(hours: float) -> datetime:
    """Return a full hour in the past."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - timedelta(hours=hours)
