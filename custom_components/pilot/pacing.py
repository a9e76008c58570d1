"""Spreads the work of many hosts, so that Home Assistant's event loop is free in between.

A thousand hosts may say something in the same moment: when Home Assistant starts, or when its
broker comes back. A browser that cannot follow is disconnected at 4,096 messages that wait for
it, and nothing else happens while states are written. One host is never slowed down by this.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.singleton import singleton
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from homeassistant.helpers.entity import Entity

AT_ONCE: Final = 250
"""States that are written within one event."""
PER_SECOND: Final = 3000
"""States that are written, on top of that: a thousand in any quarter of a second."""
PAUSE: Final = 0.05
"""Between two batches of states that wait, in seconds."""


class Pacer:
    """Writes states, and gives hosts their turn."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Start with nothing that waits."""
        self._loop = hass.loop
        self._allowance = float(AT_ONCE)
        self._allowed_at = self._loop.time()
        self._waiting: dict[Entity, None] = {}
        self._timer: TimerHandle | None = None
        self._turns: dict[object, Callable[[], None]] = {}
        self._is_taken = False

    # --- States ------------------------------------------------------------------------------

    @callback
    def write(self, entity: Entity) -> None:
        """Write the state of an entity: now, or in its turn where very many are written.

        What it shows by then is written once, however often it changed.
        """
        if not self._waiting and self._may_write():
            entity.async_write_ha_state()
            return
        self._waiting[entity] = None
        if self._timer is None:
            self._timer = self._loop.call_later(PAUSE, self._write_waiting)

    def _may_write(self) -> bool:
        now = self._loop.time()
        grown = self._allowance + max(0.0, now - self._allowed_at) * PER_SECOND
        self._allowance, self._allowed_at = min(AT_ONCE, grown), now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    @callback
    def _write_waiting(self) -> None:
        self._timer = None
        while self._waiting and self._may_write():
            entity = next(iter(self._waiting))
            del self._waiting[entity]
            entity.async_write_ha_state()  # One that was removed writes nothing.
        if self._waiting:
            self._timer = self._loop.call_later(PAUSE, self._write_waiting)

    # --- Turns -------------------------------------------------------------------------------

    @callback
    def take_turn(self, owner: object, work: Callable[[], None]) -> None:
        """Do what takes long: now, or after others that came before, one in each turn of the loop.

        Args:
            owner: Whose work it is; later work of the same owner replaces what waits.
            work: Does it.
        """
        if self._is_taken:
            self._turns[owner] = work
            return
        self._is_taken = True
        self._loop.call_soon(self._next_turn)
        work()

    @callback
    def give_up_turn(self, owner: object) -> None:
        """Forget work that waits: its owner is gone."""
        self._turns.pop(owner, None)

    @callback
    def _next_turn(self) -> None:
        if not self._turns:
            self._is_taken = False
            return
        owner = next(iter(self._turns))
        work = self._turns.pop(owner)
        self._loop.call_soon(self._next_turn)
        work()


_DATA: HassKey[Pacer] = HassKey(f"{DOMAIN}_pacer")


@callback
@singleton(_DATA)
def async_get_pacer(hass: HomeAssistant) -> Pacer:
    """Return what paces all hosts."""
    return Pacer(hass)
