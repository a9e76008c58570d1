"""Monitors switched by the compositor: wlroots' protocol (sway, labwc, Hyprland), and KDE's.

Sources: wlr-output-power-management-unstable-v1.xml, org-kde-kwin-dpms (dpms.xml), wayland.xml.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.wayland import (
    Global,
    WaylandClient,
    read_text,
    read_uint,
    uint,
)
from companion_agent.plugins.screen.power import ScreenPower

if TYPE_CHECKING:
    from collections.abc import Callable

_OUTPUT = "wl_output"
# From version 4 on an output says its name: `DP-1`.
_OUTPUT_VERSION, _OUTPUT_NAME = 4, 4


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the two protocols.

    Attributes:
        name: What it is called.
        manager: The interface that gives a switch for each output.
        on: The mode that is on.
        off: The mode that is off.
        mode: The event that says the mode.
        failed: The event that says that there is no switching; by KDE's, when its number is 0.
        counts: Whether that event has a number.
        no_time_out: Why its screens' time-out cannot be set.
        release: The request that ends a switch.
    """

    name: str
    manager: str
    on: int
    off: int
    mode: int
    failed: int
    counts: bool
    release: int
    no_time_out: str


WLROOTS = Dialect(
    name="wlr-output-power-management",
    manager="zwlr_output_power_manager_v1",
    on=1, off=0, mode=0, failed=1, counts=False, release=1,
    no_time_out="this compositor has none of its own; a program such as swayidle brings it along",
)  # fmt: skip
KDE = Dialect(
    name="KDE's dpms",
    manager="org_kde_kwin_dpms_manager",
    on=0, off=3, mode=1, failed=0, counts=True, release=1,
    no_time_out="KDE lets no other program read or set it",
)  # fmt: skip

_GET_SWITCH = 0
_SET_MODE = 0


@dataclass(slots=True)
class _Monitor:
    """An output and its switch.

    Attributes:
        name: What the compositor calls it; empty while that is not heard.
        output: The id of the output.
        switch: The id of its switch.
        on: Whether it is on; `None` while that is not heard.
        refused: It cannot be switched.
    """

    name: str
    output: int = 0
    switch: int = 0
    on: bool | None = None
    refused: bool = False


class CompositorPower(ScreenPower):
    """Switches monitors by one of the two protocols.

    Args:
        dialect: Which one.
        changed: As for every way.
        ended: As for every way.
    """

    def __init__(
        self, dialect: Dialect, changed: Callable[[], None], ended: Callable[[str], None]
    ) -> None:
        super().__init__(dialect.name, changed, ended)
        self.no_time_out = dialect.no_time_out
        self._dialect = dialect
        self._client = WaylandClient(self._globals_changed, ended)
        self._manager = 0
        self._known: dict[int, _Monitor] = {}  # by the number of the global

    async def open(self) -> None:
        """Ask the compositor for a switch of every output."""
        client = self._client
        await client.open()
        found = [one for one in client.globals.values() if one.interface == self._dialect.manager]
        if not found:
            client.close()
            raise Unavailable(f"this compositor has no {self._dialect.name}")
        self._manager = client.bind(found[0], 1, lambda *_: None)
        for one in list(client.globals.values()):
            if one.interface == _OUTPUT:
                self._add(one)
        try:
            # Outputs say their names, and switches what they are.
            await client.roundtrip()
        finally:
            self._list()
        if not self.monitors:
            client.close()
            why = "; ".join(f"{name}: {reason}" for name, reason in self.refused.items())
            raise Unavailable(why or "this compositor has no monitor")

    async def request(self, monitor: str, *, on: bool) -> None:
        """Set the mode."""
        known = next(one for one in self._known.values() if one.name == monitor)
        mode = self._dialect.on if on else self._dialect.off
        self._client.request(known.switch, _SET_MODE, uint(mode))
        try:
            await self._client.roundtrip()
        except Unavailable as error:
            raise CommandError("failed", error.reason) from error
        if known.refused:
            raise CommandError("failed", f"{self.name}: {monitor} cannot be switched")

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    # --- What the compositor says --------------------------------------------------------

    def _globals_changed(self, what: Global | int) -> None:
        if isinstance(what, Global):
            if what.interface == _OUTPUT:
                self._add(what)
        elif known := self._known.pop(what, None):
            self._client.request(known.switch, self._dialect.release)
            self._client.forget(known.switch)
            self._client.forget(known.output)
            self._list()

    def _add(self, found: Global) -> None:
        client = self._client
        monitor = self._known[found.number] = _Monitor(f"output-{found.number}")
        monitor.output = client.bind(found, _OUTPUT_VERSION, partial(self._output_event, monitor))
        monitor.switch = client.make(partial(self._switch_event, monitor))
        client.request(self._manager, _GET_SWITCH, uint(monitor.switch) + uint(monitor.output))

    def _output_event(self, monitor: _Monitor, opcode: int, arguments: bytes) -> None:
        if opcode == _OUTPUT_NAME:
            monitor.name = read_text(arguments)
            self._list()

    def _switch_event(self, monitor: _Monitor, opcode: int, arguments: bytes) -> None:
        dialect = self._dialect
        if opcode == dialect.mode:
            monitor.on = read_uint(arguments) == dialect.on
        elif opcode == dialect.failed:
            monitor.refused = not (dialect.counts and read_uint(arguments))
        else:
            return
        self._list()

    def _list(self) -> None:
        monitors = {
            one.name: one.on
            for one in self._known.values()
            if one.on is not None and not one.refused
        }
        self.refused = {
            one.name: "the compositor says that it cannot be switched"
            for one in self._known.values()
            if one.refused
        }
        if monitors != self.monitors:
            self.monitors = monitors
            self.notice()
