"""What all Linux machines of the tests have in common, whatever they run in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = Path("/opt/pilot/source")
LIBRARIES = Path("/opt/pilot/libraries")
"""Where hosts see the checkout and the agent's libraries, both read-only."""

_VARIABLES = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": f"{SOURCE}:{LIBRARIES}",
}


@dataclass(frozen=True)
class Done:
    """What a command inside a host came to."""

    returncode: int
    stdout: str
    stderr: str


class LinuxHost(ABC):
    """A Linux machine that commands are run in.

    Args:
        name: Its host name.

    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def run(
        self,
        *command: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        text: str = "",
        check: bool = True,
        timeout: float = 180,
    ) -> Done:
        """Run a command inside.

        Args:
            *command: The command.
            user: Who runs it; root when it is not given.
            env: More environment variables.
            text: What it reads from its standard input.
            check: Whether failing is an error.
            timeout: In seconds.

        Raises:
            StackError: It failed or did not end in time.

        """

    def add_user(self, name: str, *, system_user: bool = False) -> None:
        """Make a user."""
        options = ["--system"] if system_user else ["--create-home", "--shell", "/bin/bash"]
        self.run("useradd", *options, name)

    def log_in(self, user: str, *, kind: str = "wayland", seat: str = "seat0") -> str:
        """Log a user in as a login manager would, and return the unit that keeps the session."""
        unit = f"login-{user}-{kind}.service"
        self.run(
            "systemd-run", f"--unit={unit}", "--quiet", "--collect",
            f"--property=User={user}", "--property=PAMName=login",
            f"--setenv=XDG_SESSION_TYPE={kind}", "--setenv=XDG_SESSION_CLASS=user",
            *([f"--setenv=XDG_SEAT={seat}"] if seat else []),
            "sleep", "infinity",
        )  # fmt: skip
        return unit

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside, while it is on."""
        # In one step: who watches the folder must not read half of it, or be refused.
        script = f'cat > "$0.part" && chmod {mode:o} "$0.part" && mv "$0.part" "$0"'
        self.run("sh", "-c", script, path, text=text)


def with_environment(
    command: tuple[str, ...], user: str | None, env: Mapping[str, str] | None
) -> list[str]:
    """Return a command with the variables of tests alone, as a user where one is given."""
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    settings = [f"{name}={value}" for name, value in {**_VARIABLES, **(env or {})}.items()]
    return ["/usr/bin/env", "-i", *settings, *become, *command]
