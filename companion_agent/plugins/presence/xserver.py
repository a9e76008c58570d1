"""Idleness as an X server tells it, by alarms on its counter IDLETIME.

Sources: "X Synchronization Extension Protocol" 3.1; GNOME's meta-idle-monitor-xsync.c, for alarms
that some servers set anew only when they are changed.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.x11 import Extension, X11Client
from companion_agent.plugins.presence.idle import IdleWatch

if TYPE_CHECKING:
    from collections.abc import Callable

_INITIALIZE, _LIST_COUNTERS, _QUERY_COUNTER, _CREATE_ALARM, _CHANGE_ALARM = 0, 1, 5, 8, 9
_VERSION = (3, 1)
_COUNTER = b"IDLETIME"
# Of an alarm: counter, type of the value, value, test, delta, whether it is told.
_ALL_VALUES = 0x3F
_ABSOLUTE = 0
_RISES, _FALLS = 0, 1
_ALARM_NOTIFY = 1


class XServerIdle(IdleWatch):
    """Sets two alarms: for the time that has passed, and for the first movement after it.

    Args:
        after: As for every way.
        changed: As for every way.
        ended: Called when the server has gone, with the reason.
    """

    def __init__(
        self, after: float, changed: Callable[[], None], ended: Callable[[str], None]
    ) -> None:
        super().__init__("X11's IDLETIME", after, changed)
        self._client = X11Client(self._on_event, ended)
        self._sync = Extension(0, 0)
        self._alarms: dict[int, bool] = {}  # whether it is idle when one rings

    async def open(self) -> None:
        """Ask for the counter, and set the alarms."""
        async with self._client.opening():
            await self._set()

    async def _set(self) -> None:
        client = self._client
        found = await client.extension(b"SYNC")
        if found is None:
            raise Unavailable("this X server has no alarms (no SYNC)")
        self._sync = found
        await client.ask(found.opcode, _INITIALIZE, struct.pack("=BBxx", *_VERSION))
        counters = _counters(await client.ask(found.opcode, _LIST_COUNTERS))
        if _COUNTER not in counters:
            raise Unavailable("this X server does not count idle time (no IDLETIME)")
        counter = counters[_COUNTER]
        threshold = round(self.after * 1000)
        for test, value in ((_RISES, threshold), (_FALLS, threshold - 1)):
            alarm = client.new_id()
            self._alarms[alarm] = test == _RISES
            arguments = struct.pack(
                "=IIIIiIIiII",
                alarm,
                _ALL_VALUES,
                counter,
                _ABSOLUTE,
                *_halves(value),
                test,
                0,
                0,
                1,
            )
            client.send(found.opcode, _CREATE_ALARM, arguments)
        reply = await client.ask(found.opcode, _QUERY_COUNTER, struct.pack("=I", counter))
        milliseconds = _int64(reply, 8)
        self.take(idle=milliseconds >= threshold, ago=milliseconds / 1000)

    def close(self) -> None:
        """Hang up; the alarms end with it."""
        self._client.close()

    def _on_event(self, kind: int, message: bytes) -> None:
        if kind != self._sync.first_event + _ALARM_NOTIFY:
            return
        (alarm,) = struct.unpack_from("=I", message, 4)
        if alarm not in self._alarms:
            return
        for one in self._alarms:
            self._client.send(self._sync.opcode, _CHANGE_ALARM, struct.pack("=II", one, 0))
        self.take(idle=self._alarms[alarm], ago=_int64(message, 8) / 1000)


def _counters(reply: bytes) -> dict[bytes, int]:
    """Return the system's counters by name."""
    (count,) = struct.unpack_from("=I", reply, 8)
    counters, place = {}, 32
    for _ in range(count):
        counter, size = struct.unpack_from("=I8xH", reply, place)
        counters[reply[place + 14 : place + 14 + size]] = counter
        place += 14 + size + -(14 + size) % 4
    return counters


def _int64(message: bytes, place: int) -> int:
    """Return a number of 64 bits: its upper half comes first, whatever the machine's order."""
    high, low = struct.unpack_from("=iI", message, place)
    return int(high << 32 | low)


def _halves(value: int) -> tuple[int, int]:
    return value >> 32, value & 0xFFFFFFFF
