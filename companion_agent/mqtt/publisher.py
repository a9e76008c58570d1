"""How the host appears on the wire: order, repetition, self-healing, and clones.

The rules are those of `docs/protocol.md`, "Order and repetition".
"""

from __future__ import annotations

from enum import Enum, auto
import logging
import math
import random
import time
from typing import TYPE_CHECKING, Protocol

from companion_agent.mqtt.connection import Message
from companion_agent.protocol.announce import Conflict, parse_announce
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import BIRTH_ONLINE, Availability, state_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.mqtt.connection import Counts, Transport
    from companion_agent.protocol.announce import Announce
    from companion_agent.protocol.topics import Topics

LOG = logging.getLogger(__name__)

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
# What others say is answered at most this often, so that nobody can make the agent and a
# broker busy with each other.
ANSWER_GAP = 1.0


class _Answer(Enum):
    """What is published because of what somebody else published."""

    AVAILABILITY = auto()
    ANNOUNCE = auto()
    EVERYTHING = auto()


class Standing(Enum):
    """Whether what this host says is heard."""

    HEARD = auto()
    """A broker takes it."""
    UNHEARD = auto()
    """No broker takes it, but one should."""
    AWAY = auto()
    """Nothing is said: the machine is about to sleep or stop, or another agent has its id."""


class Ear(Protocol):
    """Who else is listened to."""

    @property
    def topics(self) -> Sequence[str]:
        """What to subscribe to."""

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message on one of them."""


class Trust(Ear, Protocol):
    """Who else is listened to under this host's topics, and who is believed."""

    def unwrap(self, topic: str, payload: bytes) -> tuple[bytes, bool]:
        """Take the envelope off, and tell whether to believe what was in it."""

    def availability(self, topic: str, word: str, number: int) -> bytes:
        """Write what is said about being there, for whoever has a key."""

    def refuse(self, what: str, reason: str) -> None:
        """Count what somebody else said in this host's name."""


class _Nobody:
    """Nobody is listened to, and everybody is believed."""

    topics = ()

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        pass

    def unwrap(self, _: str, payload: bytes) -> tuple[bytes, bool]:
        return payload, True

    def availability(self, _: str, word: str, __: int) -> bytes:
        return word.encode()

    def refuse(self, what: str, reason: str) -> None:
        pass


class Presence:
    """Says through a transport what there is to say, when it is to be said.

    Args:
        transport: Connects; this becomes its listener.
        topics: The host's topics.
        session: The session of this start of the agent.
        birth_topic: Where Home Assistant says that it is there; empty to not listen.
        counts: Where states that never reached a broker are counted.
        clock: Monotonic seconds.
        draw: Draws a number between -1 and 1.
        trust: Who else is listened to, and who is believed.
        backlog: Who else is listened to, and hears of Home Assistant's coming and going.
    """

    def __init__(
        self,
        transport: Transport,
        topics: Topics,
        session: str,
        birth_topic: str,
        counts: Counts,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311
        trust: Trust | None = None,
        backlog: Ear | None = None,
    ) -> None:
        self._transport = transport
        self._topics = topics
        self._session = session
        self._birth_topic = birth_topic
        self._counts = counts
        self._clock = clock
        self._draw = draw
        self._trust = trust or _Nobody()
        self._backlog = backlog or _Nobody()
        self._write_announce: Callable[[Conflict | None], bytes] | None = None
        self._connection = 0
        self._number = 0  # of what is said about being there on this connection
        self._said = b""
        self._will_outdated = False
        self._states: dict[str, bytes] = {}
        self._unsent: set[str] = set()
        self._no_room: set[str] = set()
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
        transport.listener = self
        transport.will = self._will

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

    def speak_up(self) -> None:
        """Say after `hold_back()` that the host is there, on a connection with a will."""
        self._quiet = False
        self._set_will()
        if self._arrived:
            self._transport.reconnect()

    def announce(self, write: Callable[[Conflict | None], bytes]) -> None:
        """Take a new announce. The host appears with the first one, not earlier.

        Args:
            write: Writes the announce, and into it the other agent where there is one.
        """
        first, self._write_announce = self._write_announce is None, write
        if self._arrived:
            self._publish_announce()
        elif first and self._transport.online:
            self.connected()

    def states(self, parts: Mapping[str, bytes]) -> None:
        """Take what collectors read in one round: it travels in one message."""
        if not parts:
            return
        self._states |= parts
        if self._arrived:
            self._publish_states()
            return
        if not self._looking:
            self._counts.dropped_messages += len(self._unsent & parts.keys())
        self._unsent |= parts.keys()

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

    def sign_anew(self) -> None:
        """Say everything for whoever has a key now, and leave a will that they believe.

        A broker takes a will only with a connection, so there has to be a new one.
        """
        self._will_outdated = True

    def come_back(self) -> None:
        """Appear again after `leave()`, now or with the next connection."""
        if self._left:
            self._left = False
            if self._transport.online:
                self.connected()

    # --- What the transport tells --------------------------------------------------------

    def connected(self) -> None:
        """Appear; or look whether the agent that this one gave way to is still there."""
        if self._write_announce is None or self._left:
            return
        if self._looking:
            self._look_ends = self._clock() + LOOK_LIMIT
            self._publish_announce()
            self._transport.subscribe([self._topics.announce])
            return
        self._arrived = True
        self._publish_everything()
        topics = [self._topics.announce, self._topics.availability]
        topics += [*self._trust.topics, *self._backlog.topics]
        if self._birth_topic:
            topics.append(self._birth_topic)
        self._transport.subscribe(topics)

    def disconnected(self) -> None:
        """Keep what cannot be said."""
        self._arrived = False
        self._look_ends = math.inf
        self._owed.clear()

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Answer what others say where it concerns this host."""
        if topic == self._topics.announce:
            self._hear_announce(payload)
        elif not self._arrived:
            return
        elif topic == self._topics.availability:
            self._hear_availability(payload)
        elif topic == self._birth_topic:
            self._hear_birth(payload, retained=retained)
        else:
            self._trust.received(topic, payload, retained=retained)
            self._backlog.received(topic, payload, retained=retained)

    # --- What the loop asks and tells ----------------------------------------------------

    def deadline(self) -> float:
        """Return when `step()` is due; infinity for never."""
        return min(self._look_ends, self._conflict_ends, *self._owed.values(), math.inf)

    def step(self) -> None:
        """Do what is due."""
        now = self._clock()
        for answer in [answer for answer, due in self._owed.items() if now >= due]:
            del self._owed[answer]
            self._answered[answer] = now
            self._give(answer)
        if now >= self._conflict_ends:
            LOG.info("The other agent with this host's id was not heard for a while: all clear")
            self._conflict = None
            self._conflict_ends = math.inf
            if self._arrived:
                self._publish_announce()
        if now >= self._look_ends:
            LOG.info("The other agent with this host's id is gone: coming back")
            self._looking = False
            self._look_ends = math.inf
            # The connection that looked has no will.
            self._set_will()
            self._transport.reconnect()
        outdated = self._will_outdated and not self._quiet
        if outdated and self._arrived and self._transport.settled:
            LOG.info("Who may command this host has changed: connecting anew, to sign the will")
            self._transport.reconnect()

    # --- Hearing -------------------------------------------------------------------------

    def _hear_birth(self, payload: bytes, *, retained: bool) -> None:
        # A retained birth was there before we said everything.
        if payload == BIRTH_ONLINE and not retained:
            LOG.debug("Home Assistant is there: saying everything again")
            self._owe(_Answer.EVERYTHING)
        self._backlog.received(self._birth_topic, payload, retained=retained)

    def _hear_availability(self, payload: bytes) -> None:
        # Cleared: whoever removes the host here wants nothing of it to be kept.
        if not payload or payload == self._said or self._quiet:
            return
        LOG.debug("An old or foreign message says whether this host is there: saying online")
        # An own one that comes late is signed; an old will, say.
        if not self._trust.unwrap(self._topics.availability, payload)[1]:
            self._trust.refuse("availability", "foreign")
        self._owe(_Answer.AVAILABILITY)

    def _hear_announce(self, payload: bytes) -> None:
        body, believed = self._trust.unwrap(self._topics.announce, payload)
        if payload and not believed:
            self._trust.refuse("announce", "foreign")
        try:
            other = parse_announce(body, self._topics.host)
        except ProtocolError as error:
            self._report_nonsense("announce", error)
            return
        if other is None:
            LOG.info(
                "This host was removed in Home Assistant; it is offered again when it reconnects"
            )
        elif other.session == self._session:
            return
        elif other.conflict and other.conflict.session == self._session and believed:
            # A clone of this host has its keys; whoever only may write to the broker shall not
            # be able to send it away.
            self._give_way(other)
        elif self._arrived:
            self._stand_ground(other)

    def _stand_ground(self, other: Announce) -> None:
        if self._conflict is None or self._conflict.session != other.session:
            LOG.warning(
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
            LOG.error(
                "Another agent (%s) is already online with this host's id %s. If this disk is a "
                "clone, run `pilot-agent id --new` here and start the agent again; until then it "
                "reports nothing and looks every %.0f minutes whether the other is gone",
                other.host.name,
                self._topics.host,
                LOOK_EVERY / 60,
            )
        self._looking = True
        self._transport.will = None
        self._transport.reconnect(after=LOOK_EVERY * (1 + LOOK_SPREAD * self._draw()))

    def _report_nonsense(self, what: str, error: ProtocolError) -> None:
        level = logging.DEBUG if self._nonsense_reported else logging.WARNING
        self._nonsense_reported = True
        LOG.log(level, "Somebody publishes an %s for this host that is not one: %s", what, error)

    # --- Saying --------------------------------------------------------------------------

    def _owe(self, answer: _Answer) -> None:
        now = self._clock()
        earliest = self._answered.get(answer, -math.inf) + ANSWER_GAP
        self._owed.setdefault(answer, max(now, earliest))

    def _give(self, answer: _Answer) -> None:
        if answer is _Answer.AVAILABILITY:
            # The same once more, as its own echo must not be contradicted in turn.
            self._publish_said()
        elif answer is _Answer.ANNOUNCE:
            self._publish_announce()
        else:
            self._publish_everything()

    def _publish_everything(self) -> None:
        self._publish_availability(Availability.ONLINE)
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
        if self._write_announce:
            payload = self._write_announce(self._conflict)
            self._transport.publish(Message(self._topics.announce, payload, qos=1))

    def _publish_states(self) -> None:
        payload, no_room = state_payload(self._states)
        for collector in no_room:
            if collector not in self._no_room:
                LOG.warning("%s: its values are not sent: there is no room for them", collector)
        self._no_room = set(no_room)
        self._transport.publish(Message(self._topics.state, payload))

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
        return self._trust.availability(self._topics.availability, availability.value, number)
