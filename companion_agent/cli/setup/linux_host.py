"""Setup on Linux: a service of systemd, or a configuration alone."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
import sys
from typing import TYPE_CHECKING, Any

from companion_agent.cli.setup.writer import Place, WriteError
from companion_agent.config import search_path
from companion_agent.service import unit
from companion_agent.service.changes import ServiceError
from companion_agent.service.linux import this_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.cli.setup.prompts import Asker
    from companion_agent.config import Config
    from companion_agent.service.linux import Service
    from companion_agent.service.unit import Program


class LinuxHost:
    """A Linux.

    Args:
        service: The system's service.
        wanted: Whether a service is wanted; else only a configuration is written.
    """

    def __init__(self, service: Service, *, wanted: bool = True) -> None:
        self.files = service
        self._service = service
        self._wanted = wanted
        self._program: Program | None = None
        self._count = 0

    def look_first(self, _: Asker) -> None:
        """Find out whether there can be a service."""
        if not self._wanted:
            return
        if not is_administrator():
            raise ServiceError(
                "a service is installed by root: sudo pilot-agent setup "
                "(or --no-service, to write only a configuration for yourself)"
            )
        if not self._service.has_systemd:
            raise ServiceError(
                "systemd does not run this system; `pilot-agent setup --no-service` writes the "
                "configuration, and your service manager starts `pilot-agent run`"
            )
        program = this_program()
        if program.home and program.home != PurePosixPath("/root"):
            print(
                f"Note: the program lies in {program.home}, so the owner of that decides what the "
                "service runs."
            )
        self._program = program

    def place(self, given: Path | None) -> Place:
        """Return where the service looks, or what was named."""
        if self._wanted:
            path = given or Path(unit.CONFIG_FOLDER, "config.yaml")
            if path.parent != Path(unit.CONFIG_FOLDER) or path.name != "config.yaml":
                raise WriteError("the service reads /etc/pilot-agent/config.yaml and no other file")
            return Place(path, "root", unit.USER)
        found = search_path()
        return Place((given or found[0 if is_administrator() else -1]).absolute())

    def blocks(self, _: Config | None) -> Mapping[str, Any]:
        """Return nothing: all that differs is where the system's places are."""
        return {}

    def prepare(self) -> None:
        """Make the service's user."""
        if self._program:
            self._service.add_user(packaged=self._service.packaged(self._program))
        self._count = len(self._service.changes)

    def install(self, config: Config, *, written: bool) -> None:
        """Make and start the service."""
        assert self._program
        service = self._service
        count = self._count if service.check else len(service.changes)
        service.install(
            self._program,
            config.commands,
            i2c=config.collector("i2c").enabled,
            disk_health=config.collector("disk_health").enabled,
            services=config.services,
        )
        service.start(restart=written or len(service.changes) > count)

    def active(self) -> bool:
        """Ask systemd."""
        return self._service.active

    def status(self, _: Config) -> str:
        """Return what the service told systemd."""
        return self._service.status()

    def last_words(self) -> str:
        """Return the end of the journal."""
        return self._service.last_words()

    def look_before_removal(self) -> None:
        """Only root removes it."""
        if not is_administrator():
            raise ServiceError("a service is removed by root: sudo pilot-agent setup --remove")

    def remove(self, *, purge: bool) -> str:
        """Remove the service."""
        self._service.remove()
        if not purge:
            return f"{unit.CONFIG_FOLDER}, {unit.STATE_FOLDER} and the user {unit.USER}"
        folders = {PurePosixPath(unit.CONFIG_FOLDER), PurePosixPath(unit.STATE_FOLDER)}
        self._service.purge(*folders)
        return ""


if sys.platform == "win32":

    def is_administrator() -> bool:
        """Tell whether this may install services of Linux."""
        return False

else:

    def is_administrator() -> bool:
        """Tell whether this may install services."""
        return os.geteuid() == 0
