"""Starts processes that answer commands (``command_server.py``), and talks with them."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Self

from stack import toolchain
from stack.console import StackError
from stack.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from stack.broker import Broker


class Worker:
    """A process that answers commands.

    Args:
        name: What errors call it.
        command: Starts it, in the folder of the checkout.
        log: Takes what it writes on standard error.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self._name = name
        self._command = list(command)
        self._log = log
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
        self.kill()

    def launch(self) -> None:
        """Start the process."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                self._command,
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

    def kill(self) -> None:
        """End the process at once, if it was started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
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
            raise StackError(f"{self._name}, “{do}”: {answer['error']}\n" + "\n".join(tail))
        return answer


class HomeAssistant(Worker):
    """A Home Assistant (``worker.py``), with a configuration folder that outlives its process.

    Args:
        folder: For its configuration and its log.
        broker: Where its ``mqtt`` entry connects to.
        discovery_prefix: Where its ``mqtt`` entry looks for devices.
    """

    def __init__(self, folder: Path, broker: Broker, discovery_prefix: str) -> None:
        command = [str(toolchain.python_of("homeassistant")), "-m", "benchmarks.worker"]
        arguments = [str(folder), broker.host, str(broker.port), discovery_prefix]
        super().__init__("Home Assistant", [*command, *arguments], folder.with_suffix(".log"))
        self._folder = folder

    def launch(self) -> None:
        """Start the process; Home Assistant in it is started by ``ask("start")``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "configuration.yaml").touch()
        super().launch()

    def relaunch(self) -> None:
        """Stop Home Assistant in order and start the process anew."""
        self.ask("stop")
        self.kill()
        self.launch()
