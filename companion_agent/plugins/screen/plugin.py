"""The screen as the agent announces it.

The session helper does the work (`helper.py`); while no desktop is there, the agent itself switches
the screen of the console (`console.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.messages import Offer, Thing
from companion_agent.desktop.sessions import DesktopSessions, View
from companion_agent.errors import Unavailable
from companion_agent.models import Argument, Command, Reading
from companion_agent.plugins.desktop import DesktopPlugin
from companion_agent.plugins.screen.console import Console, is_on
from companion_agent.plugins.screen.ddc import DdcMonitors
from companion_agent.plugins.screen.settings import ScreenConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from companion_agent.models import Selection, Value
    from companion_agent.platforms.base import ConsoleScreen, Platform
    from companion_agent.plugins.base import PluginContext

_ON = Thing("on")
_BRIGHTNESS = "brightness"
_LEVEL = {"value": Argument(unit="percent", minimum=0, maximum=100, step=1)}
# 0 is off, 1 is on.
_SWITCH = {"value": Argument(unit="boolean", minimum=0, maximum=1, step=1)}
# 0 is never. X11 counts to 32,767.
_TIME_OUT = {"value": Argument(unit="seconds", minimum=0, maximum=14_400, step=1)}


class ScreenPlugin(DesktopPlugin):
    """Switches and dims the screen of the session that is meant, and keeps it on."""

    name: ClassVar[str] = "screen"
    events: ClassVar[tuple[str, ...]] = ("turned_on", "turned_off")
    declared_readings: ClassVar[tuple[Reading, ...]] = (
        Reading("on"),
        Reading("brightness", resolution=1),
        Reading("keep_awake"),
        Reading("time_out"),
    )
    declared_commands: ClassVar[tuple[Command, ...]] = (
        Command("screen.on", _SWITCH, state="screen.on"),
        Command("screen.brightness", _LEVEL, state="screen.brightness"),
        Command("screen.keep_awake", _SWITCH, state="screen.keep_awake"),
        Command("screen.time_out", _TIME_OUT, state="screen.time_out"),
    )

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        sessions: DesktopSessions | None = None,
        config: ScreenConfig | None = None,
    ) -> None:
        super().__init__(platform, selection, sessions)
        # Where no agent runs (`pilot-agent read`) nothing tells whether a desktop is there.
        self.console = Console(platform) if sessions else None
        self._ways: tuple[str, ...] = ()
        self.ddc = DdcMonitors(platform) if config and config.ddc else None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Whether a helper may ask monitors by DDC/CI: on Windows it does, not the agent."""
        return {"ddc": True} if self.ddc else {}

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the helpers, and with what the local file allows."""
        return cls(
            context.platform,
            context.selection,
            context.get(DesktopSessions),
            context.get(ScreenConfig),
        )

    def view(self) -> View:
        """Return what there is of the session that is meant, of the console, and by DDC/CI.

        Raises:
            Unavailable: There is nothing.
        """
        reasons, hint, view = [], "", View(Offer(), {})
        try:
            view = super().view()
        except Unavailable as error:
            reasons, hint = [error.reason], error.hint
        self._ways = ()
        if self.console and self.sessions.on_console:
            try:
                screen = self.console.find()
                view = _added(view, {_ON: is_on(screen)})
                self._ways = (f"the console by {screen.name}",)
            except Unavailable as error:
                reasons.append(f"the console: {error.reason}")
        if self.ddc:
            levels = self.ddc.levels()
            view = _added(view, {Thing(_BRIGHTNESS, name): one for name, one in levels.items()})
            if alias := self._only_monitor(view):
                view = _added(view, {alias: view.values.get(_ON)})
        if view.offer.empty:
            raise Unavailable("; ".join(reasons), hint)
        return view

    def commands(self) -> Sequence[Command]:
        """Return what can be done, and which permission is missing for it."""
        found = super().commands()
        screen = self._console_screen()
        missing = screen.missing() if screen else None
        if missing is None:
            return found
        key = f"{self.name}.{_ON.name}"
        return [
            replace(command, missing=missing) if command.kind == key else command
            for command in found
        ]

    def call(self, thing: Thing, args: Mapping[str, Any], session: str) -> None:
        """Have the helper do it, or do what needs none.

        Raises:
            CommandError: It did not work.
        """
        helped = self.sessions.can(self.name, thing, session)
        if not helped and self.ddc and thing.name == _BRIGHTNESS:
            self.ddc.set(thing.of, args["value"])
            return
        if not helped and [thing.of] == self.platform.connected_monitors():
            # The only monitor is switched with the whole screen.
            thing = _ON
        if thing == _ON and not session and self.console and self._console_screen():
            self.console.switch(on=args["value"] == 1)
        else:
            super().call(thing, args, session)

    def troubles(self) -> Mapping[str, str]:
        """Say which monitors do not answer by DDC/CI, and why."""
        return self.ddc.troubles if self.ddc else {}

    def _only_monitor(self, view: View) -> Thing | None:
        """Return the switch of a monitor that is dimmed by DDC/CI and is the only one."""
        connected = self.platform.connected_monitors()
        if len(connected) != 1 or _ON not in view.offer.commands:
            return None
        found = Thing(_ON.name, connected[0])
        dimmed = Thing(_BRIGHTNESS, connected[0]) in view.offer.commands
        return found if dimmed and found not in view.offer.commands else None

    def ways(self) -> Sequence[str]:
        """Say by what the console's screen is switched; what helpers use they say themselves."""
        return self._ways

    def _console_screen(self) -> ConsoleScreen | None:
        if not self.console or not self.sessions.on_console:
            return None
        try:
            return self.console.find()
        except Unavailable:
            return None


def _added(view: View, values: Mapping[Thing, Value]) -> View:
    """Return a view with readings, and commands for them, that no helper has."""
    offer = view.offer._replace(
        readings=tuple(dict.fromkeys((*view.offer.readings, *values))),
        commands=tuple(dict.fromkeys((*view.offer.commands, *values))),
    )
    return View(offer, {**view.values, **values})
