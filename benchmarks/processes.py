"""What a process and its children use: memory, processor time, wake-ups."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import statistics
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

_TICKS = os.sysconf("SC_CLK_TCK")
# CPUCLOCK_SCHED of the kernel: the clock that runs while any thread of a process does.
_PROCESS_CLOCK = 2


@dataclass(frozen=True)
class Usage:
    """What was used during a window.

    Attributes:
        rss: Resident memory in bytes.
        uss: The part of it that no other process shares: what ending the process would give back.
        cpu_per_minute: Seconds of processor time in a minute, ended children included.
        wakeups_per_minute: How often a thread of it was woken.
    """

    rss: float
    uss: float
    cpu_per_minute: float
    wakeups_per_minute: float


def watch(pid: int, window: float, samples: int = 5) -> Usage:
    """Watch a process and its children for ``window`` seconds.

    Memory is the median of several looks, so that one moment does not decide.
    """
    start, cpu, wakeups = time.monotonic(), cpu_seconds(pid), _wakeups(pid)
    memory = []
    for sample in range(samples):
        _sleep_until(start + window * (sample + 1) / samples)
        memory.append(_memory(pid))
    elapsed = time.monotonic() - start
    return Usage(
        rss=statistics.median(rss for rss, _ in memory),
        uss=statistics.median(uss for _, uss in memory),
        cpu_per_minute=(cpu_seconds(pid) - cpu) * 60 / elapsed,
        wakeups_per_minute=(_wakeups(pid) - wakeups) * 60 / elapsed,
    )


def uss(pid: int) -> int:
    """Return the unshared memory of one process in bytes."""
    return int(psutil.Process(pid).memory_full_info().uss)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _family(pid: int) -> Iterator[psutil.Process]:
    parent = psutil.Process(pid)
    yield parent
    yield from parent.children(recursive=True)


def _memory(pid: int) -> tuple[int, int]:
    rss = unshared = 0
    for process in _family(pid):
        try:
            full = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        rss += full.rss
        unshared += full.uss
    return rss, unshared


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, its children and those that have ended.

    A light agent uses a few hundredths of a second in the whole window, so the
    10 ms ticks of ``/proc`` will not do: the process's own clock counts nanoseconds.
    Only of children that have ended there are nothing but ticks.
    """
    total = 0.0
    for process in _family(pid):
        try:
            total += time.clock_gettime((~process.pid << 3) | _PROCESS_CLOCK)
            # Fields 16 and 17, counted behind the name, which may hold blanks.
            text = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
            fields = text.rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / _TICKS
        except OSError:
            continue  # It ended meanwhile; its parent has its time.
    return total


def _wakeups(pid: int) -> int:
    total = 0
    for process in _family(pid):
        for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
            try:
                text = status.read_text(encoding="utf-8")
            except OSError:
                continue
            for line in text.splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    total += int(line.split()[1])
    return total
