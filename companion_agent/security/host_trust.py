"""Trust and commands in the running agent: what the loop and the wire see of them."""

from __future__ import annotations

from collections import Counter
from functools import partial
import json
import logging
import math
import time
from typing import TYPE_CHECKING, Any, Protocol

from companion_agent.errors import CommandError, Unavailable
from companion_agent.ipc.handlers import Desk, no_update
from companion_agent.ipc.server import LocalServer
from companion_agent.mqtt.connection import Message
from companion_agent.protocol.announce import Trust
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import open_envelope
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import HostEvent, availability_body
from companion_agent.protocol.validation import MAX_ANNOUNCE
from companion_agent.security.acknowledgements import Acknowledgements
from companion_agent.security.audit import AuditLog
from companion_agent.security.authorizer import Dispatcher, Job as CommandJob
from companion_agent.security.key_store import TrustStore
from companion_agent.security.keyring import KeyRing
from companion_agent.security.start_counter import next_start
from companion_agent.storage.files import make_private_folder
from companion_agent.worker import Job, Result, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    import socket

    from companion_agent.config.settings import Config
    from companion_agent.ipc.server import Caller
    from companion_agent.models import Command
    from companion_agent.plugins.base import CommandProvider
    from companion_agent.protocol.validation import Order
    from companion_agent.security.acknowledgements import Acknowledgement

_LOGGER = logging.getLogger(__name__)

# How often the system is asked again what it permits: a rule that was just installed shall be
# seen soon, and a wake-up is shared with the collectors.
PROBE_INTERVAL = 60.0
# A command that takes longer has failed, as far as anybody can tell.
COMMAND_LIMIT = 8.0
_PATIENCE = 1.0
_PROBE = "probe "


class Counts(Protocol):
    """Where the messages of others that were refused are counted."""

    refused_messages: int


class Wire(Protocol):
    """What publishes."""

    @property
    def online(self) -> bool:
        """Whether messages can be sent."""

    def publish(self, message: Message) -> bool:
        """Send a message."""


class HostTrust:
    """Who this host trusts, what they may have it do, and how they know that it speaks.

    The loop selects on `sockets`, calls `step()` after every wake-up and at `deadline()`.

    Args:
        config: The configuration.
        host_id: This host's id.
        session: The session of this start.
        groups: The commands that the platform may offer.
        transport: Publishes.
        counts: Where refused messages are counted.
        wake: Wakes the loop from another thread.
        clock: Monotonic seconds.
        now: Seconds since 1970.
        changed: Called with the key of a reading that a command has set.
        update: Answers `pilot-agent update`.
    """

    def __init__(
        self,
        config: Config,
        host_id: str,
        session: str,
        groups: Sequence[CommandProvider],
        transport: Wire,
        counts: Counts,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        changed: Callable[[str], None] = lambda _: None,
        update: Callable[[Caller, dict[str, Any]], dict[str, Any]] = no_update,
    ) -> None:
        base = f"{config.topic_prefix}/{host_id}"
        folder = config.state_dir
        self._folder = folder
        self._base = base
        self._session = session
        self._groups = {group.name: group for group in groups}
        self._transport = transport
        self._counts = counts
        self._clock = clock
        self._now = now
        self._changed = changed
        # Commands do not wait behind a collector that reads a slow disk.
        self._worker = Worker(wake, clock)
        self._jobs: dict[str, CommandJob] = {}
        self._numbered = 0
        self._found: dict[CommandProvider, Sequence[Command]] = {}
        self._probing: set[str] = set()
        self._outdated: set[str] = set()
        self._probe_due = 0.0
        self._started = 0
        self._announces = 0
        self._events = 0
        self._states = 0
        self._foreign: Counter[str] = Counter()
        self._event_types: Mapping[str, Sequence[str]] = {}
        store = TrustStore(folder)
        fleet = config.fleet.reveal() if config.fleet else None
        self._ring = KeyRing(store, config.topic_prefix, host_id, fleet=fleet, clock=now)
        self._audit = AuditLog(folder / "audit.log", now, clock)
        self._dispatcher = Dispatcher(
            ring=self._ring,
            base=base,
            session=session,
            policy=config.commands,
            publish=partial(self._publish, qos=0),
            start=self._begin,
            revoked=lambda: None,  # the loop looks for changes after every message
            missing=self._probe_soon,
            audit=self._audit,
            refusals=lambda: self.refused,
            clock=now,
            monotonic=clock,
        )
        self._desk = Desk(
            self._ring,
            base,
            partial(self._publish, qos=1),
            lambda: None,
            lambda: transport.online,
            self._audit,
            refusals=lambda: self.refused,
            update=update,
        )
        self._acknowledgements = Acknowledgements(self._ring, self._audit)
        self._server = LocalServer(folder, self._desk)

    # --- What the loop asks and tells ----------------------------------------------------

    def start(self) -> None:
        """Begin to look for commands, and to listen to terminals."""
        try:
            make_private_folder(self._folder)
            self._server.open()
        except OSError as error:
            _LOGGER.warning(
                "This host cannot be paired: %s cannot be made private: %s", self._folder, error
            )
        self._started = next_start(self._folder, self._now())
        self._probe_due = self._clock()
        self.step()

    def close(self) -> None:
        """Let terminals go, and end."""
        self._server.close()
        self._worker.stop()
        self._audit.close()

    @property
    def sockets(self) -> list[socket.socket]:
        """The terminals' sockets."""
        return self._server.sockets

    def readable(self, ready: socket.socket) -> None:
        """Take what a terminal sent."""
        self._server.readable(ready)

    def deadline(self) -> float:
        """Return when `step()` is due without an event."""
        patience = self._clock() + _PATIENCE if self._worker.watching else math.inf
        return min(patience, self._probe_due if self._groups else math.inf)

    def step(self) -> None:
        """Take what the worker has done, and ask again what the system permits."""
        for result in self._worker.results():
            self._take(result)
        for name in self._worker.hung():
            self._hang(name)
        self._counts.refused_messages = sum(self.refused.values())
        if self._groups and self._clock() >= self._probe_due:
            self._probe_due = self._clock() + PROBE_INTERVAL
            self._probe(self._groups)

    @property
    def refused(self) -> dict[str, int]:
        """How many messages were refused since the start, by what they were and why."""
        counted = Counter(self._foreign)
        for what, reasons in (
            ("command", self._dispatcher.refused),
            ("acknowledge", self._acknowledgements.refused),
            ("pairing", self._desk.refused),
        ):
            for reason, count in reasons.items():
                counted[f"{what}.{reason}"] = count
        return dict(sorted(counted.items()))

    def refuse(self, what: str, reason: str) -> None:
        """Count what somebody else said in this host's name."""
        self._foreign[f"{what}.{reason}"] += 1

    @property
    def busy(self) -> bool:
        """Whether commands are carried out whose results are still to be told."""
        return bool(self._jobs)

    @property
    def settled(self) -> bool:
        """Whether every group of commands has said what this host can do."""
        return len(self._found) == len(self._groups)

    # --- What is heard -------------------------------------------------------------------

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        below = f"{self._base}/pair/+"
        return [f"{self._base}/command/+", f"{below}/request", f"{below}/confirm"]

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message on one of the topics."""
        parts = topic.removeprefix(f"{self._base}/").split("/")
        if len(parts) == 2 and parts[0] == "command":
            self._dispatcher.received(parts[1], payload, retained=retained)
        elif len(parts) == 3 and parts[0] == "pair":
            self._desk.received(parts[1], parts[2], payload, retained=retained)

    def acknowledgement(
        self, topic: str, payload: bytes, *, retained: bool
    ) -> Acknowledgement | None:
        """Read what a controller says it has got; `None` when it is not believed."""
        return self._acknowledgements.read(topic, payload, retained=retained)

    def unwrap(self, topic: str, payload: bytes) -> tuple[bytes, bool]:
        """Take the envelope off what was published in this host's name.

        Returns:
            The body, and whether to believe that this host or a clone of it wrote it: one that
            is not paired has to believe everybody.
        """
        believed = not self._ring.ids
        try:
            envelope = open_envelope(payload, MAX_ANNOUNCE)
        except ProtocolError:
            return payload, believed
        return envelope.body, believed or self._ring.signed(topic, envelope)

    # --- What is said --------------------------------------------------------------------

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the keys that sign, and whose owners are believed."""
        return self._ring.ids

    @property
    def offer(self) -> dict[str, Any]:
        """What the announce says about trust and commands."""
        offer: dict[str, Any] = {
            "trust": Trust(tuple(self._ring.ids), self._desk.pairing),
            "commands": self._dispatcher.announced(),
        }
        if self._event_types:
            offer["events"] = {key: tuple(types) for key, types in self._event_types.items()}
        return offer

    def next_sequence(self) -> Order:
        """Return the number of the next announce, after that of this start."""
        self._announces += 1
        return self._started, self._announces

    def seal(self, topic: str, body: bytes) -> bytes:
        """Sign what this host says for every controller that it is paired with."""
        return self._ring.seal(topic, body.decode()).encode()

    @property
    def key_changes(self) -> int:
        """How often it changed who is trusted."""
        return self._ring.changes

    def availability(self, topic: str, word: str, number: int) -> bytes:
        """Write what is said about being there: the bare word while nobody could verify more.

        Args:
            topic: Where it is published.
            word: What is said.
            number: Its place among all that is said about it in this start.
        """
        if not self._ring.ids:
            return word.encode()
        body = availability_body(word, self._now(), self._session, (self._started, number))
        return self._ring.seal(topic, body).encode()

    def state(self, topic: str, payload: bytes) -> bytes:
        """Number a collector's values and sign them."""
        self._states += 1
        body = {**json.loads(payload), "sequence": [self._started, self._states]}
        return self._ring.seal(topic, dump(body)).encode()

    def offer_events(self, types: Mapping[str, Sequence[str]]) -> None:
        """Announce which types of which events this host can tell."""
        self._event_types = types

    def event(self, key: str, event_type: str, data: Mapping[str, object]) -> None:
        """Tell that something happened."""
        self._events += 1
        event = HostEvent(
            self._now(), self._session, (self._started, self._events), event_type, data
        )
        topic = f"{self._base}/event/{key}"
        self._publish(topic, self._ring.seal(topic, event.body()), qos=1)

    def _publish(self, topic: str, payload: str, *, qos: int) -> None:
        self._transport.publish(Message(topic, payload.encode(), qos=qos, retain=False))

    # --- Commands in the worker ----------------------------------------------------------

    def _begin(self, job: CommandJob) -> None:
        self._numbered += 1
        name = f"{job.key} {self._numbered}"
        self._jobs[name] = job
        self._worker.submit([Job(name, job.run, COMMAND_LIMIT)])

    def _take(self, result: Result) -> None:
        if result.name.startswith(_PROBE):
            self._found_out(result)
        elif job := self._jobs.pop(result.name, None):
            self._dispatcher.finished(job, result.error)
            if job.state and result.error is None:
                self._changed(job.state)

    def _hang(self, name: str) -> None:
        if job := self._jobs.pop(name, None):
            detail = f"the system did not answer within {COMMAND_LIMIT:.0f} s; it may still do it"
            self._dispatcher.finished(job, CommandError("failed", detail))

    def look_again(self, name: str) -> None:
        """Ask a group at once what this host can do, if there is one: something has changed."""
        if name not in self._groups:
            return
        if name in self._probing:
            # It may have answered from what was before.
            self._outdated.add(name)
        else:
            self._probe([name])

    def _probe_soon(self) -> None:
        self._probe_due = self._clock()

    def _probe(self, wanted: Iterable[str]) -> None:
        names = [name for name in wanted if name not in self._probing]
        self._probing.update(names)
        self._worker.submit(
            Job(f"{_PROBE}{name}", self._groups[name].commands, PROBE_INTERVAL) for name in names
        )

    def _found_out(self, result: Result) -> None:
        name = result.name.removeprefix(_PROBE)
        self._probing.discard(name)
        if name in self._outdated:
            self._outdated.discard(name)
            self._probe([name])
        group = self._groups[name]
        if isinstance(result.value, (list, tuple)):
            commands: Sequence[Command] = result.value
        else:
            commands = ()
            if not isinstance(result.error, Unavailable):
                _LOGGER.debug("%s commands: cannot be looked for", name, exc_info=result.error)
        if self._found.get(group) != commands:
            self._found[group] = commands
            self._dispatcher.offer(self._found)
