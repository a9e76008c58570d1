"""What was last offered of a desktop, kept in the state folder over restarts of agent and machine.

Home Assistant forgets what is not announced. So that a machine at whose login screen no user has
been yet keeps its entities, what a session helper offered once is announced until its user has
withdrawn it, or it was not offered for a long time.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.desktop.messages import (
    MAX_DOMAINS,
    Offer,
    Offered,
    encode_message,
    parse_from_helper,
)
from companion_agent.protocol.errors import ProtocolError
from companion_agent.storage.state_file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

OFFERS_FILE = "desktop.json"
FORGOTTEN_AFTER = 90 * 86_400.0
"""Seconds without an offer after which a domain is forgotten: this desktop is not used any more."""

# Seconds that this has to last: a computer may boot with a clock that is years ahead, which a time
# server sets soon.
_CERTAIN_AFTER = 3600.0

# How old the time of an offer in the file may be: an SD card is not written to without need.
_NOTED_AGAIN = 86_400.0


class LastOffer(NamedTuple):
    """What was last offered of a domain.

    Attributes:
        user: Whose helper offered it: a user's number, or Windows' SID.
        offer: What it was.
        at: When it was last offered, seconds since 1970.
    """

    user: int | str
    offer: Offer
    at: float


class LastOffers:
    """The last offer of each domain. Its methods may be called from several threads.

    Args:
        folder: The state folder; without one nothing outlasts the process.
        now: Seconds since 1970.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        folder: Path | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = StateFile(folder, OFFERS_FILE)
        self._now = now
        self._clock = clock
        self._old_since: dict[str, float] = {}
        self._lock = threading.Lock()
        self._offers = self._file.load(_parse) or {}
        self._unsaved = False
        self._unsavable = False

    def of(self, domain: str) -> LastOffer | None:
        """Return what was last offered of a domain; `None` if nothing was, or long ago."""
        last = self._offers.get(domain)
        if last is None or self._now() - last.at < FORGOTTEN_AFTER:
            self._old_since.pop(domain, None)
            return last
        if self._clock() - self._old_since.setdefault(domain, self._clock()) < _CERTAIN_AFTER:
            return last
        _LOGGER.info("%s: forgotten, no session has offered it for long", domain)
        self.forget(domain)
        return None

    def note(self, domain: str, user: int | str, offer: Offer) -> None:
        """Note what is offered now."""
        last = self._offers.get(domain)
        age = self._now() - last.at if last else 0.0
        if last is None or last[:2] != (user, offer) or not 0 <= age < _NOTED_AGAIN:
            self._offers[domain] = LastOffer(user, offer, self._now())
            self._old_since.pop(domain, None)
            self._unsaved = True

    def forget(self, domain: str) -> None:
        """Forget a domain."""
        if self._offers.pop(domain, None):
            self._unsaved = True

    def save(self) -> None:
        """Write what has changed; what cannot be written is logged, and tried again."""
        with self._lock:
            if not self._unsaved:
                return
            self._unsaved = False
            try:
                self._file.save(_dump(dict(self._offers)))
            except OSError as error:
                self._unsaved = True
                if not self._unsavable:
                    _LOGGER.warning("%s cannot be written: %s", self._file.path, error.strerror)
                self._unsavable = True
            else:
                self._unsavable = False


def _dump(offers: Mapping[str, LastOffer]) -> dict[str, Any]:
    return {
        "offers": [
            {
                **_encode_user(last.user),
                "at": last.at,
                **encode_message(Offered(domain, last.offer)),
            }
            for domain, last in offers.items()
        ]
    }


def _encode_user(user: int | str) -> dict[str, int | str]:
    # The number is there in any case: agents that know no SIDs read this file as well.
    return {"uid": user} if isinstance(user, int) else {"uid": -1, "sid": user}


def _read_user(entry: Mapping[str, Any]) -> int | str:
    return str(entry["sid"]) if "sid" in entry else int(entry["uid"])


def _parse(content: Mapping[str, Any]) -> dict[str, LastOffer]:
    """Read what `_dump` wrote.

    Raises:
        ValueError: It is something else.
    """
    entries = content.get("offers")
    if not isinstance(entries, list) or len(entries) > MAX_DOMAINS:
        raise ValueError("offers is not a list of domains")
    offers = {}
    for entry in entries:
        try:
            user, at = _read_user(entry), float(entry["at"])
            message = parse_from_helper(entry)
        except (TypeError, KeyError, ProtocolError) as error:
            raise ValueError(f"an offer is damaged: {error}") from error
        if isinstance(message, Offered) and not message.offer.empty:
            offers[message.domain] = LastOffer(user, message.offer, at)
    return offers
