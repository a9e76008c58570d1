"""Where session helpers connect to the agent: what the systems' ways have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from companion_agent.ipc.peer import Peer
    from companion_agent.platforms.control import HostControl, Session

MAX_CONNECTIONS = 32
"""Helpers that may be connected at a time."""


class Listener(ABC):
    """Takes connections of session helpers.

    Which process is at the other end a connection's transport tells: by its socket, or where it
    has none, as `get_extra_info("peer")`.

    Args:
        place: Where it listens, for people.
    """

    def __init__(self, place: str) -> None:
        self.place = place

    @abstractmethod
    async def open(self, connect: Callable[[], asyncio.Protocol]) -> None:
        """Begin to listen.

        Args:
            connect: Makes the protocol of a connection.

        Raises:
            OSError: That is not possible.
        """

    @abstractmethod
    def close(self) -> None:
        """Listen no more; connections go on until they are hung up on."""

    @abstractmethod
    def own_user(self) -> int | str:
        """Return the user that the agent runs as, as `Peer.user` says it.

        Raises:
            OSError: The system does not tell.
        """

    @abstractmethod
    def session_of(self, peer: Peer, control: HostControl) -> Session | None:
        """Return the session of a person that a process belongs to; it may block.

        Args:
            peer: The process.
            control: Knows the sessions.

        Raises:
            Unavailable: The sessions cannot be asked for.
            OSError: The same.
        """
