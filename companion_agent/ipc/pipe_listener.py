r"""The named pipe of session helpers on Windows, `\\.\pipe\pilot-agent`.

Every user may connect, and none but the agent's own may make another instance of it. Pipes are not
files in a folder that an administrator owns: a program that makes one of this name first is found
out by the pipe's owner, here and in the helper.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from companion_agent.ipc.listener import Listener
from companion_agent.ipc.peer import Peer
from companion_agent.ipc.pipe_transport import PipePump, PipeTransport
from companion_agent.storage.permissions import SERVICE_SID
from companion_agent.winapi import accounts, dll, identities, pipes, security, wts

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.control import HostControl, Session

_LOGGER = logging.getLogger(__name__)

PIPE = r"\\.\pipe\pilot-agent"

# Seconds after which an instance is made again that could not be made.
_AGAIN = 5.0


class PipeListener(Listener):
    """Listens at a pipe.

    Args:
        name: The pipe.
    """

    def __init__(self, name: str = PIPE) -> None:
        super().__init__(name)
        self._own = ""
        self._pump: PipePump | None = None
        self._connect: Callable[[], asyncio.Protocol]
        self._waiting = 0
        self._later: asyncio.TimerHandle | None = None

    async def open(self, connect: Callable[[], asyncio.Protocol]) -> None:
        """Make the pipe, and begin to wait for clients."""
        self._connect = connect
        self._own = _own_sid()
        pipe = self._make_first()
        self._pump = PipePump()
        self._accept(self._pump, pipe)

    def close(self) -> None:
        """Wait for no client any more."""
        if self._later:
            self._later.cancel()
        pump, self._pump = self._pump, None
        if pump is None:
            return
        if self._waiting:
            pipes.cancel(self._waiting)
        pump.close()

    def own_user(self) -> str:
        """Return the SID of the process's account."""
        return accounts.current_user()

    def session_of(self, peer: Peer, control: HostControl) -> Session | None:
        """Return the session that the process runs in, if its account is the one logged in there.

        Another account's process in it (`runas`) has no business with the desktop.
        """
        for session in control.sessions():
            if session.id == str(peer.session):
                return session if _is_logged_in(peer) else None
        return None

    def _make_first(self) -> int:
        """Make the pipe's first instance.

        A client that has not closed its end yet keeps the pipe of an agent that has ended: then
        it is there already, and this agent's all the same.

        Raises:
            OSError: It cannot be made, or it is another account's.
        """
        try:
            return self._make(first=True)
        except OSError as error:
            if getattr(error, "winerror", 0) != pipes.ACCESS_DENIED:
                raise
        pipe = self._make(first=False)
        if identities.owner_of(pipe) != self._own:
            pipes.close(pipe)
            raise dll.error(pipes.ACCESS_DENIED, "another program has made this pipe")
        return pipe

    def _make(self, *, first: bool) -> int:
        with security.descriptor(rules(self._own)) as descriptor:
            return pipes.create(self.place, descriptor, first=first)

    def _accept(self, pump: PipePump, pipe: int) -> None:
        self._waiting = pipe
        try:
            pump.add(pipe)
            pump.begin(
                lambda operation: pipes.begin_accept(pipe, operation),
                lambda _, error: self._accepted(pump, pipe, error),
            )
        except OSError as error:
            self._waiting = 0
            if getattr(error, "winerror", 0) != pipes.NO_DATA:
                pump.drop(pipe)
                self._try_again(error)
                return
            # A client that has gone before it was waited for: any program can be one, and again.
            # The next instance first, so that no other program finds the name free.
            loop = asyncio.get_running_loop()
            loop.call_soon(self._accept_next)
            loop.call_soon(pump.drop, pipe)

    def _accepted(self, pump: PipePump, pipe: int, error: int) -> None:
        self._waiting = 0
        # Before this one is closed, so that no other program finds the name free.
        self._accept_next()
        if self._pump is None or error:
            pump.drop(pipe)
        else:
            PipeTransport(pump, pipe, self._connect(), peer_of(pipe)).start()

    def _accept_next(self) -> None:
        if self._pump:
            try:
                self._accept(self._pump, self._make(first=False))
            except OSError as error:
                self._try_again(error)

    def _try_again(self, error: OSError) -> None:
        _LOGGER.warning("No further session helper can connect for a moment: %s", error.strerror)
        self._later = asyncio.get_running_loop().call_later(_AGAIN, self._accept_next)


def rules(own: str) -> str:
    """Return who may what with the pipe: the agent all, each user connect.

    Args:
        own: The SID that owns the pipe and may make further instances: the service's, or that of
            the account where this is no service.
    """
    # Helpers look who owns it: what an administrator makes would belong to the administrators. The
    # owner may do no more than others (S-1-3-4), which counts where it is an account. AU are
    # those who have logged in, which leaves out guests, anonymous ones and programs in an app
    # container.
    everything = "".join(f"(A;;GA;;;{sid})" for sid in (own, "SY", "BA"))
    return f"O:{own}D:P(A;;RC;;;S-1-3-4){everything}(A;;{pipes.CLIENT_RIGHTS:#x};;;AU)"


def _own_sid() -> str:
    """Return whose the pipe is to be.

    Other services have the service's account too, and its SID alone tells them apart. Windows puts
    it into the service's token as one that may own things (SE_GROUP_OWNER, `SERVICE_SID_INFO`).
    """
    return SERVICE_SID if accounts.has_sid(SERVICE_SID) else accounts.current_user()


def peer_of(pipe: int) -> Peer | None:
    """Ask which process has connected, and as which account; `None` where it cannot be told."""
    try:
        return Peer(
            pipes.client_process(pipe),
            -1,
            identities.of_client(pipe),
            pipes.client_session(pipe),
        )
    except OSError as error:
        _LOGGER.debug("A pipe's client is not known: %s", error)
        return None


def _is_logged_in(peer: Peer) -> bool:
    found = identities.names(peer.sid)
    there = identities.Account(
        wts.text(peer.session, wts.DOMAIN_NAME), wts.text(peer.session, wts.USER_NAME)
    )
    # The system compares names of accounts without case as well.
    return [name.casefold() for name in found] == [name.casefold() for name in there]
