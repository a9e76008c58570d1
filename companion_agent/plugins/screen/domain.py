"""The screen of a session: what the helper reads and does of it, by whichever ways a system has.

Ways are probed in the order of how much their answers can be trusted. What a way says that it
cannot do is left out with its reason.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from companion_agent.desktop.domain import Domain, open_first
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.screen.power import ALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.plugins.screen.power import ScreenPower

KEEP_AWAKE = Thing("keep_awake")
ON = "on"
BRIGHTNESS = "brightness"
TIME_OUT = Thing("time_out")


class Brightness(Protocol):
    """Dims screens.

    Attributes:
        name: By what, for `pilot-agent doctor`.
    """

    name: str

    @property
    def panels(self) -> list[str]:
        """The names of the screens that can be dimmed."""

    def levels(self) -> Mapping[str, int | None]:
        """Return the brightness of each in percent; `None` where it cannot be read."""

    async def set(self, panel: str, percent: float) -> None:
        """Set a brightness in percent, and read it back.

        Raises:
            CommandError: It was refused, or is another then.
        """

    def close(self) -> None:
        """Hear of changes no more."""


class KeepAwake(Protocol):
    """Keeps the session from going idle, and the machine from sleeping by itself."""

    async def on(self) -> bool:
        """Read back whether it does."""

    async def switch(self, *, on: bool) -> bool:
        """Do so or not any more; return what was read back.

        Raises:
            CommandError: It is refused.
        """

    def close(self) -> None:
        """Do so no more."""


class AnyScreenDomain(Domain):
    """Reads, switches and dims the screen of this session.

    Args:
        context: What the helper does for it.
    """

    name: ClassVar[str] = "screen"

    def __init__(self, context: HelperContext) -> None:
        super().__init__(context)
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
                self._keep_awake, self._keep_awake_way = await self.find_keep_awake()
                self.context.read({KEEP_AWAKE: await self._keep_awake.on()})
            except Unavailable as error:
                self._why["keep_awake"] = error.reason
        if self._brightness is None:
            try:
                self._brightness = await self.find_brightness()
            except Unavailable as error:
                self._why[BRIGHTNESS] = error.reason
        self.read_brightness()
        self._read_power()
        return self._offer()

    async def call(self, command: Thing, args: Mapping[str, Any]) -> None:
        """Switch or set something, and read it back."""
        value = args["value"]
        if command == KEEP_AWAKE and self._keep_awake:
            self.context.read({KEEP_AWAKE: await self._keep_awake.switch(on=value == 1)})
        elif command == TIME_OUT and self._power:
            try:
                await self._power.set_time_out(round(value))
            finally:
                self._read_power()
        elif command.name == ON and self._power:
            # What follows from a command is no event.
            self._commanded = True
            try:
                monitor = self._monitors().get(command.of, command.of)
                await self._power.switch(monitor, on=value == 1)
            finally:
                self._read_power()
                self._commanded = False
        elif command.name == BRIGHTNESS and self._brightness:
            try:
                await self._brightness.set(command.of, value)
            finally:
                self.read_brightness()
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

    # --- What a system has ---------------------------------------------------------------

    @abstractmethod
    def ways(self) -> AsyncIterator[ScreenPower]:
        """Return the ways to switch the screen, in order."""

    @abstractmethod
    async def find_keep_awake(self) -> tuple[KeepAwake, str]:
        """Return what keeps the session awake, and by what it does so.

        Raises:
            Unavailable: Nothing does.
        """

    @abstractmethod
    async def find_brightness(self) -> Brightness:
        """Return what dims screens.

        Raises:
            Unavailable: None can be dimmed.
        """

    @abstractmethod
    def connected(self) -> list[str]:
        """List the monitors that are connected, as what dims them calls them."""

    # --- On and off ----------------------------------------------------------------------

    async def _find_power(self) -> None:
        try:
            self._power = await open_first(self.ways())
        except Unavailable as error:
            self._why[ON] = error.reason

    def power_changed(self) -> None:
        """Take how the screen is now."""
        self._read_power()
        self.context.offer(self._offer())

    def display_gone(self, _: str) -> None:
        """End with the display."""
        self.context.session_has_ended()

    def _read_power(self) -> None:
        if self._power is None:
            return
        monitors = self._power.monitors
        values = {Thing(ON, name): monitors[known] for name, known in self._monitors().items()}
        on = any(monitors.values()) if monitors else None
        self.context.read({Thing(ON): on, TIME_OUT: self._power.time_out, **values})
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
            elif ALL in monitors and self.connected() == [panel]:
                found[panel] = ALL
        return found

    def _offer(self) -> Offer:
        things, ways, why = [], [], dict(self._why)
        if self._power:
            things += [Thing(ON), *(Thing(ON, name) for name in self._monitors())]
            ways.append(self._power.name)
            why |= {f"{ON} {name}": reason for name, reason in self._power.refused.items()}
            if self._power.no_time_out:
                why[TIME_OUT.name] = self._power.no_time_out
            else:
                things.append(TIME_OUT)
        if self._brightness:
            things += [Thing(BRIGHTNESS, panel) for panel in self._brightness.panels]
            ways.append(f"brightness by {self._brightness.name}")
        if self._keep_awake:
            things.append(KEEP_AWAKE)
            ways.append(f"awake by {self._keep_awake_way}")
        return Offer(tuple(things), tuple(things), ", ".join(ways), why)

    # --- Brightness ----------------------------------------------------------------------

    def read_brightness(self) -> None:
        """Take how bright the screens are now."""
        if self._brightness:
            levels = self._brightness.levels()
            self.context.read({Thing(BRIGHTNESS, panel): one for panel, one in levels.items()})
