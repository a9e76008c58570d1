"""BME280 and BMP280: temperature, air pressure, and with the BME280 relative humidity."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from companion_agent.platforms.i2c import NoAnswerError
from companion_agent.plugins.i2c.drivers.base import (
    BusyError,
    Driver,
    OutOfRangeError,
    SensorError,
    WrongChipError,
    checked,
)

if TYPE_CHECKING:
    from companion_agent.plugins.i2c.bus import Link
    from companion_agent.plugins.i2c.drivers.base import Steps, Values

_ID = 0xD0
_RESET = 0xE0
_CTRL_HUM = 0xF2
_STATUS = 0xF3
_CTRL_MEAS = 0xF4
_CONFIG = 0xF5
_DATA = 0xF7
_CALIBRATION = 0x88
_CALIBRATION_HUMIDITY = 0xE1

_MEASURING = 0x08
_COPYING = 0x01
# Temperature and pressure once (oversampling x1), then back to sleep: "forced" (BME280 5.4.5,
# BMP280 4.3.4).
_FORCED = 0b001_001_01
# What a channel says that was not measured: BME280 5.4.3 and 5.4.5, BMP280 3.3.1, table 4.
_SKIPPED = 0x80000
_SKIPPED_HUMIDITY = 0x8000

# BMP280 4.3.1 names 0x58; Bosch's own driver knows the two of samples, too.
_CHIPS = {0x60: "BME280", 0x58: "BMP280", 0x56: "BMP280", 0x57: "BMP280", 0x61: "BME680"}


class Calibration(NamedTuple):
    """The coefficients of one chip, from T1 to H6: BME280 4.2.2, table 16; BMP280 3.11.2."""

    t: tuple[int, ...]
    p: tuple[int, ...]
    h: tuple[int, ...] = ()

    @classmethod
    def read(cls, low: bytes, high: bytes = b"") -> Calibration:
        """Read the coefficients.

        Args:
            low: The 26 bytes from 0x88 on.
            high: The 7 bytes from 0xE1 on; empty for a BMP280.
        """
        t = struct.unpack_from("<Hhh", low, 0)
        p = struct.unpack_from("<Hhhhhhhhh", low, 6)
        if not high:
            return cls(t, p)
        # H4 and H5 share a byte: 0xE5 holds the low four bits of both.
        h4 = struct.unpack_from("b", high, 3)[0] << 4 | high[4] & 0x0F
        h5 = struct.unpack_from("b", high, 5)[0] << 4 | high[4] >> 4
        (h2,) = struct.unpack_from("<h", high, 0)
        (h6,) = struct.unpack_from("b", high, 6)
        return cls(t, p, (low[25], h2, high[2], h4, h5, h6))


class Bmp280(Driver):
    """Bosch BMP280.

    BST-BMP280-DS001: section 3.6.2 (forced mode), 3.8.1 (measurement time), 3.9 (readout), 3.11
    and appendix 1 (compensation), 4.3 (registers). It has no checksums.
    """

    model: ClassVar[str] = "BMP280"
    manufacturer: ClassVar[str] = "Bosch"
    addresses: ClassVar[tuple[int, ...]] = (0x76, 0x77)
    ranges: ClassVar = {"temperature": (-40.0, 85.0), "pressure": (300.0, 1100.0)}
    # 3.8.1: at most 1.25 + 2.3 + 2.3 + 0.575 ms.
    measuring: ClassVar[float] = 0.0065
    _calibration = Calibration((), ())

    def setup(self, link: Link) -> Steps[None]:
        """Reset it, wait until it has its coefficients, and read them."""
        chip = _CHIPS.get(link.read_after(_ID, count=1)[0], "something else")
        if chip != self.model:
            raise WrongChipError(f"it is no {self.model} but {chip}")
        link.write(_RESET, 0xB6)
        yield 0.002
        for _ in range(5):
            if not link.read_after(_STATUS, count=1)[0] & _COPYING:
                break
            yield 0.002
        else:
            raise BusyError("it does not start")
        self._calibration = self.read_calibration(link)
        # No filter: it would mix in what was measured an interval ago.
        link.write(_CONFIG, 0x00)

    def read_calibration(self, link: Link) -> Calibration:
        """Read the coefficients."""
        return Calibration.read(link.read_after(_CALIBRATION, count=26))

    def measure(self, link: Link) -> Steps[Values]:
        """Measure once, and read everything in one go: no byte is of another measurement."""
        link.write(_CTRL_MEAS, _FORCED)
        yield self.measuring
        for _ in range(5):
            if not link.read_after(_STATUS, count=1)[0] & _MEASURING:
                break
            yield 0.002
        else:
            raise BusyError("it stays busy")
        return decode(self._calibration, link.read_after(_DATA, count=8 if self._humid else 6))

    @property
    def _humid(self) -> bool:
        return "humidity" in self.ranges

    @classmethod
    def identify(cls, link: Link) -> Steps[bool | None]:
        """Read the chip's identity (4.3.1; BME280: 5.4.1). Writes one byte, the register's."""
        yield from ()
        try:
            return _CHIPS.get(link.read_after(_ID, count=1)[0]) == cls.model
        except NoAnswerError:
            return False


class Bme280(Bmp280):
    """Bosch BME280.

    BST-BME280-DS002: section 3.3.3 (forced mode), "Weather monitoring" (oversampling x1, no
    filter), 4.2 and 8.1 (compensation), 5.3 and 5.4 (registers), 9.1 (measurement time). It has
    no checksums.
    """

    model: ClassVar[str] = "BME280"
    ranges: ClassVar = {
        "temperature": (-40.0, 85.0),
        "humidity": (0.0, 100.0),
        "pressure": (300.0, 1100.0),
    }
    # 9.1: at most 1.25 + 2.3 + 2.3 + 0.575 + 2.3 + 0.575 ms.
    measuring: ClassVar[float] = 0.0095

    def read_calibration(self, link: Link) -> Calibration:
        """Read the coefficients, and switch humidity on (counts from the next measurement on)."""
        low = link.read_after(_CALIBRATION, count=26)
        high = link.read_after(_CALIBRATION_HUMIDITY, count=7)
        link.write(_CTRL_HUM, 0b001)
        return Calibration.read(low, high)


def decode(calibration: Calibration, data: bytes) -> Values:
    """Read pressure (20 bits), temperature (20 bits) and humidity (16 bits); °C, hPa, %.

    Raises:
        SensorError: A channel was not measured, or a value is out of the sensor's range.
    """
    raw_pressure = int.from_bytes(data[0:3]) >> 4
    raw_temperature = int.from_bytes(data[3:6]) >> 4
    if _SKIPPED in {raw_pressure, raw_temperature}:
        raise SensorError("it has not measured")
    fine = _fine_temperature(calibration.t, raw_temperature)
    values = {"temperature": fine / 5120.0}
    if calibration.h:
        raw_humidity = int.from_bytes(data[6:8])
        if raw_humidity == _SKIPPED_HUMIDITY:
            raise SensorError("it has not measured humidity")
        values["humidity"] = _humidity(calibration.h, fine, raw_humidity)
    values["pressure"] = _pressure(calibration.p, fine, raw_pressure) / 100
    return checked(Bme280.ranges, values)


# The three formulas of the appendix (BME280 8.1, BMP280 8.1) in floating point, term by term.


def _fine_temperature(t: tuple[int, ...], raw: int) -> float:
    t1, t2, t3 = t
    return (raw / 16384.0 - t1 / 1024.0) * t2 + (raw / 131072.0 - t1 / 8192.0) ** 2 * t3


def _pressure(p: tuple[int, ...], fine: float, raw: int) -> float:
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = p
    var1 = fine / 2.0 - 64000.0
    var2 = var1 * var1 * p6 / 32768.0
    var2 += var1 * p5 * 2.0
    var2 = var2 / 4.0 + p4 * 65536.0
    var1 = (p3 * var1 * var1 / 524288.0 + p2 * var1) / 524288.0
    var1 = (1.0 + var1 / 32768.0) * p1
    if not var1:
        raise OutOfRangeError("its coefficients give no pressure")
    pressure = (1048576.0 - raw - var2 / 4096.0) * 6250.0 / var1
    var1 = p9 * pressure * pressure / 2147483648.0
    var2 = pressure * p8 / 32768.0
    return pressure + (var1 + var2 + p7) / 16.0


def _humidity(h: tuple[int, ...], fine: float, raw: int) -> float:
    h1, h2, h3, h4, h5, h6 = h
    base = fine - 76800.0
    value = (raw - (h4 * 64.0 + h5 / 16384.0 * base)) * (
        h2 / 65536.0 * (1.0 + h6 / 67108864.0 * base * (1.0 + h3 / 67108864.0 * base))
    )
    value *= 1.0 - h1 * value / 524288.0
    return min(max(value, 0.0), 100.0)
