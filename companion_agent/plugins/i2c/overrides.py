"""What was changed of sensors from Home Assistant, kept in the agent's state folder.

What was changed wins over the configuration file, quantity by quantity, until it is taken back.
The file may be changed by another process while the agent runs: `pilot-agent tuning reset`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
import json
import logging
import math
import threading
from typing import TYPE_CHECKING, Any, TypeGuard

from companion_agent.plugins.i2c.settings import Tuning
from companion_agent.protocol.errors import PilotError
from companion_agent.storage.files import (
    make_private_folder,
    move,
    read_bytes,
    read_versioned,
    write_private,
)
from companion_agent.storage.permissions import AS_ADMINISTRATOR
from companion_agent.storage.plain import is_there

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LOGGER = logging.getLogger("companion_agent.plugins")

OVERRIDES_FILE = "tuning.json"

MIN_INTERVAL, MAX_INTERVAL = 1, 86_400
MAX_AVERAGE = 1_000
MAX_OFFSET = 100_000
MAX_SENSORS = 500
_VERSION = 1
_FIELDS = {"interval", "average", "offset"}


class OverridesError(PilotError):
    """What was changed cannot be read or kept; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed of one sensor; what was not is as the configuration says.

    Attributes:
        offsets: Offsets by quantity, in its unit.
        interval: Seconds between two measurements.
        average: Of how many measurements a value is the mean.
    """

    offsets: Mapping[str, float] = field(default_factory=dict)
    interval: float | None = None
    average: int | None = None

    def over(self, configured: Tuning) -> Tuning:
        """Return the tuning that follows from this and the configuration."""
        return Tuning(
            {**configured.offsets, **self.offsets},
            self.interval or configured.interval,
            self.average or configured.average,
        )

    def and_then(self, later: Change) -> Change:
        """Return both changes as one."""
        return Change(
            {**self.offsets, **later.offsets},
            later.interval or self.interval,
            later.average or self.average,
        )

    def __str__(self) -> str:
        parts = [] if self.interval is None else [f"interval {self.interval:g} s"]
        parts += [] if self.average is None else [f"average {self.average}"]
        parts += [f"{quantity} offset {by:+g}" for quantity, by in self.offsets.items()]
        return ", ".join(parts)


class Overrides:
    """The changes of all sensors. Its methods may be called from several threads.

    Args:
        folder: The state folder; without one nothing outlasts the process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / OVERRIDES_FILE if folder else None
        self._lock = threading.Lock()
        self._changes: dict[str, Change] = {}
        self._seen: tuple[int, int, int] | None = None

    @classmethod
    def as_of_now(cls, folder: Path) -> Overrides:
        """Return what was changed until now, for those who only look.

        Raises:
            OverridesError: The file is there, but cannot be used.
        """
        overrides = cls()
        overrides._changes = peek(folder)
        return overrides

    def of(self, sensor: str) -> Change:
        """Return what was changed of a sensor."""
        return self._changes.get(sensor) or Change()

    def look(self) -> bool:
        """Read the file if it is another than before; tell whether it was.

        A damaged file is moved aside and logged: to start from the configuration is better than
        not to measure.
        """
        with self._lock:
            return self._look()

    def add(self, sensor: str, change: Change) -> None:
        """Keep a change.

        Raises:
            OverridesError: That did not work; what was there before still is.
        """
        with self._lock:
            self._look()
            self._save({**self._changes, sensor: self.of(sensor).and_then(change)})

    def remove(self, sensor: str) -> None:
        """Let a sensor be as the configuration says again.

        Raises:
            OverridesError: That did not work; what was there before still is.
        """
        with self._lock:
            self._look()
            self._save({name: kept for name, kept in self._changes.items() if name != sensor})

    def _look(self) -> bool:
        if self._path is None:
            return False
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            seen = None
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._changes = peek(self._path.parent)
        except OverridesError as error:
            self._changes = {}
            _LOGGER.warning("i2c: %s; the sensors are as the configuration says", error)
            with suppress(OSError):
                move(self._path, aside(self._path.parent))
        return True

    def _save(self, changes: dict[str, Change]) -> None:
        if self._path is not None:
            try:
                make_private_folder(self._path.parent)
                write_private(self._path, dump(changes))
                status = self._path.stat()
            except OSError as error:
                raise OverridesError(
                    f"this cannot be kept in {self._path}: {error.strerror or error}"
                ) from error
            self._seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        self._changes = changes


def aside(folder: Path) -> Path:
    """Return where a damaged file is moved to."""
    return folder / f"{OVERRIDES_FILE}.damaged"


def is_aside(folder: Path) -> bool:
    """Tell whether there is one, as far as this user may see."""
    return is_there(aside(folder))


def peek(folder: Path) -> dict[str, Change]:
    """Read what was changed, and change nothing, whatever is found.

    Raises:
        OverridesError: The file is there, but cannot be used.
    """
    path = folder / OVERRIDES_FILE
    try:
        return parse(read_bytes(path))
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise OverridesError(f"{path} may not be read by this user; {AS_ADMINISTRATOR}") from error
    except OSError as error:
        raise OverridesError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise OverridesError(f"what was changed of sensors ({path}) is damaged: {error}") from error


def dump(changes: Mapping[str, Change]) -> str:
    """Write changes as the file holds them."""
    sensors = {
        sensor: {
            name: value
            for name, value in (
                ("interval", change.interval),
                ("average", change.average),
                ("offset", dict(change.offsets)),
            )
            if value
        }
        for sensor, change in changes.items()
    }
    return json.dumps({"version": _VERSION, "sensors": sensors}, indent=2) + "\n"


def parse(content: bytes) -> dict[str, Change]:
    """Read what `dump` wrote.

    Raises:
        ValueError: It is something else; the text says where.
    """
    sensors = read_versioned(content, _VERSION).get("sensors")
    if not isinstance(sensors, dict) or len(sensors) > MAX_SENSORS:
        raise ValueError(f"sensors is not an object of at most {MAX_SENSORS}")
    return {sensor: _parse_change(sensor, said) for sensor, said in sensors.items()}


def _parse_change(sensor: str, said: Any) -> Change:  # noqa: ANN401  (whatever JSON holds)
    if not isinstance(said, dict) or said.keys() - _FIELDS:
        raise ValueError(f"{sensor} is not an object of {', '.join(sorted(_FIELDS))}")
    interval, average, offsets = (said.get(name) for name in ("interval", "average", "offset"))
    if interval is not None and not _between(interval, MIN_INTERVAL, MAX_INTERVAL):
        raise ValueError(f"the interval of {sensor} is not {MIN_INTERVAL} to {MAX_INTERVAL}")
    if average is not None and not _is_count(average):
        raise ValueError(f"the average of {sensor} is not a whole number from 1 to {MAX_AVERAGE}")
    if offsets is None:
        offsets = {}
    if not isinstance(offsets, dict) or not all(
        _between(by, -MAX_OFFSET, MAX_OFFSET) for by in offsets.values()
    ):
        raise ValueError(f"an offset of {sensor} is not a number within ±{MAX_OFFSET}")
    return Change(offsets, interval, average)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and _between(value, 1, MAX_AVERAGE)


def _between(value: object, least: float, most: float) -> TypeGuard[float]:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and least <= value <= most
    )
