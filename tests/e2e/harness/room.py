"""A room, and what there is to measure in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

_SITE = Path(__file__).parent / "i2c"
_TESTS = Path(__file__).parents[2]


class Room:
    """What a simulated AHT20 at 0x38 on bus 1 measures.

    Args:
        file: Where the agent's process finds it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.becomes(21.5, 45)

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for the agent whose machine has the sensor."""
        return {"PYTHONPATH": f"{_SITE}{os.pathsep}{_TESTS}", "PILOT_TEST_ROOM": str(self._file)}

    def becomes(self, celsius: float, percent: float = 45) -> None:
        """Let it be as warm and as humid as this, for every measurement from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"celsius": celsius, "percent": percent}), encoding="utf-8")
        fresh.replace(self._file)
