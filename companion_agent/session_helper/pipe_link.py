"""How the helper finds the agent on Windows: by a pipe that only the agent can have made.

The kernel says who made a pipe, by its owner. The process that serves it is not looked at: the
services' account does not let a user open its processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.ipc.pipe_listener import PIPE
from companion_agent.ipc.pipe_transport import PipePump, PipeTransport
from companion_agent.session_helper.link import AwayError, Link
from companion_agent.storage.permissions import SERVICE_SID
from companion_agent.winapi import accounts, identities, pipes

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.desktop.messages import FromAgent

# Not the service's account, which other services have too and can make a pipe with.
_TRUSTED = (SERVICE_SID, accounts.SYSTEM, accounts.ADMINISTRATORS)


async def connect(received: Callable[[FromAgent], None], name: str = PIPE) -> Link:
    """Connect to the agent of this machine.

    Args:
        received: Takes what the agent says.
        name: The pipe.

    Raises:
        AwayError: None listens, or what does is not the agent.
    """
    try:
        pipe = pipes.open_client(name)
    except OSError as error:
        raise AwayError(f"{name}: {error.strerror}") from error
    try:
        _check_owner(pipe)
        pump = _pump_of(pipe)
    except OSError as error:
        pipes.close(pipe)
        raise AwayError(f"{name}: {error.strerror}") from error
    except AwayError:
        pipes.close(pipe)
        raise
    link = Link(received)
    PipeTransport(pump, pipe, link).start()
    return link


def _pump_of(pipe: int) -> PipePump:
    """Make what tells of a pipe's operations and ends with it."""
    pump = PipePump()
    try:
        pump.add(pipe)
    finally:
        pump.close()
    return pump


def _check_owner(pipe: int) -> None:
    owner = identities.owner_of(pipe)
    if owner not in (*_TRUSTED, accounts.current_user()):
        raise AwayError(f"what is there is not the agent: the pipe belongs to the account {owner}")
