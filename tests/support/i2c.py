"""I²C buses under smbus2's own interface, with sensors as their data sheets say.

Written from the data sheets and not from the drivers: commands that a sensor does not know are not
acknowledged, conversions take their longest time, and time passes only while a caller waits.
"""

from __future__ import annotations

from contextlib import suppress
import errno
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smbus2 import i2c_msg

    from .clock import ManualClock

NO_ACKNOWLEDGE = 121  # EREMOTEIO, as a Raspberry Pi's adapter says it


class NackError(Exception):
    """A device pulls nothing down where it should acknowledge."""


class FakeI2cDevice:
    """One device on a bus.

    Attributes:
        written: Every write that it got.
        absent: It is unplugged.
        failures: So many transfers are not acknowledged.
        flips: So many reads have a bit that fell over on the way.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.written: list[bytes] = []
        self.absent = False
        self.failures = 0
        self.flips = 0

    def take(self, data: bytes) -> None:
        if self.absent or self.failures:
            self.failures = max(0, self.failures - 1)
            raise NackError
        self.written.append(data)
        self.write(data)

    def give(self, count: int) -> bytes:
        if self.absent or self.failures:
            self.failures = max(0, self.failures - 1)
            raise NackError
        data = self.read(count)[:count]
        data += b"\xff" * (count - len(data))
        if self.flips and count > 1:
            self.flips -= 1
            data = bytes([*data[:1], data[1] ^ 0x10, *data[2:]])
        return data

    def write(self, data: bytes) -> None:
        raise NackError

    def read(self, count: int) -> bytes:
        raise NackError

    def stop(self) -> None:
        """End a transfer."""


class FakeI2cBus:
    """One bus.

    Attributes:
        devices: What hangs on it, by address.
        stuck: Another device holds it: every transfer ends after the adapter's second.
        transfers: How many were tried.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.devices: dict[int, FakeI2cDevice] = {}
        self.stuck = False
        self.transfers = 0

    def at(self, address: int) -> FakeI2cDevice:
        answering = [self.devices[address]] if address in self.devices else []
        for device in self.devices.values():
            if isinstance(device, Multiplexer):
                answering += device.behind(address)
        assert len(answering) < 2, f"two devices answer at 0x{address:02x}"
        if not answering:
            raise NackError
        return answering[0]

    def transfer(self, messages: tuple[i2c_msg, ...]) -> None:
        self.transfers += 1
        if self.stuck:
            self.clock.now += 1
            raise OSError(errno.ETIMEDOUT, "Connection timed out")
        touched: list[FakeI2cDevice] = []
        try:
            for message in messages:
                device = self.at(message.addr)
                touched.append(device)
                if message.flags & 1:
                    for index, byte in enumerate(device.give(message.len)):
                        message.buf[index] = bytes([byte])
                else:
                    device.take(bytes(message))
        except NackError:
            raise OSError(NO_ACKNOWLEDGE, "Remote I/O error") from None
        finally:
            for device in touched:
                device.stop()


class FakeI2cKernel:
    """The `/dev/i2c-*` of a machine, and how many files are open."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.buses: dict[str, FakeI2cBus] = {}
        self.forbidden: set[str] = set()
        self.open_files = 0

    def smbus(self) -> type:
        """Make a class with the part of smbus2.SMBus's interface that is used."""
        kernel = self

        class SMBus:
            def __init__(self, path: str) -> None:
                if path in kernel.forbidden:
                    raise PermissionError(errno.EACCES, "Permission denied", path)
                if path not in kernel.buses:
                    raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
                self._bus = kernel.buses[path]
                kernel.open_files += 1

            def i2c_rdwr(self, *messages: i2c_msg) -> None:
                self._bus.transfer(messages)

            def close(self) -> None:
                kernel.open_files -= 1

        return SMBus


def crc(data: bytes) -> int:
    """Divide by x⁸ + x⁵ + x⁴ + 1, bit by bit of the whole message: another way than the agent's."""
    bits = int.from_bytes(data) ^ (0xFF << 8 * (len(data) - 1))
    bits <<= 8
    for place in range(8 * len(data) + 7, 7, -1):
        if bits >> place & 1:
            bits ^= 0x131 << place - 8
    return bits


def word(value: int) -> bytes:
    """Write a word as Sensirion's sensors do."""
    data = value.to_bytes(2)
    return data + bytes([crc(data)])


class Multiplexer(FakeI2cDevice):
    """A TCA9548A (SCPS207)."""

    def __init__(self, clock: ManualClock, channels: dict[int, dict[int, FakeI2cDevice]]) -> None:
        super().__init__(clock)
        self.channels = channels
        self.control = self.pending = 0

    def behind(self, address: int) -> list[FakeI2cDevice]:
        return [
            devices[address]
            for channel, devices in self.channels.items()
            if self.control >> channel & 1 and address in devices and not self.absent
        ]

    def write(self, data: bytes) -> None:
        self.pending = data[-1]

    def read(self, count: int) -> bytes:
        return bytes([self.control]) * count

    def stop(self) -> None:
        self.control = self.pending


class Aht20(FakeI2cDevice):
    """Aosong's data sheet, section 5."""

    def __init__(self, clock: ManualClock, celsius: float = 25, percent: float = 50) -> None:
        super().__init__(clock)
        self.celsius, self.percent = celsius, percent
        self.calibrated = True
        self.busy_until = 0.0
        self.busy_for = 0.080
        self.measured = b"\0" * 5

    def write(self, data: bytes) -> None:
        if data == b"\xbe\x08\x00":
            self.calibrated = True
        elif data == b"\xac\x33\x00":
            self.busy_until = self.clock.now + self.busy_for
            damp = round(self.percent / 100 * 2**20)
            warmth = round((self.celsius + 50) / 200 * 2**20)
            self.measured = (damp << 20 | warmth).to_bytes(5)
        else:
            raise NackError

    def read(self, count: int) -> bytes:
        busy = self.clock.now < self.busy_until - 1e-9
        status = 0x10 | 0x80 * busy | 0x08 * self.calibrated
        data = bytes([status]) + self.measured
        return data + bytes([crc(data)])


class Sht(FakeI2cDevice):
    """What Sensirion's have in common: no acknowledgement while they measure."""

    def __init__(self, clock: ManualClock, celsius: float = 25, percent: float = 50) -> None:
        super().__init__(clock)
        self.celsius, self.percent = celsius, percent
        self.ready_at = 0.0
        self.answer = b""

    def later(self, seconds: float, answer: bytes) -> None:
        self.ready_at = self.clock.now + seconds
        self.answer = answer

    def read(self, count: int) -> bytes:
        if self.clock.now < self.ready_at - 1e-9 or not self.answer:
            raise NackError
        answer, self.answer = self.answer, b""
        return answer


class Sht3x(Sht):
    """SHT3x-DIS data sheet, section 4.

    Attributes:
        status: As after power-on.
    """

    status = 0x8010

    def write(self, data: bytes) -> None:
        if data == b"\x24\x00":
            warmth = round((self.celsius + 45) / 175 * 65535)
            self.later(0.0155, word(warmth) + word(round(self.percent / 100 * 65535)))
        elif data == b"\xf3\x2d":
            self.later(0, word(self.status))
        elif data != b"\x30\x93":
            raise NackError


class Sht4x(Sht):
    """SHT4x data sheet, section 4."""

    def write(self, data: bytes) -> None:
        if data == b"\xfd":
            warmth = round((self.celsius + 45) / 175 * 65535)
            self.later(0.0083, word(warmth) + word(round((self.percent + 6) / 125 * 65535)))
        elif data == b"\x89":
            self.later(0.001, word(0x0F00) + word(0xBA55))
        elif data != b"\x94":
            raise NackError


class Bosch(FakeI2cDevice):
    """BMP280 and BME280: registers that count up when read, and pairs when written."""

    def __init__(
        self, clock: ManualClock, chip: int, calibration: dict[int, bytes], raw: bytes
    ) -> None:
        super().__init__(clock)
        self.chip = chip
        self.calibration = calibration
        self.raw = raw
        self.registers = bytearray(256)
        self.pointer = 0
        self.busy_until = self.copying_until = 0.0
        self.humidity_on = False
        self.reset()

    def reset(self) -> None:
        self.registers[:] = bytes(256)
        self.registers[0xD0] = self.chip
        for start, data in self.calibration.items():
            self.registers[start : start + len(data)] = data
        self.registers[0xF7:0xFF] = b"\x80\0\0\x80\0\0\x80\0"
        self.copying_until = self.clock.now + 0.002

    def write(self, data: bytes) -> None:
        self.pointer = data[0]
        if len(data) % 2 == 0:
            for register, value in zip(data[::2], data[1::2], strict=True):
                self.store(register, value)

    def store(self, register: int, value: int) -> None:
        if (register, value) == (0xE0, 0xB6):
            self.reset()
            return
        assert register in {0xF2, 0xF4, 0xF5}, f"0x{register:02x} may not be written"
        self.registers[register] = value
        if register == 0xF4 and value & 3 in {1, 2}:
            humid = self.chip == 0x60 and self.registers[0xF2] & 7
            self.busy_until = self.clock.now + (0.0093 if humid else 0.006425)
            self.registers[0xF7 : 0xF7 + 6] = self.raw[:6]
            self.registers[0xFD:0xFF] = self.raw[6:8] if humid else b"\x80\0"

    def read(self, count: int) -> bytes:
        measuring = self.clock.now < self.busy_until - 1e-9
        copying = self.clock.now < self.copying_until - 1e-9
        self.registers[0xF3] = 8 * measuring | copying
        return bytes(self.registers[self.pointer : self.pointer + count])


class Bh1750(FakeI2cDevice):
    """Rohm's technical note."""

    def __init__(self, clock: ManualClock, raw: int = 0x8390) -> None:
        super().__init__(clock)
        self.raw = raw
        self.value = 0
        self.on = False
        self.ready_at = 0.0

    def write(self, data: bytes) -> None:
        if data == b"\x01":
            self.on = True
        elif data == b"\x20":
            self.ready_at = self.clock.now + 0.180
        elif data not in {b"\x42", b"\x65"}:
            raise NackError

    def read(self, count: int) -> bytes:
        if self.clock.now >= self.ready_at - 1e-9 and self.ready_at:
            self.value = self.raw
        return self.value.to_bytes(2)


class Scd4x(FakeI2cDevice):
    """SCD4x data sheet, section 3."""

    def __init__(
        self, clock: ManualClock, co2: int = 500, warmth: int = 0x6667, damp: int = 0x5EB9
    ) -> None:
        super().__init__(clock)
        self.words = [co2, warmth, damp]
        self.started: float | None = None
        self.fetched = 0.0
        self.answer = b""
        self.answer_at = 0.0

    @property
    def ready(self) -> bool:
        if self.started is None:
            return False
        count = (self.clock.now - self.started + 1e-9) // 5
        return count > 0 and self.started + 5 * count > self.fetched

    def lose_power(self) -> None:
        self.started = None

    def write(self, data: bytes) -> None:
        self.answer_at = self.clock.now + 0.001
        self.answer = b""
        if data == b"\x21\xb1" and self.started is None:
            self.started = self.fetched = self.clock.now
        elif data == b"\xe4\xb8":
            self.answer = word(0x8006 if self.ready else 0x8000)
        elif data == b"\xec\x05" and self.ready:
            self.fetched = self.clock.now
            self.answer = b"".join(word(one) for one in self.words)
        else:
            raise NackError

    def read(self, count: int) -> bytes:
        if not self.answer or self.clock.now < self.answer_at - 1e-9:
            raise NackError
        return self.answer


class Ina219(FakeI2cDevice):
    """SBOS448G, section 8.6: registers of 16 bits."""

    def __init__(self, clock: ManualClock, shunt: int = 2000, bus: int = 2995) -> None:
        super().__init__(clock)
        self.shunt, self.bus = shunt, bus
        self.pointer = 0
        self.ready_at = float("inf")

    def write(self, data: bytes) -> None:
        self.pointer = data[0]
        if len(data) == 3 and self.pointer == 0:
            assert data[1:] == b"\x3f\xfb"
            self.ready_at = self.clock.now + 0.1362

    def read(self, count: int) -> bytes:
        ready = self.clock.now >= self.ready_at - 1e-9
        registers = {
            1: struct.pack(">h", self.shunt if ready else 0),
            2: (self.bus << 3 | 2 * ready).to_bytes(2),
        }
        return registers.get(self.pointer, b"\x39\x9f")


class Expander(FakeI2cDevice):
    """A PCF8574A whose outputs switch relays: every byte that is written switches them."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.relays = 0xFF

    def write(self, data: bytes) -> None:
        self.relays = data[-1]

    def read(self, count: int) -> bytes:
        return bytes([self.relays]) * count


class NoiseDevice(FakeI2cDevice):
    """Acknowledges everything and answers with given bytes, over and over."""

    def __init__(self, clock: ManualClock, noise: bytes) -> None:
        super().__init__(clock)
        self.noise = noise
        self.place = 0

    def write(self, data: bytes) -> None:
        with suppress(IndexError):
            self.place += data[0]

    def read(self, count: int) -> bytes:
        out = bytes(self.noise[(self.place + n) % len(self.noise)] for n in range(count))
        self.place += count
        return out
