"""Processes that end with their parent, and that write to a log of their own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Self, TypeVar

from .console import StackError
from .toolchain import clean_env

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_T = TypeVar("_T")

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def wait_for(
    condition: Callable[[], _T | None],
    what: str,
    *,
    timeout: float = 30,
    interval: float = 0.1,
    process: Process | None = None,
) -> _T:
    """Call ``condition`` until it returns something true, and return that.

    Args:
        condition: Asked again and again; must not block for long.
        what: What is waited for, for the error message.
        timeout: In seconds.
        interval: Seconds between two calls; as long as a call took, where that is longer.
        process: The process it depends on: when that ends, so does the wait, and
            the end of its log is shown in the error.

    Raises:
        StackError: The time ran out, or the process ended.

    """
    deadline = time.monotonic() + timeout
    while True:
        asked = time.monotonic()
        if result := condition():
            return result
        if process is not None and not process.running:
            raise StackError(
                f"{process.name} ended ({process.returncode}) while waiting for {what}\n"
                f"{process.log_tail()}"
            )
        if time.monotonic() > deadline:
            tail = f"\n{process.log_tail()}" if process is not None else ""
            raise StackError(f"no {what} within {timeout:g} s{tail}")
        # Asking takes processors from what is waited for: no more than half of the time.
        time.sleep(max(interval, time.monotonic() - asked))


def free_port(preferred: int | None = None, host: str = "127.0.0.1") -> int:
    """Return a TCP port that no server listens on, ``preferred`` where it is free."""
    for port in (preferred, 0) if preferred else (0,):
        # On macOS a port may be bound although a server listens on all addresses.
        if port and answers(host, port):
            continue
        with socket.socket() as probe:
            # As servers do it: a port in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError(f"no free port on {host}")


def answers(host: str, port: int) -> bool:
    """Tell whether something accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


class Process:
    """A child process with a log file.

    It leads a process group of its own, so that Ctrl-C reaches us alone and we
    end it in order. On Linux the kernel ends it when we are killed hard.

    Args:
        name: What messages call it.
        command: What it is started by.
        log: Its output is appended there.
        cwd: Its working folder.
        env: More environment variables.
        stop_signal: Asks it to end in order.
        stop_timeout: Seconds until it is ended otherwise.
        piped: Give it a pipe for its output, and not the log itself.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_timeout: float = 30,
        piped: bool = False,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._cwd = cwd
        self._env = dict(env or {})
        self._stop_signal = stop_signal
        self._stop_timeout = stop_timeout
        self._piped = piped
        self._copying: threading.Thread | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it is there and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._popen is None:
            raise StackError(f"{self.name} was not started")
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; ``None`` while it runs."""
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        """Start it. Its output is appended to the log."""
        if self.running:
            raise StackError(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()

        def in_child() -> None:
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:  # We died before the line above.
                    os._exit(1)

        with self.log.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._popen = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if self._piped else log,
                    stderr=subprocess.STDOUT,
                    cwd=self._cwd,
                    env=clean_env(**self._env),
                    start_new_session=True,
                    # Safe: nothing is allocated or locked between fork and exec.
                    preexec_fn=in_child,  # noqa: PLW1509
                )
            except OSError as error:
                raise StackError(f"{self.name} could not be started: {error}") from error
        if self._popen.stdout:
            self._copying = threading.Thread(
                target=_copy, args=(self._popen.stdout, self.log), daemon=True
            )
            self._copying.start()

    def stop(self) -> int | None:
        """Ask it to end, insist after a while, and return how it ended."""
        if self._popen is None:
            return None
        if self.running:
            self._signal(self._stop_signal)
            self.resume()  # One that is suspended would not notice.
            try:
                self._popen.wait(self._stop_timeout)
            except subprocess.TimeoutExpired:
                return self.kill()
        # Whatever it has left behind in its group.
        self._signal(signal.SIGKILL)
        return self._popen.returncode

    def kill(self) -> int | None:
        """End it at once, with no chance to say good-bye."""
        if self._popen is None:
            return None
        self._signal(signal.SIGKILL)
        return self._popen.wait()

    def suspend(self) -> None:
        """Halt it, as a suspended machine would be."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`suspend`."""
        self._signal(signal.SIGCONT)

    def wait(self, timeout: float) -> int:
        """Wait until it ends by itself, and return how."""
        if self._popen is None:
            raise StackError(f"{self.name} was not started")
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise StackError(
                f"{self.name} did not end within {timeout:g} s\n{self.log_tail()}"
            ) from None

    def output(self) -> str:
        """Return what it wrote since its last start."""
        if self._copying and not self.running:
            # Not longer: what it has left behind may hold its pipe.
            self._copying.join(1)
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def log_tail(self, lines: int = 25) -> str:
        """Return the end of its log, for an error message."""
        tail = self.output().splitlines()[-lines:]
        return "\n".join((f"--- the end of {self.log}:", *tail))

    def wait_for_output(self, pattern: str, timeout: float = 30) -> re.Match[str]:
        """Wait until a line of its output matches, and return the match."""
        compiled = re.compile(pattern, re.MULTILINE)
        return wait_for(
            lambda: compiled.search(self.output()),
            f"“{pattern}” in the output of {self.name}",
            timeout=timeout,
            process=self,
        )

    def _signal(self, number: signal.Signals) -> None:
        # Gone already; macOS says so with a permission error.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _copy(pipe: IO[bytes], log: Path) -> None:
    with pipe, log.open("ab", buffering=0) as file:
        while part := os.read(pipe.fileno(), 65536):
            file.write(part)
