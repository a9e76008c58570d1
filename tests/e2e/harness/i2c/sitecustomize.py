"""A room sensor on bus 1 of an agent's machine.

Python imports this by itself where the folder is on `PYTHONPATH`: nothing of the agent is another
than on a Raspberry Pi, but what the kernel would do.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import time

import smbus2

from companion_agent.platforms.linux import i2c
from support.clock import ManualClock
from support.i2c import Aht20, FakeI2cBus, FakeI2cKernel


class RunningClock(ManualClock):
    """Time that passes by itself."""

    now = property(lambda _: time.monotonic(), lambda _, __: None)  # type: ignore[assignment]


class AhtOfARoom(Aht20):
    """An AHT20 that measures what a file says of its room."""

    def write(self, data: bytes) -> None:
        """Take a command."""
        room = json.loads(Path(os.environ["PILOT_TEST_ROOM"]).read_text(encoding="utf-8"))
        self.celsius, self.percent = room["celsius"], room["percent"]
        super().write(data)


clock = RunningClock()
kernel = FakeI2cKernel(clock)
bus = kernel.buses["/dev/i2c-1"] = FakeI2cBus(clock)
bus.devices[0x38] = AhtOfARoom(clock)
smbus2.SMBus = kernel.smbus()  # type: ignore[misc]
i2c.numbers = lambda _: [1]
