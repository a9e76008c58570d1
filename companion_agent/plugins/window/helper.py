"""The active window of this session, looked at only where the host's configuration allows it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar

from companion_agent.desktop.domain import Domain, open_first
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from companion_agent.plugins.window.watch import Window, WindowWatch

TITLE, PROGRAM, FULL_SCREEN = Thing("title"), Thing("program"), Thing("full_screen")

LONGEST = 128
"""Characters of a title that are told."""
PACE = 5.0
"""Seconds between two titles of one window: players and terminals count in theirs."""

_DESKTOPS = {"GNOME": "GNOME", "KDE": "KDE"}


class WindowDomain(Domain):
    """Tells of the active window."""

    name: ClassVar[str] = "window"
    _watch: WindowWatch | None = None
    _told: Window | None = None
    _told_at = 0.0
    _later: asyncio.TimerHandle | None = None

    async def start(self) -> Offer:
        """Look for a way to follow it.

        Raises:
            Unavailable: It is not allowed, or there is none.
        """
        if not self.context.settings.get("allowed"):
            raise Unavailable("the owner of this host has not allowed it")
        if self._watch is None:
            try:
                self._watch = await open_first(self._ways())
            except Unavailable as error:
                raise Unavailable(_desktop_keeps_it() or error.reason) from error
        self._tell()
        return Offer((TITLE, PROGRAM, FULL_SCREEN), way=self._watch.name)

    async def stop(self) -> None:
        """Look at it no more."""
        if self._later:
            self._later.cancel()
        if self._watch:
            self._watch.close()

    async def _ways(self) -> AsyncIterator[WindowWatch]:
        from companion_agent.plugins.window.compositor import CompositorWindows  # noqa: PLC0415

        yield CompositorWindows(self._changed, self._display_gone)
        if "WAYLAND_DISPLAY" not in os.environ:
            # Beside a Wayland compositor the X server knows only its own windows.
            from companion_agent.plugins.window.xserver import XServerWindows  # noqa: PLC0415

            yield XServerWindows(self._changed, self._display_gone)

    def _changed(self) -> None:
        """Tell of another window at once, and of another title of the same one at a pace."""
        if self._watch is None:
            return
        now, loop = self._watch.active, asyncio.get_running_loop()
        same = (
            now is not None
            and self._told is not None
            and now._replace(title="") == self._told._replace(title="")
        )
        due = self._told_at + PACE
        if same and loop.time() < due:
            self._later = self._later or loop.call_at(due, self._tell)
        else:
            self._tell()

    def _tell(self) -> None:
        if self._later:
            self._later.cancel()
            self._later = None
        if self._watch is None:
            return
        window = self._told = self._watch.active
        self._told_at = asyncio.get_running_loop().time()
        self.context.read(
            {
                TITLE: _shown(window.title) if window else None,
                PROGRAM: _shown(window.program) if window else None,
                FULL_SCREEN: bool(window and window.full_screen),
            }
        )

    def _display_gone(self, _: str) -> None:
        self.context.session_has_ended()


def _shown(text: str) -> str:
    """Return a text of a program in one line, and not longer than it may be."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _desktop_keeps_it() -> str:
    """Say that this desktop tells no program of its windows; empty where it may."""
    if "WAYLAND_DISPLAY" not in os.environ:
        return ""
    names = os.environ.get("XDG_CURRENT_DESKTOP", "").split(":")
    desktop = next((_DESKTOPS[name] for name in names if name in _DESKTOPS), "")
    return (
        f"{desktop} tells other programs nothing of its windows, and has no portal for it"
        if (desktop)
        else ""
    )
