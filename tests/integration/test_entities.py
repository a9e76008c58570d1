"""What a host's readings look like in Home Assistant."""

from typing import TYPE_CHECKING, Any

from homeassistant.const import EVENT_STATE_CHANGED, Platform
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.pilot.descriptions import DETAILS, MEDIA
from custom_components.pilot.protocol.catalogue import CATALOGUE, SETTINGS, ReadingType, Several
from support.integration_host import ANNOUNCE, HOST_ID, FakeHost, make_entry

from .kinds import all_kinds, all_values
from .platforms import KINDS

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from syrupy.assertion import SnapshotAssertion

PLANNED = "sensor.office_pc_planned_shutdown"
IN_USE = "binary_sensor.office_pc_in_use"
USERS = "sensor.office_pc_users"

pytestmark = pytest.mark.usefixtures("freezer")


@pytest.fixture
async def everything(
    hass: HomeAssistant, all_enabled: None, configured: MockConfigEntry
) -> FakeHost:
    """Return a host that reports one of each kind, all of it shown."""
    host = FakeHost(hass, all_kinds())
    await host.connect()
    for collector, values in all_values().items():
        await host.send(f"state/{collector}", {"ts": 1793952000, "values": values})
    return host


@pytest.mark.parametrize("platform", ["binary_sensor", "sensor"])
async def test_entities(
    hass: HomeAssistant,
    everything: FakeHost,
    configured: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    platform: str,
) -> None:
    """Every kind of the catalogue has its name, unit, class and category."""
    entries = er.async_entries_for_config_entry(entity_registry, configured.entry_id)
    shown = {entry.entity_id for entry in entries if entry.domain == platform}
    assert shown

    for entity_id in sorted(shown):
        entry = entity_registry.async_get(entity_id)
        assert entry == snapshot(name=f"{entity_id}-entry")
        assert entry.device_id is not None
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


CARD = "graphics-0000-0b-00-0"


@pytest.fixture
async def same_cards(hass: HomeAssistant, configured: MockConfigEntry) -> None:
    """Two computers with the same graphics card, and each with a sensor called Cellar."""
    attic = make_entry(hass, name="attic-pc", unique_id="1" * 16, entry_id="01JATTIC")
    assert await hass.config_entries.async_setup(attic.entry_id)
    for host_id, name in ((HOST_ID, "office-pc"), ("1" * 16, "attic-pc")):
        host = FakeHost(hass, {**ANNOUNCE, "host": {**ANNOUNCE["host"], "id": host_id}})
        host.announced["host"]["name"] = name
        await host.availability()
        await host.announce(
            readings=[
                {
                    "key": "graphics.0000-0b-00-0.temperature",
                    "kind": "graphics.temperature",
                    "device": CARD,
                },
                {"key": f"i2c.{name}.temperature", "kind": "temperature", "device": name},
            ],
            collectors={"graphics": {"interval": 10}, "i2c": {"interval": 30}},
            devices={CARD: {"name": "AMD Radeon RX 5700"}, name: {"name": f"Cellar {name}"}},
        )


@pytest.mark.usefixtures("same_cards")
async def test_the_same_graphics_card_in_two_computers(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, entity_registry: er.EntityRegistry
) -> None:
    """Entity ids tell whose card it is; devices are called as before, and so are sensors."""
    cards = {
        entity.entity_id: device.name
        for entity in entity_registry.entities.values()
        if entity.translation_key == "graphics_temperature" and entity.device_id
        if (device := device_registry.async_get(entity.device_id))
    }

    assert cards == {
        "sensor.office_pc_amd_radeon_rx_5700_temperature": "AMD Radeon RX 5700",
        "sensor.attic_pc_amd_radeon_rx_5700_temperature": "AMD Radeon RX 5700",
    }
    assert hass.states.get("sensor.cellar_attic_pc_temperature")


async def test_an_entity_id_from_before_stays(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    host: FakeHost,
    entity_registry: er.EntityRegistry,
) -> None:
    """It began with the name of the card."""
    key = "graphics.0000-0b-00-0.temperature"
    before = entity_registry.async_get_or_create(
        "sensor",
        "pilot",
        f"{HOST_ID}_{key}",
        config_entry=configured,
        suggested_object_id="amd_radeon_rx_5700_temperature",
    )

    await host.announce(
        readings=[{"key": key, "kind": "graphics.temperature", "device": CARD}],
        collectors={"graphics": {"interval": 10}},
        devices={CARD: {"name": "AMD Radeon RX 5700"}},
    )

    assert entity_registry.async_get_entity_id("sensor", "pilot", before.unique_id) == (
        "sensor.amd_radeon_rx_5700_temperature"
    )
    assert hass.states.get("sensor.amd_radeon_rx_5700_temperature")


async def test_every_reading_has_a_value(hass: HomeAssistant, everything: FakeHost) -> None:
    """Nothing of the catalogue is announced in vain."""
    states = hass.states.async_all(("sensor", "binary_sensor"))

    # Connection, status, its problem and those of its graphics card, disk and UPS, whether it is
    # paired, and the room, not told yet. What can be set is drawn by other platforms, on hosts that
    # are paired; what is played, by one entity; details are attributes.
    drawn_otherwise = SETTINGS | MEDIA | DETAILS.keys()
    shown = [one for one in all_kinds()["readings"] if one["kind"] not in drawn_otherwise]
    assert len(states) == len(shown) + 8
    assert [state.entity_id for state in states if state.state in ("unavailable", "unknown")] == [
        "sensor.aht20_room"
    ]


async def test_an_entity_is_registered_as_it_stays(
    hass: HomeAssistant, all_enabled: None, configured: MockConfigEntry
) -> None:
    """Each change of the registry goes to all open dashboards and to the recorder."""
    changes = async_capture_events(hass, er.EVENT_ENTITY_REGISTRY_UPDATED)

    await FakeHost(hass, all_kinds()).connect()

    assert {change.data["action"] for change in changes} == {"create"}


async def test_names_are_unlike(hass: HomeAssistant, everything: FakeHost) -> None:
    """No two entities of a device have the same name."""
    names = [state.attributes["friendly_name"] for state in hass.states.async_all()]

    assert sorted(names) == sorted(set(names))


async def test_an_area_shows_what_matters_of_a_computer(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
) -> None:
    """Eight entities at most carry no category, of all kinds that there are."""
    host = FakeHost(hass, all_kinds())
    host.announced["readings"] = [
        reading
        for reading in host.announced["readings"]
        # One battery, and room sensors on a device of their own.
        if "of" not in reading or CATALOGUE[reading["kind"]].several is Several.YES
    ]
    await host.connect()
    device = device_registry.async_get_device_by_identifier(("pilot", HOST_ID), configured.entry_id)

    shown = {
        entity.original_name
        for entity in er.async_entries_for_device(entity_registry, device.id)
        if entity.entity_category is None and entity.disabled_by is None
    }

    assert shown == {
        "Status",
        "Processor",
        "Memory",
        "System disk",
        "Temperature",
        "Battery",
        "Media player",
        "In use",
    }


async def test_a_planned_shutdown_that_there_is_not_is_unknown(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """While the host is online; nothing is known of one that is off."""
    await host.availability()
    await host.announce(
        collectors={"power": {"interval": 60}}, readings=[{"key": "power.planned_shutdown"}]
    )
    await host.state("power", planned_shutdown="2026-11-05T18:00:00+00:00")
    assert hass.states.get(PLANNED).state == "2026-11-05T18:00:00+00:00"

    await host.state("power", planned_shutdown=None)
    assert hass.states.get(PLANNED).state == "unknown"

    await host.availability("off")
    assert hass.states.get(PLANNED).state == "unavailable"


async def test_details_are_attributes_of_what_they_are_about(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """And have no entities; of another collector, and announced later on, they are heard too."""
    await host.availability()
    presence = [{"key": "presence.in_use"}, {"key": "presence.since"}]
    users = [{"key": "system.users"}]
    collectors = {name: {"interval": 60} for name in ("presence", "session", "system")}
    await host.announce(collectors=collectors, readings=[*presence, *users])
    await host.announce(
        collectors=collectors, readings=[*presence, *users, {"key": "session.users"}]
    )
    written = async_capture_events(hass, EVENT_STATE_CHANGED)

    await host.state("presence", in_use=True, since="2026-11-05T08:00:00+01:00")
    await host.state("system", users=2)
    await host.state("session", users="wayland local anna, tty remote ben van dam")

    assert [event.data["entity_id"] for event in written] == [IN_USE, USERS, USERS]
    assert hass.states.get(IN_USE).state == "on"
    assert hass.states.get(IN_USE).attributes["since"] == "2026-11-05T07:00:00+00:00"
    assert hass.states.get(USERS).attributes["sessions"] == [
        {"user": "anna", "type": "wayland", "remote": False},
        {"user": "ben van dam", "type": "tty", "remote": True},
    ]

    await host.state("session", users="")
    assert hass.states.get(USERS).attributes["sessions"] == []
    await host.state("session", users=None)
    assert "sessions" not in hass.states.get(USERS).attributes
    await host.state("presence", in_use=False, since="2026-11-05T08:10:00+01:00")
    assert hass.states.get(IN_USE).attributes["since"] == "2026-11-05T07:10:00+00:00"
    assert [event.data["entity_id"] for event in written[3:]] == [USERS, USERS, IN_USE]


async def test_devices(
    online: FakeHost,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """The host is a device, and what hangs on it is another below."""
    host = device_registry.async_get_device_by_identifier(("pilot", HOST_ID), configured.entry_id)
    child = device_registry.async_get_device_by_identifier(
        ("pilot", f"{HOST_ID}_aht20-1-38"), configured.entry_id
    )

    assert host == snapshot(name="host")
    assert child == snapshot(name="child")
    assert child.via_device_id == host.id


# --- The catalogue ---------------------------------------------------------------------------


def test_every_kind_is_described_on_its_platform() -> None:
    """And nothing else is: a description that is not in the catalogue is a mistake."""
    assert sorted(kind for kind, _ in KINDS) == sorted(CATALOGUE.keys() - MEDIA - DETAILS.keys())

    for kind, platform in KINDS:
        value_type = CATALOGUE[kind].type
        if kind in SETTINGS:
            assert platform not in (Platform.BINARY_SENSOR, Platform.SENSOR), kind
            is_slider = platform in (Platform.NUMBER, Platform.LIGHT)
            assert is_slider == (value_type is ReadingType.NUMBER), kind
        elif value_type is ReadingType.BOOLEAN:
            assert platform is Platform.BINARY_SENSOR, kind
        else:
            assert platform is Platform.SENSOR, kind


# --- Kinds that only the host knows ----------------------------------------------------------


@pytest.mark.parametrize(
    ("reading", "value", "state", "attributes"),
    [
        pytest.param(
            {"name": "UPS load", "unit": "%", "precision": 1},
            12.5,
            "12.5",
            {"friendly_name": "office-pc UPS load", "unit_of_measurement": "%"},
            id="number",
        ),
        pytest.param(
            {"name": "Tank", "unit": "°C"},
            12,
            "12",
            {"device_class": "temperature", "state_class": "measurement"},
            id="unit that means one thing",
        ),
        pytest.param(
            {"name": "Flow", "unit": "l/min"}, 3, "3", {"unit_of_measurement": "l/min"}, id="unit"
        ),
        pytest.param(
            {"name": "Motto", "type": "text", "unit": "%"}, "semper", "semper", {}, id="text"
        ),
        pytest.param(
            {"name": "Mood", "type": "enum", "options": ["good", "bad"]},
            "good",
            "good",
            {"device_class": "enum", "options": ["good", "bad"]},
            id="enum",
        ),
        pytest.param(
            {"name": "Backup", "type": "timestamp"},
            "2026-11-05T08:00:00+01:00",
            "2026-11-05T07:00:00+00:00",
            {"device_class": "timestamp"},
            id="timestamp",
        ),
        pytest.param({"name": "Door", "of": "left"}, 1, "1", {}, id="named with of"),
        pytest.param({}, 1, "1", {"friendly_name": "office-pc Some thing"}, id="no name"),
        pytest.param(
            {"name": "Heat", "of": "left"},
            1,
            "1",
            {"friendly_name": "office-pc Heat left"},
            id="of",
        ),
    ],
)
async def test_unknown_kinds_are_drawn_from_what_the_host_says(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    host: FakeHost,
    entity_registry: er.EntityRegistry,
    reading: dict[str, Any],
    value: Any,
    state: str,
    attributes: dict[str, Any],
) -> None:
    """A user's own sensor needs no new version of the integration."""
    await host.availability()
    await host.announce(readings=[{"key": "cpu.some_thing", "kind": "custom", **reading}])
    await host.state("cpu", some_thing=value)

    entity_id = entity_registry.async_get_entity_id("sensor", "pilot", f"{HOST_ID}_cpu.some_thing")
    shown = hass.states.get(entity_id)
    assert shown.state == state
    assert attributes.items() <= shown.attributes.items()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            {"unit": "kWh", "device_class": "energy", "state_class": "total_increasing"},
            {"device_class": "energy", "state_class": "total_increasing"},
        ),
        ({"unit": "%", "device_class": "humidity"}, {"device_class": "humidity"}),
        ({"unit": "%", "state_class": "none"}, {"state_class": None}),
        # Home Assistant would refuse every value of these.
        ({"unit": "apples", "device_class": "energy"}, {"device_class": None}),
        ({"unit": "%", "device_class": "of_a_later_version"}, {"device_class": None}),
        ({"device_class": "timestamp"}, {"device_class": None}),
        (
            {"unit": "kWh", "device_class": "energy", "state_class": "measurement"},
            {"device_class": "energy", "state_class": None},
        ),
        ({"unit": "°C", "state_class": "of_a_later_version"}, {"state_class": "measurement"}),
    ],
)
async def test_classes_are_those_that_the_owner_says_as_far_as_they_fit(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    host: FakeHost,
    said: dict[str, Any],
    shown: dict[str, str | None],
) -> None:
    """The value is shown in any case."""
    await host.availability()
    await host.announce(readings=[{"key": "cpu.mine", "name": "Mine", **said}])
    await host.state("cpu", mine=42)

    state = hass.states.get("sensor.office_pc_mine")
    assert state.state == "42"
    assert state.attributes.get("unit_of_measurement") == said.get("unit")
    assert {name: state.attributes.get(name) for name in shown} == shown


async def test_an_own_boolean_has_the_class_that_the_owner_says(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """One that Home Assistant does not have is left out."""
    readings = [
        {"key": f"cpu.{name}", "name": name, "type": "boolean", "device_class": name}
        for name in ("door", "portcullis")
    ]
    await host.availability()
    await host.announce(readings=readings)
    await host.state("cpu", door=True, portcullis=True)

    classes = [
        hass.states.get(f"binary_sensor.office_pc_{name}").attributes.get("device_class")
        for name in ("door", "portcullis")
    ]
    assert classes == ["door", None]


async def test_an_unknown_boolean_is_a_binary_sensor(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """Either so or not."""
    await host.availability()
    await host.announce(
        readings=[{"key": "cpu.raid", "kind": "custom", "type": "boolean", "name": "RAID"}]
    )
    await host.state("cpu", raid=False)

    assert hass.states.get("binary_sensor.office_pc_raid").state == "off"


async def test_one_of_many_without_a_name_is_called_by_its_key(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """An agent that forgets to say which disk does not make a nameless one."""
    await host.announce(readings=[{"key": "disk.data.free", "kind": "disk.free"}])

    state = hass.states.get("sensor.office_pc_free_data_free")
    assert state.attributes["friendly_name"] == "office-pc Free data.free"
