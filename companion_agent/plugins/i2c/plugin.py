"""Sensors on the I²C buses: room climate, light, air and power, and how they are tuned."""

from __future__ import annotations

from collections import deque
from math import fsum
import time
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Command, Device, Reading, Selection, Value
from companion_agent.platforms.i2c import StuckBusError
from companion_agent.plugins.base import Collector, CommandProvider
from companion_agent.plugins.i2c import scan, scheduler, tuning
from companion_agent.plugins.i2c.bus import Bus, Link
from companion_agent.plugins.i2c.drivers import DRIVERS
from companion_agent.plugins.i2c.drivers.base import NotYet, SensorError
from companion_agent.plugins.i2c.overrides import Overrides, OverridesError
from companion_agent.plugins.i2c.settings import I2cConfig, SensorConfig
from companion_agent.plugins.i2c.tuning import offset_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Self

    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import PluginContext
    from companion_agent.plugins.i2c.drivers.base import Driver, Steps, Values
    from companion_agent.plugins.i2c.place import Place

# A round in which every sensor is measured takes as long as the slowest one, a fifth of a second;
# with a stuck bus a second more for each bus.
_ROUND_LIMIT = 3.0
_SEARCH_LIMIT = 2.0
_SEARCH_INTERVAL = 600.0
# A bit that fell over is right the next time; a sensor that was just plugged in needs a moment.
_PAUSES = (0.02, 0.1)
# Ticks of the agent's clock come a little early or late; that puts off no sensor's turn.
_EARLY = 0.1

# Resolution and dead-band: what the sensors resolve, and what they flicker by.
_ROUNDING: dict[str, tuple[float, float]] = {
    "temperature": (0.01, 0.03),
    "humidity": (0.01, 0.1),
    "pressure": (0.01, 0.05),
    "illuminance": (0.1, 0.5),
    "carbon_dioxide": (1, 3),
    "voltage": (0.001, 0.005),
    "current": (0.0001, 0.0005),
    "power": (0.001, 0.005),
}
# What an offset must not lead out of.
_BOUNDS: dict[str, tuple[float, float]] = {
    "humidity": (0.0, 100.0),
    "illuminance": (0.0, float("inf")),
    "carbon_dioxide": (0.0, float("inf")),
}


class I2cPlugin(Collector, CommandProvider):
    """Reads and tunes the sensors that the configuration names, and those that it lets look for.

    Args:
        platform: The operating system.
        selection: Not used: the configuration names each sensor.
        config: The sensors.
        sleep: Waits for some seconds.
        clock: Monotonic seconds.
        overrides: What was changed of the sensors from Home Assistant.
    """

    name: ClassVar[str] = "i2c"
    interval: ClassVar[float] = 60

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        config: I2cConfig | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        overrides: Overrides | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self._config = config or I2cConfig()
        self._overrides = overrides or Overrides()
        self._sleep = sleep
        self._clock = clock
        self._usual: float = self.interval
        self._searched: float | None = None
        self._sensors: dict[Place, _Sensor] = {}
        self._overrides.look()
        for sensor in self._config.sensors:
            self._sensors[sensor.place] = self._make(sensor)
        self._describe()

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the sensors that the configuration names, and what was changed of them."""
        return cls(
            context.platform,
            context.selection,
            context.get(I2cConfig),
            overrides=context.get(Overrides),
        )

    def pace(self, interval: float) -> float:
        """Return the shortest interval of all sensors."""
        self._usual = interval
        sensors = self._sensors.values()
        return min((sensor.tuning.interval or interval for sensor in sensors), default=interval)

    def commands(self) -> Sequence[Command]:
        """List the settings of the sensors that are known by now."""
        return [
            command
            for sensor in self._sensors.values()
            for command in tuning.commands(self.name, sensor.id, sensor.driver.ranges)
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Change what is done with a sensor's values, from the next reading on, for good."""
        _, device, setting = key.split(".")
        sensor = next((one for one in self._sensors.values() if one.id == device), None)
        if sensor is None:
            raise CommandError("failed", f"there is no sensor {device} any more")
        try:
            if setting == tuning.RESET:
                self._overrides.remove(device)
            else:
                self._overrides.add(device, tuning.change(setting, args["value"]))
        except OverridesError as error:
            raise CommandError("failed", str(error)) from error
        sensor.retune(self._overrides)

    def _make(self, config: SensorConfig) -> _Sensor:
        sensor = _Sensor(config)
        sensor.retune(self._overrides)
        return sensor

    def probe(self) -> None:
        """Look whether there is anything to read.

        Raises:
            Unavailable: There is no bus, no bus that can be opened, or no sensor to read.
        """
        self.platform.i2c_buses()
        if not self._config.sensors and not self._config.scan:
            raise Unavailable(
                "no sensor is named in the configuration",
                "name those that there are under 'i2c', or set 'scan' there to look for them",
            )
        buses = _Buses(self.platform, self._config)
        try:
            numbers = {sensor.place.bus for sensor in self._config.sensors}
            if self._config.scan:
                numbers |= set(self._config.buses)
            refused = [error for number in sorted(numbers) if (error := buses.refuses(number))]
            if len(refused) == len(numbers):
                raise refused[0]
        finally:
            buses.close()
        if self._config.scan:
            guesses = self._search()
            if not self._sensors:
                raise _nothing_found(self._config.buses, guesses)

    def troubles(self) -> Mapping[str, str]:
        """Say what is wrong with which sensor."""
        return {
            f"{sensor.id} ({place})": sensor.trouble
            for place, sensor in self._sensors.items()
            if sensor.trouble
        }

    def collect(self) -> Mapping[str, Value]:
        """Read the sensors whose turn it is; of the others, what they said last."""
        now = self._clock()
        if self._overrides.look():
            for sensor in self._sensors.values():
                sensor.retune(self._overrides)
        if self._searched is not None and now - self._searched >= _SEARCH_INTERVAL:
            self._search()
        due = [s for s in self._sensors.values() if s.is_due(now, self._usual)]
        self._measure(due)
        for sensor in due:
            sensor.measured_at = now
        return {
            f"{sensor.id}.{quantity}": value
            for sensor in self._sensors.values()
            for quantity, value in (*sensor.values().items(), *sensor.settings(self._usual))
        }

    def _measure(self, sensors: Iterable[_Sensor]) -> None:
        buses = _Buses(self.platform, self._config)
        work: dict[_Sensor, Steps[Values]] = {}
        try:
            for sensor in sensors:
                try:
                    link = Link(buses.open(sensor.config.place.bus), sensor.config.place)
                    work[sensor] = sensor.measure(link)
                except (OSError, Unavailable) as error:
                    sensor.take(error)
            outcomes = scheduler.run(work, self._sleep, self._clock, _ROUND_LIMIT)
        finally:
            buses.close()
        for sensor, outcome in outcomes.items():
            sensor.take(outcome)

    def _search(self) -> list[Place]:
        """Look for sensors that are not known yet; return where there is one of an unknown kind."""
        self._searched = self._clock()
        buses = _Buses(self.platform, self._config)
        guesses: list[Place] = []
        try:
            for number in self._config.buses:
                if not buses.refuses(number):
                    guesses += self._search_bus(number, buses)
        finally:
            buses.close()
        self._describe()
        return guesses

    def _search_bus(self, number: int, buses: _Buses) -> list[Place]:
        bus, multiplexers = buses.open(number), buses.multiplexers(number)
        guesses = self._look(bus, scan.before(number, multiplexers))
        # What is before a multiplexer answers on each of its channels.
        answering = {
            place.address
            for place in (*self._sensors, *guesses)
            if place.bus == number and place.multiplexer is None
        }
        return guesses + self._look(bus, scan.behind(number, multiplexers, answering))

    def _look(self, bus: Bus, places: Iterable[Place]) -> list[Place]:
        work = {place: scan.look(bus, place) for place in places if place not in self._sensors}
        guesses = []
        for place, found in scheduler.run(work, self._sleep, self._clock, _SEARCH_LIMIT).items():
            if isinstance(found, SensorConfig) and found.type:
                self._sensors = {**self._sensors, place: self._make(found)}
            elif isinstance(found, SensorConfig):
                guesses.append(place)
        return guesses

    def _describe(self) -> None:
        # All of them, those that do not answer too.
        self.described = tuple(
            reading for sensor in self._sensors.values() for reading in sensor.describe()
        )


class _Buses:
    """The buses that are open during a round. Opening takes microseconds, and needs no healing."""

    def __init__(self, platform: Platform, config: I2cConfig) -> None:
        self._platform = platform
        self._config = config
        self._open: dict[int, Bus] = {}

    def open(self, number: int) -> Bus:
        """Open a bus, or return the open one.

        Raises:
            Unavailable: It cannot be opened.
            OSError: Opening failed.
        """
        if number not in self._open:
            bus = self._platform.i2c_bus(number)
            self._open[number] = Bus(bus, self.multiplexers(number))
        return self._open[number]

    def refuses(self, number: int) -> Unavailable | None:
        """Return why a bus cannot be opened; `None` when it can."""
        try:
            self.open(number)
        except Unavailable as error:
            return error
        except OSError as error:
            return Unavailable(f"bus {number} cannot be opened: {error.strerror}")
        return None

    def multiplexers(self, number: int) -> set[int]:
        """Return the addresses of a bus's multiplexers."""
        named = {
            sensor.place.multiplexer
            for sensor in self._config.sensors
            if sensor.place.bus == number and sensor.place.multiplexer is not None
        }
        return named | (set(self._config.multiplexers) if number in self._config.buses else set())

    def close(self) -> None:
        """Close all."""
        for bus in self._open.values():
            bus.close()


class _Sensor:
    """One sensor at work.

    Attributes:
        id: Names it on this host for ever: `aht20-1-38`.
        tuning: What is done with its values.
        trouble: Why it cannot be read; empty while it can.
        measured_at: When it was last tried, by the monotonic clock.
    """

    def __init__(self, config: SensorConfig) -> None:
        self.config = config
        self.id = f"{config.type}-{config.place.path}"
        self.driver: Driver = DRIVERS[config.type](config)
        self.tuning = config.tuning
        self.trouble = ""
        self.measured_at: float | None = None
        self._ready = False
        self._last: deque[Values] = deque()

    def retune(self, overrides: Overrides) -> None:
        """Do with its values what the configuration says, and what was changed since."""
        self.tuning = overrides.of(self.id).over(self.config.tuning)

    def is_due(self, now: float, usual: float) -> bool:
        """Tell whether it is its turn."""
        interval = self.tuning.interval or usual
        return self.measured_at is None or now - self.measured_at >= interval * (1 - _EARLY)

    def measure(self, link: Link) -> Steps[Values]:
        """Measure; again, from the start, when that fails."""
        if user := link.bus.driver(link.place):
            raise SensorError(
                f"the kernel's driver {user} uses it; remove its overlay from the boot "
                "configuration, or the sensor from this one"
            )
        failed: Exception | None = None
        for pause in (*_PAUSES, None):
            try:
                if not self._ready:
                    yield from self.driver.setup(link)
                    self._ready = True
                return (yield from self.driver.measure(link))
            except NotYet:
                # What there was is lost to the attempt that failed.
                raise failed or NotYet from None
            except (SensorError, OSError) as error:
                self._ready = False
                failed = error
                if pause is None or isinstance(error, StuckBusError):
                    raise
            yield pause
        raise AssertionError

    def take(self, outcome: Values | Exception) -> None:
        """Take what became of a measurement."""
        if isinstance(outcome, NotYet):
            return
        if isinstance(outcome, Exception):
            self.trouble = _explain(outcome)
            # What comes after a gap is no mean with what was before it.
            self._last.clear()
            self._ready = False
            return
        self.trouble = ""
        self._last.append(outcome)
        while len(self._last) > self.tuning.average:
            self._last.popleft()

    def values(self) -> dict[str, Value]:
        """Return the mean of the last measurements, corrected."""
        values: dict[str, Value] = dict.fromkeys(self.driver.ranges)
        tuning = self.tuning
        # Of fewer than there are, once that was changed.
        last = list(self._last)[-tuning.average :]
        for quantity in values if last else ():
            mean = fsum(measured[quantity] for measured in last) / len(last)
            least, most = _BOUNDS.get(quantity, (float("-inf"), float("inf")))
            corrected = mean + tuning.offsets.get(quantity, 0.0)
            values[quantity] = min(max(corrected, least), most)
        return values

    def settings(self, usual: float) -> Iterable[tuple[str, Value]]:
        """Say how it is tuned now.

        Args:
            usual: The interval of sensors without one of their own.
        """
        tuning = self.tuning
        yield "interval", _exactly(tuning.interval or usual)
        yield "average", tuning.average
        for quantity in self.driver.ranges:
            yield offset_of(quantity), _exactly(tuning.offsets.get(quantity, 0))

    def describe(self) -> Iterable[Reading]:
        """Describe its readings."""
        device = Device(self.id, self.config.name, self.driver.manufacturer, self.driver.model)
        for quantity in self.driver.ranges:
            resolution, deadband = _ROUNDING[quantity]
            yield Reading(
                f"{self.id}.{quantity}",
                kind=quantity,
                device=device,
                resolution=resolution,
                deadband=deadband,
            )
        for setting in ("interval", "average", *map(offset_of, self.driver.ranges)):
            # It is as it was set: neither rounded nor steadied.
            yield Reading(f"{self.id}.{setting}", kind=f"i2c.{setting}", device=device)


def _exactly(number: float) -> float:
    """Write a number as a person would who set it: 60, not 60.0."""
    return int(number) if float(number).is_integer() else number


def _explain(error: Exception) -> str:
    if isinstance(error, Unavailable):
        return error.reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def _nothing_found(buses: Sequence[int], guesses: Sequence[Place]) -> Unavailable:
    where = f"bus{'' if len(buses) == 1 else 'es'} {', '.join(map(str, buses))}"
    if guesses:
        return Unavailable(
            f"no sensor on {where} can be told for certain; something answers at "
            f"{', '.join(scan.guess(place) for place in guesses)}",
            "name it under 'i2c.sensors' in the configuration",
        )
    return Unavailable(
        f"no sensor that is known answers on {where}",
        "check its wires and its supply; 'i2cdetect -y N' of i2c-tools lists what answers",
    )
