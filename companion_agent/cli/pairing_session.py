"""The terminal's part in pairing: it knows the code, and asks the service to carry messages."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from companion_agent.clock import elapsed
from companion_agent.ipc.client import ChannelError
from companion_agent.protocol.pairing import HostPairing, Paired, Status
from companion_agent.protocol.validation import is_controller

if TYPE_CHECKING:
    from companion_agent.ipc.client import LocalClient


class Terminal:
    """Shows a code and pairs with who knows it.

    Args:
        client: The call to the service, which has agreed to a pairing.
        code: The code that is shown.
        base: Prefix and id of this host, joined by a slash.
    """

    def __init__(self, client: LocalClient, code: str, base: str) -> None:
        self._client = client
        self._pairing = HostPairing(code, base, elapsed)
        self._found: Paired | None = None
        self.paired: Paired | None = None
        self.wrong_codes = 0

    @property
    def status(self) -> Status:
        """Where the pairing stands; paired only once the service has kept the key."""
        status = self._pairing.status
        if status is Status.PAIRED and self.paired is None:
            return Status.WAITING
        return status

    @property
    def left(self) -> int:
        """How many tries are left."""
        return self._pairing.left

    @property
    def remaining(self) -> float:
        """Seconds until the code expires."""
        return self._pairing.remaining

    def wait(self, limit: float) -> None:
        """Wait for a message and answer it.

        Args:
            limit: Seconds to wait at most.

        Raises:
            ChannelError: The service has gone, or could not keep the key.
        """
        message = self._client.receive(limit)
        if message is None:
            return
        if "error" in message:
            raise ChannelError(str(message["error"]))
        if "stored" in message:
            self.paired = self._found
        elif "request" in message:
            self._requested(str(message["request"]), _payload(message))
        elif "confirm" in message:
            self._confirmed(str(message["confirm"]), _payload(message))

    def close(self, end: str) -> None:
        """Say why the code ends, and hang up."""
        with suppress(ChannelError):
            self._client.send({"end": end})
        self._client.close()

    def _requested(self, controller: str, payload: bytes) -> None:
        if is_controller(controller):
            answer = self._pairing.request(controller, payload)
            self._client.send({"say": "answer", "to": controller, "payload": answer})

    def _confirmed(self, controller: str, payload: bytes) -> None:
        result, paired = self._pairing.confirm(controller, payload)
        if result is None:
            return
        message: dict[str, Any] = {"say": "result", "to": controller, "payload": result}
        if paired:
            self._found = paired
            secret = base64.b64encode(paired.secret).decode()
            message |= {"name": paired.name, "secret": secret}
        elif "error" in result:
            self.wrong_codes += 1
        self._client.send(message)


def _payload(message: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(str(message.get("payload", "")))
    except ValueError:
        return b""
