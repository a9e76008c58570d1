"""A file of sound that is played by a program of this machine, followed by its stream.

A program that has started proves nothing: sound is played when the sound server has a stream of
that process.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from pulsectl import PulseDisconnected, PulseError  # type: ignore[import-untyped]
from pulsectl_asyncio import PulseAsync  # type: ignore[import-untyped]

from companion_agent.errors import CommandError
from companion_agent.plugins.media import programs
from companion_agent.plugins.media.playback import BEGINS_WITHIN, Playback

if TYPE_CHECKING:
    from collections.abc import Callable


_CONNECT_LIMIT = 5.0
_ENDS_WITHIN = 2.0
# The end of what a program complains of.
_LAST_WORDS = 300
# PulseAudio and PipeWire give this sink to a machine that has none.
_NO_DEVICE = "auto_null"


class PulsePlayback(Playback):
    """Plays by a program, at PulseAudio's interface.

    Args:
        changed: Called when something else is played, or its volume is another.
        ended: Called when a file has ended, however it did, unless another one takes its place.
    """

    def __init__(self, changed: Callable[[], None], ended: Callable[[], None]) -> None:
        super().__init__(changed, ended)
        self._task: asyncio.Task[None] | None = None
        self._stream: Any = None
        self._pulse: PulseAsync | None = None

    @property
    def playing(self) -> bool:
        """Whether a file is heard."""
        return self._stream is not None

    def _volume(self) -> int:
        return round(float(self._stream.volume.value_flat) * 100)

    async def play(self, media: IO[bytes], title: str) -> None:
        """Play a file in the place of the last one; return when it is heard.

        Raises:
            CommandError: It is not: no program or no server, or no stream came of it.
        """
        with media:
            await self._cancel()
            program = programs.find()
            if program is None:
                detail = f"no program that plays sound is installed; {programs.WHAT_TO_INSTALL}"
                raise CommandError("failed", detail)
            pulse = PulseAsync("pilot-agent")
            try:
                await pulse.connect(autospawn=False, timeout=_CONNECT_LIMIT)
                process = await asyncio.create_subprocess_exec(
                    program.name, *program.arguments, stdin=media, env=programs.environment(),
                    # mpv complains on the one, others on the other.
                    stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                )  # fmt: skip
            except (PulseError, PulseDisconnected, TimeoutError) as error:
                pulse.close()
                detail = "no sound server (PulseAudio, PipeWire) answers"
                raise CommandError("failed", detail) from error
            except OSError as error:
                pulse.close()
                raise CommandError("failed", f"{program.name}: {error.strerror}") from error
        begun = asyncio.get_running_loop().create_future()
        self._title = title
        self._task = asyncio.create_task(self._run(pulse, process, program.name, begun))
        try:
            async with asyncio.timeout(BEGINS_WITHIN):
                await begun
        except TimeoutError:
            await self._cancel()
            detail = f"{program.name} has played nothing within {BEGINS_WITHIN:.0f} s"
            raise CommandError("failed", detail) from None
        except asyncio.CancelledError:
            await self._cancel()
            raise

    async def set_volume(self, percent: float) -> None:
        """Set the volume of what is played, and read it back.

        Raises:
            CommandError: The server does not do it, or the file has ended.
        """
        if self._pulse is None or self._stream is None:
            raise CommandError("failed", "nothing is played any more")
        try:
            await self._pulse.volume_set_all_chans(self._stream, percent / 100)
            self._stream = await self._pulse.sink_input_info(self._stream.index)
        except (PulseError, PulseDisconnected) as error:
            raise CommandError("failed", f"the sound server refused it: {error}") from error
        if self._volume() != round(percent):
            detail = f"the sound server says that it is {self._volume()}"
            raise CommandError("failed", detail)
        self._changed()

    # --- What is played ------------------------------------------------------------------

    async def _run(
        self,
        pulse: PulseAsync,
        process: asyncio.subprocess.Process,
        name: str,
        begun: asyncio.Future[None],
    ) -> None:
        words = asyncio.create_task(_last_words(process.stdout))
        why = "something else is played in its place"
        try:
            await self._follow(pulse, process, begun)
            said = " ".join((await words).split()) or f"exit code {process.returncode}"
            why = f"{name} has played nothing: {said}"
        except (PulseError, PulseDisconnected):
            why = "the sound server has gone"
        except CommandError as error:
            why = error.detail
        finally:
            if not begun.done():
                begun.set_exception(CommandError("failed", why))
            self._stream = self._pulse = None
            words.cancel()
            await _end(process)
            pulse.close()
        self._changed()
        self._task = None
        self._ended()

    async def _follow(
        self, pulse: PulseAsync, process: asyncio.subprocess.Process, begun: asyncio.Future[None]
    ) -> None:
        """Follow the stream of a process until that has ended."""
        changed = asyncio.Event()
        changed.set()

        async def listen() -> None:
            async for _ in pulse.subscribe_events("sink_input"):
                changed.set()

        watched = (asyncio.create_task(listen()), asyncio.create_task(process.wait()))
        for task in watched:
            task.add_done_callback(lambda _: changed.set())
        try:
            # The listener subscribes first: then no stream comes between the look and the event.
            await asyncio.sleep(0)
            while process.returncode is None:
                await changed.wait()
                changed.clear()
                if watched[0].done():
                    watched[0].result()
                await self._look(pulse, process.pid)
                # Players open a stream before they have something for it.
                if self._stream is not None and not self._stream.corked and not begun.done():
                    begun.set_result(None)
        finally:
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)

    async def _look(self, pulse: PulseAsync, pid: int) -> None:
        streams = await pulse.sink_input_list()
        found = next(
            (one for one in streams if one.proplist.get("application.process.id") == str(pid)), None
        )
        if found is not None and self._stream is None:
            sink = await pulse.sink_info(found.sink)
            if sink.name == _NO_DEVICE:
                raise CommandError("failed", "this computer has no device that sound comes out of")
        before, self._stream, self._pulse = self._stream, found, pulse
        if _told(before) != _told(found):
            self._changed()

    async def _cancel(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            self._changed()


def _told(stream: Any) -> float | None:  # noqa: ANN401  (sink input of an untyped library)
    return None if stream is None else stream.volume.value_flat


async def _last_words(stream: asyncio.StreamReader | None) -> str:
    said = b""
    while stream and (more := await stream.read(4096)):
        said = (said + more)[-_LAST_WORDS:]
    return said.decode("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    for end in (process.terminate, process.kill):
        with suppress(ProcessLookupError, TimeoutError):
            end()
            async with asyncio.timeout(_ENDS_WITHIN):
                await process.wait()
                return
