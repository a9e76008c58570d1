"""A Mosquitto as it comes, for what is measured must be what users have.

The one of ``scripts/stack`` sets TCP_NODELAY, which no broker does by itself.
"""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Self

from stack import system
from stack.process import Process, answers, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType


class StockMosquitto:
    """A Mosquitto on loopback with its own defaults, and nothing kept on disk.

    Args:
        folder: For its configuration and its log.
        settings: More lines for its configuration.
    """

    protocol = "5"
    username: str | None = None
    password: str | None = None

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        # As root it would become another user, who cannot read our folder.
        self._lines = [f"user {getpass.getuser()}", "allow_anonymous true", *settings]
        command = [system.require("mosquitto")["mosquitto"], "-c", str(self._config)]
        self._process = Process("mosquitto", command, folder / "mosquitto.log", stop_timeout=10)

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

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._config.parent.mkdir(parents=True, exist_ok=True)
        lines = [*self._lines, f"listener {self.port} {self.host}"]
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process.start()
        wait_for(
            lambda: answers(self.host, self.port),
            f"Mosquitto on port {self.port}",
            interval=0.02,
            process=self._process,
        )

    def stop(self) -> None:
        """Stop it in order."""
        self._process.stop()
