"""The brightness of monitors by DDC/CI, as `ddcutil` speaks it.

ddcutil is what the field's desktops and tools use: it knows the pauses and repeats that monitors
need and checks what they answer. What there is for Python (monitorcontrol 4.2) asks every I²C bus
of the machine, ignores checksums, and its pauses between messages are never made. Sources:
ddcutil(1); VESA's MCCS 2.2 (0x10 is luminance); drivers/gpu/drm (`ddc`, `i2c-N` of a connector).
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import DdcLevel
from companion_agent.platforms.linux.backlight import connectors, is_built_in

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

_BUS = re.compile(r"i2c-(\d+)")
# Luminance; what a monitor answers about it, of a continuous kind: its value and its maximum.
_LUMINANCE = "10"
_ANSWER = re.compile(r"^VCP 10 C (\d+) (\d+)$", re.MULTILINE)
# A monitor that does not answer is tried about ten times.
_LIMIT = 6.0


def buses(files: Files) -> dict[str, int]:
    """Return the I²C bus of each monitor that has one, by its connector's name."""
    found = {}
    for one in connectors(files):
        # A DisplayPort's own channel is a bus below the connector; others have a link to theirs.
        names = files.names(one.folder)
        own = [match for name in names if (match := _BUS.fullmatch(name))]
        linked = _BUS.fullmatch((files.target(f"{one.folder}/ddc") or "").rpartition("/")[2])
        bus = own[0] if own else linked
        if bus and not is_built_in(one.name):
            found[one.name] = int(bus[1])
    return found


class Ddcutil:
    """Runs ddcutil."""

    def level(self, bus: int) -> DdcLevel:
        """Read the brightness of the monitor on a bus.

        Raises:
            Unavailable: It does not answer, or cannot be dimmed.
        """
        answer = self._run(bus, "getvcp", _LUMINANCE)
        found = _ANSWER.search(answer)
        if found is None or int(found[2]) == 0:
            said = " ".join(answer.split())[:120] or "nothing"
            raise Unavailable(f"it does not tell its brightness by DDC/CI: ddcutil says “{said}”")
        return DdcLevel(int(found[1]), int(found[2]))

    def set_level(self, bus: int, value: int) -> None:
        """Set the brightness of the monitor on a bus.

        Raises:
            Unavailable: ddcutil cannot be run.
        """
        # What is read back decides, and the pauses that are read with ddcutil's own.
        self._run(bus, "setvcp", _LUMINANCE, str(value), "--noverify")

    def _run(self, bus: int, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ["ddcutil", "--bus", str(bus), "--terse", *arguments],
                capture_output=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=_LIMIT,
            )
        except FileNotFoundError:
            raise Unavailable(
                "ddcutil is not installed", "install the package ddcutil, or set screen.ddc to no"
            ) from None
        except subprocess.TimeoutExpired:
            raise Unavailable(f"ddcutil does not end within {_LIMIT:g} s") from None
        except OSError as error:
            raise Unavailable(f"ddcutil cannot be run: {error.strerror}") from error
        return (done.stdout + done.stderr).decode("utf-8", "replace")
