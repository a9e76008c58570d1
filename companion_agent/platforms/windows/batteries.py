"""The batteries that a Windows machine runs on.

Each driver is asked by itself; where none may be asked, all are one, as Windows sums them up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import MOST_HEALTH, Battery, PowerSample
from companion_agent.winapi import battery

if TYPE_CHECKING:
    from companion_agent.platforms.base import BatteryState, Wanted
    from companion_agent.winapi.battery import BatteryStatus, SystemBatteryState

FIRST = "battery"
"""What the first one is called; others have a number as well."""

_MILLI = 1e-3
_DAY = 86_400.0
# From here on a battery that is not charged any more is full: chargers begin again below it.
_FULL = 95.0
# Watts that no computer's battery gives; drivers that do not know say so.
_MOST = 10_000.0


def sample(wanted: Wanted) -> PowerSample:
    """Read the batteries that are wanted by name, and external power.

    Raises:
        Unavailable: There is no battery.
        OSError: They cannot be read.
    """
    found, left_out = _of_drivers(wanted)
    if not found and not left_out:
        summed = battery.system_state()
        if not summed.present:
            raise Unavailable("this computer has no battery")
        found = [_of_system(summed)] if wanted(FIRST) else []
    return PowerSample(tuple(found), _plugged())


def _of_drivers(wanted: Wanted) -> tuple[list[Battery], bool]:
    """Ask the drivers; return as well whether one was left out."""
    found: list[Battery] = []
    left_out = False
    try:
        paths = sorted(battery.paths())
    except OSError:
        return [], False
    number = 0
    for path in paths:
        name = f"{FIRST}{number + 1}" if number else FIRST
        if not wanted(name):
            number += 1
            left_out = True
            continue
        try:
            status = battery.read(path)
        except OSError:
            # Taken out while it was looked at, or not for this account.
            continue
        # Those of mice and headsets power something else.
        if status and status.capabilities & battery.SYSTEM_BATTERY:
            number += 1
            found.append(_of_driver(name, status))
    return found, left_out


def _of_driver(name: str, status: BatteryStatus) -> Battery:
    known = battery.UNKNOWN not in {status.capacity, status.full} and status.full > 0
    level = min(status.capacity / status.full * 100, 100.0) if known else None
    state = _state(status.state, level)
    # In units that are percent or nothing, rates are no watts; times follow all the same.
    relative = bool(status.capabilities & battery.CAPACITY_RELATIVE)
    flow = None if status.rate == battery.UNKNOWN_RATE else abs(status.rate)
    return Battery(
        name=name,
        level=level,
        state=state,
        time_left=_time_left(status, state, flow if known else None),
        power=None if relative else _signed(flow, state),
        energy=status.capacity * _MILLI if known and not relative else None,
        health=_health(status) if known else None,
        reports_time=known,
        reports_power=not relative and flow is not None,
    )


def _health(status: BatteryStatus) -> float | None:
    if status.designed in {0, battery.UNKNOWN}:
        return None
    health = status.full / status.designed * 100
    return health if health <= MOST_HEALTH else None


def _of_system(summed: SystemBatteryState) -> Battery:
    state = battery.ON_LINE if summed.on_line else 0
    state |= battery.CHARGING if summed.charging else 0
    state |= battery.DISCHARGING if summed.discharging else 0
    status = battery.BatteryStatus(
        battery.SYSTEM_BATTERY,
        battery.UNKNOWN,
        summed.full,
        state,
        summed.capacity,
        summed.rate,
        summed.time,
    )
    return _of_driver(FIRST, status)


def _state(state: int, level: float | None) -> BatteryState:
    if state & battery.CHARGING:
        return "charging"
    if state & battery.DISCHARGING:
        return "discharging"
    if state & battery.ON_LINE and level is not None:
        return "full" if level >= _FULL else "not_charging"
    return "unknown"


def _signed(flow: int | None, state: BatteryState) -> float | None:
    if flow is None or flow * _MILLI >= _MOST:
        return None
    if state == "discharging":
        return flow * _MILLI
    if state == "charging":
        return -flow * _MILLI
    return 0.0 if flow * _MILLI < 0.5 else None


def _time_left(status: BatteryStatus, state: BatteryState, flow: int | None) -> float | None:
    seconds: float | None = None
    if state == "discharging" and status.time not in {0, battery.UNKNOWN}:
        seconds = float(status.time)
    elif flow and state == "discharging":
        seconds = status.capacity / flow * 3600
    elif flow and state == "charging":
        seconds = max(status.full - status.capacity, 0) / flow * 3600
    # Right after a plug was pulled, almost nothing flows, and the time is absurd.
    return seconds if seconds is not None and seconds < 7 * _DAY else None


def _plugged() -> bool | None:
    try:
        return {0: False, 1: True}.get(battery.power_status().on_line)
    except OSError:
        return None
