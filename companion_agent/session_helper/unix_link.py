"""How the helper finds the agent on Linux: by a socket that only the agent can have made."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

from companion_agent.ipc import runtime_folder
from companion_agent.ipc.lines import SESSION_SOCKET, unix_path
from companion_agent.ipc.peer import peer_of
from companion_agent.ipc.runtime_folder import UntrustedError
from companion_agent.platforms.unix import AF_UNIX
from companion_agent.session_helper.link import AwayError, Link

assert sys.platform != "win32"

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from companion_agent.desktop.messages import FromAgent


async def connect(
    received: Callable[[FromAgent], None], folders: Iterable[Path] | None = None
) -> Link:
    """Connect to the agent of this machine.

    Args:
        received: Takes what the agent says.
        folders: Where it may be; where it usually is when left out.

    Raises:
        AwayError: None listens, or what does is not the agent.
    """
    looked = []
    for folder in runtime_folder.candidates() if folders is None else folders:
        try:
            connection = _open(folder)
        except UntrustedError as error:
            looked.append(f"what is there is not the agent: {error}")
        except OSError as error:
            looked.append(f"{folder / SESSION_SOCKET}: {error.strerror}")
        else:
            loop = asyncio.get_running_loop()
            _, link = await loop.create_connection(lambda: Link(received), sock=connection)
            return link
    raise AwayError("; ".join(looked) or "this system has no place for it")


def _open(folder: Path) -> socket.socket:
    """Connect to a socket that only the agent can have made, and look who answers."""
    owner = runtime_folder.check(folder, SESSION_SOCKET)
    connection = socket.socket(AF_UNIX)
    try:
        connection.settimeout(5)
        with unix_path(folder, SESSION_SOCKET) as path:
            connection.connect(path)
        _check_server(connection, folder, owner)
        connection.setblocking(False)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_server(connection: socket.socket, folder: Path, owner: int) -> None:
    server = peer_of(connection)
    if server is None or server.uid not in (0, owner):
        raise UntrustedError(f"{folder} is served by the user {server.uid if server else '?'}")
