"""Having a host do something, and learning what became of it."""

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.translation import async_load_integrations
import pytest

from companion_agent.config.policy import Policy
from custom_components.pilot.errors import command_name
from support.integration_agent import BASE, FakeAgent, FakeBroker
from support.integration_host import HOST_ID, make_entry

if TYPE_CHECKING:
    from freezegun.api import FrozenDateTimeFactory
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import issue_registry as ir
    from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

    from custom_components.pilot.coordinator import PilotCoordinator
    from custom_components.pilot.trust import TrustStore

SWITCH = "switch.office_pc_power"


async def press(hass: HomeAssistant, name: str) -> None:
    await hass.services.async_call(
        "button", "press", {"entity_id": f"button.office_pc_{name}"}, blocking=True
    )


# --- Requests and results --------------------------------------------------------------------


async def test_a_button_ends_when_the_host_says_done(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> None:
    """One request, one answer, done once."""
    await press(hass, "suspend")
    await hass.async_block_till_done()

    assert agent.done == ["power.suspend"]
    assert len(bus.commands()) == 1
    assert agent.audit[-1]["status"] == "done"


@pytest.mark.parametrize(
    ("announced", "level"),
    [(":", "power:suspend"), (None, "power.suspend"), ("~", "power.suspend")],
)
async def test_a_command_goes_on_the_topic_that_the_host_has_announced(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    announced: str | None,
    level: str,
) -> None:
    """On one with dots, where it has announced nothing, or what a later version means."""
    agent.announced["separator"] = announced
    agent.announce()
    await hass.async_block_till_done()

    await press(hass, "suspend")

    assert [topic for topic, _ in bus.published] == [f"{BASE}/command/{level}"]
    assert agent.done == ["power.suspend"]


async def test_the_topic_is_remembered_over_a_restart(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    hass_storage: dict[str, Any],
) -> None:
    """A broker that ends connections on dots would end this one before the host is heard."""
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await hass.async_block_till_done()
    kept = hass_storage["pilot.trust"]["data"]["hosts"][HOST_ID]

    await hass.config_entries.async_reload(paired.entry_id)
    await paired.runtime_data.coordinator.commands.async_verify(1)

    assert kept["separator"] == ":"
    assert [topic for topic, _ in bus.published] == [f"{BASE}/command/trust:verify"]


async def test_a_request_is_repeated_until_it_is_answered(
    hass: HomeAssistant, coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """Byte for byte, and done once."""
    lost = []

    def lose(topic: str, payload: bytes) -> None:
        if len(lost) < 2:
            lost.append(payload)
        else:
            agent.heard(topic, payload)

    bus.listeners[:] = [lose]
    await coordinator.commands.async_do("session.lock")

    assert agent.done == ["session.lock"]
    assert len({payload for _, payload in bus.published}) == 1
    assert len(bus.published) == 3


async def test_a_result_that_is_lost_is_given_again(
    coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """The agent does nothing twice."""
    results = []

    def lose(topic: str, payload: str) -> None:
        results.append(payload)
        if len(results) > 1:
            bus.fire(topic, payload)

    with patch.object(agent.dispatcher, "_publish", lose):
        await coordinator.commands.async_do("session.lock")

    assert agent.done == ["session.lock"]
    assert len(set(results)) == 1


@pytest.mark.parametrize("status", ["online", "asleep", "off", "lost"])
async def test_silence_is_an_error_that_says_what_is_known(
    hass: HomeAssistant,
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    bus: FakeBroker,
    status: str,
) -> None:
    """The user is told the outcome."""
    agent.silent = True
    agent.say_that_it_is(status)
    await hass.async_block_till_done()

    with pytest.raises(HomeAssistantError) as error:
        await coordinator.commands.async_do("session.lock")

    expected = "no_answer" if status == "online" else f"no_answer_{status}"
    assert error.value.translation_key == expected
    assert len(bus.commands("session.lock")) == 3


async def test_without_a_broker_nothing_is_sent(
    hass: HomeAssistant, coordinator: PilotCoordinator, bus: FakeBroker
) -> None:
    """Known before, or found out on the way."""
    with (
        patch("custom_components.pilot.commands.mqtt.is_connected", return_value=False),
        pytest.raises(HomeAssistantError, match="MQTT broker"),
    ):
        await coordinator.commands.async_do("session.lock")
    bus.broken = HomeAssistantError("gone")
    with pytest.raises(HomeAssistantError, match="MQTT broker"):
        await coordinator.commands.async_do("session.lock")


async def test_a_broker_that_leaves_in_between(
    coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """The repeats fail quietly; the request fails aloud."""

    def leave(topic: str, payload: bytes) -> None:
        bus.broken = HomeAssistantError("gone")

    bus.listeners[:] = [leave]
    with pytest.raises(HomeAssistantError, match="did not respond"):
        await coordinator.commands.async_do("session.lock")


async def test_a_new_session_is_learnt_from_the_refusal(
    coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """The agent was started anew, and its announce is still on its way."""
    agent.start("0000111122223333")
    await coordinator.commands.async_do("session.lock")

    assert agent.done == ["session.lock"]
    assert [body["session"] for body in bus.commands()] == ["5f1c0a9be3d24c77", "0000111122223333"]


async def test_the_counter_is_learnt_from_the_refusal(
    coordinator: PilotCoordinator, agent: FakeAgent, trust: TrustStore, bus: FakeBroker
) -> None:
    """Home Assistant's clock was set back."""
    await coordinator.commands.async_do("session.lock")
    trust._counter = 0
    with patch("custom_components.pilot.trust.time", return_value=1000):
        await coordinator.commands.async_do("session.lock")

    assert agent.done == ["session.lock"] * 2
    counters = [body["counter"] for body in bus.commands()]
    assert counters[1] < counters[0] < counters[2]


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "args", "called", "reason", "kind"),
    [
        ("power.nap", {}, "power.nap", "command_unknown", ServiceValidationError),
        (
            "power.shutdown",
            {"delay": -1},
            "Shut down",
            "command_bad_arguments",
            ServiceValidationError,
        ),
        ("power.reboot", {}, "Restart", "command_not_permitted", HomeAssistantError),
    ],
)
async def test_a_refusal_names_host_command_and_reason(
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    key: str,
    args: dict[str, float],
    called: str,
    reason: str,
    kind: type[Exception],
) -> None:
    """And whether the user or the host is to be changed."""
    with pytest.raises(HomeAssistantError) as error:
        await coordinator.commands.async_do(key, args)

    assert type(error.value) is kind
    assert error.value.translation_key == reason
    assert "office-pc" in str(error.value)
    assert f"“{called}”" in str(error.value)
    assert agent.done == []


@pytest.mark.parametrize(
    ("key", "called"),
    [
        ("session.lock", "Verrouiller"),
        ("power.shutdown", "Éteindre"),
        ("i2c.aht20-1-38.interval", "Intervalle de mesure"),
        ("audio.beep", "audio.beep"),
    ],
)
async def test_a_command_is_called_as_its_entity(
    hass: HomeAssistant, coordinator: PilotCoordinator, key: str, called: str
) -> None:
    """In the language of Home Assistant, as entities are."""
    hass.config.language = "fr"
    await async_load_integrations(hass, {"pilot"})

    assert command_name(key) == called


async def test_a_second_call_cools_down(coordinator: PilotCoordinator, agent: FakeAgent) -> None:
    """The first one was done."""
    await coordinator.commands.async_do("power.suspend")
    with pytest.raises(ServiceValidationError, match="too soon"):
        await coordinator.commands.async_do("power.suspend")
    assert agent.done == ["power.suspend"]


async def test_a_failure_says_what_failed(coordinator: PilotCoordinator, agent: FakeAgent) -> None:
    """In the host's words."""
    agent.power.error = RuntimeError("no battery")
    with pytest.raises(HomeAssistantError, match="no battery"):
        await coordinator.commands.async_do("session.lock")


@pytest.mark.parametrize("policy", [Policy(deny=("session.*",))])
async def test_what_is_not_allowed(
    coordinator: PilotCoordinator, agent: FakeAgent, policy: Policy
) -> None:
    """The host's own configuration has the last word."""
    with pytest.raises(ServiceValidationError, match="configuration"):
        await coordinator.commands.async_do("session.lock")
    assert agent.done == []


@pytest.mark.parametrize("policy", [Policy(dry_run=True)])
async def test_a_rehearsal_is_told(
    coordinator: PilotCoordinator, agent: FakeAgent, policy: Policy
) -> None:
    """The host must not appear to be going down."""
    with pytest.raises(HomeAssistantError, match="dry_run"):
        await coordinator.commands.async_do("session.lock")
    assert (await coordinator.commands.async_command("session.lock")).dry_run
    assert agent.done == []


async def test_an_unpaired_host_is_not_asked(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker, trust: TrustStore
) -> None:
    """It reports, and has nothing that could be pressed."""
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    agent.come_online()
    await hass.async_block_till_done()

    assert hass.states.get("binary_sensor.office_pc_pairing").state == "off"
    assert hass.states.async_all(("button", "switch")) == []
    with pytest.raises(ServiceValidationError) as error:
        await entry.runtime_data.coordinator.commands.async_do("session.lock")
    assert error.value.translation_key == "host_not_paired"
    assert bus.published == []


# --- Clocks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "key", "told"),
    [(7265.0, "clock_ahead", "2 h 1 min 5 s"), (-60.0, "clock_behind", "1 min")],
)
async def test_clocks_that_differ_are_a_repair_that_heals(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    issue_registry: ir.IssueRegistry,
    ahead: float,
    key: str,
    told: str,
) -> None:
    """With the difference that was measured."""
    real = agent.clock
    agent.clock = lambda: real() + ahead
    with pytest.raises(HomeAssistantError, match="signed by a clock"):
        await coordinator.commands.async_do("session.lock")

    issue = issue_registry.async_get_issue("pilot", f"clock_{HOST_ID}")
    assert issue is not None
    assert issue.translation_key == key
    assert issue.translation_placeholders == {"name": "office-pc", "difference": told}
    assert coordinator.commands.clock_difference == pytest.approx(ahead)

    agent.clock = real
    await coordinator.commands.async_do("session.lock")
    assert issue_registry.async_get_issue("pilot", f"clock_{HOST_ID}") is None


async def test_a_state_with_the_right_time_heals_too(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    bus: FakeBroker,
    issue_registry: ir.IssueRegistry,
) -> None:
    """No button has to be pressed for it; what was not read anew still has the wrong time."""
    real = agent.clock
    wrong = real() + 3600
    agent.clock = lambda: real() + 3600
    with pytest.raises(HomeAssistantError):
        await coordinator.commands.async_do("session.lock")
    for ts, healed in ((wrong, False), (real(), True)):
        collectors = {
            "cpu": {"ts": ts, "values": {}},
            "disk": {"ts": wrong, "values": {}},
        }
        bus.fire(f"{BASE}/state", json.dumps({"collectors": collectors}))
        await hass.async_block_till_done()
        assert (issue_registry.async_get_issue("pilot", f"clock_{HOST_ID}") is None) is healed


# --- Actions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "data", "done"),
    [
        ("shutdown", {}, ("power.shutdown", {"delay": 0})),
        ("shutdown", {"delay": {"minutes": 5}}, ("power.shutdown", {"delay": 300})),
        ("cancel_shutdown", {}, ("power.cancel", {})),
    ],
)
async def test_actions(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    action: str,
    data: dict[str, object],
    done: tuple[str, dict[str, float]],
) -> None:
    """By any entity of the host."""
    await hass.services.async_call("pilot", action, {"entity_id": SWITCH, **data}, blocking=True)
    assert agent.power.done == [done]


async def test_any_command_can_be_sent(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, hass_admin_user: MockUser
) -> None:
    """And what the host answered comes back."""
    answer = await hass.services.async_call(
        "pilot",
        "send_command",
        {"entity_id": SWITCH, "command": "audio.beep"},
        blocking=True,
        return_response=True,
    )
    assert answer == {"office-pc": {"status": "done", "detail": "", "dry_run": False}}

    await hass.services.async_call(
        "pilot", "send_command", {"entity_id": SWITCH, "command": "audio.beep"}, blocking=True
    )
    assert agent.done == ["audio.beep"] * 2


async def test_an_action_needs_a_host(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """A room sensor below a host is none: it stands somewhere else."""
    child = hass.states.get("sensor.aht20_temperature")
    assert child is not None
    for target in (child.entity_id, "light.nothing"):
        with pytest.raises(ServiceValidationError) as error:
            await hass.services.async_call(
                "pilot", "shutdown", {"entity_id": target}, blocking=True
            )
        assert error.value.translation_key == "no_host_targeted"
    assert agent.done == []


async def test_an_action_for_several_hosts_tells_of_every_failure(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, device_registry: object
) -> None:
    """Those that can do it do it all the same."""
    other = make_entry(hass, name="studio", unique_id="0" * 16, entry_id="01JOTHER")
    await hass.config_entries.async_setup(other.entry_id)
    await hass.async_block_till_done()
    target = {"entity_id": [SWITCH, "binary_sensor.studio_connection"]}
    with pytest.raises(ServiceValidationError, match="studio is not paired"):
        await hass.services.async_call("pilot", "shutdown", target, blocking=True)
    assert agent.done == ["power.shutdown"]

    agent.power.error = RuntimeError("busy")
    await hass.config_entries.async_unload(other.entry_id)
    with pytest.raises(HomeAssistantError) as error:
        await hass.services.async_call("pilot", "shutdown", target, blocking=True)
    assert error.value.translation_key == "several_failed"
    assert "busy" in str(error.value)
    assert "studio is not set up" in str(error.value)


async def test_hosts_that_the_user_gave_one_name_answer_apart(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """None of the answers is lost."""
    other = make_entry(hass, name="studio", unique_id="0" * 16, entry_id="01JOTHER")
    await hass.config_entries.async_setup(other.entry_id)
    await hass.async_block_till_done()
    hass.config_entries.async_update_entry(other, title=paired.title)
    done = await paired.runtime_data.coordinator.commands.async_command("audio.beep")
    call = {
        "entity_id": [SWITCH, "binary_sensor.studio_connection"],
        "command": "audio.beep",
    }

    with patch.object(other.runtime_data.coordinator.commands, "async_command", return_value=done):
        answer = await hass.services.async_call(
            "pilot", "send_command", call, blocking=True, return_response=True
        )

    assert answer is not None
    assert set(answer) == {f"office-pc ({HOST_ID})", f"office-pc ({'0' * 16})"}


async def test_a_command_must_have_a_name_that_can_be_one(
    hass: HomeAssistant, paired: MockConfigEntry, bus: FakeBroker
) -> None:
    """No topic is made of what could leave it."""
    for command in ("power/shutdown", "shutdown", "a.+"):
        with pytest.raises(Exception, match="not the name of a command"):
            await hass.services.async_call(
                "pilot", "send_command", {"entity_id": SWITCH, "command": command}, blocking=True
            )
    assert bus.published == []
