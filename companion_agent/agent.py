"""The running agent: its parts, put together, each in a task of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
import logging
import time
from typing import TYPE_CHECKING, Any

from companion_agent.announcement import describe_agent
from companion_agent.announcer import Announcer
from companion_agent.buffer.buffer import Buffer
from companion_agent.clock import Clocks
from companion_agent.desktop.sessions import DesktopSessions
from companion_agent.errors import CommandError
from companion_agent.host_events import EVENTS, HostEvents
from companion_agent.ipc import sight
from companion_agent.ipc.handlers import Handlers, no_reload
from companion_agent.ipc.server import LocalServer
from companion_agent.ipc.session_server import SessionServer
from companion_agent.mqtt.connection import Message, Transport
from companion_agent.mqtt.discovery_record import read_record
from companion_agent.mqtt.publisher import CollectorState, Publisher, Standing
from companion_agent.mqtt.router import Router
from companion_agent.mqtt.unsigned import WARNING, UnsignedCommands
from companion_agent.plugins.desktop import DesktopPlugin, told_to_helpers
from companion_agent.protocol.announce import Announce, Trust
from companion_agent.protocol.messages import SIGNED_STATES
from companion_agent.protocol.topics import Topics
from companion_agent.scheduler import Scheduler
from companion_agent.security.acknowledgements import Acknowledgements
from companion_agent.security.audit import AuditLog
from companion_agent.security.command_service import CommandService
from companion_agent.security.key_store import TrustStore
from companion_agent.security.keyring import KeyRing
from companion_agent.security.refusals import Refusals
from companion_agent.security.signer import Signer
from companion_agent.security.start_counter import keep_start, next_start
from companion_agent.service.sd_notify import Notifier
from companion_agent.storage.files import make_private_folder
from companion_agent.timing import Alarm, phase
from companion_agent.updates.launcher import Launched
from companion_agent.updates.updater import Updater

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from companion_agent.config.reloader import Reloader
    from companion_agent.config.settings import Config
    from companion_agent.ipc.listener import Listener
    from companion_agent.models import Audience, Counters
    from companion_agent.mqtt.discovery import MqttDiscovery
    from companion_agent.mqtt.legacy_v1 import Mirror
    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.control import HostWatch, NetworkWatch
    from companion_agent.plugins.base import CommandProvider
    from companion_agent.plugins.runner import CollectorRunner

_LOGGER = logging.getLogger(__name__)

# How long `off` may take to reach the broker when the agent ends.
FAREWELL_LIMIT = 1.0
# How long an agent that goes on for another one may take to be heard before it says `off`.
ARRIVAL_LIMIT = 5.0
# How long a slow disk may take to keep what was not heard.
LAST_WRITE_LIMIT = 5.0


class _Stopped(Exception):  # noqa: N818  (not an error)
    """Ends the tasks of the parts: the agent was stopped."""


class Agent:
    """Reports this host until it is stopped.

    Args:
        config: The configuration.
        platform: The operating system.
        sources: The collectors at work.
        host_id: The host's id.
        session: The session of this start.
        counts: Shared with the transport and the collector that reports them.
        clock: Monotonic seconds, those of the event loop.
        groups: What Home Assistant may ask of this host.
        watch: Hears of sleep, shutdown and sessions; `None` where no system service tells.
        network: Hears that the network has changed; `None` where the system does not tell.
        notifier: Tells the service manager how the agent is.
        clocks: The host's clocks; the real ones when `None`.
        updater: Fetches new versions.
        pair_command: What to type here to pair this host; `None` where it is not known.
        desktop: The session helpers, which plug-ins know as well.
        audience: Whether Home Assistant is there, which plug-ins ask.
        listener: Where session helpers find the agent; `None` where there is no such place.
        reloader: Reads the configuration again; `None` where there is none to read.
        present: Whether the agent that it goes on for has left the host as being there.

    Attributes:
        renewed: Whether it has ended to begin anew with the configuration that was read again.
        present: Whether it has left the host as being there then.
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
        pair_command: str | None = None,
        desktop: DesktopSessions | None = None,
        audience: Audience | None = None,
        listener: Listener | None = None,
        reloader: Reloader | None = None,
        *,
        present: bool = False,
    ) -> None:
        self.renewed = False
        self.present = present
        self._reloader = reloader
        self._described = describe_agent(pair_command)
        self._folder = config.state_dir
        self._counts = counts
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._stopped = self._renewing = False
        self._failure: Exception | None = None
        topics = self._topics = Topics(config.topic_prefix, host_id)
        client_id = f"pilot-{host_id}-{session[:8]}"
        with suppress(OSError):
            # The local server says what is wrong with it.
            make_private_folder(self._folder)
        self._refusals = Refusals()
        self._audit = AuditLog(self._folder / "audit.log", time.time, clock)
        fleet = config.fleet.reveal() if config.fleet else None
        self._ring = KeyRing(TrustStore(self._folder), config.topic_prefix, host_id, fleet=fleet)
        self._key_changes = self._ring.changes
        self._signer = Signer(self._ring, session, next_start(self._folder, time.time()))
        self._acknowledgements = Acknowledgements(self._ring, self._audit)
        self._refusals.include("acknowledge", self._acknowledgements.refused)

        self._transport = Transport(config.brokers, client_id, counts, clock)
        self._router = Router(lambda: self._publisher.arrived)
        self._publisher = Publisher(
            self._transport,
            self._router,
            self._signer,
            self._refusals,
            topics,
            session,
            config.birth_topic,
            counts,
            clock,
        )
        self._mirror: Mirror | None = None
        if config.mirror:
            from companion_agent.mqtt.legacy_v1 import Mirror  # noqa: PLC0415  (when it is needed)

            self._mirror = Mirror(
                config.mirror,
                config.brokers,
                f"{client_id}-v1",
                clock,
                self._obey,
            )
        self._scheduler = Scheduler(
            platform,
            sources,
            self._take_readings,
            offered=lambda name: self._commands.probe(name),  # noqa: PLW0108  (made below)
            suspended=self._come_back,
            clock=clock,
            phase=phase(host_id),
        )
        self._commands = CommandService(
            groups,
            ring=self._ring,
            topics=topics,
            session=session,
            policy=config.commands,
            publish=partial(self._publish_text, qos=0),
            audit=self._audit,
            refusals=self._refusals,
            grid=self._scheduler.grid,
            offered=lambda: self._announcer.look_again(),  # noqa: PLW0108  (made below)
            revoked=self._follow_trust,
            surpass=self._surpass,
            changed=lambda key: self._scheduler.read_soon(key.partition(".")[0]),
            refresh=self._refresh,
            renew=self._renew,
            clock=clock,
        )
        self._updater = updater or Updater(config.update, self._folder, Launched(), clock)
        self._handlers = Handlers(
            self._ring,
            topics.base,
            partial(self._publish_text, qos=1),
            self._follow_trust,
            lambda: self._transport.online,
            self._audit,
            refusals=self._refusals.by_reason,
            update=self._updater.asked,
            seen=self._seen,
            reload=self._read_again if reloader else no_reload,
        )
        self._refusals.include("pairing", self._handlers.refused)
        self._server = LocalServer(self._folder, self._handlers)
        self._desktop = desktop or DesktopSessions()
        desktop_plugins = [group for group in groups if isinstance(group, DesktopPlugin)]
        self._desktop_events = {group.name: group.events for group in desktop_plugins}
        self._collector_events = {
            source.name: source.collector.events
            for source in sources
            if source.name not in EVENTS and source.name not in self._desktop_events
        }
        self._session_server = SessionServer(
            listener,
            self._desktop,
            platform.control,
            self._audit,
            clock,
            domains=told_to_helpers(desktop_plugins, {source.name for source in sources}),
        )
        self._refusals.include("session_helper", self._session_server.refused)
        self._buffer = Buffer(
            config.backlog,
            self._folder,
            topics,
            session,
            self._transport,
            self._signer,
            self._acknowledgements,
            lambda: self._publisher.standing,
            clocks or Clocks(session, platform.boot_id, platform.clock_confirmed),
            clock,
            phase=phase(host_id),
        )
        if audience:
            audience.listens = lambda: self._transport.online and not self._buffer.gone
        self._host_events = HostEvents(
            watch,
            network,
            self._publisher,
            self._transport,
            self._commands,
            self._scheduler,
            clock,
            follow_sessions=self._session_server.follow,
        )
        self._announcer = Announcer(
            host_id,
            config.name,
            self._publisher,
            self._scheduler,
            self._offer,
            lambda: self._commands.settled,
            clock,
        )
        self._discovery: MqttDiscovery | None = None
        wanted = config.discovery == "mqtt"
        if wanted or read_record(self._folder)[0]:
            from companion_agent.mqtt.discovery import MqttDiscovery  # noqa: PLC0415  (if needed)

            self._discovery = MqttDiscovery(
                self._folder, topics, config.discovery_prefix, wanted=wanted
            )
            self._publisher.companion = self._discover
        self._obeys_unsigned = wanted and config.commands.unsigned
        self._warn_of_unsigned(config)
        self._notifier = notifier or Notifier({}, clock)
        self._next_sign = Alarm()
        self._route(config.birth_topic)
        self._connect_observers()

    def _route(self, birth_topic: str) -> None:
        """Say what handles which topics, beside what the publisher itself hears."""
        self._transport.receiver = self._received
        self._router.add(self._commands.subscription, self._commands.received)
        for subscription in self._handlers.subscriptions:
            self._router.add(subscription, self._handlers.pairing_received)
        self._buffer.listen(self._router, birth_topic)
        if self._discovery and self._discovery.wanted:
            self._router.add(self._discovery.topic, self._discovery.received, always=True)
        if self._obeys_unsigned:
            unsigned = UnsignedCommands(self._commands.unsigned)
            self._router.add(self._topics.unsigned("+"), unsigned.received)

    def _connect_observers(self) -> None:
        """Say who looks again when the connection, the host's presence or a command changes."""
        for changed in (
            self._host_events.look_again,
            self._updater.look_again,
            self._tell_manager,
        ):
            self._transport.observe(changed)
        for changed in (
            self._host_events.look_again,
            self._updater.look_again,
            self._buffer.look_again,
            self._follow_with_mirror,
        ):
            self._publisher.observe(changed)
        self._commands.observe(self._host_events.look_again)
        self._desktop.changed = self._scheduler.read_soon
        self._desktop.offered = self._commands.probe
        self._desktop.happened = self._desktop_happened

    # --- The tasks -----------------------------------------------------------------------

    def stop(self) -> None:
        """Let `run()` end; safe from any thread, and after the end."""
        self._stopped = True
        if self._loop is None:
            self._stopping.set()
        else:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)

    def reload(self) -> None:
        """Read the configuration again, and begin anew with it when it has no mistakes."""
        with suppress(CommandError):  # The log says why.
            self._read_again()

    async def run(self) -> None:
        """Report until stopped, then say `off`, unless it begins anew at once.

        Raises:
            Exception: A part has failed; `off` was said, and what was left was written.
        """
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._callback_failed)
        # The connections outlive the parts that speak through them.
        async with asyncio.TaskGroup() as group:
            connections = [group.create_task(one.run()) for one in self._transports]
            try:
                await self._start()
                await self._run_parts()
            finally:
                await self._say_goodbye()
                for connection in connections:
                    connection.cancel()
        _LOGGER.info("Beginning anew with the configuration" if self.renewed else "Stopped")
        if self._failure:
            raise self._failure

    async def _run_parts(self) -> None:
        """Run all parts until the agent is stopped, or one of them fails."""
        try:
            async with asyncio.TaskGroup() as group:
                for part in (
                    self._scheduler.run(),
                    self._commands.run(),
                    self._announcer.run(),
                    self._publisher.run(),
                    self._buffer.run(),
                    self._host_events.run(),
                    self._give_signs_of_life(),
                    self._update(),
                    self._raise_when_stopped(),
                ):
                    group.create_task(part)
        except* _Stopped:
            pass
        except* Exception as failures:  # noqa: BLE001  (`run()` raises it)
            self._fail(failures)

    async def _update(self) -> None:
        await self._updater.run()
        self._stopping.set()

    async def _give_signs_of_life(self) -> None:
        """Tell the service manager that the event loop turns."""
        while True:
            self._notifier.alive()
            await self._next_sign.wait(self._notifier.deadline())

    async def _raise_when_stopped(self) -> None:
        await self._stopping.wait()
        if self._stopped and self.present:
            # No `off` is heard without a connection, and no will says it.
            await self._until_heard()
        raise _Stopped

    async def _until_heard(self) -> None:
        """Wait until the host has appeared, or must not, or for some seconds."""
        changed = Alarm()
        self._publisher.observe(changed.ring)
        until = self._clock() + ARRIVAL_LIMIT
        while self._publisher.standing is Standing.UNHEARD and self._clock() < until:
            await changed.wait(until)

    def _callback_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End when something fails that is in no task, as what a message causes."""
        if isinstance(error := context.get("exception"), Exception):
            self._fail(error)
        else:
            loop.default_exception_handler(context)

    def _fail(self, error: Exception) -> None:
        _LOGGER.critical("A part of the agent has failed: it ends", exc_info=error)
        self._failure = self._failure or error
        self._stopping.set()

    async def _start(self) -> None:
        try:
            await self._server.open()
        except OSError as error:
            _LOGGER.warning(
                "This host cannot be paired: %s cannot be made private: %s", self._folder, error
            )
        await self._session_server.open()
        self._updater.start(
            self._publisher.event,
            lambda: self._publisher.arrived and self._transport.settled,
            renewed=self._announcer.look_again,
            lasts=self._publisher.speak_up,
        )
        if self._updater.quiet:
            self._publisher.hold_back()
        self._transport.start()
        self._follow_with_mirror()
        # Not only once the broker answers: a host whose broker is away has booted all the same.
        self._notifier.ready()
        self._tell_manager()

    async def _say_goodbye(self) -> None:
        self.renewed = self._renewing and not self._stopped
        self.present = self.renewed and (self.present or self._publisher.arrived)
        if self._updater.restart:
            self._notifier.status("Starting another version")
        elif self.renewed:
            self._notifier.status("Reading the configuration again")
        else:
            self._notifier.stopping()
        last_write = asyncio.create_task(self._buffer.close(LAST_WRITE_LIMIT))
        if not self.renewed:
            # A host that is back at once has not been away.
            self._publisher.leave()
            self._follow_with_mirror()
        self._server.close()
        self._session_server.close()
        self._audit.close()
        await self._deliver()
        for transport in self._transports:
            transport.close()
        await last_write

    async def _deliver(self) -> None:
        """Wait until the brokers have heard everything, or for some seconds."""
        changed = Alarm()
        for transport in self._transports:
            transport.observe(changed.ring)
        until = self._clock() + FAREWELL_LIMIT
        while any(one.online and not one.settled for one in self._transports):
            if self._clock() >= until:
                return
            await changed.wait(until)

    @property
    def _transports(self) -> list[Transport]:
        return [self._transport, *([self._mirror.transport] if self._mirror else [])]

    def _read_again(self) -> None:
        """Read the configuration, and begin anew with it.

        Raises:
            CommandError: It has mistakes; nothing changes.
        """
        if self._reloader:
            self._reloader.read()
            self._renew()

    def _renew(self) -> None:
        self._renewing = True
        self._stopping.set()

    # --- What the parts tell each other --------------------------------------------------

    def _received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        self._router.received(topic, payload, retained=retained)
        self._counts.refused_messages = self._refusals.total

    def _seen(self) -> dict[str, Any]:
        """Say what this process sees of the host and of the broker; a shell may see another."""
        return {
            "collectors": {
                source.name: sight.of_collector(source) for source in self._scheduler.sources
            },
            "refused_by_system": {
                key: [command.missing.reason, command.missing.fix]
                for key, command in self._commands.announced().items()
                if command.missing
            },
            "desktop": self._session_server.describe(),
            "broker": {
                "name": str(self._transport.broker),
                "online": self._transport.online,
                "trouble": self._transport.trouble,
                "unwritable": self._transport.unwritable,
                "unreadable": self._transport.unreadable,
            },
        }

    def _discover(self, announce: Announce) -> Iterable[Message]:
        pressable = self._commands.pressable if self._obeys_unsigned else None
        return self._discovery.messages(announce, pressable) if self._discovery else ()

    def _obey(self, key: str, args: Mapping[str, Any], source: str) -> None:
        """Take a command that nothing proves, where the configuration obeys such."""
        self._commands.unsigned(key, args, source)

    def _warn_of_unsigned(self, config: Config) -> None:
        if self._obeys_unsigned:
            _LOGGER.warning(WARNING, "commands.unsigned")
        if config.mirror and config.mirror.commands:
            _LOGGER.warning(WARNING, "mirror.v1.commands")

    def _publish_text(self, topic: str, payload: str, *, qos: int) -> None:
        self._transport.publish(Message(topic, payload.encode(), qos=qos, retain=False))

    def _take_readings(self, sources: Sequence[CollectorRunner]) -> None:
        """Announce and publish what was read in one round."""
        self._announcer.announce()
        for source in sources:
            if not source.available:
                self._publisher.forget(source.name)
                self._buffer.forget(source.name)
            if self._mirror:
                self._mirror.state(source.name, source.values if source.available else {})
        there = [source for source in sources if source.available]
        self._publisher.states(
            {source.name: CollectorState(source.read_at, source.values) for source in there}
        )
        for source in there:
            self._buffer.note(source.name, source.read_at, source.values)
            for event in source.take_events():
                self._host_events.tell(source.name, event.type, event.data)
        self._host_events.look_again()
        if self._notifier.listening:
            # Now, when everything is awake, rather than in a wake-up of its own.
            self._next_sign.ring()

    def _offer(self) -> dict[str, Any]:
        """Say what is announced beside the readings."""
        offer: dict[str, Any] = {
            "agent": self._described,
            "trust": Trust(tuple(self._ring.ids), self._handlers.pairing),
            "commands": self._commands.announced(),
        }
        events = {
            **self._host_events.events,
            **self._updater.events,
            **self._offered(self._desktop_events),
            **self._offered(self._collector_events),
        }
        if events:
            offer["events"] = {key: tuple(types) for key, types in events.items()}
        return {**offer, **self._updater.offer}

    def _offered(self, events: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """Return the events of the domains that are there, or that a helper has offered."""
        there = {source.name for source in self._scheduler.sources if source.available}
        return {name: types for name, types in events.items() if types and name in there}

    def _desktop_happened(self, domain: str, event: str, data: Mapping[str, Any]) -> None:
        if event in self._desktop_events.get(domain, ()):
            self._host_events.tell(domain, event, data)

    def _follow_trust(self) -> None:
        """Say everything anew for the controllers that are trusted now."""
        self._announcer.announce()
        if self._ring.changes == self._key_changes:
            return
        self._key_changes = self._ring.changes
        self._sign_anew()

    def _surpass(self, start: int) -> None:
        """Go on above a start that a controller has accepted: its number cannot have been known."""
        if (number := self._signer.surpass(start)) is None:
            return
        _LOGGER.warning(
            "A controller knows a later start of this host, as after a loss of its state folder "
            "when its clock was ahead before: saying everything anew, as start %d",
            number,
        )
        keep_start(self._folder, number)
        self._announcer.announce()
        self._sign_anew()

    def _sign_anew(self) -> None:
        self._publisher.sign_anew()
        self._buffer.look_again()
        for name in SIGNED_STATES:
            self._scheduler.read_soon(name)

    def _refresh(self, collectors: Sequence[str]) -> None:
        """Read these collectors at once; all of them when none is named."""
        if not collectors:
            self._scheduler.refresh()
        for name in collectors:
            self._scheduler.read_soon(name)

    def _come_back(self, _slept: float) -> None:
        """Go on after this machine was suspended."""
        self._buffer.gap()
        for transport in self._transports:
            transport.restart("this machine was suspended")
        self._host_events.come_back()

    def _follow_with_mirror(self) -> None:
        if self._mirror:
            publisher = self._publisher
            silent = publisher.gave_way or publisher.quiet
            self._mirror.follow(present=not publisher.left, silent=silent)

    def _tell_manager(self) -> None:
        if not self._notifier.listening:
            return
        transport = self._transport
        if transport.online:
            self._notifier.status(f"Connected to {transport.broker}")
        elif transport.trouble:
            self._notifier.status(f"Not connected to {transport.broker}: {transport.trouble}")
        else:
            self._notifier.status(f"Connecting to {transport.broker}")
