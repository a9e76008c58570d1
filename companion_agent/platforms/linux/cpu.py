"""The processor, from `/proc/stat`, `/proc/loadavg` and cpufreq.

Sources: proc(5); Documentation/admin-guide/pm/cpufreq.rst.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import CpuSample, CpuTimes
from companion_agent.platforms.linux.files import integer

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

_POLICIES = "sys/devices/system/cpu/cpufreq"


def parse_stat(data: bytes) -> CpuSample | None:
    """Read `/proc/stat`; `None` when it does not begin with the processor's times."""
    total: CpuTimes | None = None
    cores: dict[int, CpuTimes] = {}
    position = 0
    # The processors come first. The interrupts after them are the bulk of the file: not split.
    while data.startswith(b"cpu", position):
        end = data.find(b"\n", position)
        line = data[position : end if end >= 0 else len(data)]
        name, *fields = line.split()
        times = _times(fields)
        number = integer(name[3:])
        if times is not None and name == b"cpu":
            total = times
        elif times is not None and number is not None and number >= 0:
            cores[number] = times
        if end < 0:
            break
        position = end + 1
    if total is None:
        return None
    return CpuSample(total, cores, _switches(data))


def _times(fields: list[bytes]) -> CpuTimes | None:
    """Read user, nice, system, idle, iowait, irq, softirq, steal; guest is part of user."""
    try:
        ticks = [int(field) for field in fields[:8]]
    except ValueError:
        return None
    if len(ticks) < 4:
        return None
    total = sum(ticks)
    # Waiting for a disk is idling: the processor could have done something else.
    return CpuTimes(total - sum(ticks[3:5]), total)


def _switches(data: bytes) -> int | None:
    start = data.find(b"\nctxt ")
    if start < 0:
        return None
    return integer(data[start + 6 : start + 6 + 20].split(b"\n", 1)[0])


def parse_load(data: bytes) -> tuple[float, float, float] | None:
    """Read `/proc/loadavg`."""
    try:
        one, five, fifteen = (float(field) for field in data.split()[:3])
    except ValueError:
        return None
    if not all(math.isfinite(value) and 0 <= value < 1e9 for value in (one, five, fifteen)):
        return None
    return one, five, fifteen


class Processor:
    """The processor of one machine."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._policies: dict[str, int] = {}

    def sample(self) -> CpuSample:
        """Read the counters.

        Raises:
            Unavailable: `/proc/stat` is missing or not what it should be.
        """
        sample = parse_stat(self._files.read("proc/stat") or b"")
        if sample is None:
            raise Unavailable("/proc/stat cannot be read", "mount /proc")
        return sample

    def load(self) -> tuple[float, float, float] | None:
        """Return the load averages."""
        return parse_load(self._files.read("proc/loadavg") or b"")

    def frequency(self) -> float | None:
        """Return the mean of the cores' present frequencies in MHz.

        A policy is a group of cores that share a clock; reading one file for each group is
        cheaper than one for each core, above all on boards where all cores are one group.
        """
        names = self._files.names(_POLICIES)
        if names != list(self._policies):
            self._policies = {name: self._cores(name) for name in names}
        weighted = cores = 0
        for name, count in self._policies.items():
            if count:
                khz = self._files.number(f"{_POLICIES}/{name}/scaling_cur_freq")
                if khz is not None and 0 < khz < 100_000_000:
                    weighted += khz * count
                    cores += count
        return weighted / cores / 1000 if cores else None

    def _cores(self, policy: str) -> int:
        if not policy.startswith("policy"):
            return 0
        affected = self._files.text(f"{_POLICIES}/{policy}/affected_cpus")
        return len(affected.split()) if affected else 0
