"""Sound of a Windows session."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.plugins.device_use import DeviceUseDomain
from companion_agent.plugins.sound.core_audio import CoreAudio
from companion_agent.plugins.sound.helper import SoundDomain
from companion_agent.plugins.sound.mixer import MICROPHONE_IN_USE, MICROPHONE_PROGRAMS, OUTPUT

if TYPE_CHECKING:
    from companion_agent.desktop.messages import Offer
    from companion_agent.plugins.sound.mixer import Mixer


class WindowsSoundDomain(SoundDomain):
    """Works by Core Audio; without it Windows' own record says who uses a microphone."""

    _record: _MicrophoneRecord | None = None

    async def start(self) -> Offer:
        """Look for devices, and follow them.

        Raises:
            Unavailable: There is neither Core Audio nor a record.
        """
        try:
            return await super().start()
        except Unavailable as error:
            return await self._start_record(error.reason)

    async def _start_record(self, why_not: str) -> Offer:
        if self._record is None:
            self._record = _MicrophoneRecord(self.context)
        try:
            offer = await self._record.start()
        except Unavailable as error:
            raise Unavailable(f"{why_not}; {error.reason}") from error
        return offer._replace(why={OUTPUT.name: why_not})

    def _make(self) -> Mixer:
        return CoreAudio(self.context)

    async def stop(self) -> None:
        """Follow nothing more."""
        await super().stop()
        if self._record:
            await self._record.stop()


class _MicrophoneRecord(DeviceUseDomain):
    """Tells which programs of this user use a microphone, as Windows records it."""

    name: ClassVar[str] = "sound"
    device = "microphone"
    in_use = MICROPHONE_IN_USE
    programs = MICROPHONE_PROGRAMS
