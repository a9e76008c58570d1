"""Starts Home Assistants in processes of their own (``worker.py``) and talks with them."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Self

from stack import toolchain
from stack.console import StackError
from stack.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from stack.broker import Broker


class HomeAssistant:
    """A worker process, with a configuration folder that outlives it.

    Args:
        folder: For its configuration and its log.
        broker: Where its ``mqtt`` entry connects to.
        discovery_prefix: Where its ``mqtt`` entry looks for devices.
    """

    def __init__(self, folder: Path, broker: Broker, discovery_prefix: str) -> None:
        self._folder = folder
        self._arguments = [broker.host, str(broker.port), discovery_prefix]
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.launch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def launch(self) -> None:
        """Start the process; Home Assistant in it is started by ``ask("start")``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "configuration.yaml").touch()
        command = [str(toolchain.python_of("homeassistant")), "-m", "benchmarks.worker"]
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [*command, str(self._folder), *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Through the path it finds this package, and custom_components as well.
                env=toolchain.clean_env(PYTHONPATH=str(ROOT)),
                cwd=ROOT,
                # Ctrl-C is for us alone; this process ends with its input.
                start_new_session=True,
            )

    def ask(self, do: str, **arguments: str | float) -> dict[str, Any]:
        """Give a command and return the answer.

        Raises:
            StackError: The command failed, or the process has ended.
        """
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": do, **arguments}) + os.linesep)
        process.stdin.flush()
        line = process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "it has ended"}
        if "error" in answer:
            tail = self._log.read_text(encoding="utf-8").splitlines()[-15:]
            raise StackError(f"Home Assistant, “{do}”: {answer['error']}\n" + "\n".join(tail))
        return answer

    def relaunch(self) -> None:
        """Stop Home Assistant in order and start the process anew."""
        assert self._process is not None
        self.ask("stop")
        self._process.kill()
        self._process.wait()
        self.launch()
