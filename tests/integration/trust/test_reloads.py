"""What is unloaded hears nothing more, also after the MQTT integration was reloaded."""

import asyncio
import json
from typing import Any
from unittest.mock import Mock, patch

from homeassistant.components import mqtt
from homeassistant.config_entries import ConfigEntryDisabler, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.pilot.backfill.importer import Importer
from custom_components.pilot.backfill.runtime import BACKLOG
from custom_components.pilot.discovery import async_search
from custom_components.pilot.subscriptions import async_subscribe
from support.integration_agent import BASE, CODE, FakeAgent, FakeBroker
from support.integration_host import HOST_ID, FakeHost, make_entry

from .conftest import SECRET

SESSION = "event.office_pc_session_event"
SWITCH = "switch.office_pc_power"
PROCESSOR = "sensor.office_pc_processor"
CHUNK = "00112233445566aa"


@pytest.fixture
def expected_lingering_tasks() -> bool:
    """Allow what the client of the MQTT integration waits with before it subscribes."""
    return True


async def stop_mqtt(hass: HomeAssistant, disabler: ConfigEntryDisabler | None = None) -> None:
    """Unload the MQTT integration, or disable it: its client ends."""
    [entry] = hass.config_entries.async_entries(mqtt.DOMAIN)
    data = hass.data[mqtt.DATA_MQTT]
    if isinstance(data.client, Mock):
        # Behind the double is a real client, which has what is no call, too.
        data.client = data.client.return_value
    client = data.client
    if disabler is None:
        await hass.config_entries.async_unload(entry.entry_id)
    else:
        await hass.config_entries.async_set_disabled_by(entry.entry_id, disabler)
    client.connected = False
    async_dispatcher_send(hass, mqtt.MQTT_CONNECTION_STATE, False)
    await hass.async_block_till_done()


async def start_mqtt(hass: HomeAssistant) -> None:
    """Set the MQTT integration up again: it gets a new client, which takes over."""
    [entry] = hass.config_entries.async_entries(mqtt.DOMAIN)
    before = hass.data[mqtt.DATA_MQTT].client
    with patch("homeassistant.components.mqtt.MQTT", type(before)):
        if entry.disabled_by is None:
            await hass.config_entries.async_setup(entry.entry_id)
        else:
            await hass.config_entries.async_set_disabled_by(entry.entry_id, None)
    await hass.async_block_till_done()
    client = hass.data[mqtt.DATA_MQTT].client
    assert client is not before
    assert client.connected
    assert client.subscriptions


async def reload_mqtt(hass: HomeAssistant) -> None:
    """Reload the MQTT integration."""
    await stop_mqtt(hass)
    await start_mqtt(hass)


def deliver(agent: FakeAgent) -> None:
    """Let the host deliver a chunk of its backlog."""
    body = {
        "chunk": CHUNK,
        "session": agent.session,
        "time": 1793880000,
        "more": False,
        "values": {"cpu.percent": [[1793876400.0, 21.5]]},
    }
    agent.bus.fire(f"{BASE}/backlog", agent.ring.seal(f"{BASE}/backlog", json.dumps(body)))


def acknowledged(bus: FakeBroker) -> list[str]:
    """Return the chunks that the host was told to forget."""
    return [
        json.loads(json.loads(payload)["body"])["chunk"]
        for topic, payload in bus.published
        if topic == f"{BASE}/acknowledge"
    ]


@pytest.fixture
def importer(hass: HomeAssistant) -> Any:
    """Return what keeps chunks, without a recorder behind it."""
    with patch.object(Importer, "_wake"), patch.object(Importer, "_hopeless", return_value={}):
        importer = hass.data[BACKLOG] = Importer(hass)
        yield importer


# --- Loaded ----------------------------------------------------------------------------------


async def test_a_loaded_entry_goes_on_after_a_reload_of_mqtt(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    importer: Importer,
) -> None:
    """Every subscription is taken up by the new client."""
    await reload_mqtt(hass)
    agent.say_that_it_is("online", retain=True)

    agent.bus.fire(f"{BASE}/state", '{"collectors":{"cpu":{"ts":1,"values":{"percent":7}}}}')
    agent.happens("session", "locked")
    deliver(agent)
    await hass.async_block_till_done()
    await paired.runtime_data.coordinator.commands.async_command("session.lock")

    assert paired.state is ConfigEntryState.LOADED
    assert hass.states.get(PROCESSOR).state == "7"
    assert hass.states.get(SESSION).attributes["event_type"] == "locked"
    assert acknowledged(bus) == [CHUNK]
    assert agent.done == ["session.lock"]
    assert paired.runtime_data.coordinator.refused == {}


async def test_the_status_follows_the_broker_through_a_reload(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """While there is no client nothing is known, nor until the broker repeats what it keeps."""
    await stop_mqtt(hass)
    assert hass.states.get("sensor.office_pc_status").state == "no_broker"

    await start_mqtt(hass)
    assert hass.states.get("sensor.office_pc_status").state == "unknown"
    agent.say_that_it_is("online", retain=True)
    await hass.async_block_till_done()

    assert hass.states.get("sensor.office_pc_status").state == "online"


async def test_the_power_switch_is_never_off_while_nothing_is_known(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """An automation on the switch does not run because MQTT or the entry was reloaded."""
    states: list[str] = []
    async_track_state_change_event(
        hass, [SWITCH], lambda event: states.append(getattr(event.data["new_state"], "state", ""))
    )
    await reload_mqtt(hass)
    agent.say_that_it_is("online", retain=True)
    await hass.async_block_till_done()
    await hass.config_entries.async_reload(paired.entry_id)
    agent.announce(retain=True)
    await hass.async_block_till_done()
    agent.say_that_it_is("online", retain=True)
    await hass.async_block_till_done()

    assert states[-1] == "on"
    assert set(states) <= {"on", "unknown", "unavailable"}


# --- Unloaded --------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
async def test_an_event_after_both_were_reloaded_counts_once(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, times: int
) -> None:
    """What was there before does not take its sequence first."""
    for _ in range(times):
        await reload_mqtt(hass)
        await hass.config_entries.async_reload(paired.entry_id)
        await hass.async_block_till_done()
    agent.come_online()

    agent.happens("session", "locked")
    await hass.async_block_till_done()

    assert hass.states.get(SESSION).attributes["event_type"] == "locked"
    assert paired.runtime_data.coordinator.received["event"] == 1
    assert paired.runtime_data.coordinator.refused == {}


async def unload(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    await hass.config_entries.async_unload(entry.entry_id)


async def disable(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    await hass.config_entries.async_set_disabled_by(entry.entry_id, ConfigEntryDisabler.USER)


async def remove(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    with patch("custom_components.pilot.async_part"):
        await hass.config_entries.async_remove(entry.entry_id)


@pytest.mark.parametrize("leave", [unload, disable, remove])
async def test_what_is_unloaded_acknowledges_nothing(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    importer: Importer,
    leave: Any,
) -> None:
    """The host would delete what is not kept."""
    coordinator = paired.runtime_data.coordinator
    await reload_mqtt(hass)
    await leave(hass, paired)
    before = dict(coordinator.received)

    deliver(agent)
    agent.come_online()
    agent.happens("session", "locked")
    await hass.async_block_till_done()

    assert acknowledged(bus) == []
    assert HOST_ID not in importer.hosts
    assert dict(coordinator.received) == before


async def test_mqtt_was_disabled_while_the_entry_was_unloaded(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    importer: Importer,
) -> None:
    """What it takes up when it is enabled again leads nowhere."""
    await stop_mqtt(hass, ConfigEntryDisabler.USER)
    await hass.config_entries.async_unload(paired.entry_id)
    await start_mqtt(hass)

    deliver(agent)
    await hass.async_block_till_done()

    assert acknowledged(bus) == []


async def test_another_entry_goes_on(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    importer: Importer,
) -> None:
    """Only the one that was unloaded hears nothing."""
    other = FakeHost(hass)
    other.announced["host"] |= {"id": "0" * 16, "name": "attic-pc", "macs": []}
    entry = make_entry(hass, name="attic-pc", unique_id=other.id, entry_id="01JATTIC")
    await hass.config_entries.async_setup(entry.entry_id)
    await reload_mqtt(hass)
    await hass.config_entries.async_unload(paired.entry_id)

    deliver(agent)
    await other.connect()
    await other.state("cpu", percent=3)

    assert acknowledged(bus) == []
    assert hass.states.get("sensor.attic_pc_processor").state == "3"


async def test_a_chunk_that_is_being_kept_while_its_host_is_removed(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    importer: Importer,
) -> None:
    """It is not kept for a host that is not there any more, and not acknowledged."""
    async with importer._writing:
        deliver(agent)
        with (
            patch("custom_components.pilot.async_part"),
            patch.object(Importer, "async_forget"),
            patch("homeassistant.config_entries.asyncio.wait", return_value=(set(), set())),
        ):
            await hass.config_entries.async_remove(paired.entry_id)
    await hass.async_block_till_done()

    assert acknowledged(bus) == []
    assert HOST_ID not in importer.hosts


# --- Pairing and search ----------------------------------------------------------------------


@pytest.mark.usefixtures("quick_search")
async def test_a_search_that_ended_hears_nothing(hass: HomeAssistant, agent: FakeAgent) -> None:
    """The MQTT integration is reloaded while it goes on."""
    search = hass.async_create_task(async_search(hass, "pilot/v2"))
    await asyncio.sleep(0)
    await reload_mqtt(hass)
    found = await search

    agent.announce()
    await hass.async_block_till_done()

    assert found.payloads == {}


async def test_a_host_is_paired_while_mqtt_is_reloaded(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker
) -> None:
    """The answers come through the new client, and afterwards there is none to hear."""
    from custom_components.pilot import pair

    agent.show_code()
    bus.confirms = False
    with (
        patch.object(pair, "SUBSCRIBE_PATIENCE", 30),
        patch.object(pair._Talk, "heard_availability") as heard,
    ):
        pairing = hass.async_create_background_task(
            pair.async_pair(hass, "pilot/v2", HOST_ID, CODE), "pairing"
        )
        await bus.asked.wait()
        await reload_mqtt(hass)
        bus.waiting[0]()
        assert len(await pairing) == len(SECRET)
        agent.say_that_it_is("online")

    heard.assert_not_called()


# --- The helper ------------------------------------------------------------------------------


async def test_unloaded_while_a_subscription_is_being_made(
    hass: HomeAssistant, paired: MockConfigEntry, bus: FakeBroker
) -> None:
    """It is given up as soon as it is there."""
    heard: list[str] = []
    ended: list[str] = []
    go_on = asyncio.Event()

    async def slow(hass: HomeAssistant, topic: str, receive: Any, **_: Any) -> Any:
        await go_on.wait()
        receive(mqtt.ReceiveMessage(topic, b"", 0, False, topic, 0))
        return lambda: ended.append(topic)

    with patch.object(mqtt, "async_subscribe", slow):
        making = hass.async_create_task(
            async_subscribe(hass, "a/topic", lambda m: heard.append(m.topic), entry=paired)
        )
        await hass.config_entries.async_unload(paired.entry_id)
        go_on.set()
        stop = await making
    stop()

    assert heard == []
    assert ended == ["a/topic"]
