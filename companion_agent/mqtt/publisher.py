"""How the host appears on the broker: order, repetition, self-healing, and clones.

The rules are those of `docs/protocol.md`, "Order and repetition".
"""

from __future__ import annotations

from enum import Enum, auto
import logging
import math
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.announcement import Report, compose
from companion_agent.mqtt import errors
from companion_agent.mqtt.connection import Message
from companion_agent.protocol.announce import Conflict, Host, parse_announce, write_announce
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import (
    BIRTH_ONLINE,
    SIGNED_STATES,
    Availability,
    collector_state,
    parse_search,
    state_payload,
)
from companion_agent.protocol.validation import MAX_STATE
from companion_agent.timing import SPREAD, Alarm, phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from companion_agent.models import Value
    from companion_agent.mqtt.connection import Counts, Transport
    from companion_agent.mqtt.router import Router
    from companion_agent.protocol.announce import Announce
    from companion_agent.protocol.topics import Topics
    from companion_agent.security.refusals import Refusals
    from companion_agent.security.signer import Signer

_LOGGER = logging.getLogger(__name__)

# A clone that gave way looks again this often, and the one that stayed forgets it when it was
# not heard for three looks.
LOOK_EVERY = 300.0
FORGET_AFTER = 900.0
# Two clones that both gave way must not come back together for ever.
LOOK_SPREAD = 0.1
# How long a look waits for the other's answer. Answers come within a round trip.
LOOK_LIMIT = 10.0
# A will is written before its connection is made, and said after everything that is said on it:
# each connection gets this many numbers, and its will the highest.
NUMBERS_PER_CONNECTION = 1_000_000
# Messages of other clients are answered at most this often, so that none of them can keep the
# agent and a broker busy with each other.
ANSWER_GAP = 1.0
# Everything is a few kilobytes, and asked for by any client that may write to the broker.
EVERYTHING_GAP = 5.0


class _Answer(Enum):
    """What is published in answer to another client's message."""

    AVAILABILITY = auto()
    ANNOUNCE = auto()
    CONTENT = auto()
    """What is announced and read, not that the host is there."""
    EVERYTHING = auto()


class Standing(Enum):
    """Whether what this host says is heard."""

    HEARD = auto()
    """A broker takes it."""
    UNHEARD = auto()
    """No broker takes it, but one should."""
    AWAY = auto()
    """Nothing is said: the machine is about to sleep or stop, or another agent has its id."""


class CollectorState(NamedTuple):
    """What a collector read: when (seconds since 1970 UTC), and its values by their keys."""

    read_at: float
    values: Mapping[str, Value]


class Announcement(NamedTuple):
    """What a host says of itself.

    Attributes:
        host: What it is.
        reports: What every collector at work reports, by the collector's name.
        offer: What else it says, field by field: of trust, commands, events and updates.
    """

    host: Host
    reports: Mapping[str, Report] = {}
    offer: Mapping[str, object] = {}


class Publisher:
    """Encodes, signs and publishes what there is to say, when it is to be said.

    `run()` is its task.

    Args:
        transport: Connects; this becomes its listener.
        router: Brings what others say.
        signer: Numbers and signs.
        refusals: Where foreign messages in this host's name are counted.
        topics: The host's topics.
        session: The session of this start of the agent.
        birth_topic: Where Home Assistant says that it is there; empty to not listen.
        counts: Where states that never reached a broker are counted.
        clock: Monotonic seconds, those of the event loop.
        draw: Draws a number between -1 and 1.

    Attributes:
        companion: Returns what is published beside each announce.
    """

    def __init__(
        self,
        transport: Transport,
        router: Router,
        signer: Signer,
        refusals: Refusals,
        topics: Topics,
        session: str,
        birth_topic: str,
        counts: Counts,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311
    ) -> None:
        self.companion: Callable[[Announce], Iterable[Message]] = lambda _: ()
        self._composed: Announce | None = None
        self._transport = transport
        self._router = router
        self._signer = signer
        self._phase = phase(topics.host)
        self._refusals = refusals
        self._topics = topics
        self._session = session
        self._counts = counts
        self._clock = clock
        self._draw = draw
        self._alarm = Alarm()
        self._observers: list[Callable[[], None]] = []
        self._shown: tuple[bool, ...] = ()
        self._announcement: Announcement | None = None
        self._connection = 0
        self._number = 0  # of what is said about being there on this connection
        self._said = b""
        self._will_outdated = False
        self._states: dict[str, bytes] = {}
        self._unsent: set[str] = set()
        self._no_room: set[str] = set()
        self._complaints: set[str] = set()
        self._arrived = False
        self._quiet = False
        self._left = False
        self._looking = False  # gave way to another agent; comes back when that is gone
        self._look_ends = math.inf
        self._conflict: Conflict | None = None
        self._conflict_ends = math.inf
        self._answered: dict[_Answer, float] = {}
        self._owed: dict[_Answer, float] = {}
        self._nonsense_reported = False
        router.add(topics.announce, self._hear_announce, always=True)
        router.add(topics.availability, self._hear_availability)
        router.add(topics.search, self._hear_search)
        if birth_topic:
            router.add(birth_topic, self._hear_birth)
        transport.listener = self
        transport.will = self._will
        transport.observe(self._alarm.ring)

    async def run(self) -> None:
        """Answer, repeat and look for clones when that is due, until cancelled."""
        while True:
            self._step()
            await self._alarm.wait(self._deadline())

    def observe(self, changed: Callable[[], None]) -> None:
        """Have something called whenever the host appears or goes, in any way."""
        self._observers.append(changed)

    @property
    def arrived(self) -> bool:
        """Whether the host is online and everything was said."""
        return self._arrived

    @property
    def standing(self) -> Standing:
        """Whether what this host says is heard."""
        if self._arrived:
            return Standing.HEARD
        return Standing.AWAY if self._left or self._looking else Standing.UNHEARD

    @property
    def gave_way(self) -> bool:
        """Whether another agent has this host's id, and this one stays away from it."""
        return self._looking

    @property
    def left(self) -> bool:
        """Whether it has said goodbye and not come back."""
        return self._left

    @property
    def quiet(self) -> bool:
        """Whether nothing is said about being there."""
        return self._quiet

    # --- What the agent tells ------------------------------------------------------------

    def hold_back(self) -> None:
        """Say everything but that the host is there, and leave no will.

        So a version that does not last changes nothing of what the one before has said.
        """
        self._quiet = True
        self._set_will()
        self._tell_observers()

    def speak_up(self) -> None:
        """Say after `hold_back()` that the host is there, on a connection with a will."""
        self._quiet = False
        self._set_will()
        self._tell_observers()
        if self._arrived:
            self._transport.reconnect()

    def announce(self, announcement: Announcement) -> None:
        """Take a new announcement. The host appears with the first one, not earlier."""
        first, self._announcement = self._announcement is None, announcement
        if self._arrived:
            self._publish_announce()
        elif first and self._transport.online:
            self.connected()

    def states(self, states: Mapping[str, CollectorState]) -> None:
        """Take what collectors read in one round: it travels in one message."""
        if not states:
            return
        self._states |= {name: self._encode(name, state) for name, state in states.items()}
        if self._arrived and _Answer.CONTENT in self._owed:
            # The announce comes before values, and this moment is the host's own too.
            self._publish_content()
            return
        if self._arrived:
            self._publish_states()
            return
        if not self._looking:
            self._counts.dropped_messages += len(self._unsent & states.keys())
        self._unsent |= states.keys()

    def event(self, key: str, event_type: str, data: Mapping[str, object]) -> None:
        """Tell that something happened."""
        topic = self._topics.event(key)
        payload = self._signer.event(topic, event_type, data)
        self._transport.publish(Message(topic, payload, qos=1, retain=False))

    def forget(self, collector: str) -> None:
        """Do not repeat the values of a collector that is gone."""
        self._states.pop(collector, None)
        self._unsent.discard(collector)

    def leave(self, availability: Availability = Availability.OFF) -> None:
        """Say `off` or `asleep` if the host is online, and nothing until it comes back."""
        if self._arrived:
            self._publish_availability(availability)
        self._arrived = False
        self._left = True
        self._owed.clear()
        self._tell_observers()

    def sign_anew(self) -> None:
        """Publish everything signed with the current keys, and leave a will signed with them.

        A broker takes a will only with a connection, so there has to be a new one. What is read of
        the signed collectors is not repeated there: it is sealed with the keys of before, or with
        none, and has to be read anew.
        """
        for collector in SIGNED_STATES:
            self.forget(collector)
        self._will_outdated = True
        self._alarm.ring()

    def come_back(self) -> None:
        """Appear again after `leave()`, now or with the next connection."""
        if self._left:
            self._left = False
            if self._transport.online:
                self.connected()
            self._tell_observers()

    # --- What the transport tells --------------------------------------------------------

    def connected(self) -> None:
        """Appear; or look whether the agent that this one gave way to is still there."""
        if self._announcement is None or self._left:
            return
        if self._looking:
            self._look_ends = self._clock() + LOOK_LIMIT
            self._alarm.ring()
            self._publish_announce()
            self._transport.subscribe([self._topics.announce])
            return
        if self._transport.returned:
            # A broker that comes back hears of a thousand hosts in the same second.
            self._publish_availability(Availability.ONLINE)
            self._owe(_Answer.CONTENT, after=self._phase * SPREAD)
        else:
            self._publish_everything()
        self._transport.subscribe(self._router.subscriptions)
        self._arrived = True
        self._tell_observers()

    def disconnected(self) -> None:
        """Keep what cannot be said."""
        self._arrived = False
        self._look_ends = math.inf
        self._owed.clear()
        self._tell_observers()

    # --- In the event loop ---------------------------------------------------------------

    def _tell_observers(self) -> None:
        shown = (self._arrived, self._left, self._looking, self._quiet)
        if shown != self._shown:
            self._shown = shown
            for changed in self._observers:
                changed()

    def _deadline(self) -> float:
        """Return when `_step()` is due; infinity for never."""
        return min(self._look_ends, self._conflict_ends, *self._owed.values(), math.inf)

    def _step(self) -> None:
        """Do what is due."""
        now = self._clock()
        for answer in [answer for answer, due in self._owed.items() if now >= due]:
            del self._owed[answer]
            self._answered[answer] = now
            self._give(answer)
        if now >= self._conflict_ends:
            _LOGGER.info("The other agent with this host's id was not heard for a while: all clear")
            self._conflict = None
            self._conflict_ends = math.inf
            if self._arrived:
                self._publish_announce()
        if now >= self._look_ends:
            _LOGGER.info("The other agent with this host's id is gone: coming back")
            self._looking = False
            self._look_ends = math.inf
            self._tell_observers()
            # The connection that looked has no will.
            self._set_will()
            self._transport.reconnect()
        outdated = self._will_outdated and not self._quiet
        if outdated and self._arrived and self._transport.settled:
            _LOGGER.info("Who may command this host has changed: connecting anew, to sign the will")
            self._transport.reconnect()

    # --- Hearing -------------------------------------------------------------------------

    def _hear_birth(self, _: str, payload: bytes, *, retained: bool) -> None:
        # A retained birth was there before we said everything.
        if payload == BIRTH_ONLINE and not retained:
            _LOGGER.debug("Home Assistant is there: saying everything again")
            self._owe(_Answer.EVERYTHING, after=self._phase * SPREAD)

    def _hear_search(self, _: str, payload: bytes, *, retained: bool) -> None:
        if not retained:
            self._owe(_Answer.EVERYTHING, after=self._phase * parse_search(payload))

    def _hear_availability(self, topic: str, payload: bytes, *, retained: bool) -> None:
        # Cleared: when the host is removed here, nothing of it is to be kept.
        if not payload or payload == self._said or self._quiet:
            return
        _LOGGER.debug("An old or foreign message says whether this host is there: saying online")
        # An own one that comes late is signed; an old will, say.
        if not self._signer.unwrap(topic, payload)[1]:
            self._refusals.count("availability", "foreign")
        self._owe(_Answer.AVAILABILITY)

    def _hear_announce(self, topic: str, payload: bytes, *, retained: bool) -> None:
        body, believed = self._signer.unwrap(topic, payload)
        if payload and not believed:
            self._refusals.count("announce", "foreign")
        try:
            other = parse_announce(body, self._topics.host)
        except ProtocolError as error:
            self._report_nonsense("announce", error)
            return
        if other is None:
            _LOGGER.info(
                "This host was removed in Home Assistant; it is offered again when it reconnects"
            )
        elif other.session == self._session:
            return
        elif other.conflict and other.conflict.session == self._session and believed:
            # A clone of this host has its keys; a client that only may write to the broker shall
            # not be able to send it away.
            self._give_way(other)
        elif self._arrived:
            self._stand_ground(other)

    def _stand_ground(self, other: Announce) -> None:
        if self._conflict is None or self._conflict.session != other.session:
            _LOGGER.warning(
                "Another agent (%s) came online with this host's id %s. If its disk is a clone of "
                "this one, run `pilot-agent id --new` there and start it again",
                other.host.name,
                self._topics.host,
            )
        self._conflict = Conflict(other.session, other.host.name)
        self._conflict_ends = self._clock() + FORGET_AFTER
        self._owe(_Answer.ANNOUNCE)

    def _give_way(self, other: Announce) -> None:
        if not self._looking:
            _LOGGER.error(
                "Another agent (%s) is already online with this host's id %s. If this disk is a "
                "clone, run `pilot-agent id --new` here and start the agent again; until then it "
                "reports nothing and looks every %.0f minutes whether the other is gone",
                other.host.name,
                self._topics.host,
                LOOK_EVERY / 60,
            )
        self._looking = True
        self._tell_observers()
        self._transport.will = None
        self._transport.reconnect(after=LOOK_EVERY * (1 + LOOK_SPREAD * self._draw()))

    def _report_nonsense(self, what: str, error: ProtocolError) -> None:
        level = logging.DEBUG if self._nonsense_reported else logging.WARNING
        self._nonsense_reported = True
        _LOGGER.log(level, "An %s of this host is published that is not one: %s", what, error)

    # --- Saying --------------------------------------------------------------------------

    def _owe(self, answer: _Answer, after: float = 0.0) -> None:
        """Answer in so many seconds, unless it is to be said earlier anyway."""
        gap = EVERYTHING_GAP if answer is _Answer.EVERYTHING else ANSWER_GAP
        earliest = self._answered.get(answer, -math.inf) + gap
        due = max(self._clock() + after, earliest)
        self._owed[answer] = min(due, self._owed.get(answer, math.inf))
        self._alarm.ring()

    def _give(self, answer: _Answer) -> None:
        if answer is _Answer.AVAILABILITY:
            # The same once more, as its own echo must not be contradicted in turn.
            self._publish_said()
        elif answer is _Answer.ANNOUNCE:
            self._publish_announce()
        elif answer is _Answer.CONTENT:
            self._publish_content()
        else:
            self._publish_everything()

    def _publish_everything(self) -> None:
        self._publish_availability(Availability.ONLINE)
        self._publish_content()

    def _publish_content(self) -> None:
        self._owed.pop(_Answer.CONTENT, None)
        self._publish_announce()
        if self._states:
            self._publish_states()
        self._unsent.clear()

    def _publish_availability(self, availability: Availability) -> None:
        if self._quiet:
            return
        self._number = min(self._number + 1, NUMBERS_PER_CONNECTION - 2)
        self._said = self._availability(availability, self._number)
        self._publish_said()

    def _publish_said(self) -> None:
        topic = self._topics.availability
        self._transport.publish(Message(topic, self._said, qos=1))

    def _publish_announce(self) -> None:
        if self._announcement is None:
            return
        topic = self._topics.announce
        room = self._transport.room(topic)
        payload = self._write_announce(self._announcement, topic, room)
        if len(payload) > room:
            self._complain_of_size(len(payload), "The host is not announced")
            return
        self._transport.publish(Message(topic, payload, qos=1))
        for message in self.companion(self._composed) if self._composed else ():
            if len(message.payload) <= self._transport.room(message.topic):
                self._transport.publish(message)
            else:
                self._complain_of_size(len(message.payload), "MQTT discovery is left out")

    def _write_announce(self, announcement: Announcement, topic: str, room: float) -> bytes:
        """Write and sign the announce, with as many readings as a reader and the broker take."""
        reports = announcement.reports
        more = {"sequence": self._signer.next_announce(), **announcement.offer}
        while True:
            try:
                self._composed = compose(
                    self._session, announcement.host, reports, self._conflict, more
                )
                body = write_announce(self._composed)
            except ProtocolError as error:
                self._complain("Half of the readings are left out", str(error))
            else:
                payload = self._signer.seal(topic, body)
                if len(payload) <= room or not any(one.readings for one in reports.values()):
                    return payload
                self._complain_of_size(len(payload), "Half of the readings are left out")
            reports = {
                name: Report(report.interval, report.readings[: len(report.readings) // 2])
                for name, report in reports.items()
            }

    def _complain_of_size(self, size: int, what: str) -> None:
        limit = errors.packet_limit(self._transport.limits.packet)
        self._complain(
            what, f"the announce has {size} bytes, and {self._transport.broker} takes {limit}"
        )

    def _complain(self, what: str, why: str) -> None:
        if what not in self._complaints:
            self._complaints.add(what)
            _LOGGER.warning("%s: %s", what, why)

    def _encode(self, collector: str, state: CollectorState) -> bytes:
        part = collector_state(state.read_at, state.values)
        if collector in SIGNED_STATES:
            return self._signer.state(self._topics.signed_state(collector), part)
        return part

    def _publish_states(self) -> None:
        """Say what all collectors read last: in one message, unless the broker takes less."""
        topic = self._topics.state
        room = self._transport.room(topic)
        rest: Mapping[str, bytes] = self._states
        while True:
            payload, left = state_payload(rest, room)
            if len(left) < len(rest):
                self._transport.publish(Message(topic, payload))
            if len(left) in {0, len(rest)} or room >= MAX_STATE:
                break
            rest = {collector: rest[collector] for collector in left}
        for collector in left:
            if collector not in self._no_room:
                why = "there is no room for them"
                if room < MAX_STATE:
                    why = f"the broker takes {errors.packet_limit(self._transport.limits.packet)}"
                _LOGGER.warning("%s: its values are not sent: %s", collector, why)
        self._no_room = set(left)

    def _set_will(self) -> None:
        self._transport.will = None if self._quiet else self._will

    def _will(self) -> Message:
        """Write the will of the next connection, and begin its numbers."""
        self._connection += 1
        self._number = 0
        self._will_outdated = False
        lost = self._availability(Availability.LOST, NUMBERS_PER_CONNECTION - 1)
        return Message(self._topics.availability, lost, qos=1)

    def _availability(self, availability: Availability, number: int) -> bytes:
        number += self._connection * NUMBERS_PER_CONNECTION
        return self._signer.availability(self._topics.availability, availability.value, number)
