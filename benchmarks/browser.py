"""An open dashboard: what Home Assistant's front end asks for and follows, without drawing it."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from stack.homeassistant import HomeAssistant

_REGISTRIES = (
    ("entity_registry_updated", "config/entity_registry/list_for_display"),
    ("device_registry_updated", "config/device_registry/list"),
)
_DEBOUNCE = 0.5
"""Seconds between two looks at a registry that changes: the front end's own."""
_RETRY = 0.3


class Browser:
    """One tab, in a thread of its own, which connects again whenever it is disconnected.

    Attributes:
        disconnected: How often Home Assistant ended the connection while it went on running.
        states: How many states it was told.

    Args:
        home_assistant: What it shows.
        per_state: Seconds that it takes to draw a state.
    """

    def __init__(self, home_assistant: HomeAssistant, per_state: float) -> None:
        self.disconnected = 0
        self.states = 0
        self._home_assistant = home_assistant
        self._per_state = per_state
        self._restarting = threading.Event()
        self._closed = threading.Event()
        self._connection: ClientConnection | None = None
        self._thread = threading.Thread(target=self._run, name="browser", daemon=True)

    def open(self) -> None:
        """Open the dashboard."""
        self._thread.start()

    def close(self) -> None:
        """Close it."""
        self._closed.set()
        if self._connection is not None:
            self._connection.close()
        self._thread.join(10)

    def expect_restart(self, *, expected: bool) -> None:
        """Say whether Home Assistant is being restarted, which ends all connections."""
        if expected:
            self._restarting.set()
        else:
            self._restarting.clear()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._show()
            except (OSError, WebSocketException, KeyError):
                if self._connection is not None and not (
                    self._restarting.is_set() or self._closed.is_set()
                ):
                    self.disconnected += 1
            self._connection = None
            self._closed.wait(_RETRY)

    def _show(self) -> None:
        home_assistant = self._home_assistant
        address = f"ws://{home_assistant.host}:{home_assistant.port}/api/websocket"
        with connect(address, max_size=None, proxy=None) as connection:
            connection.recv(10)  # auth_required
            token = home_assistant.tokens["access_token"]
            connection.send(json.dumps({"type": "auth", "access_token": token}))
            json.loads(connection.recv(30))["ha_version"]
            self._connection = connection
            self._follow(_Numbered(connection))

    def _follow(self, numbered: _Numbered) -> None:
        numbered.send("supported_features", features={"coalesce_messages": 1})
        numbered.send("subscribe_entities")
        for kind in ("get_config", "get_services", "config/area_registry/list"):
            numbered.send(kind)
        changed: dict[int, str] = {}
        for event, listing in _REGISTRIES:
            changed[numbered.send("subscribe_events", event_type=event)] = listing
            numbered.send(listing)
        asked = dict.fromkeys(changed.values(), time.monotonic())
        dirty: set[str] = set()
        while True:
            try:
                frame = json.loads(numbered.connection.recv(_DEBOUNCE))
            except TimeoutError:
                frame = []
            messages: list[dict[str, Any]] = frame if isinstance(frame, list) else [frame]
            drawn = 0
            for message in messages:
                if message.get("type") != "event":
                    continue
                if (listing := changed.get(message["id"])) is not None:
                    dirty.add(listing)
                else:
                    event = message["event"]
                    drawn += sum(len(event.get(part, ())) for part in "acr")
            self.states += drawn
            time.sleep(drawn * self._per_state)
            now = time.monotonic()
            for listing in [one for one in dirty if now - asked[one] > _DEBOUNCE]:
                dirty.discard(listing)
                asked[listing] = now
                numbered.send(listing)


class _Numbered:
    """Numbers what is sent on a connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._number = 0

    def send(self, kind: str, **fields: object) -> int:
        """Send a command, and return its number."""
        self._number += 1
        self.connection.send(json.dumps({"id": self._number, "type": kind, **fields}))
        return self._number
