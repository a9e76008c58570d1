"""What this host can be commanded to do: asked of the system, and carried out in a worker."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from companion_agent.errors import CommandError, Unanswered, Unavailable
from companion_agent.models import Output
from companion_agent.plugins.agent import RELOAD, RESTART
from companion_agent.plugins.readings import REFRESH
from companion_agent.protocol.settings import CONFIG_SET
from companion_agent.security.authorizer import Dispatcher
from companion_agent.timing import Alarm
from companion_agent.worker import HungError, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from companion_agent.config.policy import Policy
    from companion_agent.models import Command
    from companion_agent.plugins.base import CommandProvider
    from companion_agent.protocol.announce import Command as AnnouncedCommand
    from companion_agent.protocol.topics import Topics
    from companion_agent.security.audit import AuditLog
    from companion_agent.security.authorizer import Job as CommandJob
    from companion_agent.security.keyring import KeyRing
    from companion_agent.security.refusals import Refusals
    from companion_agent.timing import Grid

_LOGGER = logging.getLogger(__name__)

# How often the system is asked again what it permits: a rule that was just installed shall be
# seen soon, and a wake-up is shared with the collectors.
PROBE_INTERVAL = 60.0
# How soon after it did not answer, as while it boots, when nothing is known of it yet.
FIRST_ANSWER_INTERVAL = 10.0
# A command that takes longer has failed, as far as can be told.
COMMAND_LIMIT = 8.0
_BEGIN_ANEW = frozenset({RELOAD, RESTART, CONFIG_SET})
"""Commands after which the agent begins anew, once their result is told."""


class CommandService:
    """Keeps up with what the groups of commands can do, and carries out what was authorized.

    `run()` is its task; commands are carried out only while it runs.

    Args:
        groups: The commands that the platform may offer.
        ring: The keys.
        topics: The host's topics.
        session: This start of the agent.
        policy: What the configuration allows.
        publish: Publishes text on a topic, at QoS 0 and not retained.
        audit: The record.
        refusals: How many messages this host has refused.
        grid: When to probe.
        offered: Called when what this host can do may have changed.
        revoked: Called when a controller has revoked its key.
        surpass: Called with the highest number of a start that a controller has accepted.
        changed: Called with the key of a reading that a command has set.
        refresh: Called with the names of collectors that are to be read at once; all without any.
        renew: Called when the agent is to go on with a configuration that was read again.
        clock: Monotonic seconds, those of the event loop.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        groups: Sequence[CommandProvider],
        *,
        ring: KeyRing,
        topics: Topics,
        session: str,
        policy: Policy,
        publish: Callable[[str, str], None],
        audit: AuditLog,
        refusals: Refusals,
        grid: Grid,
        offered: Callable[[], None] = lambda: None,
        revoked: Callable[[], None] = lambda: None,
        surpass: Callable[[int], None] = lambda _: None,
        changed: Callable[[str], None] = lambda _: None,
        refresh: Callable[[Sequence[str]], None] = lambda _: None,
        renew: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._groups = {group.name: group for group in groups}
        self._topics = topics
        self._grid = grid
        self._offered = offered
        self._changed = changed
        self._refresh = refresh
        self._renew = renew
        self._clock = clock
        self._alarm = Alarm()
        self._observers: list[Callable[[], None]] = []
        # Commands do not wait behind a collector that reads a slow disk.
        self._worker = Worker()
        self._tasks: asyncio.TaskGroup | None = None
        self._under_way = 0
        self._found: dict[CommandProvider, Sequence[Command]] = {}
        self._probing: set[str] = set()
        self._outdated: set[str] = set()
        self._probe_due = -math.inf
        self._dispatcher = Dispatcher(
            ring=ring,
            topics=topics,
            session=session,
            policy=policy,
            publish=publish,
            start=self._begin,
            revoked=revoked,
            missing=self._probe_soon,
            audit=audit,
            refusals=refusals.by_reason,
            surpass=surpass,
            clock=now,
            monotonic=clock,
        )
        refusals.include("command", self._dispatcher.refused)

    async def run(self) -> None:
        """Probe the groups, and carry out commands, until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    now = self._clock()
                    if now >= self._probe_due:
                        self._probe_due = self._grid.next(
                            PROBE_INTERVAL, max(now, self._grid.origin)
                        )
                        self._probe(self._groups)
                    await self._alarm.wait(self._probe_due if self._groups else math.inf)
        finally:
            self._tasks = None
            self._worker.stop()

    def observe(self, changed: Callable[[], None]) -> None:
        """Have something called whenever a command begins or has its result."""
        self._observers.append(changed)

    @property
    def subscription(self) -> str:
        """The topics of all commands."""
        return self._topics.command("+")

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message on the topic of a command."""
        self._dispatcher.received(topic, payload, retained=retained)

    def unsigned(self, key: str, args: Mapping[str, Any], source: str) -> None:
        """Take a request that nothing proves, where the configuration obeys such."""
        self._dispatcher.unsigned(key, args, source)

    @property
    def pressable(self) -> frozenset[str]:
        """The keys of the commands that may be called without an argument."""
        return self._dispatcher.pressable

    def announced(self) -> dict[str, AnnouncedCommand]:
        """Describe, for the announce, the commands that may be called, by their keys."""
        return self._dispatcher.announced()

    @property
    def busy(self) -> bool:
        """Whether commands are carried out whose results are still to be told."""
        return self._under_way > 0

    @property
    def settled(self) -> bool:
        """Whether every group of commands has said what this host can do."""
        return len(self._found) == len(self._groups)

    def probe(self, name: str) -> None:
        """Ask a group at once what this host can do, if there is one: something has changed."""
        if name not in self._groups:
            return
        if name in self._probing:
            # It may have answered from what was before.
            self._outdated.add(name)
        else:
            self._probe([name])

    # --- Carrying out --------------------------------------------------------------------

    def _begin(self, job: CommandJob) -> None:
        if self._tasks:
            self._count(+1)
            self._tasks.create_task(self._carry_out(job))

    async def _carry_out(self, job: CommandJob) -> None:
        error: Exception | None = None
        output: object = None
        # One that keeps its own time needs a moment to end.
        limit = job.time_limit + COMMAND_LIMIT if job.time_limit else COMMAND_LIMIT
        try:
            output = await self._worker.run(Job(job.key, job.run, limit))
        except HungError:
            detail = f"the system did not answer within {limit:.0f} s; it may still do it"
            error = CommandError("failed", detail)
        except Exception as raised:  # noqa: BLE001  (the result says what it was)
            error = raised
        self._dispatcher.finished(job, error, output if isinstance(output, Output) else None)
        if job.state and error is None:
            self._changed(job.state)
        if job.key == REFRESH and error is None:
            self._refresh([name for name in job.args["collectors"].split(",") if name])
        if job.key in _BEGIN_ANEW and error is None:
            self._renew()
        self._count(-1)

    def _count(self, more: int) -> None:
        self._under_way += more
        for changed in self._observers:
            changed()

    # --- Probing -------------------------------------------------------------------------

    def _probe_soon(self) -> None:
        # What is being asked may have answered from what was before.
        self._outdated.update(self._probing)
        self._probe_due = self._clock()
        self._alarm.ring()

    def _probe(self, wanted: Iterable[str]) -> None:
        names = [name for name in wanted if name not in self._probing]
        if not names or not self._tasks:
            return
        self._probing.update(names)
        answers = self._worker.start(
            Job(f"probe {name}", self._groups[name].commands, math.inf) for name in names
        )
        for name, answer in zip(names, answers, strict=True):
            self._tasks.create_task(self._take_commands(name, answer))

    async def _take_commands(self, name: str, answer: asyncio.Future[object]) -> None:
        group = self._groups[name]
        commands: Sequence[Command] = ()
        try:
            found = await answer
        except Unanswered as error:
            _LOGGER.debug("%s commands: not known now: %s", name, error.reason)
            if not self._found.get(group):
                self._probe_due = min(self._probe_due, self._clock() + FIRST_ANSWER_INTERVAL)
                self._alarm.ring()
            commands = self._found.get(group, ())
        except Unavailable:
            pass
        except Exception:
            _LOGGER.debug("%s commands: cannot be looked for", name, exc_info=True)
        else:
            commands = found if isinstance(found, (list, tuple)) else ()
        self._probing.discard(name)
        if name in self._outdated:
            self._outdated.discard(name)
            self._probe([name])
        if self._found.get(group) != commands:
            self._found[group] = commands
            self._dispatcher.offer(self._found)
        self._offered()
