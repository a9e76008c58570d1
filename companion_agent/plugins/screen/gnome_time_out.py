"""After how long GNOME's screen goes off by itself: the setting `idle-delay` of the session.

It is read and set by the program `gsettings`, which every GNOME has: where the value comes from
(the user, a system administrator's lock, the default of a distribution) is decided in GLib, and
the file that keeps it has a format of its own. That it was set by another program, dconf tells on
the session bus. Sources: gsettings(1); dconf's `dconf-service.xml`, "Notify".
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
import re
import shutil
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.linux.async_bus import AsyncBus
    from companion_agent.platforms.linux.dbus import Signal

_PROGRAM = "gsettings"
_SCHEMA, _KEY = "org.gnome.desktop.session", "idle-delay"
_PLACE = "/org/gnome/desktop/session/idle-delay"
_DCONF = "ca.desrt.dconf.Writer"
# Seconds in which the program ends; it needs a tenth of one.
_ENDS_WITHIN = 5.0


class GnomeTimeOut:
    """Reads and sets GNOME's time-out.

    Args:
        bus: The session bus.
        changed: Called with what another program, or the user, has set.
    """

    name = f"GNOME's {_KEY}"

    def __init__(self, bus: AsyncBus, changed: Callable[[int], None]) -> None:
        self._bus = bus
        self._changed = changed
        self._looks: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Return the seconds of now, 0 for never, and begin to hear of changes.

        Raises:
            Unavailable: This desktop has no such setting.
        """
        if shutil.which(_PROGRAM) is None:
            raise Unavailable(f"{_PROGRAM} is not installed (Debian: libglib2.0-bin)")
        try:
            seconds = await self._read()
        except CommandError as error:
            raise Unavailable(error.detail) from error
        self._bus.subscribe(self._notified, interface=_DCONF, member="Notify")
        return seconds

    async def set(self, seconds: int) -> int:
        """Set it, and return what is read back.

        Raises:
            CommandError: It was refused: an administrator has locked it, say.
        """
        await _run("set", _SCHEMA, _KEY, str(seconds))
        return await self._read()

    def close(self) -> None:
        """Take no more notice; the connection belongs to all domains."""
        for task in self._looks:
            task.cancel()

    async def _read(self) -> int:
        said = await _run("get", _SCHEMA, _KEY)
        found = re.fullmatch(r"(?:uint32 )?(\d+)", said)
        if found is None:
            raise CommandError("failed", f"{self.name} is {said or 'nothing'}, no number")
        return int(found[1])

    def _notified(self, signal: Signal) -> None:
        prefix, changes, *_ = signal.body
        if any(_PLACE.startswith(prefix + one) for one in changes):
            task = asyncio.create_task(self._look())
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _look(self) -> None:
        with suppress(CommandError):
            self._changed(await self._read())


async def _run(*arguments: str) -> str:
    """Return what the program prints.

    Raises:
        CommandError: It fails, with its last words.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            _PROGRAM, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        raise CommandError("failed", f"{_PROGRAM}: {error.strerror}") from error
    try:
        async with asyncio.timeout(_ENDS_WITHIN):
            said, complaints = await process.communicate()
    except TimeoutError:
        raise CommandError("failed", f"{_PROGRAM} did not end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        words = " ".join(complaints.decode("utf-8", "replace").split())[-200:]
        raise CommandError("failed", f"{_PROGRAM}: {words}")
    return said.decode("utf-8", "replace").strip()
