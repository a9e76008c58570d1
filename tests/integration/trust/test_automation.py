"""Triggers and conditions."""

import json
from time import time
from typing import TYPE_CHECKING

from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from custom_components.pilot.condition import CONDITIONS
from custom_components.pilot.trigger import TRIGGERS

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant, ServiceCall

    from support.integration_agent import FakeAgent

EVERYTHING = {"device_id": "all of the host"}


@pytest.fixture
def device(hass: HomeAssistant, paired: MockConfigEntry) -> str:
    """Return the host's device."""
    from homeassistant.helpers import device_registry as dr

    devices = dr.async_entries_for_config_entry(dr.async_get(hass), paired.entry_id)
    return next(device.id for device in devices if device.via_device_id is None)


async def automate(hass: HomeAssistant, **automation: object) -> list[ServiceCall]:
    """Set up an automation, and return where its calls go."""
    calls = async_mock_service(hass, "test", "automation")
    assert await async_setup_component(
        hass,
        "automation",
        {"automation": [{"actions": {"action": "test.automation"}, **automation}]},
    )
    await hass.async_block_till_done()
    return calls


def unsigned(**values: object) -> str:
    """Return what a collector read that does not sign."""
    return json.dumps({"ts": time(), "values": values})


@pytest.mark.parametrize(
    ("trigger", "before", "after"),
    [
        ("came_online", "asleep", "online"),
        ("went_to_sleep", "online", "asleep"),
        ("switched_off", "online", "off"),
        ("was_lost", "online", "lost"),
    ],
)
async def test_a_status_triggers(
    hass: HomeAssistant, device: str, agent: FakeAgent, trigger: str, before: str, after: str
) -> None:
    """Once, and not what happens to the broker."""
    agent.say_that_it_is(before)
    await hass.async_block_till_done()
    calls = await automate(
        hass, triggers={"trigger": f"pilot.{trigger}", "target": {"device_id": device}}
    )
    assert len(calls) == 0
    for word in (after, after):
        agent.say_that_it_is(word)
        await hass.async_block_till_done()
    assert len(calls) == 1


async def test_a_reading_named_like_the_status_triggers_nothing(
    hass: HomeAssistant, device: str, agent: FakeAgent
) -> None:
    """Hosts choose the names of custom readings; `ups_status` is not the status of the host."""
    collectors = agent.announced["collectors"] | {"custom": {"interval": 60}}
    readings = [
        *agent.announced["readings"],
        {"key": "custom.ups_status", "kind": "custom", "type": "text", "name": "UPS"},
        {"key": "custom.door_session_event", "kind": "custom", "type": "text", "name": "Door"},
    ]
    agent.announce(collectors=collectors, readings=readings)
    agent.part("custom", unsigned(ups_status="off", door_session_event="closed"))
    await hass.async_block_till_done()
    calls = await automate(
        hass, triggers={"trigger": "pilot.came_online", "target": {"device_id": device}}
    )

    agent.part("custom", unsigned(ups_status="online", door_session_event="locked"))
    await hass.async_block_till_done()

    assert hass.states.get("sensor.office_pc_ups").state == "online"
    assert len(calls) == 0


async def test_a_reading_named_like_the_status_is_no_condition(
    hass: HomeAssistant, device: str, agent: FakeAgent
) -> None:
    """The condition passes by the status of the host alone."""
    collectors = agent.announced["collectors"] | {"custom": {"interval": 60}}
    readings = [
        *agent.announced["readings"],
        {"key": "custom.ups_status", "kind": "custom", "type": "text", "name": "UPS"},
        {"key": "custom.door_session.locked", "kind": "custom", "type": "boolean", "name": "Door"},
    ]
    agent.announce(collectors=collectors, readings=readings)
    agent.part("custom", unsigned(**{"ups_status": "off", "door_session.locked": True}))
    agent.state("session", locked=True)
    await hass.async_block_till_done()
    calls = await automate(
        hass,
        triggers={"trigger": "event", "event_type": "now"},
        conditions=[
            {"condition": f"pilot.{condition}", "target": {"device_id": device}}
            for condition in ("is_online", "is_locked")
        ],
    )

    hass.bus.async_fire("now")
    await hass.async_block_till_done()

    assert hass.states.get("binary_sensor.office_pc_door").state == "on"
    assert len(calls) == 1


async def test_a_broker_that_comes_back_triggers_nothing(
    hass: HomeAssistant, device: str, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """The host was online all the time."""
    calls = await automate(
        hass, triggers={"trigger": "pilot.came_online", "target": {"device_id": device}}
    )
    for connected in (False, True):
        paired.runtime_data.coordinator._on_connection(connected)
        await hass.async_block_till_done()
    agent.say_that_it_is("online", retain=True)
    await hass.async_block_till_done()
    assert len(calls) == 0


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [
        ("session_locked", "locked"),
        ("session_unlocked", "unlocked"),
        ("user_logged_in", "logged_in"),
        ("user_logged_out", "logged_out"),
    ],
)
async def test_an_event_triggers(
    hass: HomeAssistant, device: str, agent: FakeAgent, trigger: str, kind: str
) -> None:
    """That one, every time, and the very first too."""
    calls = await automate(
        hass, triggers={"trigger": f"pilot.{trigger}", "target": {"device_id": device}}
    )
    for happened in ("locked", "unlocked", "logged_in", "logged_out", kind):
        agent.happens("session", happened)
        await hass.async_block_till_done()
    agent.happens("power", "woke")
    await hass.async_block_till_done()
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("condition", "word"),
    [("is_online", "online"), ("is_asleep", "asleep"), ("is_off", "off"), ("is_lost", "lost")],
)
async def test_a_status_is_a_condition(
    hass: HomeAssistant, device: str, agent: FakeAgent, condition: str, word: str
) -> None:
    """It passes in that status only."""
    calls = await automate(
        hass,
        triggers={"trigger": "event", "event_type": "now"},
        conditions={"condition": f"pilot.{condition}", "target": {"device_id": device}},
    )
    for said in ("online", "asleep", "off", "lost"):
        agent.say_that_it_is(said)
        await hass.async_block_till_done()
        hass.bus.async_fire("now")
        await hass.async_block_till_done()
        assert (len(calls) == 1) is (said == word)
        calls.clear()


async def test_being_locked_is_a_condition(
    hass: HomeAssistant, device: str, agent: FakeAgent
) -> None:
    """Whatever happened last."""
    calls = await automate(
        hass,
        triggers={"trigger": "event", "event_type": "now"},
        conditions={"condition": "pilot.is_locked", "target": {"device_id": device}},
    )
    for locked in (True, False):
        agent.state("session", locked=locked)
        agent.happens("session", "logged_in")
        await hass.async_block_till_done()
        hass.bus.async_fire("now")
        await hass.async_block_till_done()
        assert (len(calls) == 1) is locked
        calls.clear()


def test_all_are_here() -> None:
    """What is offered is tested."""
    assert len(TRIGGERS) == 8
    assert len(CONDITIONS) == 5
