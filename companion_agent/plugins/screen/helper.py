"""The screen of this session: what the helper reads and does of it.

Ways are probed in the order of how much their answers can be trusted. What a way says that it
cannot do is left out with its reason.
"""

from __future__ import annotations

from contextlib import suppress
import os
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.backlight import connectors
from companion_agent.platforms.linux.files import Files
from companion_agent.plugins.screen.power import ALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.plugins.screen.brightness import Brightness
    from companion_agent.plugins.screen.keep_awake import KeepAwake
    from companion_agent.plugins.screen.power import ScreenPower

KEEP_AWAKE = Thing("keep_awake")
ON = "on"
BRIGHTNESS = "brightness"


class ScreenDomain(Domain):
    """Reads, switches and dims the screen of this session.

    Args:
        context: What the helper does for it.
        files: The kernel's.
    """

    name: ClassVar[str] = "screen"

    def __init__(self, context: HelperContext, files: Files | None = None) -> None:
        super().__init__(context)
        self._files = files or Files()
        self._brightness: Brightness | None = None
        self._power: ScreenPower | None = None
        self._keep_awake: KeepAwake | None = None
        self._keep_awake_way = ""
        self._why: dict[str, str] = {}
        self._on: bool | None = None
        self._commanded = False

    async def start(self) -> Offer:
        """Look for what this session has."""
        self._why = {}
        if self._power is None:
            await self._find_power()
        if self._keep_awake is None:
            try:
                await self._find_keep_awake()
            except Unavailable as error:
                self._why["keep_awake"] = error.reason
        if self._brightness is None:
            try:
                await self._find_brightness()
            except Unavailable as error:
                self._why[BRIGHTNESS] = error.reason
        self._read_brightness()
        self._read_power()
        return self._offer()

    async def call(self, command: Thing, args: Mapping[str, Any]) -> None:
        """Switch something, and read it back."""
        on = args["value"] == 1
        if command == KEEP_AWAKE and self._keep_awake:
            self.context.read({KEEP_AWAKE: await self._keep_awake.switch(on=on)})
        elif command.name == ON and self._power:
            # What follows from a command is no event.
            self._commanded = True
            try:
                await self._power.switch(self._monitors().get(command.of, command.of), on=on)
            finally:
                self._read_power()
                self._commanded = False
        elif command.name == BRIGHTNESS and self._brightness:
            try:
                await self._brightness.set(command.of, args["value"])
            finally:
                self._read_brightness()
        else:
            raise CommandError("failed", f"there is no {command.name} here")

    async def stop(self) -> None:
        """Let go of what is held."""
        if self._power:
            self._power.close()
        if self._keep_awake:
            self._keep_awake.close()
        if self._brightness:
            self._brightness.close()

    # --- On and off ----------------------------------------------------------------------

    async def _find_power(self) -> None:
        reasons = []
        async for way in self._ways():
            try:
                await way.open()
            except Unavailable as error:
                reasons.append(error.reason)
            else:
                self._power = way
                return
        self._why[ON] = "; ".join(dict.fromkeys(reasons))

    async def _ways(self) -> AsyncIterator[ScreenPower]:
        from companion_agent.plugins.screen import compositor  # noqa: PLC0415

        for dialect in (compositor.WLROOTS, compositor.KDE):
            yield compositor.CompositorPower(dialect, self._power_changed, self._display_gone)
        with suppress(Unavailable):
            bus = await self.context.bus("session")
            from companion_agent.plugins.screen.mutter import MutterPower  # noqa: PLC0415

            yield MutterPower(bus, self._power_changed, self._display_gone)
        if "WAYLAND_DISPLAY" not in os.environ:
            # Beside a Wayland compositor the X server has no monitors of its own.
            from companion_agent.plugins.screen import xserver  # noqa: PLC0415

            yield xserver.DpmsPower(self._power_changed, self._display_gone)
            yield xserver.BlankingPower(self._power_changed, self._display_gone)

    def _power_changed(self) -> None:
        self._read_power()
        self.context.offer(self._offer())

    def _display_gone(self, _: str) -> None:
        self.context.session_has_ended()

    def _read_power(self) -> None:
        if self._power is None:
            return
        monitors = self._power.monitors
        values = {Thing(ON, name): monitors[known] for name, known in self._monitors().items()}
        on = any(monitors.values()) if monitors else None
        self.context.read({Thing(ON): on, **values})
        if None not in (on, self._on) and on != self._on and not self._commanded:
            self.context.happened("turned_on" if on else "turned_off")
        self._on = on

    def _monitors(self) -> dict[str, str]:
        """Return the monitors that can be switched alone, and what the way to do so calls each."""
        if self._power is None:
            return {}
        monitors = self._power.monitors
        # With a single one there is nothing to tell apart.
        found = {name: name for name in monitors if len(monitors) > 1}
        for panel in self._brightness.panels if self._brightness else ():
            # What can be dimmed is shown by itself, and switched by itself where that is possible.
            if panel in monitors:
                found[panel] = panel
            elif ALL in monitors and [one.name for one in connectors(self._files)] == [panel]:
                found[panel] = ALL
        return found

    def _offer(self) -> Offer:
        things, ways, why = [], [], dict(self._why)
        if self._power:
            things += [Thing(ON), *(Thing(ON, name) for name in self._monitors())]
            ways.append(self._power.name)
            why |= {f"{ON} {name}": reason for name, reason in self._power.refused.items()}
        if self._brightness:
            things += [Thing(BRIGHTNESS, panel) for panel in self._brightness.panels]
            ways.append(f"brightness by {self._brightness.name}")
        if self._keep_awake:
            things.append(KEEP_AWAKE)
            ways.append(f"awake by {self._keep_awake_way}")
        return Offer(tuple(things), tuple(things), ", ".join(ways), why)

    # --- Awake ---------------------------------------------------------------------------

    async def _find_keep_awake(self) -> None:
        from companion_agent.plugins.screen.keep_awake import KeepAwake  # noqa: PLC0415

        system = await self.context.bus("system")
        session = None
        with suppress(Unavailable):
            session = await self.context.bus("session")
        keep_awake = KeepAwake(system, session)
        self._keep_awake_way = await keep_awake.probe()
        self._keep_awake = keep_awake
        self.context.read({KEEP_AWAKE: await keep_awake.on()})

    # --- Brightness ----------------------------------------------------------------------

    async def _find_brightness(self) -> None:
        system = await self.context.bus("system")
        from companion_agent.plugins.screen.brightness import Brightness  # noqa: PLC0415

        brightness = Brightness(self._files, system, self._read_brightness)
        brightness.open()
        self._brightness = brightness

    def _read_brightness(self) -> None:
        if self._brightness:
            levels = self._brightness.levels()
            self.context.read({Thing(BRIGHTNESS, panel): one for panel, one in levels.items()})
