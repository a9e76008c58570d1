"""Sound of this session: what the helper reads and does of it, by the system's mixer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.errors import Unavailable
from companion_agent.plugins.sound.mixer import PROGRAMS, Mixer, as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.desktop.messages import Offer, Thing


class SoundDomain(Domain):
    """Reads and sets devices, volume and mute, also of single programs."""

    name: ClassVar[str] = "sound"
    _mixer: Mixer | None = None

    async def start(self) -> Offer:
        """Connect to the sound server, PulseAudio or PipeWire.

        Raises:
            Unavailable: There is none, or a library is missing.
        """
        if self._mixer is None:
            self._mixer = self._make()
        return await self._mixer.start()

    def _make(self) -> Mixer:
        try:
            from companion_agent.plugins.sound.pulse import Pulse  # noqa: PLC0415
        except ImportError as error:
            raise Unavailable(
                "the Python package pulsectl-asyncio is not installed",
                "install pilot-agent with the extra sound",
            ) from error
        except OSError as error:
            raise Unavailable(
                "libpulse cannot be loaded", "install the package libpulse0 (Debian)"
            ) from error
        return Pulse(self.context)

    async def call(
        self, command: Thing, args: Mapping[str, Any]
    ) -> Mapping[str, str | float | bool] | None:
        """Set something and read it back, or list the programs that play."""
        assert self._mixer
        if command == PROGRAMS:
            return {"programs": as_json(await self._mixer.programs())}
        if "program" in args:
            await self._mixer.set_program(command, args["program"], args["value"])
        else:
            await self._mixer.set(command, args["value"])
        return None

    async def stop(self) -> None:
        """Hang up."""
        if self._mixer:
            await self._mixer.stop()
