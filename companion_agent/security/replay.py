"""Whether a genuine message is new: the session, the counter, the time, and what was answered."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.protocol.messages import Request

MAX_AGE = 30.0
_KEPT_ANSWERS = 256
# Characters of an answer: all that are kept shall not have more than a few megabytes.
_LONGEST_KEPT = 16 * 1024


class ReplayWindow:
    """Lets every signed message act at most once, and only near the time it was signed.

    A counter is spent as soon as the message that carries it is known to be genuine and meant
    for this session, even when the message is then refused as too old: one from a clock that is
    ahead would otherwise become valid later, when it is replayed.

    Args:
        session: This start of the agent.
        clock: Returns the host's time in seconds since 1970.
    """

    def __init__(self, session: str, clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock
        # Only messages with a valid signature get here, so only a key's owner makes it grow.
        self._last: dict[tuple[str, str], int] = {}

    def last(self, key_id: str, controller: str) -> int:
        """Return the last counter that was accepted from a controller; 0 when none was."""
        return self._last.get((key_id, controller), 0)

    def admit(self, key_id: str, request: Request) -> None:
        """Spend the counter of a request whose signature was verified.

        Raises:
            CommandError: It is for another session (`wrong_session`) or not new (`replayed`).
        """
        if request.session != self._session:
            raise CommandError("wrong_session", "meant for another start of the agent")
        if request.counter <= self.last(key_id, request.controller):
            raise CommandError("replayed", "its counter is not above the last one")
        self._last[key_id, request.controller] = request.counter

    def check_age(self, request: Request) -> None:
        """Refuse a request that was signed too far from now, either way.

        Raises:
            CommandError: Its time is off (`too_old`).
        """
        behind = self._clock() - request.time
        if abs(behind) <= MAX_AGE:
            return
        direction = "behind" if behind > 0 else "ahead of"
        detail = (
            f"signed by a clock {abs(behind):.0f} s {direction} this host's, or held up on its way"
        )
        raise CommandError("too_old", detail)


class ResultCache:
    """What became of the last requests, so that a repeat gets the same result.

    A repeat is the same body on the same topic, whatever the envelope around it looks like: the
    same body in a new envelope must not produce a second, different result.
    Forgetting an answer is harmless: its counter is spent.
    """

    def __init__(self, limit: int = _KEPT_ANSWERS) -> None:
        self._limit = limit
        self._kept: OrderedDict[bytes, tuple[str, str] | None] = OrderedDict()

    @staticmethod
    def name(topic: str, body: str) -> bytes:
        """Return the name under which a request is remembered."""
        return sha256(f"{topic}\n{body}".encode()).digest()

    def knows(self, name: bytes) -> bool:
        """Tell whether a request was seen."""
        return name in self._kept

    def result(self, name: bytes) -> tuple[str, str] | None:
        """Return topic and payload of a request's result; `None` while it is being carried out."""
        return self._kept.get(name)

    def begin(self, name: bytes) -> None:
        """Remember a request that is about to be answered."""
        self._kept[name] = None
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def finish(self, name: bytes, topic: str, payload: str) -> None:
        """Remember the result of a request; one with a picture is told once."""
        if name in self._kept and len(payload) <= _LONGEST_KEPT:
            self._kept[name] = (topic, payload)
