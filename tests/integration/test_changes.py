"""Hosts change: disks are plugged in, computers are renamed, agents are updated."""

import copy
import json
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, patch

from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.translation import async_load_integrations
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_mqtt_message

from support.integration_host import ANNOUNCE, HOST_ID, FakeHost, make_entry

from .texts import LANGUAGES

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

DISK = "sensor.office_pc_system_disk"
ROOM = "sensor.aht20_temperature"
WITHOUT_DISK = [r for r in ANNOUNCE["readings"] if not r["key"].startswith("disk.")]
WITHOUT_ROOM = [r for r in ANNOUNCE["readings"] if not r["key"].startswith("i2c.")]


def changed(key: str, **changes: Any) -> list[dict[str, Any]]:
    """Return the usual readings, with one of them changed."""
    readings = copy.deepcopy(ANNOUNCE["readings"])
    for reading in readings:
        if reading["key"] == key:
            reading.update(changes)
    return readings


async def test_a_new_disk_appears(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """Without a restart, and with its value as soon as that comes."""
    await host.availability()
    await host.announce(readings=WITHOUT_DISK)
    assert hass.states.get(DISK) is None

    await host.announce(readings=ANNOUNCE["readings"])
    await host.state("disk", root__used_percent=61)

    assert hass.states.get(DISK).state == "61"


async def test_others_keep_their_values_meanwhile(hass: HomeAssistant, online: FakeHost) -> None:
    """A new announce is no reason to forget what was read."""
    await online.announce(readings=WITHOUT_DISK)

    assert hass.states.get("sensor.office_pc_processor").state == "12.5"


async def test_an_unplugged_disk_vanishes(
    hass: HomeAssistant, online: FakeHost, entity_registry: er.EntityRegistry
) -> None:
    """It is not shown as unavailable for ever."""
    await online.announce(readings=WITHOUT_DISK)

    assert hass.states.get(DISK) is None
    assert entity_registry.async_get(DISK) is None


async def test_a_replugged_disk_is_what_its_user_made_of_it(
    hass: HomeAssistant, online: FakeHost, entity_registry: er.EntityRegistry
) -> None:
    """Its name, its id and thus its history come back with it."""
    entity_registry.async_update_entity(
        DISK, name="My disk", new_entity_id="sensor.my_disk", icon="mdi:heart"
    )
    await hass.async_block_till_done()

    await online.announce(readings=WITHOUT_DISK)
    assert hass.states.get("sensor.my_disk") is None

    await online.announce(readings=ANNOUNCE["readings"])
    await online.state("disk", root__used_percent=62)

    assert hass.states.get("sensor.my_disk").state == "62"
    assert hass.states.get("sensor.my_disk").attributes["friendly_name"] == "My disk"
    assert entity_registry.async_get("sensor.my_disk").icon == "mdi:heart"


async def test_a_replugged_disk_stays_disabled(
    hass: HomeAssistant, online: FakeHost, entity_registry: er.EntityRegistry
) -> None:
    """A disabled entity stays disabled."""
    entity_registry.async_update_entity(DISK, disabled_by=er.RegistryEntryDisabler.USER)
    await hass.async_block_till_done()

    await online.announce(readings=WITHOUT_DISK)
    await online.announce(readings=ANNOUNCE["readings"])
    await online.state("disk", root__used_percent=62)

    assert entity_registry.async_get(DISK).disabled_by is er.RegistryEntryDisabler.USER
    assert hass.states.get(DISK) is None


async def test_unplugged_and_plugged_in_one_breath(
    hass: HomeAssistant, online: FakeHost, entity_registry: er.EntityRegistry
) -> None:
    """Two announces may arrive before Home Assistant can turn round."""
    entity_registry.async_update_entity(DISK, new_entity_id="sensor.my_disk")
    await hass.async_block_till_done()
    coordinator = hass.config_entries.async_get_entry("01JPILOT").runtime_data.coordinator
    topic = f"pilot/v2/{HOST_ID}/announce"

    without = ANNOUNCE | {"readings": WITHOUT_DISK}
    for announce in (without, ANNOUNCE, without, ANNOUNCE):
        async_fire_mqtt_message(hass, topic, json.dumps(announce))
    await hass.async_block_till_done()
    await online.state("disk", root__used_percent=62)

    assert hass.states.get("sensor.my_disk").state == "62"
    assert coordinator.refused == {}


async def test_a_device_below_comes_and_goes(
    hass: HomeAssistant,
    online: FakeHost,
    device_registry: dr.DeviceRegistry,
) -> None:
    """So does its device, and comes back in the room where it was."""
    device = device_registry.async_get_devices(identifiers={("pilot", f"{HOST_ID}_aht20-1-38")})[0]
    device_registry.async_update_device(device.id, area_id="bedroom", name_by_user="By the bed")

    await online.announce(readings=WITHOUT_ROOM, devices={})
    assert device_registry.async_get(device.id) is None
    assert hass.states.get(ROOM) is None

    await online.announce(readings=ANNOUNCE["readings"], devices=ANNOUNCE["devices"])
    back = device_registry.async_get_devices(identifiers={("pilot", f"{HOST_ID}_aht20-1-38")})[0]
    assert (back.area_id, back.name_by_user) == ("bedroom", "By the bed")
    assert hass.states.get(ROOM) is not None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("models", "names"),
    [
        (
            {"aht20-1-38": "AHT20"},
            {"en": ["office-pc sensor"], "fr": ["Capteur office-pc"]},
        ),
        (
            {"aht20-1-38": "AHT20", "sht3x-1-44": "SHT3x", "sht3x-3-44": "SHT3x", "odd": None},
            {
                "en": [
                    "office-pc sensor AHT20",
                    "office-pc sensor sht3x-1-44",
                    "office-pc sensor sht3x-3-44",
                    "office-pc sensor odd",
                ],
                "fr": [
                    "Capteur AHT20 office-pc",
                    "Capteur sht3x-1-44 office-pc",
                    "Capteur sht3x-3-44 office-pc",
                    "Capteur odd office-pc",
                ],
            },
        ),
    ],
    ids=["one", "several"],
)
async def test_a_device_below_without_a_name_is_named_after_its_host(
    hass: HomeAssistant,
    online: FakeHost,
    device_registry: dr.DeviceRegistry,
    models: dict[str, str | None],
    names: dict[str, list[str]],
    language: str,
) -> None:
    """Its chip says nothing to most; it tells several apart."""
    hass.config.language = language
    await async_load_integrations(hass, {"pilot"})

    await online.announce(
        devices={key: {"model": model} if model else {} for key, model in models.items()}
        | {"named": {"name": "Dining room"}},
        readings=[
            *WITHOUT_ROOM,
            *(
                {"key": f"i2c.{key}.temperature", "kind": "temperature", "device": key}
                for key in (*models, "named")
            ),
        ],
    )

    assert [
        device_registry.async_get_devices(identifiers={("pilot", f"{HOST_ID}_{key}")})[0].name
        for key in (*models, "named")
    ] == [*names[language], "Dining room"]


async def test_a_device_that_loses_its_name_keeps_what_users_gave_and_its_ids(
    hass: HomeAssistant, online: FakeHost, device_registry: dr.DeviceRegistry
) -> None:
    """Earlier agents named it after its chip."""
    identifiers = {("pilot", f"{HOST_ID}_aht20-1-38")}
    before = device_registry.async_get_devices(identifiers=identifiers)[0]
    device_registry.async_update_device(before.id, name_by_user="By the bed")

    await online.announce(devices={"aht20-1-38": {"model": "AHT20"}})

    after = device_registry.async_get_devices(identifiers=identifiers)[0]
    assert (after.id, after.name, after.name_by_user) == (
        before.id,
        "office-pc sensor",
        "By the bed",
    )
    assert hass.states.get(ROOM) is not None


@pytest.mark.parametrize(
    ("key", "changes", "old", "attributes"),
    [
        pytest.param(
            "disk.root.used_percent",
            {"of": "/srv"},
            DISK,
            {"friendly_name": "office-pc Disk /srv"},
            id="renamed",
        ),
        pytest.param(
            "disk.root.used_percent",
            {"kind": "custom", "unit": "l", "name": "Volume"},
            DISK,
            {"friendly_name": "office-pc Volume /", "unit_of_measurement": "l"},
            id="another kind",
        ),
    ],
)
async def test_a_reading_changes(
    hass: HomeAssistant,
    online: FakeHost,
    key: str,
    changes: dict[str, Any],
    old: str,
    attributes: dict[str, Any],
) -> None:
    """The entity keeps its id and is drawn anew."""
    await online.announce(readings=changed(key, **changes))
    await online.state("disk", root__used_percent=70)

    state = hass.states.get(old)
    assert state.state == "70"
    assert attributes.items() <= state.attributes.items()


async def test_a_reading_changes_twice_in_one_breath(
    hass: HomeAssistant, online: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """The last word counts."""
    for of in ("/srv", "/data"):
        readings = changed("disk.root.used_percent", of=of)
        announce = json.dumps(ANNOUNCE | {"readings": readings})
        async_fire_mqtt_message(hass, f"pilot/v2/{HOST_ID}/announce", announce)
    await hass.async_block_till_done()
    await online.state("disk", root__used_percent=70)

    assert hass.states.get(DISK).state == "70"
    assert hass.states.get(DISK).attributes["friendly_name"] == "office-pc Disk /data"
    assert "ERROR" not in caplog.text


async def test_a_collector_is_switched_off(hass: HomeAssistant, online: FakeHost) -> None:
    """Its readings go with it."""
    collectors = {name: ANNOUNCE["collectors"][name] for name in ("cpu", "i2c")}

    await online.announce(readings=WITHOUT_DISK, collectors=collectors)
    await online.state("disk", root__used_percent=70)

    assert hass.states.get(DISK) is None


async def test_entities_may_overlap(hass: HomeAssistant, online: FakeHost) -> None:
    """The new one has come before the old one goes; and one has come too late."""
    coordinator = hass.config_entries.async_get_entry("01JPILOT").runtime_data.coordinator
    reading = coordinator.data.readings["disk.root.used_percent"]
    late = reading._replace(key="disk.gone.used_percent")
    old, new = Mock(), Mock()

    stop_old = coordinator.async_add_reading_listener(reading.key, old)
    coordinator.async_add_reading_listener(reading.key, new)
    stop_late = coordinator.async_add_reading_listener(late.key, old)
    stop_old()
    stop_late()
    await online.state("disk", root__used_percent=70)

    assert old.mock_calls == []
    new.async_show.assert_called_once_with(70)


async def test_a_number_becomes_a_boolean(
    hass: HomeAssistant, online: FakeHost, entity_registry: er.EntityRegistry
) -> None:
    """What was a sensor is a binary sensor then."""
    readings = changed("disk.root.used_percent", kind="custom", type="boolean", name="RAID")
    await online.announce(readings=readings)
    await online.state("disk", root__used_percent=True)

    assert hass.states.get(DISK) is None
    assert entity_registry.async_get(DISK) is None
    assert hass.states.get("binary_sensor.office_pc_raid").state == "on"


async def test_a_reading_moves_to_another_device(
    hass: HomeAssistant,
    online: FakeHost,
    entity_registry: er.EntityRegistry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """A sensor that was plugged in elsewhere hangs on another device."""
    await online.announce(
        readings=changed("i2c.aht20-1-38.temperature", device="aht20-2-38"),
        devices={"aht20-2-38": {"name": "Other"}},
    )
    await online.send("state/i2c", {"ts": 1, "values": {"aht20-1-38.temperature": 5}})

    entity_id = entity_registry.async_get_entity_id(
        "sensor", "pilot", f"{HOST_ID}_i2c.aht20-1-38.temperature"
    )
    device = device_registry.async_get(entity_registry.async_get(entity_id).device_id)
    assert device.identifiers == {("pilot", f"{HOST_ID}_aht20-2-38")}
    assert hass.states.get(entity_id).state == "5"


async def test_a_disabled_reading_changes(
    hass: HomeAssistant, online: FakeHost, entity_registry: er.EntityRegistry
) -> None:
    """There is no entity to draw anew, and nothing breaks."""
    entity_registry.async_update_entity(DISK, disabled_by=er.RegistryEntryDisabler.USER)
    await hass.async_block_till_done()

    await online.announce(readings=changed("disk.root.used_percent", of="/srv"))

    assert hass.states.get(DISK) is None
    assert entity_registry.async_get(DISK).original_name == "Disk /srv"


async def test_an_interval_changes(hass: HomeAssistant, online: FakeHost) -> None:
    """It counts from then on."""
    await online.announce(collectors=ANNOUNCE["collectors"] | {"cpu": {"interval": 600}})

    readings = hass.config_entries.async_get_entry("01JPILOT").runtime_data.coordinator.readings
    assert readings.collectors["cpu"].interval == 600
    assert hass.states.get("sensor.office_pc_processor").state == "12.5"


async def test_the_same_announce_again_changes_nothing(
    hass: HomeAssistant, online: FakeHost
) -> None:
    """Agents repeat it whenever Home Assistant starts."""
    before = hass.states.async_all()

    await online.announce()

    assert hass.states.async_all() == before


# --- The host itself -------------------------------------------------------------------------


def renamed(name: str) -> dict[str, Any]:
    """Return the host under another name."""
    return {**ANNOUNCE["host"], "name": name}


async def test_a_renamed_host_is_renamed_here(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """Entry and device follow, entity ids stay."""
    await online.announce(host=renamed("studio-pc"))

    assert configured.title == "studio-pc"
    assert (
        device_registry.async_get_devices(identifiers={("pilot", HOST_ID)})[0].name == "studio-pc"
    )
    assert hass.states.get("sensor.office_pc_processor").name == "studio-pc Processor"


async def test_names_stay_on_their_line(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They turn no text around, begin no line of the log, and command no terminal."""
    odd = "\u202etxt.exe\n2026-11-28 ERROR \x1b[31mred"
    plain = "txt.exe 2026-11-28 ERROR [31mred"
    caplog.set_level("INFO")
    await online.announce(
        host={**ANNOUNCE["host"], "name": odd, "manufacturer": odd},
        devices={"aht20-1-38": {"name": odd, "model": odd}},
        readings=[
            *ANNOUNCE["readings"],
            {"key": "cpu.odd", "kind": "odd", "name": odd},
            {"key": "disk.odd.used_percent", "kind": "disk.used_percent", "of": odd},
        ],
    )
    await online.state("cpu", percent=12.5, load_1m=0.42, odd=1)
    await online.availability("off")
    await online.availability("online")

    devices = dr.async_entries_for_config_entry(device_registry, configured.entry_id)
    assert {device.name for device in devices} == {plain}
    assert configured.title == plain
    names = [str(state.attributes.get("friendly_name")) for state in hass.states.async_all()]
    assert sum(name.endswith(plain) for name in names) == 2
    for text in (*names, *(message for message in caplog.messages if "txt.exe" in message)):
        assert text.isprintable(), text
    assert f"{plain} is off" in caplog.messages


async def test_names_in_any_language_stay_as_they_are(
    hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry
) -> None:
    """With what joins letters and pictures."""
    for name in ("क\u200cष", "👩\u200d💻", "מחשב", "ノート", "PC  1"):
        await online.announce(host={**ANNOUNCE["host"], "name": name})
        assert configured.title == name


@pytest.mark.parametrize("letter", ["a", "a ", "_", "電", "😀", "Ω"])
async def test_names_as_long_as_they_may_be(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    host: FakeHost,
    entity_registry: er.EntityRegistry,
    caplog: pytest.LogCaptureFixture,
    letter: str,
) -> None:
    """Every entity is there, however long its id would have become."""
    name = (letter * 255)[:255]
    host.announced["host"]["name"] = name
    host.announced["devices"]["aht20-1-38"]["name"] = name
    host.announced["devices"]["gpu"] = {"name": name}
    host.announced["readings"] += [
        {"key": "cpu.odd", "kind": "odd", "name": name[:128]},
        {"key": "disk.odd.used_percent", "kind": "disk.used_percent", "of": name[:128]},
        {"key": "cpu.gpu", "kind": "graphics.temperature", "device": "gpu"},
    ]

    await host.connect()
    await host.state("cpu", percent=12.5, load_1m=0.42, odd=1, gpu=50)
    await host.state("disk", root__used_percent=61, odd__used_percent=62)

    announced = [one["key"] for one in host.announced["readings"] if "load" not in one["key"]]
    for key in announced:
        entity_id = entity_registry.async_get_entity_id("sensor", "pilot", f"{HOST_ID}_{key}")
        assert entity_id is not None, key
        assert hass.states.get(entity_id) is not None, key
    assert "Traceback" not in caplog.text
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


async def test_two_hosts_with_the_same_network_card(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """A docking station goes from one to the other: each stays a device of its own."""
    other = make_entry(hass, name="laptop", unique_id="0" * 16, entry_id="01JOTHER")
    await hass.config_entries.async_setup(other.entry_id)
    laptop = FakeHost(hass, ANNOUNCE | {"host": {**ANNOUNCE["host"], "id": "0" * 16}})
    laptop.announced["host"]["name"] = "laptop"
    await laptop.connect()
    await online.announce(session="0123456789abcdef")

    names = {}
    for entry in (configured, other):
        [device] = [
            one
            for one in dr.async_entries_for_config_entry(device_registry, entry.entry_id)
            if ("pilot", entry.unique_id) in one.identifiers
        ]
        names[device.name] = {address for _, address in device.connections}
    card = {"00:00:5e:00:53:01"}
    assert names == {"office-pc": card, "laptop": card}


async def test_names_given_by_the_user_stay(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """Whatever the host calls itself."""
    hass.config_entries.async_update_entry(configured, title="My computer")
    device = device_registry.async_get_devices(identifiers={("pilot", HOST_ID)})[0]
    device_registry.async_update_device(device.id, name_by_user="The big one")

    await online.announce(host=renamed("studio-pc"))

    assert configured.title == "My computer"
    device = device_registry.async_get(device.id)
    assert (device.name_by_user, device.name) == ("The big one", "studio-pc")


async def test_a_host_that_takes_anothers_name_is_distinguishable(
    hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry
) -> None:
    """The other one came first."""
    make_entry(hass, name="studio-pc", unique_id="0" * 16, entry_id="other")

    await online.announce(host=renamed("studio-pc"))

    assert configured.title == "studio-pc (ThinkPad X1)"


async def test_follows_new_versions_and_network_cards(
    online: FakeHost, device_registry: dr.DeviceRegistry
) -> None:
    """An update of the agent is seen on the device; addresses that are gone are forgotten."""
    await online.announce(
        agent={"version": "0.2.0"}, host=ANNOUNCE["host"] | {"macs": ["00:00:5e:00:53:02"]}
    )

    device = device_registry.async_get_devices(identifiers={("pilot", HOST_ID)})[0]
    assert device.sw_version == "pilot-agent 0.2.0"
    assert device.connections == {("mac", "00:00:5e:00:53:02")}


async def test_addresses_that_are_no_mac_are_no_connection(
    online: FakeHost, device_registry: dr.DeviceRegistry
) -> None:
    """InfiniBand's are 20 octets long."""
    await online.announce(host=ANNOUNCE["host"] | {"macs": [":".join(["00"] * 20)]})

    device = device_registry.async_get_devices(identifiers={("pilot", HOST_ID)})[0]
    assert device.connections == set()


async def test_a_host_that_is_another_one_again_and_again(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Home Assistant keeps what is removed: a client of the broker may not fill its registries."""
    usual = copy.deepcopy(online.announced["readings"])
    with patch("custom_components.pilot.auth.MAX_KEYS", 100):
        for number in range(20):
            readings = [{"key": f"cpu.r{number}_{one}", "kind": "odd"} for one in range(20)]
            await online.announce(readings=readings)
        await online.announce(readings=usual)
    await online.state("cpu", percent=7, load_1m=1)

    coordinator = configured.runtime_data.coordinator
    assert coordinator.refused == {"announce.too_many_keys": 16}
    assert len(entity_registry.deleted_entities) <= 100
    assert caplog.text.count("more than 100 different devices and readings") == 1
    assert hass.states.get("sensor.office_pc_processor").state == "7"


async def test_a_reinstalled_agent_is_the_same_host(
    hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry
) -> None:
    """It has another session and the same id."""
    await online.announce(session="0123456789abcdef")
    await online.state("cpu", percent=8, load_1m=1)

    assert hass.states.get("sensor.office_pc_processor").state == "8"
    assert len(hass.config_entries.async_entries("pilot")) == 1
