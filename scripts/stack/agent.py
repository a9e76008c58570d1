"""``pilot-agent`` as a process, with a configuration and a state folder of its own."""

# ruff: noqa: ANN401  # What JSON holds is known to those who asked for it.

from __future__ import annotations

import json
import secrets
import subprocess
from typing import TYPE_CHECKING, Any, Self

from .console import StackError
from .process import Process
from .toolchain import clean_env, python_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from .broker import Broker


class Agent:
    """An agent of this checkout.

    Args:
        folder: For its configuration, its state and its log. A second agent with
            the same folder has the same host id.
        broker: Where it connects to. ``None`` when ``settings`` says so.
        settings: More for its configuration file, on top of what is needed to
            reach the broker (see ``docs/configuration.md``).
        host: The broker's address as the agent sees it, from within a network
            namespace for example.
        python: The interpreter it runs with, of an environment that has
            ``pilot-agent`` installed; that of ``agent-3.14`` when it is not given.
        command: What starts another ``pilot-agent`` than that of the environment.
        prefix: Put before the command, such as ``ip netns exec NAME``.
        env: More environment variables.

    """

    def __init__(
        self,
        folder: Path,
        broker: Broker | None,
        *,
        settings: Mapping[str, Any] | None = None,
        host: str | None = None,
        python: Path | None = None,
        command: Sequence[str] | None = None,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self._settings: dict[str, Any] = {
            "state_dir": str(folder / "state"),
            "log": {"format": "text"},
            **(settings or {}),
        }
        if broker is not None:
            access = {"host": host or broker.host, "port": broker.port, "protocol": broker.protocol}
            if broker.username is not None:
                access |= {"username": broker.username, "password": broker.password or ""}
            self._settings["broker"] = access | self._settings.get("broker", {})
        self._command = [*prefix, *(command or agent_command(python))]
        self._env = dict(env or {})
        self.process = Process(
            "pilot-agent",
            [*self._command, "run", "--config", str(self.config)],
            folder / "agent.log",
            env=self._env,
            stop_timeout=20,
        )

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

    def configure(self, **settings: Any) -> None:
        """Change settings; they hold from the next start on."""
        self._settings |= settings
        self._write()

    def start(self) -> None:
        """Start it. That it is connected shows in Home Assistant or on the broker."""
        self._write()
        self.process.start()

    def stop(self) -> int | None:
        """Stop it in order: it says ``off`` first."""
        return self.process.stop()

    def kill(self) -> None:
        """End it at once: the broker sends its will."""
        self.process.kill()

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    @property
    def host_id(self) -> str:
        """The id that its host goes by; empty before its first start."""
        try:
            return self._id_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    def draw_id(self) -> str:
        """Give its host an id that no other agent on this machine has, and return that.

        As ``pilot-agent id --new`` does, without a process for each of many hosts.
        """
        drawn = secrets.token_hex(8)
        self._write()
        self._id_file.write_text(f"{drawn}\n", encoding="ascii")
        return drawn

    @property
    def _id_file(self) -> Path:
        return self.folder / "state" / "host-id"

    def read(self, *, timeout: float = 60) -> Any:
        """Return what ``pilot-agent read --json`` prints."""
        return json.loads(self.run("read", "--json", timeout=timeout))

    def pair(self) -> PairingCode:
        """Show a code that a Home Assistant may use; its process ends with the pairing."""
        command = [*self._command, "pair", "--no-qr", "--config", str(self.config)]
        return PairingCode(command, self.folder / "pair.log")

    def run(self, *arguments: str, timeout: float = 60) -> str:
        """Run ``pilot-agent`` with other arguments and return its output.

        Raises:
            StackError: It ended with an error.
        """
        self._write()
        done = subprocess.run(
            [*self._command, *arguments],
            env=clean_env(PILOT_CONFIG=str(self.config), **self._env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise StackError(
                f"pilot-agent {' '.join(arguments)} ended with {done.returncode}:\n"
                f"{done.stdout}{done.stderr}"
            )
        return done.stdout

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir(exist_ok=True)
        self.config.touch(mode=0o600)
        # JSON is YAML, and needs no library to write.
        self.config.write_text(json.dumps(self._settings, indent=2) + "\n", encoding="utf-8")


class PairingCode:
    """``pilot-agent pair`` in a terminal: shows a code until it is used.

    Args:
        command: The whole command.
        log: For what it says.

    Attributes:
        digits: The code.

    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.process = Process("pilot-agent pair", command, log, env={"PYTHONUNBUFFERED": "1"})
        self.process.start()
        found = self.process.wait_for_output(r"^ +(\d{4}) (\d{4})$")
        self.digits = found[1] + found[2]


def agent_command(python: Path | None = None) -> list[str]:
    """Return the command that starts ``pilot-agent`` of an environment."""
    # Not resolved: a virtual environment's interpreter is a link out of it.
    return [str((python or python_of("agent-3.14")).parent / "pilot-agent")]
