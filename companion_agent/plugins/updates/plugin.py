"""Updates that wait, as the system's own package managers see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import listing
from companion_agent.plugins.updates.looks import KeptLooks, Looks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from companion_agent.models import Selection, Value
    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.control import Watch
    from companion_agent.platforms.packages import PackageManager, Waiting
    from companion_agent.plugins.base import PluginContext

# Where no agent runs, someone waits for all readings.
PATIENCE = 3.0


class UpdatesPlugin(Collector):
    """Counts the updates that wait.

    At each reading it looks at the times of the package managers' files alone. They are asked in
    a thread when these are others than before and rest, and once a day; it is read again when
    they have answered. What was never known is not reported; what they said last is after a
    restart, for the files as they were.

    Args:
        platform: The operating system.
        selection: Which package managers are asked.
        looks: Has them asked.
        patience: Seconds that the second reading waits for the first answer; for none when 0.
    """

    name: ClassVar[str] = "updates"
    interval: ClassVar[float] = 300
    selects: ClassVar[str] = "package manager"

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        looks: Looks | None = None,
        patience: float = 0.0,
    ) -> None:
        super().__init__(platform, selection)
        self._looks = looks or Looks(KeptLooks())
        self._patience = patience
        self._troubles: dict[str, str] = {}
        self._pending = False

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it; where no agent runs (`pilot-agent read`) they are asked at once."""
        if context.updater:
            looks = Looks(context.get(KeptLooks) or KeptLooks())
            return cls(context.platform, context.selection, looks)
        looks = Looks(KeptLooks(), settle=0.0)
        return cls(context.platform, context.selection, looks, PATIENCE)

    def close(self) -> None:
        """End the package manager that is being asked."""
        self._looks.close()

    def probe(self) -> None:
        """Find the package managers."""
        self._managers()

    def collect(self) -> Mapping[str, Value]:
        """Have the package managers asked whose files have changed; say what is known.

        Raises:
            Unavailable: There is none, or where no agent runs, none has answered in time.
        """
        managers = self._managers()
        if self._patience and self._looks.busy:
            self._looks.wait(self._patience)
            if self._looks.busy:
                raise Unavailable(
                    "the package managers have not said yet what waits",
                    "the agent waits for them, and reports it then",
                )
        looks = {manager.name: look for manager in managers if (look := self._looks.last(manager))}
        self._looks.begin(managers)
        self._pending = not looks
        self._troubles = {name: look.trouble for name, look in looks.items() if look.trouble}
        fetched = [when for manager in managers if (when := manager.refreshed()) is not None]
        tells = any(manager.tells_security for manager in managers)
        found = (bool(looks), tells, bool(fetched))
        self.describe(found, lambda: _readings(*found))
        known = [look.waiting for look in looks.values() if look.waiting is not None]
        if not known:
            return dict.fromkeys(one.key for one in self.described)
        return _values(known, fetched)

    def troubles(self) -> Mapping[str, str]:
        """Say which package manager cannot tell, and why."""
        return self._troubles

    @property
    def pending(self) -> bool:
        """Whether the package managers have not answered since the start, nor before it."""
        return self._pending

    def watch(self) -> Watch | None:
        """Return what hears that they have answered."""
        return self._looks.watch

    def _managers(self) -> list[PackageManager]:
        found = self.platform.package_managers()
        if not found:
            raise Unavailable("no package manager of this computer is known to the agent")
        wanted = [manager for manager in found if self.wants(manager.name)]
        if not wanted:
            raise self.none_selected("package manager")
        return wanted


def _readings(known: bool, tells_security: bool, knows_lists: bool) -> list[Reading]:
    if not known:
        return []
    wanted = ["waiting", "packages"]
    wanted += ["security"] if tells_security else []
    wanted += ["lists_refreshed"] if knows_lists else []
    return [
        Reading(key, resolution=0 if key in {"packages", "lists_refreshed"} else 1)
        for key in wanted
    ]


def _values(known: Sequence[Waiting], fetched: Sequence[float]) -> dict[str, Value]:
    security = [one.security for one in known if one.security is not None]
    packages = sorted({name for one in known for name in one.packages})
    return {
        "waiting": sum(len(one.packages) for one in known),
        "security": sum(security) if security else None,
        "packages": listing(packages),
        # The oldest: what is newer there is not known yet.
        "lists_refreshed": (
            datetime.fromtimestamp(round(min(fetched)), UTC).isoformat() if fetched else None
        ),
    }
