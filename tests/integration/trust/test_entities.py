"""What a paired host offers: buttons, the switch, events, repairs."""

import re
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.exceptions import HomeAssistantError
import pytest
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)

from companion_agent.models import Missing
from custom_components.pilot import button, wake_on_lan
from custom_components.pilot.trust import TrustStore
from support.integration_agent import BASE, FIX, FakeAgent, FakeBroker, OneCommand
from support.integration_host import HOST_ID, make_entry

from .conftest import SECRET

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import entity_registry as er, issue_registry as ir
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

SWITCH = "switch.office_pc_power"
SCREEN_LOCK = "binary_sensor.office_pc_screen_lock"


async def turn(hass: HomeAssistant, way: str) -> None:
    await hass.services.async_call("switch", f"turn_{way}", {"entity_id": SWITCH}, blocking=True)


async def say(hass: HomeAssistant, agent: FakeAgent, word: str) -> None:
    agent.say_that_it_is(word)
    await hass.async_block_till_done()


# --- Buttons ---------------------------------------------------------------------------------


async def test_there_is_a_button_for_what_the_host_can_do(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> None:
    """As long as it is there."""
    buttons = {
        state.entity_id.removeprefix("button.office_pc_")
        for state in hass.states.async_all("button")
    }
    assert buttons == {"restart", "suspend", "cancel_shutdown", "lock"}
    assert {state.state for state in hass.states.async_all("button")} == {"unknown"}

    await say(hass, agent, "off")
    assert {state.state for state in hass.states.async_all("button")} == {"unavailable"}


async def test_buttons_come_and_go(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    entity_registry: er.EntityRegistry,
) -> None:
    """With what the host announces."""
    agent.announce(commands=[{"key": "power.reboot"}, {"key": "power.suspend"}])
    await hass.async_block_till_done()
    assert {state.entity_id for state in hass.states.async_all(("button", "switch"))} == {
        "button.office_pc_restart",
        "button.office_pc_suspend",
    }
    agent.announce()
    await hass.async_block_till_done()
    assert len(hass.states.async_all("button")) == 4
    assert hass.states.get(SWITCH) is not None


@pytest.mark.usefixtures("all_enabled")
@pytest.mark.parametrize("kind", sorted(button.DESCRIPTIONS))
async def test_pressing_a_button_has_the_host_carry_out_its_command(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, kind: str
) -> None:
    """Each kind of command that is described as a button."""
    command = OneCommand(kind, agent.power)
    agent.dispatcher.offer({command: command.commands()})
    agent.announce()
    await hass.async_block_till_done()

    [state] = hass.states.async_all("button")
    await hass.services.async_call("button", "press", {"entity_id": state.entity_id}, blocking=True)
    assert agent.done == [kind]


async def test_an_entry_that_is_not_paired_any_more_has_none(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, trust: TrustStore
) -> None:
    """What was there is removed."""
    await trust.async_forget(HOST_ID)
    agent.ring.revoke(trust.controller)
    await hass.config_entries.async_reload(paired.entry_id)
    agent.announce()
    await hass.async_block_till_done()
    assert hass.states.async_all(("button", "switch")) == []


# --- Permissions -----------------------------------------------------------------------------


def permissions(registry: ir.IssueRegistry) -> list[ir.IssueEntry]:
    return [issue for (_, key), issue in registry.issues.items() if key.startswith("permission_")]


async def test_a_missing_permission_is_a_repair_that_heals(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    issue_registry: ir.IssueRegistry,
) -> None:
    """With the exact fix, once for all commands that it is about."""
    [issue] = permissions(issue_registry)
    assert issue.translation_placeholders == {
        "name": "office-pc",
        "commands": "`power.reboot`",
        "fix": "As root, write this to /etc/rule:\n\n```\nallow();\n```",
    }
    missing = {"reason": "polkit", "fix": FIX}
    agent.announce(
        commands=[
            {"key": "power.reboot", "missing": missing},
            {"key": "power.suspend", "missing": missing},
            {"key": "session.lock", "missing": {"reason": "package", "fix": "Install it."}},
        ]
    )
    await hass.async_block_till_done()
    texts = [issue.translation_placeholders or {} for issue in permissions(issue_registry)]
    assert [(text["commands"], text["fix"][:3]) for text in texts] == [
        ("`power.reboot`, `power.suspend`", "As "),
        ("`session.lock`", "Ins"),
    ]

    agent.power.missing = None
    agent.dispatcher.offer({agent.power: agent.power.commands()})
    agent.announce()
    await hass.async_block_till_done()
    assert permissions(issue_registry) == []
    await paired.runtime_data.coordinator.commands.async_do("power.reboot")


async def test_what_is_missing_is_forgotten_with_the_host(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    issue_registry: ir.IssueRegistry,
) -> None:
    """A host that is gone needs no repair."""
    assert permissions(issue_registry)
    await hass.config_entries.async_remove(paired.entry_id)
    assert permissions(issue_registry) == []


async def test_an_unpaired_host_cannot_tell_a_user_what_to_type(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore, issue_registry: ir.IssueRegistry
) -> None:
    """Any client could, in its name."""
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    agent.power.missing = Missing("polkit", "rm -rf /")
    agent.come_online()
    await hass.async_block_till_done()
    assert permissions(issue_registry) == []


# --- The switch ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [("online", "on"), ("asleep", "off"), ("off", "off"), ("lost", "unknown")],
)
async def test_the_switch_shows_what_is_known(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, word: str, state: str
) -> None:
    """And can be switched, as the host can be woken."""
    await say(hass, agent, word)
    assert hass.states.get(SWITCH).state == state


@pytest.mark.parametrize("macs", [[], ["00:00:00:00:00:00"], ["00:00:5e:00:53:01:02:03"]])
async def test_a_host_that_cannot_be_woken_has_no_switch_when_it_is_off(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, macs: list[str]
) -> None:
    """There is nothing that switching could do."""
    agent.announce(host=agent.announced["host"] | {"macs": macs})
    await hass.async_block_till_done()
    await say(hass, agent, "off")
    assert hass.states.get(SWITCH).state == "unavailable"
    with pytest.raises(HomeAssistantError, match="no network card"):
        await wake_on_lan.async_wake(hass, paired.runtime_data.coordinator)


async def test_off_shuts_down(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """Once: a host that is off is what it shall be."""
    await turn(hass, "off")
    assert agent.done == ["power.shutdown"]
    await say(hass, agent, "off")
    await turn(hass, "off")
    assert agent.done == ["power.shutdown"]


async def test_on_wakes(hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent) -> None:
    """By every address, where the options say; a host that is online needs no waking."""
    pytest.importorskip("wakeonlan")
    sent: list[Any] = []
    with patch("wakeonlan.send_magic_packet", lambda *macs, **where: sent.append((macs, where))):
        await turn(hass, "on")
        assert sent == []
        await say(hass, agent, "off")
        await turn(hass, "on")
        hass.config_entries.async_update_entry(
            paired, options={"wake_address": "192.0.2.255", "wake_port": 7}
        )
        await turn(hass, "on")
    macs = ("00:00:5e:00:53:01",)
    assert sent == [
        (macs, {"ip_address": "255.255.255.255", "port": 9}),
        (macs, {"ip_address": "192.0.2.255", "port": 7}),
    ]


async def test_on_wakes_a_host_that_nothing_was_heard_of(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """Home Assistant has started, the broker has kept nothing, and the host is off."""
    pytest.importorskip("wakeonlan")
    await hass.config_entries.async_unload(paired.entry_id)
    await hass.config_entries.async_setup(paired.entry_id)
    await hass.async_block_till_done()

    with patch("wakeonlan.send_magic_packet") as send:
        await turn(hass, "on")

    send.assert_called_once()


async def test_a_network_that_takes_no_packet(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """The user is told."""
    pytest.importorskip("wakeonlan")
    await say(hass, agent, "off")
    with (
        patch("wakeonlan.send_magic_packet", side_effect=OSError("unreachable")),
        pytest.raises(HomeAssistantError, match="unreachable"),
    ):
        await turn(hass, "on")


async def test_without_a_broker_the_switch_is_not_there(
    hass: HomeAssistant, paired: MockConfigEntry
) -> None:
    """It is not known what it would switch."""
    coordinator = paired.runtime_data.coordinator
    coordinator._on_connection(False)
    await hass.async_block_till_done()
    assert hass.states.get(SWITCH).state == "unavailable"


async def test_options(hass: HomeAssistant, paired: MockConfigEntry) -> None:
    """Where the packet goes."""
    menu = await hass.config_entries.options.async_init(paired.entry_id)
    form = await hass.config_entries.options.async_configure(
        menu["flow_id"], {"next_step_id": "computer"}
    )
    given = {"clear_on_remove": False, "wake_address": "somewhere", "wake_port": 7}
    form = await hass.config_entries.options.async_configure(form["flow_id"], given)
    assert form["errors"] == {"wake_address": "invalid_address"}
    given["wake_address"] = "192.0.2.255"
    await hass.config_entries.options.async_configure(form["flow_id"], given)
    assert paired.options == given


# --- The lock --------------------------------------------------------------------------------


async def test_the_lock_shows_whether_the_host_is_open(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """On is unlocked, as before; it is no lock of a door, and unknown while the host is away."""
    for locked, state in ((True, "off"), (False, "on")):
        agent.state("session", locked=locked)
        await hass.async_block_till_done()
        assert hass.states.get(SCREEN_LOCK).state == state
    assert "device_class" not in hass.states.get(SCREEN_LOCK).attributes
    await say(hass, agent, "asleep")
    assert hass.states.get(SCREEN_LOCK).state == "unavailable"


async def test_the_lock_of_an_unpaired_host(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker, trust: TrustStore
) -> None:
    """It is a report like any other, signed for others or not at all."""
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    agent.come_online()
    agent.state("session", locked=True)
    await hass.async_block_till_done()
    assert hass.states.get(SCREEN_LOCK).state == "off"
    agent.ring.add("0" * 16, "Other", b"o" * 32)
    agent.state("session", locked=False)
    agent.say_that_it_is("online")
    await hass.async_block_till_done()
    assert hass.states.get(SCREEN_LOCK).state == "on"


# --- Events ----------------------------------------------------------------------------------


async def test_events(hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent) -> None:
    """What happened, and to whom."""
    agent.happens("session", "locked", user="ada", remote=False, type="wayland", pid=1)
    await hass.async_block_till_done()
    state = hass.states.get("event.office_pc_session_event")
    assert state.state != "unknown"
    assert state.attributes["event_type"] == "locked"
    assert state.attributes["user"] == "ada"
    assert state.attributes["session_type"] == "wayland"
    assert "pid" not in state.attributes

    agent.happens("power", "going_to_sleep")
    agent.happens("power", "abducted")
    agent.happens("weather", "rain")
    await hass.async_block_till_done()
    state = hass.states.get("event.office_pc_power_event")
    assert state.attributes["event_type"] == "going_to_sleep"


async def test_events_of_an_unpaired_host(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """They are reports like any other, in their order."""
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    agent.come_online()
    payload = agent.happens("session", "locked")
    await hass.async_block_till_done()
    agent.bus.fire(f"{BASE}/event/session", payload)
    await hass.async_block_till_done()
    assert hass.states.get("event.office_pc_session_event").attributes["event_type"] == "locked"
    assert entry.runtime_data.coordinator.refused["event.replayed"] == 1


# --- Diagnostics and storage -----------------------------------------------------------------


async def test_diagnostics_tell_no_secret(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    trust: TrustStore,
) -> None:
    """How things stand, and what was refused."""
    await trust.async_set_fleet(bytes(range(100, 132)), add=True)
    agent.dispatcher.received(f"{BASE}/command/session:lock", b"{}", retained=True)
    bus.fire(f"{BASE}/event/session", "{}")
    await hass.async_block_till_done()
    told = await get_diagnostics_for_config_entry(hass, hass_client, paired)
    assert told["trust"] == {
        "paired_by": "code",
        "sequence": [agent.starts, agent.announces],
        "controllers": 1,
        "pairing": False,
        "commands": {
            "power.shutdown": None,
            "power.reboot": "polkit",
            "power.suspend": None,
            "power.cancel": None,
            "session.lock": None,
            "audio.beep": None,
        },
        "events": {
            "power": ["going_to_sleep", "woke", "shutting_down"],
            "session": ["locked", "unlocked", "logged_in", "logged_out"],
        },
        "clock_difference": None,
        "refused_by_host": {"command.retained": 1},
    }
    assert told["refused"] == {"event.unsigned": 1}
    text = str(told)
    for secret in (SECRET, trust.fleet or b""):
        assert secret.hex() not in text
    for said in ("AAECAw", "ZGVm", trust.controller):
        assert said not in text


async def test_nothing_secret_is_shown_by_accident(paired: MockConfigEntry) -> None:
    """Neither in a log nor in a traceback."""
    shown = repr(paired.runtime_data.coordinator.auth.keys) + str(dict(paired.data))
    assert not re.search(r"\bb'", shown), "bytes are secrets"


async def test_storage(
    hass: HomeAssistant, hass_storage: dict[str, Any], paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """What is kept is read again, by users who may."""
    kept = hass_storage["pilot.trust"]
    assert kept["version"] == 1
    trust = TrustStore(hass)
    await trust.async_load()
    assert trust.record(HOST_ID).secret == SECRET
    assert trust.controller == kept["data"]["controller"]
