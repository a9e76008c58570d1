"""What `setup` asks of an operating system, and what each of them does for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from companion_agent.cli.setup.prompts import Asker
    from companion_agent.cli.setup.writer import Files, Place
    from companion_agent.config import Config


class SetupHost(Protocol):
    """The system's part of the conversation, and the writer of its files.

    What it cannot do raises `ServiceError`, whose text says why and what to do.
    """

    @property
    def files(self) -> Files:
        """Writes files, and knows what was changed."""

    def look_first(self, asker: Asker) -> None:
        """Find out whether an agent can be set up here at all, before anything is asked."""

    def place(self, given: Path | None) -> Place:
        """Return where the configuration belongs.

        Args:
            given: Where the command line wants it.
        """

    def blocks(self, before: Config | None) -> Mapping[str, Any]:
        """Return what the configuration has to say on this system, by its top-level keys."""

    def prepare(self) -> None:
        """Make what has to be there before the configuration is written."""

    def install(self, config: Config, *, written: bool) -> None:
        """Have the agent started now and at every boot.

        Args:
            config: The configuration.
            written: Whether it was changed just now.
        """

    def active(self) -> bool:
        """Tell whether the agent runs."""

    def status(self, config: Config) -> str:
        """Return what the agent says of itself; it begins with `Connected` once it is."""

    def last_words(self) -> str:
        """Return why the agent does not run, as far as this system knows."""

    def look_before_removal(self) -> None:
        """Find out whether an agent can be removed."""

    def remove(self, *, purge: bool) -> str:
        """Stop the agent and remove what starts it; return what was kept, in words.

        Args:
            purge: Whether configuration, keys and history go too.
        """


def current(*, check: bool, service: bool) -> SetupHost | None:
    """Return the system that this process runs on; `None` where setup knows none.

    Args:
        check: Whether everything is only looked at.
        service: Whether a service is wanted.
    """
    if sys.platform == "linux":
        from companion_agent.cli.setup.linux_host import LinuxHost  # noqa: PLC0415
        from companion_agent.service.linux import Service  # noqa: PLC0415

        return LinuxHost(Service(check=check), wanted=service)
    elif sys.platform == "win32":  # noqa: RET505  (mypy leaves out only what is inside)
        from companion_agent.cli.setup.windows_host import UserHost, WindowsHost  # noqa: PLC0415
        from companion_agent.service.windows import WindowsService  # noqa: PLC0415
        from companion_agent.winapi import privileges  # noqa: PLC0415

        if privileges.is_administrator():
            return WindowsHost(WindowsService(check=check), wanted=service)
        return UserHost(check=check)
    else:
        return None
