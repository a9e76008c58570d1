"""The examples that the data sheets give, and what their formulas say."""

from __future__ import annotations

import struct

from hypothesis import given, strategies as st
import pytest

from companion_agent.plugins.i2c.drivers import (
    aht20,
    bh1750,
    bme280,
    ina219,
    scd4x,
    sht,
)
from companion_agent.plugins.i2c.drivers.base import ChecksumError, SensorError, crc8
from support.i2c import crc, word

pytestmark = pytest.mark.proves(
    "humidity",
    "pressure",
    "illuminance",
    "carbon_dioxide",
    "voltage",
    "current",
    "power",
    "temperature",
)

# BMP280 3.12, "Calculation of pressure and temperature": coefficients and raw values.
BMP280_T = (27504, 26435, -1000)
BMP280_P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
BMP280_RAW = (415148 << 4).to_bytes(3) + (519888 << 4).to_bytes(3)


def test_the_checksum_of_the_sht3x_data_sheet() -> None:
    assert crc8(b"\xbe\xef") == crc(b"\xbe\xef") == 0x92


@given(st.binary(min_size=1, max_size=20))
def test_the_checksum_is_a_polynomial_division(data: bytes) -> None:
    assert crc8(data) == crc(data)


def test_scd4x_read_measurement() -> None:
    values = scd4x.decode(bytes.fromhex("01f433 6667a2 5eb93c"))

    assert values == pytest.approx(
        {"carbon_dioxide": 500, "temperature": 25, "humidity": 37}, abs=0.01
    )


def test_scd4x_data_ready() -> None:
    assert not scd4x.is_ready(bytes.fromhex("8000a2"))
    assert scd4x.is_ready(word(0x8006))


def test_bh1750_measurement_sequence_example() -> None:
    assert bh1750.decode(b"\x83\x90")["illuminance"] == pytest.approx(28067, abs=0.5)


def test_bmp280_calculation_example() -> None:
    values = bme280.decode(bme280.Calibration(BMP280_T, BMP280_P), BMP280_RAW)

    assert values["temperature"] == pytest.approx(25.08, abs=0.005)
    assert values["pressure"] * 100 == pytest.approx(100653.27, abs=0.1)


def test_ina219_programming_example() -> None:
    """Table 8: 2 mΩ, 0x07D0 and 0x5D98 are 11.98 V, 10 A and 119.8 W."""
    values = ina219.decode(b"\x07\xd0", b"\x5d\x98", 0.002)

    assert values == pytest.approx({"voltage": 11.98, "current": 10, "power": 119.8})


def test_ina219_negative_shunt_voltage() -> None:
    """Table 7: 0x8300 is -320 mV."""
    assert ina219.decode(b"\x83\x00", b"\x1f\x40", 0.1)["current"] == pytest.approx(-3.2)


@pytest.mark.parametrize(
    ("raw", "celsius", "percent"),
    [(0x80000_60000, 25, 50), (0x00000_40000, 0, 0), (0xFFFFF_80000, 50, 100)],
)
def test_aht20_conversion(raw: int, celsius: float, percent: float) -> None:
    data = b"\x1c" + raw.to_bytes(5)

    values = aht20.decode(data + bytes([crc(data)]))

    assert values == pytest.approx({"temperature": celsius, "humidity": percent}, abs=0.001)


def test_sht3x_conversion() -> None:
    values = sht.decode_sht3x(word(0x6666) + word(0x8000))

    assert values == pytest.approx({"temperature": 25, "humidity": 50}, abs=0.001)


@pytest.mark.parametrize(("raw", "percent"), [(0, 0), (0x0C49, 0), (0x8000, 56.501), (0xFFFF, 100)])
def test_sht4x_conversion_is_cropped(raw: int, percent: float) -> None:
    assert sht.decode_sht4x(word(0x6666) + word(raw))["humidity"] == pytest.approx(
        percent, abs=0.01
    )


def test_bme280_coefficients_that_share_a_byte() -> None:
    low = struct.pack("<Hhh", *BMP280_T) + struct.pack("<Hhhhhhhhh", *BMP280_P) + b"\0\x4b"
    high = struct.pack("<h", 362) + bytes([0, 0x14, 0x2E, 0x03, 0x1E])

    calibration = bme280.Calibration.read(low, high)

    assert (calibration.t, calibration.p) == (BMP280_T, BMP280_P)
    assert calibration.h == (75, 362, 0, 0x14E, 0x032, 30)


def integer_humidity(h: tuple[int, ...], fine: int, raw: int) -> float:
    """Return %: BME280 data sheet 4.2.3, the 32 bit version, as it stands there."""
    h1, h2, h3, h4, h5, h6 = h
    v = fine - 76800
    v = (((raw << 14) - (h4 << 20) - h5 * v) + 16384 >> 15) * (
        (((((v * h6) >> 10) * (((v * h3) >> 11) + 32768)) >> 10) + 2097152) * h2 + 8192 >> 14
    )
    v -= ((((v >> 15) * (v >> 15)) >> 7) * h1) >> 4
    return (min(max(v, 0), 419430400) >> 12) / 1024


@given(st.integers(20_000, 45_000), st.integers(400_000, 600_000))
def test_bme280_humidity_is_that_of_the_integer_formula(raw: int, warmth: int) -> None:
    h = (75, 362, 0, 334, 50, 30)
    data = BMP280_RAW[:3] + (warmth << 4).to_bytes(3) + raw.to_bytes(2)
    fine = bme280._fine_temperature(BMP280_T, warmth)
    try:
        values = bme280.decode(bme280.Calibration(BMP280_T, BMP280_P, h), data)
    except SensorError:
        return

    assert values["humidity"] == pytest.approx(integer_humidity(h, int(fine), raw), abs=0.05)


@pytest.mark.parametrize("data", [b"\x80\0\0" + BMP280_RAW[3:], BMP280_RAW[:3] + b"\x80\0\0"])
def test_a_channel_that_was_not_measured(data: bytes) -> None:
    with pytest.raises(SensorError, match="not measured"):
        bme280.decode(bme280.Calibration(BMP280_T, BMP280_P), data)


def test_a_bit_that_fell_over_is_noticed() -> None:
    with pytest.raises(ChecksumError):
        scd4x.decode(bytes.fromhex("01f533 6667a2 5eb93c"))
