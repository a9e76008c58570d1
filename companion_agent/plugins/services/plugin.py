"""Services: how many have failed, whether the watched ones run, and what may be done to them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.models import Argument, Command, Reading
from companion_agent.platforms.services import LIMIT, Verb, is_pattern
from companion_agent.plugins.base import Collector, CommandProvider
from companion_agent.plugins.naming import listing
from companion_agent.plugins.services.settings import (
    SWITCH,
    WatchedServices,
    commands_of,
    key_of,
    label_of,
    permitted,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Self

    from companion_agent.models import Selection, Value
    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.services import Services
    from companion_agent.plugins.base import PluginContext

MOST_OF_A_PATTERN = 32
"""Services that one pattern finds."""

_FAILED = (Reading("failed", resolution=1), Reading("failed_units"))
# 0 stops it, 1 starts it.
_SWITCH = Argument(unit="boolean", minimum=0, maximum=1, step=1)


class _Watched(NamedTuple):
    """A service that was found.

    Attributes:
        key: Its segment of keys.
        label: What it is called in Home Assistant.
        name: The system's own name of it.
        running: Whether it runs.
        verbs: What may be done to it.
    """

    key: str
    label: str
    name: str
    running: bool
    verbs: frozenset[Verb]

    @property
    def shown(self) -> str:
        """The end of its reading's key and kind."""
        return SWITCH if SWITCH in commands_of(self.verbs) else "running"

    @property
    def state(self) -> str:
        """The key of its reading."""
        return f"{self.key}.{self.shown}"


class ServicesPlugin(Collector, CommandProvider):
    """Counts the services that failed; watches, starts and stops those that the local file names.

    Args:
        platform: The operating system.
        selection: Which failed services count.
        config: The services that are watched.
    """

    name: ClassVar[str] = "services"
    interval: ClassVar[float] = 60
    selects: ClassVar[str] = "failed service"

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        config: WatchedServices | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self._config = config.services if config else {}
        self._left_out: dict[str, str] = {}
        if self._config:
            with suppress(Unavailable):
                platform.services().follow(self._config)

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the services that the configuration names."""
        return cls(context.platform, context.selection, context.get(WatchedServices))

    def collect(self) -> Mapping[str, Value]:
        """Read which have failed, and whether the watched ones run."""
        services = self.platform.services()
        failed = [name for name in services.failed() if self.wants(name)]
        watched = self._find(services)
        self.describe(
            tuple(one._replace(running=False) for one in watched),
            lambda: [*_FAILED, *map(_reading, watched)],
        )
        values: dict[str, Value] = {one.state: one.running for one in watched}
        return {"failed": len(failed), "failed_units": listing(failed), **values}

    def left_out(self) -> Mapping[str, str]:
        """Say which service is not there, and what is not done to others."""
        return self._left_out

    def commands(self) -> Sequence[Command]:
        """Offer what the local file allows; what the system does not permit says what is missing.

        Raises:
            Unavailable: This system has no services.
        """
        if not permitted(self._config):
            return []
        services = self.platform.services()
        watched = [one for one in self._find(services) if one.verbs]
        wanted: dict[str, frozenset[Verb]] = {}
        for one in watched:
            # Two names may be one service's.
            wanted[one.name] = wanted.get(one.name, frozenset()) | one.verbs
        missing = services.missing(wanted)
        return [
            Command(
                f"{self.name}.{one.key}.{end}",
                {"value": _SWITCH} if end == SWITCH else {},
                next(filter(None, (missing[one.name, verb] for verb in sorted(verbs))), None),
                kind=f"{self.name}.{end}",
                state=f"{self.name}.{one.state}",
                name=one.label,
                time_limit=LIMIT,
            )
            for one in watched
            for end, verbs in commands_of(one.verbs).items()
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the system do it."""
        service, _, what = key.removeprefix(f"{self.name}.").rpartition(".")
        services = self.platform.services()
        found = {one.key: one for one in self._find(services)}[service]
        verbs: dict[str, Verb] = {
            "start": "start",
            "stop": "stop",
            "restart": "restart",
            SWITCH: "start" if args.get("value") else "stop",
        }
        services.act(found.name, verbs[what])

    def _find(self, services: Services) -> list[_Watched]:
        states = services.states(self._config) if self._config else {}
        allowed = permitted(self._config)
        left_out = dict(self._refusals())
        found: dict[str, _Watched] = {}
        for name, config in self._config.items():
            if not states.get(name):
                left_out[name] = "no service of this name is loaded here"
            for state in states.get(name, ())[:MOST_OF_A_PATTERN]:
                own = state.name if is_pattern(name) else name
                label = label_of(own) if is_pattern(name) else config.name or label_of(own)
                key = key_of(own, fold_case=services.ignores_case)
                # What another name of it hides: `ssh` may be the system's `sshd`.
                verbs = frozenset(
                    verb for verb in allowed.get(name, ()) if not refusal(state.name, verb)
                )
                # Named by itself counts before a pattern that finds it too.
                if key not in found or not is_pattern(name):
                    found[key] = _Watched(key, label, state.name, state.running, verbs)
        self._left_out = left_out
        return list(found.values())

    def _refusals(self) -> Iterable[tuple[str, str]]:
        for name, one in self._config.items():
            for verb in one.allow:
                if why := refusal(name, verb):
                    yield f"{name} {verb}", why


def _reading(one: _Watched) -> Reading:
    return Reading(one.state, kind=f"services.{one.shown}", of=one.label)
