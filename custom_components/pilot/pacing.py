"""Spreads the work of many hosts, so that Home Assistant's event loop is free in between.

A thousand hosts may say something in the same moment: when Home Assistant starts, or when its
broker comes back. A browser that cannot follow is disconnected at 4,096 messages that wait for it.
So work is done at once while there is little of it, and in slices with everything else in between
while there is much. One host is never slowed down by this.

Home Assistant's MQTT client reads one message in each turn of the event loop, unless messages of
its own wait for their confirmation (`Client.loop_read` of paho does not look at the limit that it
is given). So work must not fill one turn after the other for long: what hosts say would come in
faster than it is read, and once the answer to a ping waits behind a minute of messages, the client
takes its connection for lost, and begins anew.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from time import thread_time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.singleton import singleton
from homeassistant.helpers.typing import UNDEFINED, UndefinedType
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from homeassistant.helpers.entity import Entity

    from .readings import Listener, NativeValue

SLICE: Final = 0.03
"""Seconds of processor time for the work of all hosts within one turn of the event loop; what
begins in it is done to its end."""
SHARE: Final = 0.5
"""Of the event loop's time may go to work in one turn after the other; beyond that are pauses."""
BURST: Final = 1.0
"""Seconds of work that may be done before there are pauses."""
TURNS: Final = 10
"""Of the event loop from one slice to the next, where there are pauses. While the recorder writes,
a turn takes up to 5 ms more (Python's switch interval): then two hundred messages a second could be
read, and with these pauses it is more than half of that."""
SET_UP: Final = 0.01
"""Seconds of work that a turn of `async_turn` counts for."""
AT_ONCE: Final = 250
"""States that are written within one event."""
PER_SECOND: Final = 3000
"""States that are written, on top of that: a thousand in any quarter of a second."""
BATCH: Final = 1000
"""The most states of a batch, where the event loop came late to it."""
PAUSE: Final = 0.05
"""From one batch of states that wait to the next, in seconds, where few wait."""
LONGEST_PAUSE: Final = 0.25
"""Where many wait. Waking up for each batch costs more than the states in it take, since the
processor's caches have forgotten Home Assistant by then: so there are few large ones."""
SHORTEST_PAUSE: Final = 0.02
"""After each slice of a batch, in seconds."""
_AT_A_TIME: Final = 5
"""States that are written from one look at the clock to the next."""


class _Slice(NamedTuple):
    """When a slice began.

    Attributes:
        at: By the event loop's clock.
        cpu: By the processor time of its thread.
    """

    at: float
    cpu: float


class Pacer:
    """Does the work of hosts, and writes their states."""

    def __init__(
        self,
        hass: HomeAssistant,
        clock: Callable[[], float] = thread_time,
        wall: Callable[[], float] | None = None,
    ) -> None:
        """Start with nothing that waits.

        Args:
            hass: Home Assistant.
            clock: Returns the loop's processor time.
            wall: Returns the time on the wall; the event loop's own by default.
        """
        self._loop = hass.loop
        self._clock = clock
        self._wall = wall or hass.loop.time
        self._in_slice = False
        self._is_used_up = False
        self._slice = self._begin()
        self._first_owner: object = None
        self._owed = 0.0
        self._owed_at = self._slice.at
        self._turns_left = 0
        self._work: deque[tuple[object, Callable[[], None]]] = deque()
        self._allowance = float(AT_ONCE)
        self._allowed_at = self._wall()
        # A dict finds its first key the more slowly, the more were taken from its front.
        # Listeners with the value that they are to show, entities with `UNDEFINED`.
        self._waiting: OrderedDict[Any, NativeValue | UndefinedType | None] = OrderedDict()
        self._is_writing = False
        self._next_batch_at = 0.0
        self._timer: TimerHandle | None = None

    # --- Work --------------------------------------------------------------------------------

    @callback
    def do(self, owner: object, work: Callable[[], None]) -> None:
        """Do something: now, or in its turn where much is to be done.

        All that is given to this is done in the order in which it came.

        Args:
            owner: Whose work it is.
            work: Does it.
        """
        if self._work or not self._has_time(owner):
            self._work.append((owner, work))
        else:
            work()

    async def async_turn(self) -> None:
        """Wait until there is time: at once, or after the work of others that came before."""
        turn = self._loop.create_future()
        if not self._work and self._has_time(turn):
            return

        def begin() -> None:
            if not turn.done():
                turn.set_result(None)
                # What waited goes on in the next turn of the loop: no more begins in this one.
                self._is_used_up = True
                self._owed += SET_UP

        self._work.append((turn, begin))
        await turn

    def _has_time(self, owner: object) -> bool:
        """Say whether work of an owner may begin in this turn of the loop."""
        self._begin_slice()
        if self._first_owner is None:
            self._first_owner = owner
        # One host alone is never slowed down, on however slow a machine.
        return owner is self._first_owner or (not self._is_used_up and self._is_within(self._slice))

    def _begin(self) -> _Slice:
        return _Slice(self._wall(), self._clock())

    def _is_within(self, began: _Slice) -> bool:
        """Say whether a slice has time left.

        The clock on the wall is ahead of the processor's, and is read in a tenth of the time.
        """
        return self._wall() - began.at < SLICE or self._clock() - began.cpu < SLICE

    def _begin_slice(self) -> None:
        if self._in_slice:
            return
        self._in_slice = True
        self._is_used_up = False
        self._slice = self._begin()
        self._first_owner = None
        if not self._waiting:
            # Not within one event: slow writes would earn what they spend, and never end.
            self._grow_allowance(AT_ONCE)
        self._loop.call_soon(self._next_slice)

    @callback
    def _next_slice(self) -> None:
        if self._in_slice and self._needs_pause():
            # All that comes meanwhile waits, except what the last owner adds to its work.
            self._is_used_up = True
            self._loop.call_soon(self._next_slice)
            return
        self._in_slice = False
        # Nothing that has been removed is to be kept in memory.
        self._first_owner = None
        while self._work and self._has_time(self._work[0][0]):
            _, work = self._work.popleft()
            work()

    def _needs_pause(self) -> bool:
        """Say whether the next slice has to wait for another turn of the loop."""
        if self._turns_left:
            self._turns_left -= 1
            return self._turns_left > 0
        now, used = self._wall(), self._clock() - self._slice.cpu
        rested = (now - self._owed_at) * SHARE
        self._owed = min(max(0.0, self._owed - rested) + used, 2 * BURST)
        self._owed_at = now
        if self._owed > BURST and (self._is_used_up or used >= SLICE):
            self._turns_left = TURNS - 1
        return self._turns_left > 0

    # --- States ------------------------------------------------------------------------------

    @callback
    def show(self, shown: Mapping[Listener, NativeValue | None]) -> None:
        """Show values: now, or in their turn where very many are shown.

        A message's are given at once, so that this is asked once for all of them. Of one that
        waits, the last value is shown.

        Args:
            shown: The values, by what shows them.
        """
        self._begin_slice()
        if not self._waiting and self._allowance >= len(shown):
            self._allowance -= len(shown)
            for listener, value in shown.items():
                listener.async_show(value)
        else:
            self._waiting.update(shown)
            self._write_in_turn()

    @callback
    def write(self, entity: Entity) -> None:
        """Write the state of an entity: now, or in its turn where very many are written.

        What it shows by then is written once, however often it changed.
        """
        self._begin_slice()
        if not self._waiting and self._allowance >= 1:
            self._allowance -= 1
            entity.async_write_ha_state()
        else:
            # Where it waits for a value, showing that writes the rest as well.
            self._waiting.setdefault(entity, UNDEFINED)
            self._write_in_turn()

    def _grow_allowance(self, most: float) -> None:
        now = self._wall()
        grown = self._allowance + max(0.0, now - self._allowed_at) * PER_SECOND
        self._allowance, self._allowed_at = min(most, grown), now

    def _write_in_turn(self) -> None:
        """Write what waits as far as that may be now, and have the rest written later."""
        if self._timer is None and not self._is_writing:
            self._next_batch_at = self._wall() + PAUSE
            self._write_waiting()

    @callback
    def _go_on(self) -> None:
        self._timer = None
        if self._allowance < 1:
            self._grow_allowance(BATCH)
            pause = min(max(PAUSE, len(self._waiting) / PER_SECOND), LONGEST_PAUSE)
            self._next_batch_at = self._allowed_at + pause
        self._write_waiting()

    def _write_waiting(self) -> None:
        # A slice of its own: work that never ends must not keep states from being written.
        began = self._begin()
        waiting = self._waiting
        self._is_writing = True
        try:
            while waiting and self._allowance >= 1 and self._is_within(began):
                for _ in range(min(_AT_A_TIME, len(waiting), int(self._allowance))):
                    entity, value = waiting.popitem(last=False)
                    self._allowance -= 1
                    # One that was removed writes nothing.
                    if value is UNDEFINED:
                        entity.async_write_ha_state()
                    else:
                        entity.async_show(value)
        finally:
            self._is_writing = False
            # One that fails must not keep all others from being written.
            if waiting:
                # One that has taken too long goes on soon.
                due = 0.0 if self._allowance >= 1 else self._next_batch_at
                pause = max(SHORTEST_PAUSE, due - self._wall())
                self._timer = self._loop.call_later(pause, self._go_on)


_DATA: HassKey[Pacer] = HassKey(f"{DOMAIN}_pacer")


@callback
@singleton(_DATA)
def async_get_pacer(hass: HomeAssistant) -> Pacer:
    """Return what paces all hosts."""
    return Pacer(hass)
