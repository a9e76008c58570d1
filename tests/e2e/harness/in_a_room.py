"""``pilot-agent`` on a machine with an AHT20 on its bus, and with a clock that the test sets.

``python in_a_room.py FOLDER MEASURED PROGRAM ARGUMENT...``; FOLDER holds the files ``clock``
(seconds that the machine's clocks are ahead of this one's) and ``celsius`` (how warm it is).
MEASURED is a file that gets a line for each measurement, with what it found. That the clock of
the wall and the one since the start of the system go together is what tells hours that pass from
a clock that is set.
"""

from __future__ import annotations

from pathlib import Path
import sys
import time

FOLDER = Path(sys.argv[1])
MEASURED = Path(sys.argv[2])
ROOT = Path(__file__).resolve().parents[3]

_time, _gettime, _monotonic = time.time, time.clock_gettime, time.monotonic
_MOVED = {time.CLOCK_REALTIME, time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC}


def ahead() -> float:
    """Return by how much the machine's clocks are ahead."""
    return float((FOLDER / "clock").read_text(encoding="ascii"))


def set_clocks() -> None:
    """Have everything that is imported from now on see them."""
    time.time = lambda: _time() + ahead()
    time.clock_gettime = lambda clock: _gettime(clock) + (ahead() if clock in _MOVED else 0.0)


def measure() -> float:
    """Return how warm it is, and note that this was asked."""
    celsius = float((FOLDER / "celsius").read_text(encoding="ascii"))
    with MEASURED.open("a", encoding="ascii") as file:
        file.write(f"{celsius}\n")
    return celsius


def plug_in() -> None:
    """Have a simulated bus in place of the kernel's."""
    sys.path.insert(0, str(ROOT / "tests"))
    import smbus2  # type: ignore[import-not-found]

    from companion_agent.platforms.linux import i2c
    from support.clock import ManualClock
    from support.i2c import Aht20, FakeI2cBus, FakeI2cKernel

    class Now(ManualClock):
        """Time that passes by itself."""

        now = property(lambda _: _monotonic(), lambda _, __: None)  # type: ignore[assignment]

    class AhtOfTheTest(Aht20):
        """One that measures what the test says."""

        celsius = property(lambda _: measure(), lambda _, __: None)  # type: ignore[assignment]

    clock = Now()
    kernel = FakeI2cKernel(clock)
    kernel.buses["/dev/i2c-1"] = FakeI2cBus(clock)
    kernel.buses["/dev/i2c-1"].devices[0x38] = AhtOfTheTest(clock)
    smbus2.SMBus = kernel.smbus()
    i2c.numbers = lambda _: [1]


def main() -> int:
    """Run as a program."""
    set_clocks()
    plug_in()
    from companion_agent.cli import main as agent

    sys.argv = sys.argv[3:]
    return agent() or 0


if __name__ == "__main__":
    sys.exit(main())
