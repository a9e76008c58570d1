"""The one loop: reads collectors at their intervals and says what they read."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
import logging
import math
import platform as python_platform
import selectors
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from companion_agent.announcement import Report, compose, describe_host
from companion_agent.buffer.buffer import Backlog
from companion_agent.clock import Clocks
from companion_agent.host_events import Happenings
from companion_agent.mqtt.connection import Transport
from companion_agent.mqtt.legacy_v1 import Mirror
from companion_agent.mqtt.publisher import Presence
from companion_agent.platforms.base import HostInfo
from companion_agent.plugins.runner import PROBE_INTERVAL, CollectorRunner
from companion_agent.protocol.announce import write_announce
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import SIGNED_STATES, collector_state
from companion_agent.protocol.topics import Topics
from companion_agent.security.host_trust import HostTrust
from companion_agent.service.sd_notify import Notifier
from companion_agent.updates.launcher import Launched
from companion_agent.updates.updater import Updater
from companion_agent.wakeup import Waker
from companion_agent.worker import Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from companion_agent.config.settings import Config
    from companion_agent.models import Counters
    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.control import HostWatch, NetworkWatch
    from companion_agent.plugins.base import CommandProvider
    from companion_agent.protocol.announce import Conflict, Host
    from companion_agent.worker import Result

LOG = logging.getLogger(__name__)

# Rates need two reads. The second comes soon after the first, so that nobody waits a whole
# interval for them; all further ones come on a grid that starts there.
SECOND_READ = 1.0
# The announce waits for the first read of every collector, so that no reading seems to have
# gone, but not longer than this for one that hangs.
FIRST_ROUND_LIMIT = 2.0
# While results are awaited, partial ones are fetched this often: a batch that takes longer has
# something slow in it, and the others' values shall not wait for it.
PATIENCE = 1.0
# How long `off` may take to reach the broker when the agent ends.
FAREWELL_LIMIT = 1.0
# How long a slow disk may take to keep what nobody has heard.
LAST_WRITE_LIMIT = 5.0
# Suspended for less than this, connections survive.
SUSPENDED_FOR = 1.0
# A host's name and addresses change rarely.
HOST_INTERVAL = PROBE_INTERVAL
_HOST_JOB = "host information"


class Agent:
    """Reports this host until it is stopped.

    Args:
        config: The configuration.
        platform: The operating system.
        sources: The collectors at work.
        host_id: The host's id.
        session: The session of this start.
        counts: Shared with the transport and the collector that reports them.
        clock: Monotonic seconds.
        groups: What Home Assistant may ask of this host.
        watch: Hears of sleep, shutdown and sessions; `None` where nothing tells.
        network: Hears that the network has changed; `None` where nothing tells.
        notifier: Tells the service manager how the agent is; `None` where nobody asks.
        clocks: The host's clocks; the real ones when `None`.
        updater: Fetches new versions; `None` where nobody wants them.
    """

    def __init__(
        self,
        config: Config,
        platform: Platform,
        sources: Sequence[CollectorRunner],
        host_id: str,
        session: str,
        counts: Counters,
        clock: Callable[[], float] = time.monotonic,
        groups: Sequence[CommandProvider] = (),
        watch: HostWatch | None = None,
        network: NetworkWatch | None = None,
        notifier: Notifier | None = None,
        clocks: Clocks | None = None,
        updater: Updater | None = None,
    ) -> None:
        self._config = config
        self._platform = platform
        self._sources = {source.name: source for source in sources}
        self._host_id = host_id
        self._session = session
        self._clock = clock
        self._waker = Waker()
        self._worker = Worker(self._waker.wake, clock)
        self._transport = Transport(
            config.brokers, f"pilot-{host_id}-{session[:8]}", counts, self._waker.wake, clock
        )
        self._topics = Topics(config.topic_prefix, host_id)
        self._transports = [self._transport]
        self._mirror: Mirror | None = None
        if config.mirror:
            name = f"pilot-{host_id}-{session[:8]}-v1"
            self._mirror = Mirror(config.mirror, config.brokers, name, self._waker.wake, clock)
            self._transports.append(self._mirror.transport)
        self._updater = updater or Updater(config.update, config.state_dir, Launched(), clock)
        self._trust = HostTrust(
            config,
            host_id,
            session,
            groups,
            self._transport,
            counts,
            self._waker.wake,
            clock,
            changed=self._read_again,
            update=self._updater.asked,
        )
        self._backlog = Backlog(
            config.backlog,
            config.state_dir,
            self._topics,
            config.birth_topic,
            session,
            self._transport,
            self._trust,
            self._waker.wake,
            clocks or Clocks(session, platform.boot_id, platform.clock_confirmed),
            clock,
        )
        self._presence = Presence(
            self._transport,
            self._topics,
            session,
            config.birth_topic,
            counts,
            clock,
            trust=self._trust,
            backlog=self._backlog,
        )
        self._happenings = Happenings(
            watch, network, self._presence, self._transport, self._trust, self, clock
        )
        self._notifier = notifier or Notifier({}, clock)
        self._selector = selectors.DefaultSelector()
        self._info: HostInfo | None = None
        self._announced: tuple[HostInfo, dict[str, Report], dict[str, Any]] | None = None
        self._began = 0.0
        self._due: dict[str, float] = {}
        self._key_changes = self._trust.key_changes
        self._suspended: float | None = None
        self._complaints: set[str] = set()
        self._stopping = False

    def stop(self) -> None:
        """Let `run()` end; safe from any thread and from signal handlers."""
        self._stopping = True
        self._waker.wake()

    def run(self) -> None:
        """Report until stopped, then say `off`."""
        with self._waker, self._selector:
            self._selector.register(self._waker.socket, selectors.EVENT_READ)
            self._start()
            while not self._stopping:
                self._turn(self._next_event())
            self._end()

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Stop when the process is asked to end; only in the main thread."""
        signals = [signal.SIGINT, signal.SIGTERM]
        if sys.platform == "win32":
            signals.append(signal.SIGBREAK)
        self._waker.listen_to_signals()
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(-1)

    # --- The loop ------------------------------------------------------------------------

    def _start(self) -> None:
        self._updater.start(self._waker.wake, self._trust.event)
        if self._updater.quiet:
            self._presence.hold_back()
        self._trust.offer_events({**self._happenings.events, **self._updater.events})
        self._began = self._clock()
        self._suspended = self._platform.suspended_time()
        self._due = dict.fromkeys((_HOST_JOB, *self._sources), self._began)
        self._submit(self._began)
        self._trust.start()
        self._backlog.start()
        self._happenings.start(self._waker.wake)
        self._transport.start()
        self._transport.step()
        self._step_mirror()
        self._watch_sockets()
        # Not only once the broker answers: a host whose broker is away has booted all the same.
        self._notifier.ready()
        self._tell_manager()

    def _turn(self, until: float) -> None:
        timeout = None if math.isinf(until) else max(0.0, until - self._clock())
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._waker.socket:
                self._waker.drain()
                continue
            transport = next((one for one in self._transports if one.socket is key.fileobj), None)
            if transport is None:
                # Happenings look for themselves in their step.
                self._trust.readable(cast("socket.socket", key.fileobj))
                continue
            if events & selectors.EVENT_READ:
                transport.readable()
            if events & selectors.EVENT_WRITE:
                transport.writable()
        self._notice_suspend()
        changed = [self._take(result) for result in self._worker.results()]
        changed += [self._hang(name) for name in self._worker.hung()]
        self._trust.step()
        self._follow_keys()
        self._updater.step(online=self._presence.arrived and self._transport.settled)
        if self._updater.restart:
            self._stopping = True
        if self._presence.quiet and not self._updater.quiet:
            self._presence.speak_up()
        # A new reading is announced before its first value.
        self._announce_changes()
        self._publish([source for source in changed if source])
        self._transport.step()
        self._presence.step()
        self._happenings.step()
        self._step_mirror()
        self._backlog.step(self._presence.standing)
        self._submit(self._clock())
        self._watch_sockets()
        self._tell_manager()

    def _step_mirror(self) -> None:
        if self._mirror:
            presence = self._presence
            silent = presence.gave_way or presence.quiet
            self._mirror.step(present=not presence.left, silent=silent)

    def _tell_manager(self) -> None:
        if not self._notifier.listening:
            return
        self._notifier.alive()
        transport = self._transport
        if transport.online:
            self._notifier.status(f"Connected to {transport.broker}")
        elif transport.trouble:
            self._notifier.status(f"Not connected to {transport.broker}: {transport.trouble}")
        else:
            self._notifier.status(f"Connecting to {transport.broker}")

    def _next_event(self) -> float:
        now = self._clock()
        return min(
            *self._due.values(),
            *(transport.deadline() for transport in self._transports),
            self._presence.deadline(),
            self._trust.deadline(),
            self._updater.deadline(),
            self._happenings.deadline(),
            self._backlog.deadline(),
            self._notifier.deadline(),
            now + PATIENCE if self._worker.watching else math.inf,
            self._began + FIRST_ROUND_LIMIT if self._announced is None else math.inf,
        )

    def _end(self) -> None:
        if self._updater.restart:
            self._notifier.status("Starting another version")
        else:
            self._notifier.stopping()
        self._backlog.close()
        self._presence.leave()
        self._step_mirror()
        self._happenings.close()
        self._trust.close()
        self._updater.close()
        self._linger(lambda: not self._is_talking(), FAREWELL_LIMIT)
        for transport in self._transports:
            transport.close()
        self._linger(lambda: self._backlog.settled, LAST_WRITE_LIMIT)
        self._backlog.stop()
        self._worker.stop()
        LOG.info("Stopped")

    def _linger(self, done: Callable[[], bool], limit: float) -> None:
        """Serve the connections until something is done, or for some seconds."""
        until = self._clock() + limit
        while not done() and self._clock() < until:
            self._watch_sockets()
            self._selector.select(max(0.0, until - self._clock()))
            self._waker.drain()
            for transport in self._transports:
                transport.writable()
                transport.readable()

    def _is_talking(self) -> bool:
        return any(one.online and not one.settled for one in self._transports)

    def _watch_sockets(self) -> None:
        """Have the selector wait for the sockets that there are now."""
        wanted = dict.fromkeys(self._others(), selectors.EVENT_READ)
        for transport in self._transports:
            if (sock := transport.socket) is not None:
                writes = selectors.EVENT_WRITE if transport.wants_write else 0
                wanted[sock] = selectors.EVENT_READ | writes
        known = {key.fileobj: key.events for key in self._selector.get_map().values()}
        # What is gone goes first: a new socket may have its number.
        for gone in known.keys() - wanted.keys():
            self._selector.unregister(gone)
        for sock, events in wanted.items():
            if sock not in known:
                self._selector.register(sock, events)
            elif known[sock] != events:
                self._selector.modify(sock, events)

    def _others(self) -> list[socket.socket]:
        return [self._waker.socket, *self._trust.sockets, *self._happenings.sockets]

    def _notice_suspend(self) -> None:
        suspended = self._platform.suspended_time()
        if suspended is None or self._suspended is None:
            return
        slept, self._suspended = suspended - self._suspended, suspended
        if slept < SUSPENDED_FOR:
            return
        LOG.info("This machine was suspended for %.0f s", slept)
        self._backlog.gap()
        for transport in self._transports:
            transport.restart("this machine was suspended")
        self._happenings.come_back()

    def refresh(self) -> None:
        """Have everything read at once."""
        self._due = dict.fromkeys(self._due, self._clock())

    def _read_again(self, key: str) -> None:
        """Have what was set just now read at once, so that everybody sees what came of it."""
        self.read_soon(key.partition(".")[0])

    def read_soon(self, name: str) -> None:
        """Have a collector read at once; again, if it is being read just now."""
        source = self._sources.get(name)
        if source is None:
            return
        # What is being read just now may have looked before.
        source.again = source.running
        self._due[name] = self._clock()

    def awaits(self, name: str) -> bool:
        """Tell whether a collector is being read, or about to be."""
        source = self._sources.get(name)
        return source is not None and (source.running or self._due[name] <= self._clock())

    # --- Reading -------------------------------------------------------------------------

    def _submit(self, now: float) -> None:
        due = [name for name, when in self._due.items() if when <= now]
        if not due:
            return
        jobs = []
        for name in due:
            if name == _HOST_JOB:
                self._due[name] = self._next_on_grid(HOST_INTERVAL, now)
                jobs.append(Job(_HOST_JOB, self._platform.host_info, HOST_INTERVAL))
                continue
            source = self._sources[name]
            self._due[name] = self._next_on_grid(source.wait, now)
            if not source.running:
                jobs.append(source.job())
        self._worker.submit(jobs)

    def _next_on_grid(self, interval: float, now: float) -> float:
        # Collectors with the same interval share their wake-ups, and after a machine slept
        # what was missed is not made up for.
        origin = self._began + SECOND_READ
        if now < origin:
            return origin
        # The small term keeps a rounded quotient from naming the present again.
        return origin + interval * (math.floor((now - origin) / interval + 1e-6) + 1)

    def _take(self, result: Result) -> CollectorRunner | None:
        if result.name == _HOST_JOB:
            if isinstance(result.value, HostInfo):
                self._info = result.value
            else:
                LOG.debug("Cannot describe this host", exc_info=result.error)
            return None
        source = self._sources[result.name]
        before, offered = (source.available, source.interval), source.readings
        source.take(result)
        if source.again:
            source.again = False
            self._due[source.name] = self._clock()
        elif (source.available, source.interval) != before:
            self._due[source.name] = self._next_on_grid(source.wait, self._clock())
        if source.readings != offered:
            # What is read, some let be set.
            self._trust.look_again(source.name)
        return source

    def _hang(self, name: str) -> CollectorRunner | None:
        source = self._sources.get(name)
        if source:
            source.hang()
        return source

    # --- Saying --------------------------------------------------------------------------

    def _follow_keys(self) -> None:
        """Say everything anew for whoever is trusted now."""
        if self._trust.key_changes == self._key_changes:
            return
        self._key_changes = self._trust.key_changes
        self._presence.sign_anew()
        for name in SIGNED_STATES:
            self.read_soon(name)

    def _publish(self, sources: Sequence[CollectorRunner]) -> None:
        for source in sources:
            if not source.available:
                self._presence.forget(source.name)
                self._backlog.forget(source.name)
            if self._mirror:
                self._mirror.state(source.name, source.values if source.available else {})
        there = [source for source in sources if source.available]
        self._presence.states({source.name: self._state(source) for source in there})
        for source in there:
            self._backlog.note(source.name, source.read_at, source.values)

    def _state(self, source: CollectorRunner) -> bytes:
        """Return a collector's part of the state."""
        part = collector_state(source.read_at, source.values)
        if source.name in SIGNED_STATES:
            return self._trust.state(f"{self._topics.state}/{source.name}", part)
        return part

    def _announce_changes(self) -> None:
        if self._announced is None and not self._first_round_over():
            return
        reports = {
            name: source.report for name, source in self._sources.items() if source.available
        }
        info = self._info or HostInfo(socket.gethostname(), "", python_platform.machine())
        offer = {**self._trust.offer, **self._updater.offer}
        if (info, reports, offer) == self._announced:
            return
        if self._announced is None:
            self._say_what_is_there()
        self._announced = (info, reports, offer)
        host = describe_host(self._host_id, self._config.name or info.name, info)
        self._presence.announce(partial(self._write_announce, host, reports, offer))

    def _first_round_over(self) -> bool:
        if self._clock() >= self._began + FIRST_ROUND_LIMIT:
            return True
        known = all(source.available is not None for source in self._sources.values())
        return known and self._info is not None and self._trust.settled

    def _say_what_is_there(self) -> None:
        there = [name for name, source in self._sources.items() if source.available]
        missing = [name for name in self._sources if name not in there]
        LOG.info(
            "Reporting %s%s",
            ", ".join(there) or "nothing",
            f"; not here: {', '.join(missing)}" if missing else "",
        )

    def _write_announce(
        self,
        host: Host,
        reports: Mapping[str, Report],
        offer: Mapping[str, Any],
        conflict: Conflict | None,
    ) -> bytes:
        more = {"sequence": self._trust.next_sequence(), **offer}
        while True:
            try:
                announce = compose(self._session, host, reports, conflict, more)
                return self._trust.seal(self._topics.announce, write_announce(announce))
            except ProtocolError as error:
                self._complain(f"Half of the readings are left out: {error}")
                reports = {
                    name: Report(report.interval, report.readings[: len(report.readings) // 2])
                    for name, report in reports.items()
                }

    def _complain(self, complaint: str) -> None:
        if complaint not in self._complaints:
            self._complaints.add(complaint)
            LOG.warning("%s", complaint)
