"""This machine, which runs Windows, in the place of a PC in Wine (`stack.wine.WinePc`)."""

from __future__ import annotations

import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from stack.console import StackError
from stack.linux_host import Done

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT = Path(__file__).resolve().parents[2]
_END = 30.0


class NativeProgram:
    """A program that runs in a group of its own."""

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        # Windows' alone, as all of this module.
        group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        self._process = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            creationflags=group,
        )
        self._output = b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout
        while part := os.read(self._process.stdout.fileno(), 65536):
            self._output += part

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def output(self) -> str:
        if not self.running:
            self._reading.join(1)
        return self._output.decode("utf-8", "replace")

    def wait_for_output(self, pattern: str, timeout: float = 30) -> re.Match[str]:
        until = time.monotonic() + timeout
        while not (found := re.search(pattern, self.output(), re.MULTILINE)):
            if time.monotonic() > until or not self.running:
                raise StackError(f"no “{pattern}” in what it wrote:\n{self.output()}")
            time.sleep(0.05)
        return found

    def stop(self) -> int:
        """Ask it to end: a group can be sent Ctrl-Break, and not Ctrl-C."""
        self._process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
        try:
            return self._process.wait(_END)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        self._process.kill()
        return self._process.wait()


class NativePc:
    """What a test may do with this machine.

    Args:
        folder: For files of tests.
    """

    on = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drive = folder
        self.env: dict[str, str] = {}
        self._started: list[NativeProgram] = []

    def boot(self) -> None:
        pytest.skip("a test does not boot this PC")

    def power_cut(self) -> None:
        pytest.skip("a test does not switch this PC off")

    def remove(self) -> None:
        for program in self._started:
            program.kill()

    def path(self, path: Path) -> str:
        return str(path)

    def path_of_python(self, program: str = "python") -> str:
        return str(Path(sys.executable).with_name(f"{program}.exe"))

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        text: str = "",
        check: bool = True,
        timeout: float = 120,
    ) -> Done:
        try:
            done = subprocess.run(
                self._command(command),
                env=self._environment(env),
                input=text.encode(),
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StackError(f"{command[0]} did not end within {timeout:g} s") from None
        stdout, stderr = (
            part.decode("utf-8", "replace").replace("\r\n", "\n")
            for part in (done.stdout, done.stderr)
        )
        if check and done.returncode:
            raise StackError(f"{' '.join(command)} ended with {done.returncode}:\n{stdout}{stderr}")
        return Done(done.returncode, stdout, stderr)

    def start(self, *command: str, env: Mapping[str, str] | None = None) -> NativeProgram:
        program = NativeProgram(self._command(command), self._environment(env))
        self._started.append(program)
        return program

    def _command(self, command: tuple[str, ...]) -> list[str]:
        program, *arguments = command
        if program in {"python", "pythonw"}:
            program = self.path_of_python(program)
        return [program, *arguments]

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(_ROOT), **self.env, **(more or {})}
