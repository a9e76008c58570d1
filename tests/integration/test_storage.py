"""Files of Pilot's that are newer, odd or damaged: only what needs them is off."""

from contextlib import suppress
import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.setup import async_setup_component
import pytest

from custom_components.pilot.rooms.runtime import PLACEMENTS
from support.integration_host import HOST_ID, make_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

    from support.integration_host import FakeHost

pytestmark = pytest.mark.usefixtures("enable_custom_integrations", "quick_search", "mqtt_mock")

TRUST, PLACED, REMOVED = "pilot.trust", "pilot.placements", "pilot.removed_hosts"
ANNOUNCED = "pilot.announces"
FILES = (TRUST, PLACED, REMOVED, ANNOUNCED)
PROCESSOR = "sensor.office_pc_processor"
BUTTON = f"{HOST_ID}_session_lock"
CONTROLLER = "4f1d2c3b5a697887"

RECORD = {"secret": "AAEC", "announced": [1, 2], "event": [1, 2], "session": "5f1c0a9be3d24c77"}
DEVICE = {"name": "AHT20", "picked": True, "removed_at": None, "sources": {}, "placements": []}
ROOM = {"name": "Attic", "removed": False, "settled_to": 0}
PLACES = {"devices": {}, "rooms": {"attic": ROOM}, "pending": {}, "computed_to": None}


def stored(data: Any, version: Any = 1, **more: Any) -> bytes:
    return json.dumps({"version": version, "minor_version": 1, "data": data, **more}).encode()


def placed(*placements: Any) -> bytes:
    return stored({**PLACES, "devices": {"d": {**DEVICE, "placements": placements}}})


def trusted(**changes: Any) -> bytes:
    hosts = {HOST_ID: {**RECORD, **changes}}
    return stored({"controller": CONTROLLER, "fleet": None, "add_fleet": True, "hosts": hosts})


ANY_FILE = {
    "empty": b"",
    "zeros": bytes(512),
    "cut off": trusted()[:-20],
    "no UTF-8": b'{"version": 1, "data": {"hosts": ["\xff"]}}',
    "a list": b"[]",
    "no data": b'{"version": 1}',
    "nothing": b"{}",
    "data of another kind": stored([]),
    "a version of another kind": stored({}, "1"),
}
ODD = {
    TRUST: {
        "no id": stored({"hosts": {}}),
        "another id": stored({"controller": "me", "hosts": {}}),
        "hosts of another kind": stored({"controller": CONTROLLER, "hosts": []}),
        "no base64": trusted(secret="ä"),
        "a host without its order": trusted(announced=None),
        "an order of one": trusted(event=[1]),
    },
    PLACED: {
        "times that are texts": placed(["attic", "yesterday", None]),
        "an end before the start": placed(["attic", 2, 1]),
        "two at once": placed(["attic", 1, 5], ["attic", 2, 6]),
        "devices of another kind": stored({**PLACES, "devices": [1]}),
        "another end of all": stored({**PLACES, "computed_to": "now"}),
    },
    REMOVED: {
        "a text": stored({"hosts": HOST_ID}),
        "numbers": stored({"hosts": [1]}),
    },
    ANNOUNCED: {
        "a list": stored({"hosts": []}),
        "an announce that is no text": stored({"hosts": {HOST_ID: {"announce": {}, "key_id": ""}}}),
        "an announce without its key": stored({"hosts": {HOST_ID: {"announce": "{}"}}}),
    },
}
DAMAGED = [
    pytest.param(file, content, id=f"{file}: {what}")
    for file in FILES
    for what, content in {**ANY_FILE, **ODD[file]}.items()
]


@pytest.fixture
def write(hass: HomeAssistant, hass_storage: dict[str, Any]) -> Callable[[str, bytes], Path]:
    """Return what writes a file of Pilot's.

    Tests of Home Assistant load what stores keep from `hass_storage`, and write it there.
    """

    def write(file: str, content: bytes) -> Path:
        path = Path(hass.config.path(".storage", file))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        with suppress(ValueError):
            kept = json.loads(content)
            if isinstance(kept, dict) and {"version", "data"} <= kept.keys():
                hass_storage[file] = kept
        return path

    return write


def content_of(path: Path, hass_storage: dict[str, Any]) -> tuple[bytes, Any]:
    """Return what is in a file, and what a store has written."""
    return path.read_bytes(), copy.deepcopy(hass_storage.get(path.name))


@pytest.fixture
def wanted(hass: HomeAssistant) -> MockConfigEntry:
    """Return the entry of a host that is paired, with a button that it had before."""
    entry = make_entry(
        hass,
        minor_version=2,
        data={
            "prefix": "pilot/v2",
            "host_name": "office-pc",
            "auto_title": "office-pc",
            "paired": True,
        },
    )
    registry = er.async_get(hass)
    registry.async_get_or_create("button", "pilot", BUTTON, config_entry=entry)
    registry.async_get_or_create(
        "sensor", "pilot", f"{HOST_ID}_aht20-1-38_room", config_entry=entry
    )
    return entry


def folder(hass: HomeAssistant, file: str) -> None:
    path = Path(hass.config.path(".storage", file))
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


async def start(hass: HomeAssistant, entry: MockConfigEntry, host: FakeHost) -> None:
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await host.availability()
    await host.announce(trust={"controllers": [CONTROLLER], "pairing": False})
    await host.state("cpu", percent=12.5, load_1m=0.42)


async def assert_all_else_works(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Assert that values are shown and dialogs open, and let everything be written."""
    assert entry.state is ConfigEntryState.LOADED
    assert hass.states.get(PROCESSOR).state == "12.5"
    found = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    assert found["type"] is FlowResultType.FORM
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await hass.async_block_till_done()


@pytest.mark.parametrize("file", FILES)
async def test_a_newer_file(
    hass: HomeAssistant,
    wanted: MockConfigEntry,
    host: FakeHost,
    write: Callable[[str, bytes], Path],
    hass_storage: dict[str, Any],
    issue_registry: ir.IssueRegistry,
    file: str,
) -> None:
    """It waits for the version that wrote it, and a repair says so."""
    path = write(file, stored({"what": "is not known"}, 2))
    before = content_of(path, hass_storage)
    await start(hass, wanted, host)

    issue = issue_registry.async_get_issue("pilot", f"storage_{file}")
    assert issue is not None
    assert (issue.translation_key, issue.is_fixable) == ("storage_newer", False)
    assert issue.translation_placeholders == {"name": file, "file": f"`.storage/{file}`"}
    await assert_all_else_works(hass, wanted)
    assert content_of(path, hass_storage) == before


@pytest.mark.parametrize(("file", "content"), DAMAGED)
async def test_a_damaged_file(
    hass: HomeAssistant,
    wanted: MockConfigEntry,
    host: FakeHost,
    write: Callable[[str, bytes], Path],
    hass_storage: dict[str, Any],
    issue_registry: ir.IssueRegistry,
    file: str,
    content: bytes,
) -> None:
    """Whatever is in it, it is not written over, and a repair names it."""
    path = write(file, content)
    before = content_of(path, hass_storage)
    await start(hass, wanted, host)

    assert [
        (issue.issue_id, issue.translation_key, issue.is_fixable)
        for issue in issue_registry.issues.values()
        if issue.domain == "pilot"  # Home Assistant's own asks after 3 s to pair again.
    ] == [(f"storage_{file}", "storage_damaged", True)]
    await assert_all_else_works(hass, wanted)
    assert content_of(path, hass_storage) == before


async def test_what_is_no_file(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    wanted: MockConfigEntry,
    host: FakeHost,
    issue_registry: ir.IssueRegistry,
) -> None:
    """Folders by mistake: each is named."""
    for file in FILES:
        folder(hass, file)
    await start(hass, wanted, host)

    assert {issue.issue_id for issue in issue_registry.issues.values()} == {
        f"storage_{file}" for file in FILES
    }
    assert hass.states.get(PROCESSOR).state == "12.5"


# --- What is off -----------------------------------------------------------------------------


async def test_without_keys_no_host_is_paired_and_none_is_to_be_paired_again(
    hass: HomeAssistant,
    wanted: MockConfigEntry,
    host: FakeHost,
    write: Callable[[str, bytes], Path],
    entity_registry: er.EntityRegistry,
) -> None:
    """The keys are not lost: entities stay, and errors and dialogs say what is wrong."""
    write(TRUST, b"")
    await start(hass, wanted, host)

    assert hass.states.get("binary_sensor.office_pc_pairing").state == "unknown"
    assert entity_registry.async_get_entity_id("button", "pilot", BUTTON) is not None
    assert hass.config_entries.flow.async_progress() == []
    with pytest.raises(HomeAssistantError) as refused:
        await wanted.runtime_data.coordinator.commands.async_do("session.lock")
    assert refused.value.translation_key == "keys_unreadable"
    menu = await wanted.start_reconfigure_flow(hass)
    pairing = await hass.config_entries.flow.async_configure(
        menu["flow_id"], {"next_step_id": "pair"}
    )
    assert (pairing["type"], pairing["reason"]) == (FlowResultType.ABORT, "keys_unreadable")
    menu = await hass.config_entries.options.async_init(wanted.entry_id)
    fleet = await hass.config_entries.options.async_configure(
        menu["flow_id"], {"next_step_id": "fleet_key"}
    )
    assert (fleet["type"], fleet["reason"]) == (FlowResultType.ABORT, "keys_unreadable")


async def test_a_host_is_added_without_keys(
    hass: HomeAssistant, host: FakeHost, write: Callable[[str, bytes], Path]
) -> None:
    """Nothing is asked that could not be kept."""
    write(TRUST, stored({}, 2))
    await host.announce(trust={"controllers": [], "pairing": True})
    await hass.async_block_till_done(wait_background_tasks=True)
    [flow] = hass.config_entries.flow.async_progress_by_handler("pilot")

    added = await hass.config_entries.flow.async_configure(flow["flow_id"], {})

    assert added["type"] is FlowResultType.CREATE_ENTRY
    assert await hass.config_entries.async_remove(added["result"].entry_id)


async def test_without_placements_the_rest_of_rooms_stays(
    hass: HomeAssistant,
    wanted: MockConfigEntry,
    host: FakeHost,
    write: Callable[[str, bytes], Path],
    entity_registry: er.EntityRegistry,
) -> None:
    """The sensors of rooms come back with the file."""
    write(PLACED, b"\0")
    await start(hass, wanted, host)

    room = entity_registry.async_get_entity_id("sensor", "pilot", f"{HOST_ID}_aht20-1-38_room")
    assert room is not None
    assert PLACEMENTS not in hass.data
    assert not hass.services.has_service("pilot", "get_placements")
    assert hass.services.has_service("pilot", "shutdown")


@pytest.mark.parametrize(
    "content",
    [
        trusted(secret=["c2VjcmV0LWtleQ=="]),
        stored({"controller": CONTROLLER, "fleet": {"key": "c2VjcmV0LWtleQ=="}, "hosts": {}}),
    ],
    ids=["of a host", "of the fleet"],
)
async def test_a_key_in_another_form_is_not_logged(
    hass: HomeAssistant,
    wanted: MockConfigEntry,
    host: FakeHost,
    write: Callable[[str, bytes], Path],
    caplog: pytest.LogCaptureFixture,
    content: bytes,
) -> None:
    """The log says what is wrong with the file; people show it to each other."""
    write(TRUST, content)
    await start(hass, wanted, host)

    told = [one.getMessage() for one in caplog.records if one.name.startswith("custom_components")]
    assert any("cannot be read" in line and "is no text" in line for line in told)
    assert not any("c2VjcmV0" in line for line in told)


# --- The way out -----------------------------------------------------------------------------


async def test_a_damaged_file_is_set_aside_by_the_repair(
    hass: HomeAssistant,
    wanted: MockConfigEntry,
    host: FakeHost,
    write: Callable[[str, bytes], Path],
    hass_client: ClientSessionGenerator,
    issue_registry: ir.IssueRegistry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """It is kept under another name, and the next start begins with a new one."""
    path = write(PLACED, b"Not what it was")
    await start(hass, wanted, host)
    await async_setup_component(hass, "repairs", {})
    client = await hass_client()
    issue = {"handler": "pilot", "issue_id": f"storage_{PLACED}"}
    form = await (await client.post("/api/repairs/issues/fix", json=issue)).json()
    assert form["step_id"] == "confirm"

    response = await client.post(f"/api/repairs/issues/fix/{form['flow_id']}", json={})

    assert (await response.json())["type"] == "create_entry"
    assert not path.exists()
    [kept] = path.parent.glob(f"{PLACED}.damaged-*")
    assert kept.read_bytes() == b"Not what it was"
    assert issue_registry.async_get_issue("pilot", f"storage_{PLACED}") is None


async def test_what_cannot_be_set_aside(
    hass: HomeAssistant,
    wanted: MockConfigEntry,
    host: FakeHost,
    write: Callable[[str, bytes], Path],
    hass_client: ClientSessionGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The user is told, and the repair stays."""
    write(PLACED, b"Not what it was")
    await start(hass, wanted, host)
    await async_setup_component(hass, "repairs", {})
    client = await hass_client()
    issue = {"handler": "pilot", "issue_id": f"storage_{PLACED}"}
    form = await (await client.post("/api/repairs/issues/fix", json=issue)).json()

    def refuse(path: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", refuse)
    response = await client.post(f"/api/repairs/issues/fix/{form['flow_id']}", json={})

    assert await response.json() | {"type": "abort", "reason": "cannot_rename"} == (
        await response.json()
    )
