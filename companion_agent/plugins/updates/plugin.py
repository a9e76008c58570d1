"""Updates that wait, as the system's own package managers see them."""

from __future__ import annotations

from datetime import UTC, datetime
import time
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.models import Reading
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from typing import Self

    from companion_agent.models import Selection, Value
    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.packages import PackageManager, Waiting
    from companion_agent.plugins.base import PluginContext

# The first look takes seconds of a processor: not while the machine, or the agent, comes up.
FIRST_LOOK = 120.0
# Updates are handed out in phases, and lists expire, without a file that changes.
LOOK_AGAIN = 86_400.0


class _Looked(NamedTuple):
    """What a package manager said.

    Attributes:
        at: When, in monotonic seconds.
        signature: The times of its files then.
        waiting: What waits; `None` when it could not tell.
    """

    at: float
    signature: Hashable
    waiting: Waiting | None


class UpdatesPlugin(Collector):
    """Counts the updates that wait.

    At each reading it looks at the times of the package managers' files alone; it asks them when
    these are others than before and rest, and once a day.

    Args:
        platform: The operating system.
        selection: Which package managers are asked.
        clock: Monotonic seconds.
        first_look: Seconds before the first look.
    """

    name: ClassVar[str] = "updates"
    interval: ClassVar[float] = 300
    selects: ClassVar[str] = "package manager"

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        clock: Callable[[], float] = time.monotonic,
        first_look: float = FIRST_LOOK,
    ) -> None:
        super().__init__(platform, selection)
        self._clock = clock
        self._first_look = clock() + first_look
        self._asked: PackageManager | None = None
        self._closed = False
        self._seen: dict[str, Hashable] = {}
        self._looked: dict[str, _Looked] = {}
        self._troubles: dict[str, str] = {}

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it; where no agent runs (`pilot-agent read`) there is no later look."""
        first_look = FIRST_LOOK if context.updater else 0.0
        return cls(context.platform, context.selection, first_look=first_look)

    def close(self) -> None:
        """End the package manager that is being asked."""
        self._closed = True
        if asked := self._asked:
            asked.close()

    def probe(self) -> None:
        """Find the package managers."""
        self._managers()

    def collect(self) -> Mapping[str, Value]:
        """Ask the package managers whose files have changed."""
        managers = self._managers()
        for manager in managers:
            self._follow(manager)
        known = [one.waiting for one in self._looked.values() if one.waiting is not None]
        security = [one.security for one in known if one.security is not None]
        fetched = [when for manager in managers if (when := manager.refreshed()) is not None]
        tells = any(manager.tells_security for manager in managers)
        self.describe((tells, bool(fetched)), lambda: _readings(tells, bool(fetched)))
        if not known:
            return dict.fromkeys(one.key for one in self.described)
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

    def pace(self, interval: float) -> float:
        """Come back soon as long as nothing was asked."""
        return interval if self._looked else min(interval, FIRST_LOOK)

    def troubles(self) -> Mapping[str, str]:
        """Say which package manager cannot tell, and why."""
        return self._troubles

    def _managers(self) -> list[PackageManager]:
        found = self.platform.package_managers()
        if not found:
            raise Unavailable("no package manager of this computer is known to the agent")
        wanted = [manager for manager in found if self.wants(manager.name)]
        if not wanted:
            raise self.none_selected("package manager")
        return wanted

    def _follow(self, manager: PackageManager) -> None:
        name, signature, now = manager.name, manager.signature(), self._clock()
        before = self._seen.get(name)
        self._seen[name] = signature
        looked = self._looked.get(name)
        # What changes right now is being installed.
        rests = signature == before
        if not rests or now < self._first_look:
            return
        if looked and looked.signature == signature and now - looked.at < LOOK_AGAIN:
            return
        self._troubles.pop(name, None)
        waiting = None
        # Before it is asked: `close()` finds it, or it finds that this is closed.
        self._asked = manager
        if self._closed:
            return
        try:
            waiting = manager.look()
        except OSError as error:
            self._troubles[name] = str(error)
        finally:
            self._asked = None
        self._looked[name] = _Looked(now, signature, waiting)


def _readings(tells_security: bool, knows_lists: bool) -> list[Reading]:
    wanted = ["waiting", "packages"]
    wanted += ["security"] if tells_security else []
    wanted += ["lists_refreshed"] if knows_lists else []
    return [
        Reading(key, resolution=0 if key in {"packages", "lists_refreshed"} else 1)
        for key in wanted
    ]
