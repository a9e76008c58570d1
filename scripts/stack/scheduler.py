"""Runs steps side by side, as many as the processors can bear, each as a process of its own."""

from __future__ import annotations

from dataclasses import asdict, replace
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from .console import paint
from .results import Outcome
from .steps import NICE, Options, Step, end_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Steps have processes of their own to end in order, each of which gets 20 s a signal.
_PATIENCE = 70
_LOOK_EVERY = 0.2
_SAY_EVERY = 60
_SHOWN = 40
"""Characters of what a step said last."""


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SideBySide:
    """Steps that run together; their output is shown when they end.

    Args:
        steps: What to run.
        options: What the command line asks for.
        cores: How many processors there are. No more load than that is started: the real
            programs of a test have limits, and miss them where more run than can.

    """

    def __init__(self, steps: Sequence[Step], options: Options, cores: int) -> None:
        # What takes longest first: the others fit in beside it.
        self._waiting = sorted(steps, key=lambda step: -step.minutes)
        self._options = {
            step: replace(options, workers=step.workers(len(steps), cores)) for step in steps
        }
        self._capacity = cores
        self._running: list[_Running] = []
        self._line = _Line()

    def run(self, ended: Callable[[Step, Outcome], None]) -> bool:
        """Run them all and report each that ends; return whether they were let run to the end."""
        with tempfile.TemporaryDirectory(prefix="pilot-steps-") as scratch:
            try:
                while self._waiting or self._running:
                    for step in self._startable():
                        self._running.append(_Running(step, self._options[step], Path(scratch)))
                    time.sleep(_LOOK_EVERY)
                    self._collect(ended)
                    self._line.show([one.progress() for one in self._running], len(self._waiting))
            except KeyboardInterrupt:
                self._line.clear()
                self._end(ended)
                return False
        return True

    def _startable(self) -> Iterator[Step]:
        for step in list(self._waiting):
            load = sum(one.step.load for one in self._running)
            if not self._running or load + step.load <= self._capacity:
                self._waiting.remove(step)
                yield step

    def _collect(self, ended: Callable[[Step, Outcome], None]) -> None:
        for one in list(self._running):
            if one.process.poll() is not None:
                self._running.remove(one)
                self._line.clear()
                one.show()
                ended(one.step, one.outcome())

    def _end(self, ended: Callable[[Step, Outcome], None]) -> None:
        """End all at once, not one after the other."""
        for one in self._running:
            one.interrupt()
        for one in self._running:
            one.end()
            one.show()
            ended(one.step, one.outcome())


class _Running:
    """A step that was started."""

    def __init__(self, step: Step, options: Options, scratch: Path) -> None:
        self.step = step
        self._start = time.monotonic()
        self._output = scratch / f"{step.name}.log"
        self._result = scratch / f"{step.name}.json"
        self._progress = scratch / f"{step.name}.progress"
        own = replace(options, progress=str(self._progress))
        nice = [] if step.waits else ["nice", "-n", str(NICE)]
        command = [*nice, sys.executable, "-m", "stack.run_step", step.name, str(self._result)]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, json.dumps(asdict(own))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def progress(self) -> str:
        """Return the step's name and how far it is: by its tests, or by what it said last."""
        try:
            done = self._progress.read_text(encoding="utf-8")
        except OSError:
            lines = self._output.read_text(encoding="utf-8", errors="replace").split("\n")
            done = next((line for line in reversed(lines) if line.strip()), "")[:_SHOWN]
        return f"{self.step.name} {done}"

    def show(self) -> None:
        """Show what it has said, whole."""
        sys.stdout.flush()
        with self._output.open("rb") as output:
            shutil.copyfileobj(output, sys.stdout.buffer)
        sys.stdout.flush()

    def outcome(self) -> Outcome:
        """Return what became of it."""
        return Outcome.read(self._result) or Outcome(
            ok=False,
            note=f"ended with {self.process.returncode} and no result",
            seconds=time.monotonic() - self._start,
        )

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C would."""
        if self.process.poll() is None:
            self.process.terminate()

    def end(self) -> None:
        """Wait for its end after :meth:`interrupt`, and insist."""
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            end_group(self.process, patience=1)


class _Line:
    """Says what is running: in one line of a terminal, now and then in a log."""

    def __init__(self) -> None:
        self._start = self._said = time.monotonic()
        self._terminal = sys.stdout.isatty()

    def show(self, running: Sequence[str], waiting: int) -> None:
        now = time.monotonic()
        if not self._terminal and now - self._said < _SAY_EVERY:
            return
        self._said = now
        minutes, seconds = divmod(int(now - self._start), 60)
        parts = [*running, *([f"{waiting} waiting"] if waiting else [])]
        text = f"{minutes}:{seconds:02d}  " + "  ·  ".join(parts)
        if self._terminal:
            width = shutil.get_terminal_size().columns
            print(f"\r\033[K{text[: width - 1]}", end="", flush=True)
        elif running:
            print(f"{paint('…', '36')} {text}", flush=True)

    def clear(self) -> None:
        if self._terminal:
            print("\r\033[K", end="", flush=True)
