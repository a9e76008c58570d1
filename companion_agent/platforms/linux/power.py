"""Batteries and external power. Source: Documentation/ABI/testing/sysfs-class-power.

A supply's `uevent` holds all its properties: one read instead of ten, and what the driver cannot
tell at the moment is simply not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import MOST_HEALTH, Battery, PowerSample
from companion_agent.platforms.linux.files import integer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.base import BatteryState, Wanted
    from companion_agent.platforms.linux.files import Files

_SUPPLIES = "sys/class/power_supply"
_STATES: dict[str, BatteryState] = {
    "Charging": "charging",
    "Discharging": "discharging",
    "Full": "full",
    "Not charging": "not_charging",
}
_MICRO = 1e-6
_DAY = 86_400
# Watt hours. A laptop's holds 100, and the 32 bits of a controller that does not know are 4,295.
_MOST_ENERGY = 4_000


def parse_uevent(data: bytes) -> dict[str, str]:
    """Read the properties of a power supply, without their common prefix."""
    properties = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        name, equals, value = line.partition("=")
        if equals and name.startswith("POWER_SUPPLY_"):
            properties[name.removeprefix("POWER_SUPPLY_")] = value.strip()
    return properties


def read_battery(name: str, properties: Mapping[str, str]) -> Battery:
    """Make sense of a battery's properties, whichever of them its driver offers."""
    state = _STATES.get(properties.get("STATUS", ""), "unknown")
    flow = _flow(properties)
    return Battery(
        name=name,
        level=_level(properties),
        state=state,
        time_left=_time_left(properties, state),
        power=_signed(flow, state),
        energy=_energy(properties),
        health=_health(properties),
        reports_time=any(
            key in properties
            for key in ("ENERGY_NOW", "CHARGE_NOW", "TIME_TO_EMPTY_NOW", "TIME_TO_EMPTY_AVG")
        ),
        reports_power="POWER_NOW" in properties or {"CURRENT_NOW", "VOLTAGE_NOW"} <= {*properties},
    )


def _micro(properties: Mapping[str, str], key: str) -> float | None:
    value = integer(properties.get(key))
    return None if value is None else value * _MICRO


def _energy(properties: Mapping[str, str]) -> float | None:
    energy = _micro(properties, "ENERGY_NOW")
    # Controllers say -1 and the like for what they do not know.
    return energy if energy is not None and 0 <= energy < _MOST_ENERGY else None


def _level(properties: Mapping[str, str]) -> float | None:
    level: float | None = integer(properties.get("CAPACITY"))
    if level is None:
        for stem in ("ENERGY", "CHARGE"):
            now, full = _micro(properties, f"{stem}_NOW"), _micro(properties, f"{stem}_FULL")
            if now is not None and full:
                level = now / full * 100
                break
    # A battery may hold more than its last full charge, by far after a calibration that failed.
    # 255 is a byte that nothing has written.
    return min(level, 100) if level is not None and 0 <= level < 255 else None


def _health(properties: Mapping[str, str]) -> float | None:
    for stem in ("ENERGY", "CHARGE"):
        full = _micro(properties, f"{stem}_FULL")
        designed = _micro(properties, f"{stem}_FULL_DESIGN")
        # Drivers that do not know it say 0.
        if full and designed:
            health = full / designed * 100
            return health if 0 < health <= MOST_HEALTH else None
    return None


def _flow(properties: Mapping[str, str]) -> float | None:
    """Return the watts that flow, in whichever direction.

    Some drivers give a sign and some do not, and they do not agree which; the state tells.
    """
    power = _micro(properties, "POWER_NOW")
    if power is None:
        current, voltage = _micro(properties, "CURRENT_NOW"), _micro(properties, "VOLTAGE_NOW")
        power = None if current is None or voltage is None else current * voltage
    # No computer's battery gives ten kilowatts; some drivers say so while they do not know.
    return abs(power) if power is not None and abs(power) < 10_000 else None


def _signed(flow: float | None, state: BatteryState) -> float | None:
    if flow is None:
        return None
    if state == "discharging":
        return flow
    if state == "charging":
        return -flow
    # Which way a trickle goes is not told.
    return 0.0 if flow < 0.5 else None


def _time_left(properties: Mapping[str, str], state: BatteryState) -> float | None:
    if state not in {"charging", "discharging"}:
        return None
    stem = "TIME_TO_EMPTY" if state == "discharging" else "TIME_TO_FULL"
    for key in (f"{stem}_NOW", f"{stem}_AVG"):
        seconds = integer(properties.get(key))
        if seconds is not None and 0 < seconds < 7 * _DAY:
            return float(seconds)
    hours = _hours_left(properties, state)
    # Right after a plug was pulled, almost nothing flows, and the time is absurd.
    return hours * 3600 if hours is not None and 0 <= hours < 7 * 24 else None


def _hours_left(properties: Mapping[str, str], state: BatteryState) -> float | None:
    charge = ("CHARGE_NOW", "CHARGE_FULL", _micro(properties, "CURRENT_NOW"))
    energy = ("ENERGY_NOW", "ENERGY_FULL", _flow(properties))
    for now_key, full_key, rate in (energy, charge):
        now, full = _micro(properties, now_key), _micro(properties, full_key)
        if now is None or not rate:
            continue
        if state == "discharging":
            return now / abs(rate)
        if full is not None:
            return max(full - now, 0) / abs(rate)
    return None


class Power:
    """The power supplies of one machine."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def sample(self, wanted: Wanted) -> PowerSample:
        """Read the batteries that are wanted by name, and external power.

        Batteries of other devices (mice, headsets: scope "Device") are not the host's.

        Raises:
            Unavailable: There is no battery.
        """
        batteries = []
        left_out = False
        plugged: bool | None = None
        for name in self._files.names(_SUPPLIES):
            # A file that the driver is not asked for, unlike `uevent`.
            if not wanted(name) and self._files.text(f"{_SUPPLIES}/{name}/type") == "Battery":
                left_out = True
                continue
            # Its driver's word; for its `uevent` a mouse is asked, and may take seconds.
            if self._files.text(f"{_SUPPLIES}/{name}/scope") == "Device":
                continue
            properties = parse_uevent(self._files.read(f"{_SUPPLIES}/{name}/uevent") or b"")
            # Older kernels leave it out of uevent.
            kind = properties.get("TYPE") or self._files.text(f"{_SUPPLIES}/{name}/type")
            if properties.get("SCOPE") == "Device":
                continue
            if kind == "Battery":
                if properties.get("PRESENT") != "0":
                    batteries.append(read_battery(name, properties))
            elif "ONLINE" in properties:
                # Mains, USB in its many kinds, wireless: any of them will do. 2 is
                # "online, programmable".
                plugged = bool(plugged) or properties["ONLINE"] in {"1", "2"}
        if not batteries and not left_out:
            raise Unavailable("this computer has no battery")
        return PowerSample(tuple(batteries), plugged)
