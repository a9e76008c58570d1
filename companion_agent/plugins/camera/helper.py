"""Cameras in use in this session: heard of when one is opened or closed, and looked up then."""

from __future__ import annotations

import asyncio
from pathlib import Path
import sys
from typing import TYPE_CHECKING, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import Unavailable
from companion_agent.plugins.naming import listing

assert sys.platform == "linux"

if TYPE_CHECKING:
    from companion_agent.platforms.linux.inotify import Event, Inotify

IN_USE, PROGRAMS = Thing("in_use"), Thing("programs")

SETTLE = 0.5
"""Seconds until it is looked who has a camera open: programs that only list them are gone then."""


class CameraDomain(Domain):
    """Follows what happens to cameras, and tells which programs of the user have one open.

    Class attributes:
        root: Where `/dev`, `/sys`, `/run` and `/proc` are.
    """

    name: ClassVar[str] = "camera"
    root: ClassVar[Path] = Path("/")
    _inotify: Inotify | None = None
    _task: asyncio.Task[None] | None = None

    async def start(self) -> Offer:
        """Look for cameras, and follow those that come and go.

        Raises:
            Unavailable: Nothing tells.
        """
        if self._inotify is None:
            from companion_agent.platforms.linux import inotify  # noqa: PLC0415

            self._happened = asyncio.Event()
            self._devices_changed = False
            self._watches: dict[Path, int] = {}
            self._refused: dict[str, str] = {}
            try:
                self._inotify = inotify.Inotify(self._on_event)
                self._folder = self._inotify.watch(
                    self.root / "dev",
                    inotify.CREATE | inotify.DELETE | inotify.ATTRIB | inotify.MOVED_TO,
                )
            except OSError as error:
                await self.stop()
                raise Unavailable(f"cameras cannot be watched: {error.strerror}") from error
            self._task = asyncio.create_task(self._follow())
        self._find()
        await self._look()
        return self._offer()

    async def stop(self) -> None:
        """Hear no more."""
        if self._task:
            self._task.cancel()
        if self._inotify:
            self._inotify.close()
            self._inotify = None

    def _on_event(self, event: Event) -> None:
        from companion_agent.plugins.camera.devices import PREFIX  # noqa: PLC0415

        if event.watch == self._folder:
            if not event.name.startswith(PREFIX):
                return
            self._devices_changed = True
        self._happened.set()

    async def _follow(self) -> None:
        while True:
            await self._happened.wait()
            await asyncio.sleep(SETTLE)
            self._happened.clear()
            if self._devices_changed:
                self._devices_changed = False
                self._find()
            await self._look()
            self.context.offer(self._offer())

    def _find(self) -> None:
        """Watch every camera that there is."""
        from companion_agent.platforms.linux import inotify  # noqa: PLC0415
        from companion_agent.plugins.camera.devices import cameras  # noqa: PLC0415

        assert self._inotify
        found = cameras(self.root)
        self._refused = {}
        for gone in self._watches.keys() - set(found):
            self._inotify.forget(self._watches.pop(gone))
        for device in found:
            try:
                self._watches[device] = self._inotify.watch(device, inotify.OPEN | inotify.CLOSE)
            except OSError as error:
                self._watches.pop(device, None)
                self._refused[device.name] = f"cannot be watched: {error.strerror}"

    async def _look(self) -> None:
        from companion_agent.plugins.camera.devices import programs_with  # noqa: PLC0415

        # A machine has hundreds of processes, which takes some milliseconds.
        programs = await asyncio.to_thread(programs_with, list(self._watches), self.root / "proc")
        self.context.read({IN_USE: bool(programs), PROGRAMS: listing(programs)})

    def _offer(self) -> Offer:
        if not self._watches:
            reasons = [f"{name}: {why}" for name, why in self._refused.items()]
            return Offer(why={"": "; ".join(reasons) or "there is no camera"})
        return Offer((PROGRAMS, IN_USE), way="inotify and /proc", why=self._refused)
