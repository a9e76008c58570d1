"""Locking and ending a Windows session, by the helper in it: a service cannot lock one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
import os
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import CommandError
from companion_agent.winapi import power, sessions, wts
from companion_agent.winapi.message_window import WM_WTSSESSION_CHANGE

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK, LOG_OUT = Thing("lock"), Thing("log_out")

LOCK_LIMIT = 4.0
"""Seconds in which Windows says that the session is locked."""


class WindowsSessionDomain(Domain):
    """Locks this session, or logs its user out."""

    name: ClassVar[str] = "session"

    async def start(self) -> Offer:
        """Offer both.

        Raises:
            Unavailable: This session has no windows.
        """
        self.context.window()
        return Offer(commands=(LOCK, LOG_OUT), way="Windows")

    async def call(self, command: Thing, args: Mapping[str, Any]) -> None:
        """Do it."""
        try:
            if command == LOCK:
                await self._lock()
            else:
                # It goes on when programs have been asked, and this helper with them.
                sessions.log_out()
        except OSError as error:
            raise CommandError("failed", f"Windows refuses it: {_said(error)}") from error

    async def _lock(self) -> None:
        window, locked = self.context.window(), asyncio.Event()

        def hear(event: int, _: int) -> None:
            if event == wts.SESSION_LOCK:
                locked.set()

        window.listen(WM_WTSSESSION_CHANGE, hear)
        try:
            if self._is_locked():
                return
            power.lock_workstation()
            async with asyncio.timeout(LOCK_LIMIT):
                await locked.wait()
        except TimeoutError:
            if not self._is_locked():
                detail = (
                    f"Windows accepted it, and the session is not locked after {LOCK_LIMIT:g} s"
                )
                raise CommandError("failed", detail) from None
        finally:
            window.unlisten(WM_WTSSESSION_CHANGE, hear)

    @staticmethod
    def _is_locked() -> bool:
        with suppress(OSError):
            own = wts.session_of_process(os.getpid())
            return wts.locked_in(wts.query(own, wts.SESSION_INFO_EX)) is True
        return False


def _said(error: OSError) -> str:
    return f"{error.strerror} (error {getattr(error, 'winerror', error.errno)})"
