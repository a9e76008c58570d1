"""A Home Assistant with a recorder, one host that it always hears, and one that is cut off."""

import copy
from datetime import UTC, datetime, timedelta
import json
import logging
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, patch

from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.const import (
    EVENT_RECORDER_5MIN_STATISTICS_GENERATED,
    EVENT_RECORDER_HOURLY_STATISTICS_GENERATED,
)
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
    do_adhoc_statistics,
)

from custom_components.pilot.backfill.runtime import BACKLOG
from custom_components.pilot.rooms.rooms import HOUR, Hour
from support.integration_host import ANNOUNCE, NOW, FakeHost, make_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freezegun.api import FrozenDateTimeFactory
    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient

    from custom_components.pilot.backfill.importer import Importer

NOON = int(datetime.fromisoformat(NOW).timestamp())
TEMPERATURE = "i2c.aht20-1-38.temperature"
RECEIVED = "network.eth0.received"

NEAR = "7a7a7a7a00000001"
FAR = "7a7a7a7a00000002"


def announce(host_id: str, name: str) -> dict[str, Any]:
    """Return what a host with a room sensor and a counter says of itself."""
    said = copy.deepcopy(ANNOUNCE)
    said["host"] |= {"id": host_id, "name": name}
    said["host"].pop("macs")
    said["collectors"] = {"i2c": {"interval": 600}, "network": {"interval": 600}}
    said["readings"] = [
        {"key": TEMPERATURE, "kind": "temperature", "device": "aht20-1-38"},
        {"key": RECEIVED, "kind": "network.received", "of": "eth0"},
    ]
    return said


def a_chunk(
    values: Mapping[str, Any],
    *,
    more: bool = False,
    chunk: str = "00000000000000ff",
    time: float = NOON,
) -> dict[str, Any]:
    """Return a chunk as an agent sends it."""
    return {
        "chunk": chunk,
        "session": "5f1c0a9be3d24c77",
        "time": time,
        "more": more,
        "values": values,
    }


class Night:
    """Two hosts that measure the same; what happens is told in seconds after the beginning."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
        """Let both be there."""
        self.hass = hass
        self.freezer = freezer
        self.near = FakeHost(hass, announce(NEAR, "near"))
        self.far = FakeHost(hass, announce(FAR, "far"))
        self.entities = er.async_get(hass)
        self.entries: dict[str, MockConfigEntry] = {}
        self.published = AsyncMock()
        self._now = 0.0
        self._compiled = 0
        self._chunks = 0

    async def set_up(self) -> None:
        """Add both hosts, and let them be heard."""
        for host, name in ((self.near, "near"), (self.far, "far")):
            entry = self.entries[host.id] = make_entry(
                self.hass, name=name, unique_id=host.id, entry_id=f"01J{name}"
            )
            await self.hass.config_entries.async_setup(entry.entry_id)
            await self.hass.async_block_till_done()
            await host.connect()
        await self.settle()

    @property
    def importer(self) -> Importer:
        return self.hass.data[BACKLOG]

    def entity_id(self, host: FakeHost, key: str = TEMPERATURE) -> str:
        """Return what a reading's entity is called."""
        entity_id = self.entities.async_get_entity_id("sensor", "pilot", f"{host.id}_{key}")
        assert entity_id is not None
        return entity_id

    async def settle(self) -> None:
        """Wait until all is computed and committed."""
        for _ in range(2):
            await self.hass.async_block_till_done(wait_background_tasks=True)
            await async_wait_recording_done(self.hass)

    # --- What happens ------------------------------------------------------------------------

    def at(self, second: float) -> None:
        """Let it be that late."""
        self._now = second
        self.freezer.move_to(datetime.fromtimestamp(NOON, UTC) + timedelta(seconds=second))

    async def says(self, host: FakeHost, value: float | None, key: str = TEMPERATURE) -> None:
        """Let a host publish a value."""
        collector, _, name = key.partition(".")
        ts = NOON + self._now
        await host.send(f"state/{collector}", {"ts": ts, "values": {name: value}})

    async def play(
        self, heard: Mapping[int, float | None], start: int, end: int, key: str = TEMPERATURE
    ) -> list[list[float | None]]:
        """Let both measure the same, and one of them be cut off for a time; return its backlog."""
        backlog: list[list[float | None]] = []
        last: float | None = None
        cut = False
        for second in sorted({*heard, start, end}):
            self.at(second)
            before, last = last, heard.get(second, last)
            if second == start:
                cut = True
                await self.far.availability("lost")
                backlog.append([NOON + second, last])
            elif second == end:
                cut = False
                await self.far.availability("online")
                await self.says(self.far, last, key)
            if second in heard:
                await self.says(self.near, last, key)
                if cut:
                    # The agent keeps only what changes.
                    if last != before:
                        backlog.append([NOON + second, last])
                else:
                    await self.says(self.far, last, key)
        return backlog

    async def compile(self, hours: float) -> None:
        """Let the recorder compile its statistics up to so many hours after the beginning."""
        self.at(max(self._now, hours * HOUR + 10))
        await async_wait_recording_done(self.hass)
        while self._compiled < hours * HOUR:
            do_adhoc_statistics(self.hass, start=datetime.fromtimestamp(NOON + self._compiled, UTC))
            self._compiled += 300
        await async_wait_recording_done(self.hass)
        self.hass.bus.async_fire(EVENT_RECORDER_HOURLY_STATISTICS_GENERATED)
        self.hass.bus.async_fire(EVENT_RECORDER_5MIN_STATISTICS_GENERATED)
        await self.settle()

    async def deliver(
        self,
        points: list[list[float | None]],
        *,
        key: str = TEMPERATURE,
        more: bool = False,
        chunk: str | None = None,
    ) -> str:
        """Let the host that was cut off deliver what it kept."""
        self._chunks += 1
        chunk = chunk or f"{self._chunks:016x}"
        await self.far.send("backlog", a_chunk({key: points}, more=more, chunk=chunk))
        await self.settle()
        return chunk

    # --- What came of it ---------------------------------------------------------------------

    async def rows(self, host: FakeHost, key: str = TEMPERATURE) -> dict[int, dict[str, Any]]:
        """Return what the recorder has, by hours after the beginning."""
        statistic_id = self.entity_id(host, key)
        rows = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            datetime.fromtimestamp(0, UTC),
            None,
            {statistic_id},
            "hour",
            None,
            {"mean", "min", "max", "state", "sum"},
        )
        return {
            (int(row["start"]) - NOON) // HOUR: {
                kind: row[kind] for kind in ("mean", "min", "max", "state", "sum") if kind in row
            }
            for row in rows.get(statistic_id, [])
        }

    async def hours(self, host: FakeHost) -> dict[int, Hour]:
        """Return what was measured, by hours after the beginning."""
        return {
            hour: Hour(row["mean"], row["min"], row["max"])
            for hour, row in (await self.rows(host)).items()
        }

    def acknowledged(self) -> list[str]:
        """Return the chunks that the host was told to forget."""
        return [
            json.loads(call.args[2])["chunk"]
            for call in self.published.await_args_list
            if call.args[1] == f"pilot/v2/{FAR}/acknowledge"
        ]


def near(hours: Mapping[int, Any]) -> Any:
    """Allow for the rounding of sums."""
    return {
        hour: pytest.approx(tuple(value) if isinstance(value, Hour) else value, rel=1e-9)
        for hour, value in hours.items()
    }


@pytest.fixture
async def night(
    freezer: FrozenDateTimeFactory,
    recorder_mock: Recorder,
    hass: HomeAssistant,
    enable_custom_integrations: None,
    mqtt_mock: MqttMockHAClient,
    all_enabled: None,
) -> Any:
    """Return a house with two hosts, at noon."""
    # A clock that jumps looks to asyncio as if steps took minutes.
    for name in ("asyncio", "sqlalchemy.engine", "homeassistant.components.recorder"):
        logging.getLogger(name).setLevel(logging.ERROR)
    night = Night(hass, freezer)
    with patch("custom_components.pilot.backfill.receiver.mqtt.async_publish", night.published):
        await night.set_up()
        yield night
