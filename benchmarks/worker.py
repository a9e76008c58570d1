"""A real Home Assistant without its web pages, which measures its own event loop.

It runs as a process of its own, in the environment that has Home Assistant:
``python -m benchmarks.worker CONFIG_DIR BROKER PORT DISCOVERY_PREFIX``. It takes
commands as JSON lines on its standard input and answers each with one line.

Its parts are Home Assistant's own: the core object, the registries, the config
entries, the ``mqtt`` integration with its client. Left out is what would only
add noise: the front end, the recorder, and the integrations set up by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from datetime import datetime
import gc
import logging
import sys
import time
from types import MappingProxyType
from typing import Any, cast

from homeassistant import auth, config_entries, loader
from homeassistant.bootstrap import async_load_base_functionality
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.core_config import async_process_ha_core_config
from homeassistant.helpers.entity import Entity
from homeassistant.runner import create_event_loop
from homeassistant.setup import async_setup_component
import psutil

from .command_server import Answer, serve

_MISSING = (STATE_UNKNOWN, STATE_UNAVAILABLE)


class _NoWebServer:
    """Takes the views that integrations register, and serves none of them."""

    def register_view(self, view: object) -> None:
        """Take a view."""

    async def async_register_static_paths(self, paths: object) -> None:
        """Take folders."""


class Worker:
    """The Home Assistant and what is asked of it."""

    def __init__(self, config_dir: str, broker: str, port: int, discovery_prefix: str) -> None:
        self._config_dir = config_dir
        self._mqtt = {"broker": broker, "port": port, "protocol": "5"}
        self._options = {"discovery": True, "discovery_prefix": discovery_prefix}
        self._hass: HomeAssistant
        self._heard: list[tuple[str, float]] = []

    async def start(self) -> Answer:
        """Start Home Assistant and connect it with the broker."""
        self._hass = hass = HomeAssistant(self._config_dir)
        loader.async_setup(hass)
        hass.config.skip_pip = True
        hass.config_entries = config_entries.ConfigEntries(hass, {})
        await loader.async_get_custom_components(hass)
        await async_load_base_functionality(hass)
        hass.auth = await auth.auth_manager_from_config(hass, [], [])
        for domain in ("homeassistant", "persistent_notification"):
            await async_setup_component(hass, domain, {})
        await async_process_ha_core_config(hass, {})
        # The mqtt integration depends on a web server, which would get no requests.
        hass.http = cast("Any", _NoWebServer())
        hass.config.components.add("http")
        begun, cpu = time.monotonic(), time.thread_time()
        if not hass.config_entries.async_entries("mqtt"):
            await hass.config_entries.async_add(_mqtt_entry(self._mqtt, self._options))
        # Every domain with an entry is set up side by side, as at a real start.
        domains = {entry.domain for entry in hass.config_entries.async_entries()}
        await asyncio.gather(*(async_setup_component(hass, name, {}) for name in domains))
        await hass.async_start()
        for entry in hass.config_entries.async_entries("mqtt"):
            if entry.state is not config_entries.ConfigEntryState.LOADED:
                raise RuntimeError(f"the mqtt entry is not loaded: {entry.state}")
        return {"begun": begun, "cpu": cpu}

    async def offer(self, hosts: int) -> Answer:
        """Have Pilot offer so many hosts at once, where it holds some back otherwise."""
        pilot = (await loader.async_get_custom_components(self._hass))["pilot"]
        config_flow = await pilot.async_get_platform("config_flow")
        config_flow.MAX_OFFERS = hosts
        return {}

    async def expect(self, sensors: int, within: float) -> Answer:
        """Wait until so many sensors have a value, saying yes to every host that is found."""
        deadline = time.monotonic() + within
        seen: set[str] = set()
        while self._with_value(sensors) < sensors:
            if time.monotonic() > deadline:
                total = len(self._hass.states.async_entity_ids("sensor"))
                return {"error": f"{self._with_value()} of {total} sensors have a value"}
            self._accept_hosts(seen)
            await asyncio.sleep(0.05)
        return self._clock()

    async def mark(self) -> Answer:
        """Return the clocks: between two marks, the loop's processor time is what was spent."""
        return self._clock()

    async def memory(self) -> Answer:
        """Return the memory that is used, after what can be given back was given back."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        return {"uss": psutil.Process().memory_full_info().uss}

    async def changed(self, since: float) -> Answer:
        """Return how many sensors changed after a moment, and how many there are."""
        states = self._hass.states.async_all("sensor")
        moment = datetime.fromtimestamp(since).astimezone()
        return {
            "changed": sum(state.last_changed >= moment for state in states),
            "sensors": len(states),
        }

    async def reload(self, domain: str) -> Answer:
        """Reload every entry of an integration."""
        answer = self._clock()
        entries = self._hass.config_entries.async_entries(domain)
        await asyncio.gather(
            *(self._hass.config_entries.async_reload(entry.entry_id) for entry in entries)
        )
        return answer

    async def listen(self) -> Answer:
        """Note from now on when the state of which sensor changes."""

        @callback
        def note(event: Event[EventStateChangedData]) -> None:
            self._heard.append((event.data["entity_id"], time.time()))

        self._hass.bus.async_listen(EVENT_STATE_CHANGED, note)
        return {}

    async def heard(self) -> Answer:
        """Return what was noted."""
        heard, self._heard = self._heard, []
        names = {entity_id: self._unique_id(entity_id) for entity_id, _ in heard}
        return {"heard": [(names[entity_id], at) for entity_id, at in heard]}

    async def command(self, how: str, command: str, times: int) -> Answer:
        """Have a host do something, many times, and return how many seconds each took."""
        from homeassistant.helpers import entity_registry as er  # noqa: PLC0415

        suffix = command.replace(".", "_")
        button = next(
            entity
            for entity in er.async_get(self._hass).entities.values()
            if entity.domain == "button" and entity.unique_id.endswith(suffix)
        )
        domain, service, data = {
            "button": ("button", "press", {"entity_id": button.entity_id}),
            "action": (
                "pilot", "send_command", {"device_id": button.device_id, "command": command}
            ),
        }[how]  # fmt: skip
        took = []
        for _ in range(times):
            begin = time.perf_counter()
            await self._hass.services.async_call(domain, service, data, blocking=True)
            took.append(time.perf_counter() - begin)
        return {"took": took}

    async def stop(self) -> Answer:
        """Stop Home Assistant, so that all is stored."""
        await self._hass.async_stop(force=True)
        return {}

    def _clock(self) -> Answer:
        return {"wall": time.monotonic(), "time": time.time(), "cpu": time.thread_time()}

    def _with_value(self, sensors: int = 0) -> int:
        # Counting is cheap, looking is not, and both are on the clock.
        if self._hass.states.async_entity_ids_count("sensor") < sensors:
            return 0
        return sum(state.state not in _MISSING for state in self._hass.states.async_all("sensor"))

    def _unique_id(self, entity_id: str) -> str | None:
        from homeassistant.helpers import entity_registry as er  # noqa: PLC0415

        entry = er.async_get(self._hass).async_get(entity_id)
        return None if entry is None else entry.unique_id

    def _accept_hosts(self, seen: set[str]) -> None:
        flows = self._hass.config_entries.flow
        for flow in flows.async_progress_by_handler("pilot"):
            if flow["flow_id"] not in seen and flow.get("step_id"):
                seen.add(flow["flow_id"])
                self._hass.async_create_task(flows.async_configure(flow["flow_id"], {}))


def _mqtt_entry(data: dict[str, Any], options: dict[str, Any]) -> config_entries.ConfigEntry[Any]:
    """Return the entry that the config flow of the mqtt integration would make."""
    return config_entries.ConfigEntry(
        data=data,
        discovery_keys=MappingProxyType({}),
        domain="mqtt",
        minor_version=1,
        options=options,
        source=config_entries.SOURCE_USER,
        subentries_data=(),
        title="MQTT",
        unique_id=None,
        version=2,
    )


def main() -> None:
    """Run as a program."""
    logging.basicConfig(level=logging.WARNING)
    # Each of the forty counts, also those that Pilot's integration would leave to the user.
    Entity.entity_registry_enabled_default = property(  # type: ignore[assignment]
        lambda self: True
    )
    config_dir, broker, port, discovery_prefix = sys.argv[1:]
    event_loop = create_event_loop()
    asyncio.set_event_loop(event_loop)
    worker = Worker(config_dir, broker, int(port), discovery_prefix)
    event_loop.run_until_complete(serve(worker))


if __name__ == "__main__":
    main()
