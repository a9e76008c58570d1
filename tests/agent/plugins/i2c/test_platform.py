"""Why a bus cannot be used, in words that say what to do."""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.errors import Unavailable
from companion_agent.platforms.i2c import NoAnswerError, StuckBusError
from companion_agent.platforms.portable import PortablePlatform
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.plugins.i2c.plugin import I2cPlugin
from companion_agent.plugins.i2c.settings import I2cConfig
from companion_agent.plugins.raspberry_pi import RaspberryPiPlugin

from .conftest import sensor

if TYPE_CHECKING:
    from .conftest import I2cMachine

CONFIG = I2cConfig((sensor("aht20", 0x38),))


def why(machine: I2cMachine) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        I2cPlugin(machine.platform, config=CONFIG).probe()
    return caught.value


def test_no_bus(machine: I2cMachine) -> None:
    error = why(machine)

    assert error.reason == "there is no I²C bus (/dev/i2c-*)"
    assert "raspi-config" in error.hint


def test_another_bus(machine: I2cMachine) -> None:
    machine.bus(20)

    assert why(machine).reason == "there is no I²C bus 1 (/dev/i2c-1)"


def test_no_permission(machine: I2cMachine) -> None:
    machine.bus()
    machine.kernel.forbidden = set(machine.kernel.buses)

    error = why(machine)

    assert error.reason == "/dev/i2c-1 may not be opened"
    assert "usermod -aG i2c" in error.hint


def test_no_smbus2(machine: I2cMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.bus()
    monkeypatch.setitem(sys.modules, "smbus2", None)

    error = why(machine)

    assert error.reason == "smbus2 is not installed"
    assert "pilot-agent[i2c]" in error.hint


@pytest.mark.parametrize("platform", [PortablePlatform, WindowsPlatform])
def test_other_systems(platform: type[PortablePlatform]) -> None:
    with pytest.raises(Unavailable, match="does not tell what hangs on an I²C bus"):
        I2cPlugin(platform(), config=CONFIG).probe()
    with pytest.raises(Unavailable, match="not a Raspberry Pi"):
        RaspberryPiPlugin(platform()).probe()


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENXIO, NoAnswerError, "does not answer"),
        (121, NoAnswerError, "does not answer"),
        (errno.ETIMEDOUT, StuckBusError, "the bus is stuck"),
        (errno.EAGAIN, StuckBusError, "the bus is stuck"),
        (errno.EOPNOTSUPP, OSError, "this bus is for SMBus only"),
        (errno.ENODEV, OSError, "gone"),
    ],
)
def test_errors_of_the_kernel(
    machine: I2cMachine, monkeypatch: pytest.MonkeyPatch, number: int, kind: type, text: str
) -> None:
    bus = machine.bus()

    def fail(_messages: Any) -> None:
        raise OSError(number, "gone")

    monkeypatch.setattr(bus, "transfer", fail)
    bus = machine.platform.i2c_bus(1)

    with pytest.raises(kind, match=text):
        bus.transfer(0x38, b"", 1)
    bus.close()
