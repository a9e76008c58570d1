"""Watches the event loop of the Home Assistant that it is loaded into; for benchmarks alone."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from homeassistant.components import websocket_api
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, State, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.recorder import get_instance
import probatio
import psutil

if TYPE_CHECKING:
    from types import FrameType

    from homeassistant.helpers.typing import ConfigType

DOMAIN = "loop_probe"
_BEAT = 0.02
"""Seconds between two heartbeats of the loop."""
_LATE = 0.1
"""A heartbeat that is later than this has the loop's stack noted."""
_FRAMES = 6
_SENSORS = "sensor.benchmark_host_"
_STATUSES = frozenset({"online", "asleep", "off", "lost", "no_broker"})
"""Of a host's status, which is no reading."""


class Probe:
    """What is measured; `reset()` begins anew."""

    def __init__(self, hass: HomeAssistant) -> None:
        self._hass = hass
        self._loop_thread = threading.get_ident()
        self._with_value = sum(map(_is_reading, hass.states.async_all("sensor")))
        self._due = 0.0
        self._beat_cpu = time.thread_time()
        self._collecting = self._collected = 0.0
        self._stacks: list[str] = []
        self.began = time.time()
        self.reset()

    def reset(self) -> None:
        """Forget the longest silence and the highest counts."""
        self.longest = self.longest_cpu = self.longest_own_cpu = 0.0
        self.longest_stacks: list[str] = []
        self.backlog = 0
        self._note_count()

    def start(self) -> None:
        """Begin to measure."""
        gc.callbacks.append(self._on_collection)
        self._hass.bus.async_listen(EVENT_STATE_CHANGED, self._on_state)
        self._beat_again()
        threading.Thread(target=self._watch, name="loop_probe", daemon=True).start()

    def read(self) -> dict[str, Any]:
        """Return what was measured."""
        process = psutil.Process()
        times = process.cpu_times()
        return {
            "began": self.began,
            "created": process.create_time(),
            "now": time.time(),
            "loop_cpu": time.thread_time(),
            "process_cpu": times.user + times.system,
            "longest": self.longest,
            "stacks": self.longest_stacks,
            "longest_cpu": self.longest_cpu,
            "longest_own_cpu": self.longest_own_cpu,
            "backlog": self.backlog,
            "with_value": self._with_value,
            "reached": self._reached,
            "reached_cpu": self._reached_cpu,
        }

    # --- The loop ----------------------------------------------------------------------------

    def _beat_again(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + _BEAT
        loop.call_at(self._due, self._beat)

    @callback
    def _beat(self) -> None:
        late = time.monotonic() - self._due
        if late > self.longest:
            self.longest, self.longest_stacks = late, self._stacks
        self._stacks = []
        used, self._beat_cpu = time.thread_time() - self._beat_cpu, time.thread_time()
        self.longest_cpu = max(self.longest_cpu, used)
        self.longest_own_cpu = max(self.longest_own_cpu, used - self._collected)
        self._collected = 0.0
        with contextlib.suppress(KeyError):
            self.backlog = max(self.backlog, get_instance(self._hass).backlog)
        self._beat_again()

    def _watch(self) -> None:
        """Note what the loop does while it is late; in a thread of its own."""
        while True:
            time.sleep(_LATE / 2)
            late = time.monotonic() - self._due
            if late > _LATE:
                frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001
                self._stacks.append(f"{late * 1000:.0f} ms: {_stack(frame)}")

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._loop_thread:
            return
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting

    # --- States ------------------------------------------------------------------------------

    @callback
    def _on_state(self, event: Event[EventStateChangedData]) -> None:
        if not event.data["entity_id"].startswith(_SENSORS):
            return
        change = _is_reading(event.data["new_state"]) - _is_reading(event.data["old_state"])
        if change:
            self._with_value += change
            self._note_count()

    def _note_count(self) -> None:
        self._reached, self._reached_cpu = time.time(), time.thread_time()


def _is_reading(state: State | None) -> bool:
    return (
        state is not None
        and state.entity_id.startswith(_SENSORS)
        and state.state not in (STATE_UNKNOWN, STATE_UNAVAILABLE)
        and state.state not in _STATUSES
    )


def _stack(frame: FrameType | None) -> str:
    parts = []
    while frame is not None and len(parts) < _FRAMES:
        path = frame.f_code.co_filename.rpartition("site-packages/")[2]
        parts.append(f"{'/'.join(path.split('/')[-2:])}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(parts)


@websocket_api.websocket_command(
    {probatio.Required("type"): f"{DOMAIN}/read", probatio.Optional("reset", default=False): bool}
)
@callback
def _read(
    hass: HomeAssistant, connection: websocket_api.ActiveConnection, msg: dict[str, Any]
) -> None:
    probe: Probe = hass.data[DOMAIN]
    connection.send_result(msg["id"], probe.read())
    if msg["reset"]:
        probe.reset()


@websocket_api.websocket_command({probatio.Required("type"): f"{DOMAIN}/memory"})
@callback
def _memory(
    hass: HomeAssistant, connection: websocket_api.ActiveConnection, msg: dict[str, Any]
) -> None:
    """Return the unshared memory, after what can be given back was given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    connection.send_result(msg["id"], {"uss": psutil.Process().memory_full_info().uss})


@websocket_api.websocket_command(
    {probatio.Required("type"): f"{DOMAIN}/compare", probatio.Required("values"): dict}
)
@callback
def _compare(
    hass: HomeAssistant, connection: websocket_api.ActiveConnection, msg: dict[str, Any]
) -> None:
    """Return the sensors that show another value than the one given by their unique id."""
    registry = er.async_get(hass)
    wrong = {}
    for unique_id, value in msg["values"].items():
        entity_id = registry.async_get_entity_id("sensor", "pilot", unique_id)
        state = None if entity_id is None else hass.states.get(entity_id)
        shown = None if state is None else state.state
        try:
            is_right = abs(float(shown or "") - value) < 1e-6
        except ValueError:
            is_right = False
        if not is_right:
            wrong[unique_id] = f"{shown}, not {value}"
    connection.send_result(msg["id"], {"wrong": wrong})


@websocket_api.websocket_command(
    {probatio.Required("type"): f"{DOMAIN}/welcome", probatio.Required("hosts"): [str]}
)
@websocket_api.async_response
async def _welcome(
    hass: HomeAssistant, connection: websocket_api.ActiveConnection, msg: dict[str, Any]
) -> None:
    """Have discovery add hosts again whose entries were removed."""
    # Not at the top: Home Assistant loads this component first.
    from custom_components.pilot.ignored_hosts import (  # noqa: PLC0415
        async_get_removed_hosts,
    )

    removed = await async_get_removed_hosts(hass)
    for host in msg["hosts"]:
        removed.async_discard(host)
    connection.send_result(msg["id"], {})


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Begin to watch."""
    if config[DOMAIN]["enable_all"]:
        # Each of the forty readings counts, also those that Pilot leaves to the user.
        Entity.entity_registry_enabled_default = property(  # type: ignore[assignment]
            lambda self: True
        )
    hass.data[DOMAIN] = probe = Probe(hass)
    probe.start()
    for command in (_read, _memory, _compare, _welcome):
        websocket_api.async_register_command(hass, command)
    return True
