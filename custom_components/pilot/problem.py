"""Whether a host, or a device below it, has a problem: judged by what it reports.

A problem is a row of `PROBLEMS`: readings of which kind, and from which value on. What only the
host can know (a disk's health, a container that crashes again and again) becomes a reading of a
kind of its own, with a row here. Each device with such readings has one sensor.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.components.binary_sensor import (
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory
from homeassistant.core import async_get_hass, callback
from homeassistant.helpers.translation import async_get_cached_translations

from .const import DOMAIN
from .entity import PilotEntity
from .factory import AnnouncedEntity, EntitySource

if TYPE_CHECKING:
    from homeassistant.helpers import device_registry as dr

    from .coordinator import PilotCoordinator
    from .protocol.announce import Announce, Reading
    from .readings import NativeValue

ATTR_REASONS: Final = "reasons"
ATTR_PROBLEMS: Final = "problems"

PROBLEM: Final = BinarySensorEntityDescription(
    key="problem",
    translation_key="problem",
    device_class=BinarySensorDeviceClass.PROBLEM,
    # Home Assistant's own home page shows problems under *Maintenance*, whatever their category.
    entity_category=EntityCategory.DIAGNOSTIC,
)

type Judge = Callable[[NativeValue, bool], bool]
"""Says of a value whether it is a problem, given whether it was one before."""


def _true(value: NativeValue, was: bool) -> bool:
    return value is True


def _from(begins: float, ends: float) -> Judge:
    """Return what judges a number; a value to and fro at the limit is one problem."""

    def judge(value: NativeValue, was: bool) -> bool:
        return isinstance(value, (int, float)) and value >= (ends if was else begins)

    return judge


def _is(text: str) -> Judge:
    """Return what judges an enum: one of its options is a problem."""

    def judge(value: NativeValue, was: bool) -> bool:
        return value == text

    return judge


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem that a reading can show.

    Attributes:
        reason: Its key; the translations have the words, below `selector.problem`.
        judge: Says whether a value is one.
    """

    reason: str
    judge: Judge


PROBLEMS: Final = {
    "cpu.temperature": Problem("too_hot", _from(95, 90)),
    "disk.used_percent": Problem("disk_nearly_full", _from(95, 93)),
    "disk_health.array_degraded": Problem("array_degraded", _true),
    "disk_health.health": Problem("disk_failing", _is("failed")),
    "disk_health.wear": Problem("disk_worn", _from(90, 88)),
    "graphics.too_hot": Problem("too_hot", _true),
    "rpi.soft_temperature_limit": Problem("too_hot", _true),
    "rpi.throttled": Problem("throttled", _true),
    "rpi.under_voltage": Problem("supply_too_weak", _true),
    "services.failed": Problem("service_failed", _from(1, 1)),
    "ups.low_battery": Problem("ups_battery_low", _true),
    "ups.replace_battery": Problem("ups_battery_worn", _true),
}
"""By the kind of the reading."""


class ProblemSensor(PilotEntity, BinarySensorEntity):
    """Whether anything is wrong with a device; the attributes say what."""

    _unrecorded_attributes = frozenset({ATTR_PROBLEMS})

    def __init__(
        self,
        coordinator: PilotCoordinator,
        key: str,
        readings: tuple[Reading, ...],
        device: dr.DeviceEntry,
    ) -> None:
        """Create the sensor of a device, which is judged by these readings."""
        super().__init__(coordinator, PROBLEM, key, device)
        self._readings = readings
        self._found: frozenset[str] = frozenset()
        self._attr_available = False

    @override
    async def async_added_to_hass(self) -> None:
        for reading in self._readings:
            self.async_on_remove(self.coordinator.async_add_reading_listener(reading.key, self))
        self._judge()

    @callback
    def async_show(self, value: NativeValue | None) -> None:
        """Judge anew: a reading has another value, or none any more."""
        if self._judge():
            self.async_write_ha_state()

    def _judge(self) -> bool:
        """Update what is wrong, and say whether that is something else than before.

        It is asked with every change of a reading, and mostly all is as it was.
        """
        available, wrong = False, []
        for reading in self._readings:
            if (value := self.coordinator.value(reading.key)) is not None:
                # What cannot be read is no problem, and no proof that there is none.
                available = True
                if PROBLEMS[reading.kind].judge(value, reading.key in self._found):
                    wrong.append(reading)
        found = frozenset(reading.key for reading in wrong)
        if (available, found) == (self._attr_available, self._found):
            return False
        self._found = found
        self._attr_available = available
        self._attr_is_on = bool(wrong)
        self._attr_extra_state_attributes = {
            ATTR_REASONS: sorted({PROBLEMS[reading.kind].reason for reading in wrong}),
            ATTR_PROBLEMS: [_words(reading) for reading in wrong],
        }
        return True


def problem_source(coordinator: PilotCoordinator) -> EntitySource:
    """Return the source of the problem sensors: one for each device that can be judged."""

    def announced(device: str | None, readings: tuple[Reading, ...]) -> AnnouncedEntity:
        # Keys with a dot in them belong to readings.
        key = PROBLEM.key if device is None else f"{device}_{PROBLEM.key}"
        return AnnouncedEntity(
            key, readings, lambda entry: ProblemSensor(coordinator, key, readings, entry), device
        )

    def source(announce: Announce) -> Iterable[AnnouncedEntity]:
        by_device: dict[str | None, list[Reading]] = {}
        for reading in announce.readings.values():
            if reading.kind in PROBLEMS:
                by_device.setdefault(reading.device, []).append(reading)
        return [announced(device, tuple(readings)) for device, readings in by_device.items()]

    return source


def _words(reading: Reading) -> str:
    """Return a problem in Home Assistant's language, with which of several it is about."""
    hass = async_get_hass()
    texts: dict[str, Any] = async_get_cached_translations(
        hass, hass.config.language, "selector", DOMAIN
    )
    reason = PROBLEMS[reading.kind].reason
    text = texts.get(f"component.{DOMAIN}.selector.problem.options.{reason}", reason)
    return f"{text}: {reading.of}" if reading.of else str(text)
