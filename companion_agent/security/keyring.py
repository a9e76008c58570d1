"""All keys of this host, ready to sign and verify with."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from companion_agent.protocol.envelope import seal
from companion_agent.protocol.signing import Keys, derive, verify
from companion_agent.protocol.validation import FLEET, MAX_PAIRED
from companion_agent.security.key_store import Controller, StoreError, TrustStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.protocol.envelope import ControllerEnvelope, Envelope

_LOGGER = logging.getLogger(__name__)


class KeyRing:
    """The controllers of this host and the keys that belong to them.

    Attributes:
        changes: How often the keys have changed.

    Args:
        store: Where the controllers are kept.
        prefix: The first part of all topics.
        host: This host's id.
        fleet: The secret that many hosts share; `None` where there is none.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(
        self,
        store: TrustStore,
        prefix: str,
        host: str,
        *,
        fleet: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._host = host
        self._clock = clock
        self._fleet = derive(FLEET, fleet, prefix, host) if fleet else None
        self._controllers: dict[str, Controller] = {}
        self._keys: dict[str, Keys] = {}
        self.changes = 0
        try:
            self._use(store.load())
        except StoreError as error:
            # The host goes on reporting, and accepts no commands until it is paired again.
            _LOGGER.error("%s", error)  # noqa: TRY400  (the text says it all)
            self._use([])

    @property
    def ids(self) -> list[str]:
        """The ids of all keys, as the announce lists them."""
        return list(self._keys)

    @property
    def controllers(self) -> list[Controller]:
        """The controllers that this host is paired with."""
        return list(self._controllers.values())

    def command_key(self, key_id: str) -> bytes | None:
        """Return the key that verifies what a controller says; `None` when it is not paired."""
        keys = self._keys.get(key_id)
        return keys.command if keys else None

    def refusal(self, topic: str, envelope: ControllerEnvelope) -> str:
        """Return why what a controller says is not believed; empty when it is."""
        key = self.command_key(envelope.key_id)
        if key is None:
            return "not_paired"
        if not verify(key, topic, envelope.body.encode(), envelope.signature):
            return "bad_signature"
        return ""

    def name(self, key_id: str, controller: str = "") -> str:
        """Return what a controller calls itself, for people."""
        if key_id == FLEET:
            return f"fleet key ({controller})" if controller else "fleet key"
        known = self._controllers.get(key_id)
        return known.name if known else ""

    def seal(self, topic: str, body: str) -> str:
        """Put what this host says into an envelope, signed for every controller."""
        return seal(topic, body, self._report)

    def signed(self, topic: str, envelope: Envelope) -> bool:
        """Tell whether one of this host's own keys signed what is said in its name."""
        return any(
            verify(key, topic, envelope.body, envelope.signatures.get(key_id))
            for key_id, key in self._report.items()
        )

    def add(self, controller: str, name: str, secret: bytes) -> None:
        """Trust a controller; one that was known gets its new key.

        Raises:
            StoreError: Its key cannot be kept.
        """
        fresh = Controller(controller, name, secret, round(self._clock(), 3))
        controllers = {**self._controllers, controller: fresh}
        if len(controllers) > MAX_PAIRED:
            raise StoreError(
                f"this host is paired with {MAX_PAIRED} controllers already; "
                "revoke one with: pilot-agent pair revoke"
            )
        self._store.save(controllers.values())
        self._use(list(controllers.values()))

    def revoke(self, controller: str) -> bool:
        """Trust a controller no longer.

        Returns:
            Whether it was trusted.

        Raises:
            StoreError: The keys cannot be written; it is still trusted.
        """
        if controller not in self._controllers:
            return False
        rest = [known for known in self._controllers.values() if known.id != controller]
        self._store.save(rest)
        self._use(rest)
        return True

    def find(self, wanted: str) -> list[Controller]:
        """Return the controllers that have an id or a name."""
        return [known for known in self.controllers if wanted in (known.id, known.name)]

    def _use(self, controllers: list[Controller]) -> None:
        self.changes += 1
        self._controllers = {known.id: known for known in controllers}
        self._keys = {
            known.id: derive(known.id, known.secret, self._prefix, self._host)
            for known in controllers
        }
        if self._fleet:
            self._keys[FLEET] = self._fleet
        self._report: Mapping[str, bytes] = {
            key_id: keys.report for key_id, keys in self._keys.items()
        }
