"""A room sensor on bus 1 of an agent's machine.

Python imports this by itself where the folder is on `PYTHONPATH`: nothing of the agent is another
than on a Raspberry Pi, but what the kernel would do.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
import time
from typing import TYPE_CHECKING, Any

import smbus2

from companion_agent.platforms.linux import i2c

if TYPE_CHECKING:
    from types import ModuleType

_SENSORS = Path(__file__).resolve().parents[3] / "agent" / "i2c" / "simulated.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulated", _SENSORS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulated: Any = _load()


class Clock:
    """Time as it passes."""

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()


class Aht20(simulated.Aht20):
    """An AHT20 that measures what a file says of its room."""

    def write(self, data: bytes) -> None:
        """Take a command."""
        room = json.loads(Path(os.environ["PILOT_TEST_ROOM"]).read_text(encoding="utf-8"))
        self.celsius, self.percent = room["celsius"], room["percent"]
        super().write(data)


kernel = simulated.Kernel(Clock())
wire = kernel.wires["/dev/i2c-1"] = simulated.Wire(kernel.clock)
wire.devices[0x38] = Aht20(kernel.clock)
smbus2.SMBus = kernel.smbus()  # type: ignore[misc]
i2c.numbers = lambda _: [1]
