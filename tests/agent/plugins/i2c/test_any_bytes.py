"""Whatever arrives is a value that the sensor can measure, or an error that is foreseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings, strategies as st
import pytest

from companion_agent.platforms.i2c import I2cBus, NoAnswerError
from companion_agent.plugins.i2c import scheduler
from companion_agent.plugins.i2c.bus import Bus, Link
from companion_agent.plugins.i2c.drivers import (
    DRIVERS,
    aht20,
    bh1750,
    bme280,
    ina219,
    scd4x,
    sht,
)
from companion_agent.plugins.i2c.drivers.base import NotYet, SensorError
from companion_agent.plugins.i2c.place import Place
from companion_agent.plugins.i2c.settings import SensorConfig
from support.clock import ManualClock
from support.i2c import word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from companion_agent.plugins.i2c.drivers.base import Steps, Values

WORDS = st.integers(0, 0xFFFF)
int16 = st.integers(-0x8000, 0x7FFF)
uint16 = st.integers(0, 0xFFFF)
int8 = st.integers(-0x80, 0x7F)
CALIBRATIONS = st.builds(
    bme280.Calibration,
    st.tuples(uint16, int16, int16),
    st.tuples(uint16, *[int16] * 8),
    st.just(()) | st.tuples(st.integers(0, 255), int16, st.integers(0, 255), int16, int16, int8),
)

# More than the longest work asks for.
ANSWERS = st.lists(st.none() | st.binary(max_size=30), min_size=60, max_size=60)


class Noise(I2cBus):
    """A bus on which anything answers anything."""

    def __init__(self, answers: Iterator[bytes | None]) -> None:
        self.answers = answers

    def transfer(self, address: int, data: bytes, count: int) -> bytes:
        answer = next(self.answers)
        if answer is None:
            raise NoAnswerError(121, "does not answer")
        return (answer * count)[:count] if answer else bytes(count)

    def driver(self, address: int) -> str:
        return ""

    def close(self) -> None:
        pass


def in_range(kind: str, decode: Callable[[], Values]) -> None:
    try:
        values = decode()
    except SensorError:
        return
    for quantity, value in values.items():
        least, most = DRIVERS[kind].ranges[quantity]
        assert least <= value <= most


@given(st.binary(min_size=7, max_size=7))
def test_aht20(data: bytes) -> None:
    in_range("aht20", lambda: aht20.decode(data))


@given(st.binary(min_size=6, max_size=6))
def test_aht20_with_a_right_checksum(data: bytes) -> None:
    in_range("aht20", lambda: aht20.decode(data + bytes([aht20.crc8(data)])))


@given(WORDS, WORDS)
def test_sht(first: int, second: int) -> None:
    in_range("sht3x", lambda: sht.decode_sht3x(word(first) + word(second)))
    in_range("sht4x", lambda: sht.decode_sht4x(word(first) + word(second)))


@given(WORDS, WORDS, WORDS)
def test_scd4x(first: int, second: int, third: int) -> None:
    in_range("scd4x", lambda: scd4x.decode(word(first) + word(second) + word(third)))


@given(st.binary(min_size=2, max_size=2))
def test_bh1750(data: bytes) -> None:
    in_range("bh1750", lambda: bh1750.decode(data))


@given(CALIBRATIONS, st.binary(min_size=8, max_size=8))
def test_bme280(calibration: bme280.Calibration, data: bytes) -> None:
    in_range("bme280", lambda: bme280.decode(calibration, data))


@given(st.binary(min_size=2, max_size=2), st.binary(min_size=2, max_size=2), st.floats(0.0001, 100))
def test_ina219(shunt: bytes, bus: bytes, resistance: float) -> None:
    in_range("ina219", lambda: ina219.decode(shunt, bus, resistance))


@pytest.mark.parametrize("kind", DRIVERS)
@given(answers=ANSWERS)
def test_a_driver_ends_with_values_or_an_error(kind: str, answers: list[bytes | None]) -> None:
    """Set up and measure on a bus full of noise, within the time of a round."""
    clock = ManualClock(5000.0)
    driver = DRIVERS[kind](SensorConfig(kind, Place(1, DRIVERS[kind].addresses[0])))
    link = Link(Bus(Noise(iter(answers))), driver.config.place)

    def work() -> Steps[Values]:
        yield from driver.setup(link)
        return (yield from driver.measure(link))

    outcome = scheduler.run({kind: work()}, clock.sleep, clock, 3)[kind]

    assert sum(clock.sleeps) < 0.5
    if isinstance(outcome, Exception):
        assert isinstance(outcome, (SensorError, OSError, NotYet))
        return
    for quantity, (least, most) in driver.ranges.items():
        assert least <= outcome[quantity] <= most


@settings(max_examples=30)
@pytest.mark.parametrize("kind", DRIVERS)
@given(answers=ANSWERS)
def test_noise_is_identified_or_not(kind: str, answers: list[bytes | None]) -> None:
    clock = ManualClock(5000.0)
    place = Place(1, DRIVERS[kind].addresses[0])
    link = Link(Bus(Noise(iter(answers))), place)

    outcome = scheduler.run({kind: DRIVERS[kind].identify(link)}, clock.sleep, clock, 3)[kind]

    assert outcome in {True, False, None}
