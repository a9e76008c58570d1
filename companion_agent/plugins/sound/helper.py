"""Sound of this session: what the helper reads and does of it, by PulseAudio or PipeWire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Thing
from companion_agent.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.desktop.messages import Offer
    from companion_agent.plugins.sound.pulse import Pulse


class SoundDomain(Domain):
    """Reads and sets devices, volume and mute, also of single programs."""

    name: ClassVar[str] = "sound"
    _pulse: Pulse | None = None

    async def start(self) -> Offer:
        """Connect to the sound server.

        Raises:
            Unavailable: There is none, or a library is missing.
        """
        if self._pulse is None:
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
            self._pulse = Pulse(self.context)
        return await self._pulse.start()

    async def call(
        self, command: Thing, args: Mapping[str, Any]
    ) -> Mapping[str, str | float | bool] | None:
        """Set something and read it back, or list the programs that play."""
        assert self._pulse
        if command == Thing("programs"):
            return {"programs": await self._pulse.programs()}
        if "program" in args:
            await self._pulse.set_program(command, args["program"], args["value"])
        else:
            await self._pulse.set(command, args["value"])
        return None

    async def stop(self) -> None:
        """Hang up."""
        if self._pulse:
            await self._pulse.stop()
