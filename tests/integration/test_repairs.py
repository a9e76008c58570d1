"""What the user has to put right."""

from typing import TYPE_CHECKING, Any

from homeassistant.setup import async_setup_component
import pytest

from support.integration_host import HOST_ID, FakeHost

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import issue_registry as ir
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

CONFLICT = {"session": "b0b0b0b0b0b0b0b0", "name": "office-pc-clone"}


def placeholders(issue_registry: ir.IssueRegistry, issue: str) -> Any:
    """Return what is told to the user."""
    entry = issue_registry.async_get_issue("pilot", f"{issue}_{HOST_ID}")
    assert entry is not None
    assert entry.translation_key == issue
    return entry.translation_placeholders


async def test_two_hosts_with_one_id(online: FakeHost, issue_registry: ir.IssueRegistry) -> None:
    """Both are named, and the command that helps; gone when one of them is."""
    await online.announce(conflict=CONFLICT)
    assert placeholders(issue_registry, "conflict") == {
        "name": "office-pc",
        "host": "office-pc",
        "other": "office-pc-clone",
        "command": "pilot-agent id --new",
    }

    del online.announced["conflict"]
    await online.announce()
    assert issue_registry.issues == {}


@pytest.mark.parametrize(("protocol", "issue"), [(3, "agent_newer"), (1, "agent_older")])
async def test_sides_of_different_age(
    hass: HomeAssistant,
    online: FakeHost,
    issue_registry: ir.IssueRegistry,
    protocol: int,
    issue: str,
) -> None:
    """The user is told which side to update, and the rest stays as it was."""
    await online.announce(protocol=protocol)
    assert placeholders(issue_registry, issue) == {
        "name": "office-pc",
        "agent_protocol": str(protocol),
        "protocol": "2",
    }
    assert hass.states.get("sensor.office_pc_processor").state == "12.5"

    await online.announce(protocol=2)
    assert issue_registry.issues == {}


async def test_other_refusals_are_no_issue(
    online: FakeHost, issue_registry: ir.IssueRegistry
) -> None:
    """There is nothing that the user could do about noise."""
    await online.send("announce", "rubbish")

    assert issue_registry.issues == {}


async def test_a_host_that_was_removed_for_good_can_be_removed_here(
    hass: HomeAssistant,
    online: FakeHost,
    issue_registry: ir.IssueRegistry,
    hass_client: ClientSessionGenerator,
) -> None:
    """The user agrees, and it is gone; should its agent come back, it is offered again."""
    assert await async_setup_component(hass, "repairs", {})
    client = await hass_client()
    await online.send("announce", "")
    assert placeholders(issue_registry, "host_removed") == {"name": "office-pc"}

    response = await client.post(
        "/api/repairs/issues/fix",
        json={"handler": "pilot", "issue_id": f"host_removed_{HOST_ID}"},
    )
    form = await response.json()
    assert form["step_id"] == "confirm"
    assert form["description_placeholders"] == {"name": "office-pc"}
    response = await client.post(f"/api/repairs/issues/fix/{form['flow_id']}", json={})
    assert (await response.json())["type"] == "create_entry"
    await hass.async_block_till_done(wait_background_tasks=True)

    assert hass.config_entries.async_entries("pilot") == []
    assert issue_registry.issues == {}

    await online.announce(session="0123456789abcdef")
    await hass.async_block_till_done(wait_background_tasks=True)
    assert len(hass.config_entries.flow.async_progress_by_handler("pilot")) == 1


async def test_the_entry_may_be_gone_already(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    hass_client: ClientSessionGenerator,
) -> None:
    """It was removed while the question was open."""
    assert await async_setup_component(hass, "repairs", {})
    client = await hass_client()
    await online.send("announce", "")
    response = await client.post(
        "/api/repairs/issues/fix",
        json={"handler": "pilot", "issue_id": f"host_removed_{HOST_ID}"},
    )
    form = await response.json()
    await hass.config_entries.async_remove(configured.entry_id)

    response = await client.post(f"/api/repairs/issues/fix/{form['flow_id']}", json={})

    assert (await response.json())["type"] == "create_entry"


async def test_a_host_that_comes_back_needs_no_repair(
    hass: HomeAssistant, online: FakeHost, issue_registry: ir.IssueRegistry
) -> None:
    """All is as before."""
    await online.send("announce", "")
    await online.announce()

    assert issue_registry.issues == {}
    assert hass.states.get("sensor.office_pc_processor").state == "12.5"


async def test_issues_go_with_the_host(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    issue_registry: ir.IssueRegistry,
) -> None:
    """What is not there any more needs no repair."""
    await online.announce(conflict=CONFLICT)

    await hass.config_entries.async_remove(configured.entry_id)

    assert issue_registry.issues == {}
