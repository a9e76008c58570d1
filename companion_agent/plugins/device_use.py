"""Cameras or microphones in use in a Windows session, as Windows records it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Offer
from companion_agent.platforms.windows.device_use import DeviceUse
from companion_agent.plugins.naming import listing

if TYPE_CHECKING:
    from companion_agent.desktop.messages import Thing
    from companion_agent.platforms.windows.device_use import Device


class DeviceUseDomain(Domain):
    """Tells which programs of this user use a device.

    Class attributes:
        device: The sort of device.
        in_use: Whether one is in use.
        programs: Which programs use it.
    """

    device: ClassVar[Device]
    in_use: ClassVar[Thing]
    programs: ClassVar[Thing]
    _use: DeviceUse | None = None

    async def start(self) -> Offer:
        """Begin to follow Windows' record.

        Raises:
            Unavailable: There is none.
        """
        if self._use is None:
            use = DeviceUse(self.device, self._look)
            use.open()
            self._use = use
        self._look()
        return Offer((self.programs, self.in_use), way="ConsentStore")

    async def stop(self) -> None:
        """Follow it no more."""
        if self._use:
            self._use.close()

    def _look(self) -> None:
        if self._use:
            found = self._use.programs()
            self.context.read({self.in_use: bool(found), self.programs: listing(found)})
