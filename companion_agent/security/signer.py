"""Numbers and signs what this host says, and knows its own signature again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import open_envelope
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import HostEvent, availability_body
from companion_agent.protocol.validation import MAX_ANNOUNCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.protocol.validation import Order
    from companion_agent.security.keyring import KeyRing


class Signer:
    """Signs for every controller that this host is paired with.

    Args:
        ring: The keys.
        session: The session of this start of the agent.
        start: The number of this start, higher than those of all earlier ones.
        now: Seconds since 1970.
    """

    def __init__(
        self, ring: KeyRing, session: str, start: int, now: Callable[[], float] = time.time
    ) -> None:
        self._ring = ring
        self._session = session
        self._start = start
        self._now = now
        self._announces = 0
        self._events = 0
        self._states = 0

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the keys that sign."""
        return self._ring.ids

    def surpass(self, start: int) -> int | None:
        """Number all that is said from now on above another start.

        Returns:
            The number that this start has now; `None` where it was higher already.
        """
        if start <= self._start:
            return None
        self._start = start + 1
        return self._start

    def next_announce(self) -> Order:
        """Return the number of the next announce, after that of this start."""
        self._announces += 1
        return self._start, self._announces

    def seal(self, topic: str, body: bytes) -> bytes:
        """Sign what this host says."""
        return self._ring.seal(topic, body.decode()).encode()

    def availability(self, topic: str, word: str, number: int) -> bytes:
        """Write what is said about being there: the bare word while no key could verify more.

        Args:
            topic: Where it is published.
            word: What is said.
            number: Its place among all that is said about it in this start.
        """
        if not self._ring.ids:
            return word.encode()
        body = availability_body(word, self._now(), self._session, (self._start, number))
        return self._ring.seal(topic, body).encode()

    def state(self, topic: str, part: bytes) -> bytes:
        """Number a collector's part of the state, and sign it.

        Args:
            topic: The state's topic, with the collector's name below it.
            part: What `collector_state()` wrote.
        """
        self._states += 1
        body = {**json.loads(part), "sequence": [self._start, self._states]}
        return self._ring.seal(topic, dump(body)).encode()

    def event(self, topic: str, event_type: str, data: Mapping[str, object]) -> bytes:
        """Write that something happened."""
        self._events += 1
        sequence = (self._start, self._events)
        event = HostEvent(self._now(), self._session, sequence, event_type, data)
        return self._ring.seal(topic, event.body()).encode()

    def unwrap(self, topic: str, payload: bytes) -> tuple[bytes, bool]:
        """Take the envelope off what was published in this host's name.

        Returns:
            The body, and whether to believe that this host or a clone of it wrote it: one that
            is not paired has to believe every message.
        """
        believed = not self._ring.ids
        try:
            envelope = open_envelope(payload, MAX_ANNOUNCE)
        except ProtocolError:
            return payload, believed
        return envelope.body, believed or self._ring.signed(topic, envelope)
