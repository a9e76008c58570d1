"""Windows' mixer: devices, volumes and programs by Core Audio.

All of it is asked in one thread of its own, since a device that is asleep, or whose driver hangs,
answers late. Windows tells of changes in threads of its own; what it says while nothing changes
costs nothing. A program is told by its file's name, so that all windows of a browser are one, and
in use is a microphone that a program of this session records from: what only opens it does not
count.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, TypeVar

from companion_agent.desktop.messages import Offer
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.sound.mixer import (
    INPUT,
    INPUT_MUTED,
    OF_OUTPUT,
    OUTPUT,
    OUTPUT_MUTED,
    PROGRAM_MUTED,
    Direction,
    Mixer,
    Playing,
    named,
    program_name,
    streams_of,
)
from companion_agent.winapi import audio, com, foreground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.desktop.messages import Thing
    from companion_agent.winapi.audio import Device, Session, Volume

_T = TypeVar("_T")

WAY = "Core Audio"
LOOK_AGAIN = 10.0
"""Seconds until Core Audio is asked again after it did not answer: its service starts anew."""
_SYSTEM_SOUNDS = "Windows"


class CoreAudio(Mixer):
    """Follows the devices and programs of this session.

    Args:
        context: What the helper does for the domain.
    """

    speaker: ClassVar[str] = "Windows"

    def __init__(self, context: HelperContext) -> None:
        super().__init__(context)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        # In the thread of Core Audio.
        self._opened: _Opened | None = None
        self._stale = True
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Offer:
        """Look at everything, and follow changes from then on.

        Raises:
            Unavailable: This Windows has no Core Audio, or its service does not run.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "core audio")
            try:
                await self._do(com.begin)
            except OSError as error:
                self._thread.shutdown(wait=False)
                self._thread = None
                raise Unavailable(f"this Windows has no Core Audio: {error}") from error
        try:
            offer = await self._look()
        except OSError as error:
            raise Unavailable(f"Core Audio does not answer: {error}") from error
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
        return offer

    async def stop(self) -> None:
        """Follow nothing more."""
        if self._task:
            self._task.cancel()
        if self._thread:
            with suppress(OSError):
                await self._do(self._close)
            await self._do(com.end)
            self._thread.shutdown(wait=False)

    async def set(self, thing: Thing, value: float | str) -> None:
        """Set something, and wait until Windows says that it is so."""
        with _refusals():
            if thing in (OUTPUT, INPUT):
                name = str(value)
                await self._do(lambda: self._choose(thing, name))
                await self._read_back(thing, name)
                return
            number = float(value)
            await self._do(lambda: self._set_device(thing, number))
            muting = thing in (OUTPUT_MUTED, INPUT_MUTED)
            await self._read_back(thing, number == 1 if muting else round(number))

    async def programs(self) -> list[Playing]:
        """Return what plays."""
        with _refusals():
            return await self._do(self._list_programs)

    async def set_program(self, thing: Thing, program: str, value: float) -> None:
        """Set volume or mute of all that a program plays, and read it back."""
        with _refusals():
            seen = await self._do(lambda: self._set_streams(thing, program, value))
        if any(one != round(value) for one in seen):
            raise CommandError("failed", f"Windows says that it is {seen} of {program}")

    # --- In the event loop ---------------------------------------------------------------

    async def _do(self, job: Callable[[], _T]) -> _T:
        """Have something done in the thread of Core Audio."""
        assert self._thread
        return await self._loop.run_in_executor(self._thread, job)

    async def _follow(self) -> None:
        while True:
            try:
                await self._look_when(self._changed, ())
            except OSError as error:
                self._context.offer(Offer(why={"": f"Core Audio does not answer: {error}"}))
            await asyncio.sleep(LOOK_AGAIN)
            self._changed.set()

    def _happened(self) -> None:
        """Take note of a change, in a thread of Windows'."""
        # The loop may have ended meanwhile.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._changed.set)

    async def _look(self) -> Offer:
        outputs, inputs, recorders, unchoosable, unheard = await self._do(self._see)
        return self._report(outputs, inputs, recorders, WAY, unchoosable, unheard)

    # --- In the thread of Core Audio -----------------------------------------------------

    def _see(self) -> tuple[Direction, Direction, list[str], str, str]:
        try:
            return self._current().see()
        except OSError:
            self._close()
            raise

    def _current(self) -> _Opened:
        if self._opened is None or self._stale:
            self._close()
            # What changes from here on makes it stale once more.
            self._stale = False
            self._opened = _Opened(self._devices_changed, self._happened)
        return self._opened

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened:
            opened.close()

    def _devices_changed(self) -> None:
        """Take note that there are others, in a thread of Windows'."""
        self._stale = True
        self._happened()

    def _choose(self, thing: Thing, name: str) -> None:
        opened = self._current()
        side = opened.outputs if thing == OUTPUT else opened.inputs
        if name not in side.by_name:
            raise CommandError("failed", f"there is no device {name} now")
        with audio.DefaultDevices() as chooser:
            chooser.choose(side.by_name[name].identity())
        self._stale = True

    def _set_device(self, thing: Thing, value: float) -> None:
        opened = self._current()
        volume = (opened.outputs if thing in OF_OUTPUT else opened.inputs).volume
        if volume is None:
            raise CommandError("failed", "there is no device now")
        if thing in (OUTPUT_MUTED, INPUT_MUTED):
            volume.mute(value == 1)
        else:
            volume.set_level(value / 100)

    def _list_programs(self) -> list[Playing]:
        with self._playing() as programs:
            return [_playing(name, sessions) for name, sessions in programs.items()]

    def _set_streams(self, thing: Thing, program: str, value: float) -> list[int]:
        seen = []
        with self._playing() as programs:
            for session in streams_of(programs, program):
                with session.volume() as volume:
                    if thing == PROGRAM_MUTED:
                        volume.mute(value == 1)
                        seen.append(int(volume.muted()))
                    else:
                        volume.set_level(value / 100)
                        seen.append(round(volume.level() * 100))
        return seen

    @contextmanager
    def _playing(self) -> Iterator[dict[str, list[Session]]]:
        """Return the sessions of the programs that play, by the programs' names in their order."""
        programs: dict[str, list[Session]] = {}
        with ExitStack() as held:
            for device in self._current().outputs.by_name.values():
                with device.sessions() as sessions:
                    for one in sessions.all():
                        held.callback(one.close)
                        if one.state() != audio.EXPIRED:
                            programs.setdefault(_program_of(one), []).append(one)
            yield dict(sorted(programs.items()))


class _Side:
    """The devices of one direction, and the volume of the default one.

    Args:
        devices: All devices.
        direction: `audio.OUTPUT` or `audio.INPUT`.
        changed: Called when its volume changes.
    """

    def __init__(self, devices: audio.Devices, direction: int, changed: Callable[[], None]) -> None:
        found = [(one.name(), one.identity(), one) for one in devices.all(direction)]
        self.by_name: dict[str, Device] = named(found)
        default = devices.default(direction)
        wanted = next((one for _, identity, one in found if identity == default), None)
        self.chosen = next((name for name, one in self.by_name.items() if one is wanted), None)
        self.volume: Volume | None = wanted.volume() if wanted else None
        self._end_following = self.volume.follow(changed) if self.volume else None

    def see(self) -> Direction:
        """Return what is read of it."""
        volume = self.volume
        return Direction(
            tuple(self.by_name),
            self.chosen,
            round(volume.level() * 100) if volume else None,
            volume.muted() if volume else None,
        )

    def close(self) -> None:
        """Follow it no more."""
        if self._end_following:
            self._end_following()
        if self.volume:
            self.volume.close()
        for device in self.by_name.values():
            device.close()


class _Opened:
    """What is held of Core Audio until devices, or the programs that record, are others.

    Args:
        devices_changed: Called when it has to be opened anew.
        changed: Called when something of it has changed.

    Raises:
        OSError: Core Audio does not answer.
    """

    def __init__(self, devices_changed: Callable[[], None], changed: Callable[[], None]) -> None:
        self._held = ExitStack()
        self._recording: list[Session] = []
        try:
            devices = self._held.enter_context(audio.Devices())
            self._held.callback(devices.follow(devices_changed))
            self.outputs = _Side(devices, audio.OUTPUT, changed)
            self._held.callback(self.outputs.close)
            self.inputs = _Side(devices, audio.INPUT, changed)
            self._held.callback(self.inputs.close)
        except BaseException:
            self._held.close()
            raise
        self._unheard = self._unchoosable = ""
        try:
            for device in self.inputs.by_name.values():
                self._follow_recorders(device, devices_changed, changed)
        except OSError as error:
            self._unheard = f"this Windows does not tell who records: {error}"
        try:
            audio.DefaultDevices().close()
        except OSError as error:
            self._unchoosable = f"this Windows lets no program choose the default device: {error}"

    def _follow_recorders(
        self, device: Device, devices_changed: Callable[[], None], changed: Callable[[], None]
    ) -> None:
        # Sessions are told only while their manager is held.
        sessions = self._held.enter_context(device.sessions())
        self._held.callback(sessions.follow(devices_changed))
        for one in sessions.all():
            self._held.callback(one.close)
            self._held.callback(one.follow(changed))
            self._recording.append(one)

    def see(self) -> tuple[Direction, Direction, list[str], str, str]:
        """Return what is read of both directions, who records, and why what is not there."""
        recorders = {_program_of(one) for one in self._recording if one.state() == audio.ACTIVE}
        return (
            self.outputs.see(),
            self.inputs.see(),
            sorted(recorders),
            self._unchoosable,
            self._unheard,
        )

    def close(self) -> None:
        """Follow nothing more."""
        self._held.close()


def _playing(name: str, sessions: list[Session]) -> Playing:
    levels, mutes = [], []
    for one in sessions:
        with one.volume() as volume:
            levels.append(round(volume.level() * 100))
            mutes.append(volume.muted())
    playing = any(one.state() == audio.ACTIVE for one in sessions)
    return Playing(name, max(levels), all(mutes), playing)


def _program_of(session: Session) -> str:
    if session.is_system():
        return _SYSTEM_SOUNDS
    try:
        return program_name(foreground.program_of(session.process()))
    except OSError:
        # It has gone, or several processes share the session.
        return program_name("")


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError("failed", f"Windows refuses it: {error}") from error
