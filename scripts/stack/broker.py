"""MQTT brokers of our own: Mosquitto, or amqtt where there is no Mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
from pathlib import Path
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Protocol, Self

from . import system
from .console import StackError
from .process import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Broker", "EmbeddedBroker", "Managed", "Mosquitto"]


class Broker(Protocol):
    """What both kinds of broker have in common."""

    host: str
    port: int
    protocol: str
    """The newest MQTT it speaks: ``5`` or ``3.1.1``."""
    username: str | None
    password: str | None

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """Stop it."""


class Managed:
    """``with broker:`` starts and stops it."""

    def start(self) -> None:
        """Start it and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it."""
        raise NotImplementedError

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


class Mosquitto(Managed):
    """A Mosquitto with a configuration, a port and a database of its own.

    Args:
        folder: For its configuration, database and log.
        port: The one to listen on; a free one when it is taken or not given.
        bind: Addresses to listen on. The first one is :attr:`host`.
        username: Only this user may log in; without one, clients need no login.
        password: Of that user.
        settings: More lines for its configuration (TLS, ACL, a bridge, ...).

    """

    protocol = "5"

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        bind: Sequence[str] = ("127.0.0.1",),
        username: str | None = None,
        password: str | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.host = bind[0]
        self.port = free_port(port, self.host)
        self.username = username
        self.password = password
        self._bind = tuple(bind)
        self._settings = tuple(settings)
        self.process = Process(
            "mosquitto",
            [system.require("mosquitto")["mosquitto"], "-c", str(folder / "mosquitto.conf")],
            folder / "mosquitto.log",
            cwd=folder if folder.exists() else None,
            stop_timeout=10,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._configure()
        self.process.start()
        # By its own log: what answers on the port could be another server.
        self.process.wait_for_output(r"mosquitto version .* running$")

    def stop(self) -> None:
        """Stop it in order: connections are closed, the database is written."""
        self.process.stop()

    def kill(self) -> None:
        """End it at once, without disconnecting its clients first."""
        self.process.kill()

    def restart(self) -> None:
        """Stop and start it on the same port, with its retained messages."""
        self.stop()
        self.start()

    def _configure(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [
            # As root it would become another user, who cannot read our folder.
            f"user {getpass.getuser()}",
            "persistence true",
            f"persistence_location {self.folder}/",
            # Unlike stdout it is not buffered.
            "log_dest stderr",
            "log_timestamp_format %Y-%m-%d %H:%M:%S",
            "connection_messages true",
            # Small messages must not wait for others to travel with.
            "set_tcp_nodelay true",
        ]
        if self.username is None:
            lines.append("allow_anonymous true")
        else:
            lines += ["allow_anonymous false", f"password_file {self._password_file()}"]
        lines += [f"listener {self.port} {address}" for address in self._bind]
        lines += self._settings
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _password_file(self) -> Path:
        path = self.folder / "passwords"
        path.touch(mode=0o600)
        path.write_text(f"{self.username}:{self.password}\n", encoding="utf-8")
        tool = shutil.which("mosquitto_passwd") or str(
            Path(self.process.command[0]).parent.parent / "bin" / "mosquitto_passwd"
        )
        # Hashes the file in place, so that the password shows in no command line.
        subprocess.run([tool, "-U", str(path)], check=True, capture_output=True)
        return path


class EmbeddedBroker(Managed):
    """The pure Python broker ``amqtt`` in a thread of this process.

    It speaks MQTT 3.1.1, listens on loopback only and forgets everything when it
    ends, which will do for a demonstration.
    """

    protocol = "3.1.1"
    username: str | None = None
    password: str | None = None

    def __init__(self, *, port: int | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = free_port(port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._broker: Any = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="amqtt", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(30)
        except Exception as error:
            self.stop()
            raise StackError(f"the embedded broker could not be started: {error}") from error

    def stop(self) -> None:
        """Stop it."""
        if self._loop is None or self._thread is None:
            return
        if self._broker is not None:
            shutdown = asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop)
            # It ends with the process in any case.
            with contextlib.suppress(Exception):
                shutdown.result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop = self._thread = self._broker = None

    async def _serve(self) -> None:
        # Imported here: it takes a while, and few need it.
        from amqtt.broker import (  # type: ignore[import-untyped] # noqa: PLC0415
            Broker as AmqttBroker,
        )

        broker = AmqttBroker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        await broker.start()
        self._broker = broker
