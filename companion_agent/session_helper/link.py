"""The helper's end of the connection to the agent, whichever way the system has to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from companion_agent.desktop.messages import (
    MAX_MESSAGE,
    FromAgent,
    FromHelper,
    encode_message,
    parse_from_agent,
)
from companion_agent.ipc.lines import LineDecoder, encode
from companion_agent.protocol.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable


class AwayError(Exception):
    """No agent listens here now; the text says where it was looked for."""


class Link(asyncio.Protocol):
    """A connection to the agent.

    Args:
        received: Takes what the agent says.
    """

    def __init__(self, received: Callable[[FromAgent], None]) -> None:
        self.gone = asyncio.Event()
        self._received = received
        self._lines = LineDecoder(MAX_MESSAGE)
        self._transport: asyncio.Transport | None = None

    def send(self, message: FromHelper) -> None:
        """Send a message."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(encode(encode_message(message)))

    def hang_up(self) -> None:
        """End the connection."""
        if self._transport:
            self._transport.abort()

    # --- What asyncio calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what arrived; a server that does not keep to the protocol is left."""
        try:
            for line in self._lines.feed(data):
                if (message := parse_from_agent(line)) is not None:
                    self._received(message)
        except ProtocolError:
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it has gone."""
        self.gone.set()
