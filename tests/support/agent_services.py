"""Services of an operating system that a test decides about."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from companion_agent.platforms.services import Services, ServiceState

from .agent_host import FakePlatform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from companion_agent.errors import Unavailable
    from companion_agent.models import Missing
    from companion_agent.platforms.services import Verb


class FakeServices(Services):
    """Services, named as systemd names them.

    Args:
        running: Whether each runs, by its name.

    Attributes:
        broken: Those that have failed.
        aliases: Other names of them.
        lacking: What the system does not permit.
        done: What was done to which, in order.
        unavailable: Why nothing can be asked.
    """

    def __init__(self, running: Mapping[str, bool]) -> None:
        self.running = dict(running)
        self.broken: list[str] = []
        self.aliases: dict[str, str] = {}
        self.lacking: dict[tuple[str, Verb], Missing] = {}
        self.done: list[tuple[str, Verb]] = []
        self.unavailable: Unavailable | None = None
        self.followed: list[str] = []

    def failed(self) -> Sequence[str]:
        if self.unavailable:
            raise self.unavailable
        return self.broken

    def states(self, names: Iterable[str]) -> Mapping[str, Sequence[ServiceState]]:
        return {
            name: [
                ServiceState(unit, runs)
                for unit, runs in self.running.items()
                if fnmatchcase(unit, self._whole(name))
            ]
            for name in names
        }

    def missing(
        self, wanted: Mapping[str, frozenset[Verb]]
    ) -> Mapping[tuple[str, Verb], Missing | None]:
        return {
            (name, verb): self.lacking.get((name, verb))
            for name, verbs in wanted.items()
            for verb in verbs
        }

    def act(self, name: str, verb: Verb) -> None:
        self.done.append((name, verb))
        self.running[name] = verb != "stop"

    def follow(self, names: Iterable[str]) -> None:
        self.followed = list(names)

    def _whole(self, name: str) -> str:
        return self.aliases.get(name, name if "." in name else f"{name}.service")


class ServedPlatform(FakePlatform):
    """A system that has these services."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services

    def services(self) -> Services:
        return self._services
