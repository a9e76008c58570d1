"""The service's part in pairing: it carries messages and keeps keys, and never knows the code."""

from __future__ import annotations

import base64
from collections import Counter
import logging
from typing import TYPE_CHECKING, Any

from companion_agent.clock import elapsed
from companion_agent.errors import CommandError
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.validation import (
    FLEET,
    MAX_PAIRING,
    is_controller,
    is_controller_name,
)
from companion_agent.security.key_store import StoreError, parse_secret
from companion_agent.security.rate_limit import TokenBucket
from companion_agent.storage.permissions import typed_by_administrator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.ipc.server import Connection
    from companion_agent.security.audit import AuditLog
    from companion_agent.security.keyring import KeyRing

_LOGGER = logging.getLogger(__name__)

# How long the end of a code explains why it does not pair any more.
_REMEMBERED = 600.0
_ENDS = ("expired", "burned")


def no_update(_connection: Connection, _message: dict[str, Any]) -> dict[str, Any]:
    """Answer for an agent that cannot be updated."""
    return {"error": "this agent cannot be updated"}


def no_reload() -> None:
    """Refuse for an agent that has no configuration to read again.

    Raises:
        CommandError: Always.
    """
    raise CommandError("failed", "this agent cannot read its configuration again")


class Handlers:
    """Answers terminals, and connects one that shows a code with the controllers that ask to pair.

    Args:
        ring: Where keys are kept.
        base: Prefix and id of this host, joined by a slash.
        publish: Publishes text on a topic, at QoS 1 and not retained.
        changed: Called when the announce has to change.
        online: Tells whether the broker is connected.
        audit: The record.
        clock: Returns seconds that never go back.
        refusals: Returns how many messages this host has refused, by what and why.
        update: Answers `pilot-agent update`.
        seen: Returns what the service sees of the host, for `pilot-agent doctor`.
        reload: Reads the configuration again and goes on with it, or raises `CommandError`.
    """

    def __init__(
        self,
        ring: KeyRing,
        base: str,
        publish: Callable[[str, str], None],
        changed: Callable[[], None],
        online: Callable[[], bool],
        audit: AuditLog,
        clock: Callable[[], float] = elapsed,
        refusals: Callable[[], Mapping[str, int]] = dict,
        update: Callable[[Connection, dict[str, Any]], dict[str, Any]] = no_update,
        seen: Callable[[], dict[str, Any]] = dict,
        reload: Callable[[], None] = no_reload,
    ) -> None:
        self._ring = ring
        self._base = base
        self._publish = publish
        self._changed = changed
        self._online = online
        self._audit = audit
        self._refusals = refusals
        self._update = update
        self._seen = seen
        self._reload = reload
        self._clock = clock
        self._terminal: Connection | None = None
        self._ended = ("no_code", float("-inf"))
        self._messages = TokenBucket(5, 10, clock)
        self._log_lines = TokenBucket(1 / 600, 3, clock)
        self.refused: Counter[str] = Counter()

    @property
    def subscriptions(self) -> list[str]:
        """The topics of pairing that controllers publish on."""
        return [f"{self._base}/pair/+/request", f"{self._base}/pair/+/confirm"]

    @property
    def pairing(self) -> bool:
        """Whether a code is shown now."""
        return self._terminal is not None

    # --- What controllers say ------------------------------------------------------------

    def pairing_received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message below `pair/`.

        Args:
            topic: Where it was published; its last segments are the controller and the kind.
            payload: What was published.
            retained: Whether the broker had kept it.
        """
        controller, kind = topic.split("/")[-2:]
        if retained:
            self.refused["retained"] += 1
        elif not is_controller(controller) or kind not in ("request", "confirm"):
            self.refused["malformed"] += 1
        elif not self._messages.take():
            self.refused["flood"] += 1
        elif self._terminal is None:
            self._answer_without_code(controller, kind, payload)
        elif len(payload) > MAX_PAIRING:
            self.refused["malformed"] += 1
        else:
            self._terminal.send({kind: controller, "payload": base64.b64encode(payload).decode()})

    def _answer_without_code(self, controller: str, kind: str, payload: bytes) -> None:
        if kind != "request":
            return
        # Seldom wanted: most hosts are paired once.
        from companion_agent.protocol.pairing import (  # noqa: PLC0415
            attempt_of,
            parse_pair_request,
        )

        try:
            asked = parse_pair_request(payload)
        except ProtocolError:
            self.refused["malformed"] += 1
            self._say(controller, "answer", {"attempt": attempt_of(payload), "error": "malformed"})
            return
        reason, since = self._ended
        recent = self._clock() - since < _REMEMBERED
        error = reason if recent else "no_code"
        self.refused[error] += 1
        self._say(controller, "answer", {"attempt": asked.attempt, "error": error})
        if self._log_lines.take():
            _LOGGER.warning(
                'Home Assistant "%s" asks to pair with this host. To let it command this host, '
                "run: %s",
                asked.name,
                typed_by_administrator("pilot-agent pair"),
            )

    # --- What terminals say --------------------------------------------------------------

    def received(self, connection: Connection, message: dict[str, Any]) -> None:
        """Take a message from a terminal."""
        if "ask" in message:
            connection.send(self._answer(connection, message))
        elif connection is self._terminal:
            self._relay(connection, message)

    def gone(self, connection: Connection) -> None:
        """Take note that a terminal has ended; its code ends with it."""
        if connection is self._terminal:
            self._end("no_code")

    def _answer(self, connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
        match message["ask"]:
            case "list":
                return {"controllers": self._list(), "fleet": FLEET in self._ring.ids}
            case "revoke":
                return self._revoke(message.get("ids"))
            case "pair":
                return self._begin(connection)
            case "online":
                return {"online": self._online()}
            case "refused":
                return {"refused": dict(self._refusals())}
            case "seen":
                return self._seen()
            case "reload":
                return self._read_again()
            case "update":
                return self._update(connection, message)
            case _:
                return {"error": "the agent and this command are of different versions"}

    def _read_again(self) -> dict[str, Any]:
        try:
            self._reload()
        except CommandError as error:
            return {"error": error.detail}
        return {"reloaded": True}

    def _list(self) -> list[dict[str, Any]]:
        return [
            {"id": known.id, "name": known.name, "since": known.since}
            for known in self._ring.controllers
        ]

    def _revoke(self, ids: object) -> dict[str, Any]:
        wanted = [one for one in ids if isinstance(one, str)] if isinstance(ids, list) else []
        revoked = []
        try:
            for controller in wanted:
                name = self._ring.name(controller)
                if self._ring.revoke(controller):
                    revoked.append(controller)
                    self._audit.write("revoked", controller=controller, name=name, by="terminal")
        except StoreError as error:
            return {"error": str(error)}
        finally:
            if revoked:
                self._changed()
        return {"revoked": revoked}

    def _begin(self, connection: Connection) -> dict[str, Any]:
        if self._terminal not in (None, connection):
            return {"error": "another terminal shows a code already"}
        self._terminal = connection
        self._changed()
        return {"host": self._base, "online": self._online()}

    def _relay(self, connection: Connection, message: dict[str, Any]) -> None:
        if (end := message.get("end")) is not None:
            self._end(end if end in _ENDS else "no_code")
            return
        controller, payload = message.get("to"), message.get("payload")
        kind = message.get("say")
        if not isinstance(controller, str) or not is_controller(controller):
            return
        if kind not in ("answer", "result") or not isinstance(payload, dict):
            return
        if "secret" in message and not self._keep(connection, controller, message):
            return
        if isinstance(error := payload.get("error"), str):
            self.refused[error] += 1
        if kind == "result" and isinstance(error, str):
            self._audit.write_stranger("pairing", error, controller=controller)
        self._say(controller, kind, payload)
        if "secret" in message:
            # After the result, so that the controller can verify the announce that follows.
            self._end("no_code")

    def _keep(self, connection: Connection, controller: str, message: dict[str, Any]) -> bool:
        name = message.get("name")
        if not is_controller_name(name):
            connection.send({"error": "the controller has no proper name"})
            return False
        try:
            self._ring.add(controller, name, parse_secret(message["secret"]))
        except (StoreError, ValueError) as error:
            connection.send({"error": str(error)})
            return False
        self._audit.write("paired", controller=controller, name=name)
        _LOGGER.info('Paired with Home Assistant "%s" (%s)', name, controller)
        connection.send({"stored": controller})
        return True

    def _end(self, reason: str) -> None:
        self._terminal = None
        self._ended = (reason, self._clock())
        self._changed()

    def _say(self, controller: str, kind: str, payload: dict[str, Any]) -> None:
        self._publish(f"{self._base}/pair/{controller}/{kind}", dump(payload))
