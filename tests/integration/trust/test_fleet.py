"""Hosts that are paired by a key which many share."""

import base64
from datetime import timedelta
import json
from typing import TYPE_CHECKING, Any

from homeassistant.data_entry_flow import FlowResultType
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.pilot import discovery
from custom_components.pilot.coordinator import SURPASS_DELAY, Status
from support.integration_agent import BASE, FakeAgent, FakeBroker
from support.integration_host import ANNOUNCE, HOST_ID, make_entry

from .test_pairing import ANYWHERE, found

if TYPE_CHECKING:
    from pathlib import Path

    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry

    from custom_components.pilot.trust import TrustStore

pytestmark = pytest.mark.usefixtures("enable_custom_integrations", "quick")

FLEET = bytes(range(100, 132))
FIVE_YEARS = 5 * 365 * 86_400
KEY = base64.b64encode(FLEET).decode()


@pytest.fixture(autouse=True)
def quick_search(bus: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for hosts longer than a test can bear."""
    monkeypatch.setattr(discovery, "SEARCH_TIME", discovery.SEARCH_TIME / 10)
    monkeypatch.setattr(discovery, "SEARCH_QUIET", discovery.SEARCH_QUIET / 10)


@pytest.fixture
def agent(bus: FakeBroker, tmp_path: Path) -> FakeAgent:
    """Return a host of the fleet."""
    return FakeAgent(bus, tmp_path, fleet=FLEET)


async def announced(hass: HomeAssistant, agent: FakeAgent) -> list[Any]:
    """Return the cards after the host came online."""
    agent.come_online()
    await hass.async_block_till_done(wait_background_tasks=True)
    return hass.config_entries.flow.async_progress_by_handler("pilot")


async def test_a_host_of_the_fleet_is_added_without_a_question(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """And can be commanded at once."""
    await trust.async_set_fleet(FLEET, add=True)
    assert await announced(hass, agent) == []
    [entry] = hass.config_entries.async_entries("pilot")
    agent.announce()
    await hass.async_block_till_done()
    await entry.runtime_data.coordinator.commands.async_do("session.lock")
    assert agent.done == ["session.lock"]
    assert entry.runtime_data.coordinator.auth.paired_by == "fleet_key"


async def test_a_host_of_the_fleet_waits_as_a_card(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """If the user likes that better; no code is asked for."""
    await trust.async_set_fleet(FLEET, add=False)
    [flow] = await announced(hass, agent)
    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert form["data_schema"].schema == {}
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert trust.keys("pilot/v2", HOST_ID) is not None


async def test_a_host_that_does_not_prove_it_is_asked_for_its_code(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """Whatever it says."""
    await trust.async_set_fleet(bytes(32), add=True)
    [flow] = await announced(hass, agent)
    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert [str(field) for field in form["data_schema"].schema] == ["code"]


async def test_a_host_that_the_user_removed_stays_away(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """A key is no reason to come back."""
    await trust.async_set_fleet(FLEET, add=True)
    await announced(hass, agent)
    [entry] = hass.config_entries.async_entries("pilot")
    await hass.config_entries.async_remove(entry.entry_id)
    await announced(hass, agent)
    assert hass.config_entries.async_entries("pilot") == []
    assert agent.ring.ids == ["fleet"]


async def test_an_entry_that_proves_it_is_paired(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """Once the key is known here."""
    await trust.async_set_fleet(FLEET, add=True)
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    agent.come_online()
    await hass.async_block_till_done(wait_background_tasks=True)
    agent.announce()
    await hass.async_block_till_done()
    assert entry.runtime_data.coordinator.auth.paired
    assert hass.states.get("switch.office_pc_power") is not None


async def fleet_form(hass: HomeAssistant, entry: MockConfigEntry) -> Any:
    """Open what asks for the fleet key, from any host."""
    menu = await hass.config_entries.options.async_init(entry.entry_id)
    return await hass.config_entries.options.async_configure(
        menu["flow_id"], {"next_step_id": "fleet_key"}
    )


def modes(form: Any) -> list[str]:
    """Return what can be done with the key."""
    [field] = [field for key, field in form["data_schema"].schema.items() if key == "fleet_mode"]
    return list(field.config["options"])


async def test_the_key_is_entered_where_hosts_are_configured(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """Offers that wait are taken up, and the key is not shown again."""
    assert len(await announced(hass, agent)) == 1
    other = make_entry(hass, unique_id="f" * 16)
    form = await fleet_form(hass, other)
    assert form["step_id"] == "fleet_key"
    assert modes(form) == ["add", "ask"]
    form = await hass.config_entries.options.async_configure(
        form["flow_id"], {"fleet_key": "correct horse battery staple", "fleet_mode": "add"}
    )
    assert form["errors"] == {"fleet_key": "invalid_fleet_key"}
    assert trust.fleet is None

    with pytest.MonkeyPatch.context() as patching:

        async def search_again(*_: Any) -> discovery.Found:
            payload = agent.announcement().encode()
            announce = discovery.parse_announce(payload, HOST_ID)
            assert announce is not None
            return discovery.Found({HOST_ID: announce}, {}, {HOST_ID: payload})

        patching.setattr("custom_components.pilot.fleet.async_search", search_again)
        done = await hass.config_entries.options.async_configure(
            form["flow_id"], {"fleet_key": KEY, "fleet_mode": "add"}
        )
    assert done["type"] is FlowResultType.CREATE_ENTRY
    assert other.options == {}
    await hass.async_block_till_done(wait_background_tasks=True)
    assert {entry.unique_id for entry in hass.config_entries.async_entries("pilot")} == {
        HOST_ID,
        "f" * 16,
    }
    assert hass.config_entries.flow.async_progress_by_handler("pilot") == []


async def test_a_host_of_the_fleet_that_was_searched_for(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """Choosing it is enough."""
    await trust.async_set_fleet(FLEET, add=False)
    form = await found(hass, agent)
    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], ANYWHERE | {"host_id": HOST_ID}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert trust.keys("pilot/v2", HOST_ID) is not None


async def test_the_key_is_forgotten(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """Its hosts stay, and cannot be commanded."""
    await trust.async_set_fleet(FLEET, add=True)
    await announced(hass, agent)
    [entry] = hass.config_entries.async_entries("pilot")
    form = await fleet_form(hass, entry)
    assert form["step_id"] == "fleet_key_saved"
    assert modes(form) == ["add", "ask", "forget"]
    done = await hass.config_entries.options.async_configure(
        form["flow_id"], {"fleet_mode": "forget"}
    )
    assert done["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert trust.fleet is None
    assert not entry.runtime_data.coordinator.auth.paired


async def test_the_fleet_of_others(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker, trust: TrustStore
) -> None:
    """Another Home Assistant with the same key has its own results."""
    await trust.async_set_fleet(FLEET, add=True)
    await announced(hass, agent)
    [entry] = hass.config_entries.async_entries("pilot")
    heard: list[str] = []

    def record(topic: str, payload: bytes) -> None:
        heard.append(json.loads(json.loads(payload)["body"])["controller"])

    bus.listeners.append(record)
    await entry.runtime_data.coordinator.commands.async_do("session.lock")
    assert set(heard) == {trust.controller}
    assert BASE in bus.published[0][0]


async def test_a_key_concerns_only_hosts_that_have_no_other(
    hass: HomeAssistant, paired: MockConfigEntry, trust: TrustStore, bus: FakeBroker
) -> None:
    """One that was paired by a code stays as it is, and strangers stay cards."""
    coordinator = paired.runtime_data.coordinator
    stranger = ANNOUNCE | {"host": ANNOUNCE["host"] | {"id": "0" * 16}}
    with pytest.MonkeyPatch.context() as patching:

        async def search_strangers(*_: Any) -> discovery.Found:
            payload = json.dumps(stranger).encode()
            announce = discovery.parse_announce(payload, "0" * 16)
            assert announce is not None
            return discovery.Found({"0" * 16: announce}, {}, {"0" * 16: payload})

        patching.setattr("custom_components.pilot.fleet.async_search", search_strangers)
        form = await fleet_form(hass, paired)
        done = await hass.config_entries.options.async_configure(
            form["flow_id"], {"fleet_key": KEY, "fleet_mode": "add"}
        )
    assert done["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done(wait_background_tasks=True)
    assert paired.runtime_data.coordinator is coordinator
    assert coordinator.auth.paired_by == "code"
    assert hass.config_entries.flow.async_progress_by_handler("pilot") == []
    # The key that is saved stays where none is entered; hosts wait from now on.
    form = await fleet_form(hass, paired)
    await hass.config_entries.options.async_configure(form["flow_id"], {"fleet_mode": "ask"})
    assert trust.record(HOST_ID) is not None
    assert (trust.fleet, trust.add_fleet) == (FLEET, False)


async def test_a_host_whose_clock_was_years_ahead_lost_its_state(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """It is told what was accepted of it, and goes on above that."""
    await trust.async_set_fleet(FLEET, add=True)
    now, agent.starts = agent.starts, agent.starts + FIVE_YEARS
    await announced(hass, agent)
    [entry] = hass.config_entries.async_entries("pilot")
    agent.come_online()
    await hass.async_block_till_done()
    ahead = agent.starts

    agent.starts = now
    agent.start("0123456789abcdef")
    agent.announce()
    await hass.async_block_till_done()
    coordinator = entry.runtime_data.coordinator
    assert coordinator.refused["announce.replayed"] == 1
    await let_it_be_asked(hass)

    assert agent.starts == ahead + 1
    assert coordinator.auth.session == "0123456789abcdef"
    assert coordinator.refused["announce.replayed"] == 1
    agent.say_that_it_is("asleep")
    await hass.async_block_till_done()
    assert coordinator.status is Status.ASLEEP


async def test_replayed_announces_of_earlier_starts_change_nothing(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker, trust: TrustStore
) -> None:
    """The host is asked once for many, and has the higher number already."""
    await trust.async_set_fleet(FLEET, add=True)
    await announced(hass, agent)
    old = agent.announce()
    agent.start("0123456789abcdef")
    agent.announce()
    await hass.async_block_till_done()
    before = agent.starts

    for _ in range(5):
        bus.fire(f"{BASE}/announce", old)
    await hass.async_block_till_done()
    await let_it_be_asked(hass)

    assert [asked["args"] for asked in bus.commands("trust.verify")] == [{"above": before}]
    assert agent.starts == before


async def let_it_be_asked(hass: HomeAssistant) -> None:
    """Let the time pass after which a host is asked to go on above what was accepted of it."""
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=SURPASS_DELAY + 1))
    await hass.async_block_till_done()
