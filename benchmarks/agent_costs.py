"""Part (a): what agents cost the host that they watch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import contextlib
import statistics
import time
from typing import TYPE_CHECKING

import psutil

from stack.console import StackError, say

from . import agents, processes
from .broker import StockMosquitto
from .listener import Heard, Listener
from .report import Cell, Table, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .agents import Subject

_MIB = 1024 * 1024
_STARTS = 3
"""Starts whose first reading is timed; the median counts."""

_SUBJECTS = (
    agents.floor,
    agents.pilot,
    agents.floor_of_everything,
    agents.pilot_with_everything,
    agents.psmqtt,
    agents.collectd,
    agents.collectd_without_processes,
    agents.lnxlink,
)

_PILOT = "pilot-agent"

COLUMNS = (
    "agent",
    "RSS MiB",
    "USS MiB",
    "CPU s/min",
    "wake-ups/min",
    "messages/min",
    "readings",
    "first reading s",
    "packages",
    "disk MiB",
)


def run(
    folder: Path,
    tables: list[Table],
    *,
    interval: float,
    warmup: float,
    window: float,
    together: bool,
) -> None:
    """Measure all agents.

    Args:
        folder: For their files.
        tables: Has those that were measured so far, also after an interruption.
        interval: At which they read, in seconds.
        warmup: Seconds before they are watched.
        window: Seconds that they are watched.
        together: All at the same time instead of one after the other: on a machine that
            is never quiet, what disturbs one then disturbs all.
    """
    table = Table(
        f"Agents at a {interval:g} s interval ({warmup:g} s warm-up, {window:g} s window)", COLUMNS
    )
    order = "all at the same time" if together else "one after the other"
    table.notes.append(
        f"{order}, each with a fresh Mosquitto on loopback; first reading: median of {_STARTS} "
        "starts; collectd is measured with and without its plug-in for processes, which looks at "
        "every process where the others only count them"
    )
    trials = []
    for make in _SUBJECTS:
        try:
            if (subject := make()) is None:
                table.notes.append(f"{make.__name__} is not installed here")
            else:
                trials.append(_Trial(subject, folder / make.__name__, interval))
                table.notes += [subject.note] if subject.note else []
        except StackError as error:
            table.notes.append(f"{make.__name__}: {error}")
    tables.append(table)
    try:
        for group in [trials] if together else [[trial] for trial in trials]:
            _try(group, warmup, window)
            for trial in group:
                if trial.error:
                    table.notes.append(f"{trial.subject.name}: {trial.error}")
                elif trial.row:
                    table.add(trial.row)
    finally:
        tables.append(_ratios(table))


class _Trial:
    """One agent on trial.

    Attributes:
        row: What was measured.
        error: Why nothing was.
    """

    def __init__(self, subject: Subject, folder: Path, interval: float) -> None:
        self.subject = subject
        self.row: list[Cell] | None = None
        self.error = ""
        self._broker = StockMosquitto(folder / "broker")
        self._listener = Listener(self._broker)
        self._process = subject.launch(folder, self._broker, interval)
        self._firsts: list[float] = []

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Start broker and agent, the agent several times."""
        say(f"starting {self.subject.name}")
        stack.enter_context(self._broker)
        stack.enter_context(self._listener)
        stack.callback(self._process.stop)
        for number in range(_STARTS):
            if number:
                time.sleep(1)
                self._process.stop()
                time.sleep(0.5)  # Its last words must not count as the next start's first.
            first = _first_reading(self.subject, self._process.start, self._listener)
            self._firsts.append(first)

    def watch(self, window: float) -> None:
        """Watch what it uses."""
        mark = len(self._listener.messages)
        try:
            usage = processes.watch(self._process.pid, window)
        except psutil.NoSuchProcess:
            self.error = f"it has ended\n{self._process.log_tail()}"
            return
        messages = len(self._listener.messages) - mark
        size = self.subject.size
        self.row = [
            self.subject.name,
            round(usage.rss / _MIB, 1),
            round(usage.uss / _MIB, 1),
            round(usage.cpu_per_minute, 4),
            round(usage.wakeups_per_minute),
            round(messages * 60 / window),
            self.subject.count(self._listener.last()),
            round(statistics.median(self._firsts), 3),
            self.subject.packages,
            None if size is None else round(size / _MIB, 1),
        ]


def _try(trials: Sequence[_Trial], warmup: float, window: float) -> None:
    """Measure these at the same time."""
    with contextlib.ExitStack() as stack:
        for trial in trials:
            try:
                trial.begin(stack)
            except StackError as error:
                trial.error = str(error)
        running = [trial for trial in trials if not trial.error]
        names = ", ".join(trial.subject.name for trial in running)
        say(f"measuring {names} ({warmup + window:.0f} s)")
        time.sleep(warmup)
        threads = ThreadPoolExecutor(max(1, len(running)))
        try:
            list(threads.map(lambda trial: trial.watch(window), running))
        finally:
            # Once the agents are stopped they end by themselves: an interruption need not wait.
            threads.shutdown(wait=False, cancel_futures=True)


def _first_reading(subject: Subject, start: Callable[[], None], listener: Listener) -> float:
    """Start the agent and return the seconds until its first reading is heard."""
    before = len(listener.messages)

    def wanted(heard: Heard) -> bool:
        return bool(heard.payload) and subject.is_reading(heard.topic)

    begun = time.monotonic()
    start()
    heard = listener.wait(wanted, 60, since=before)
    if heard is None:
        raise StackError(f"{subject.name} sent no reading within a minute")
    return heard.at - begun


def _ratios(table: Table) -> Table:
    """Return the agent's part of what each other one costs; with everything on, of its floor."""
    cells = {str(row[0]): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    ratios = Table("pilot-agent as a part of", ("of", "RSS", "USS", "CPU", "first reading"))
    for name, row in cells.items():
        everything = name.endswith(agents.EVERYTHING)
        pilot = cells.get(f"{_PILOT}{agents.EVERYTHING}" if everything else _PILOT)
        if pilot is None or name.startswith(_PILOT):
            continue
        parts = [
            ratio(_number(pilot[column]), _number(row[column]))
            for column in ("RSS MiB", "USS MiB", "CPU s/min", "first reading s")
        ]
        ratios.rows.append([name, *parts])
    return ratios


def _number(cell: Cell) -> float | None:
    return float(cell) if isinstance(cell, int | float) else None
