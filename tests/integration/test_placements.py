"""Sensors that are carried about, in a Home Assistant with a real recorder."""

import copy
from datetime import UTC, datetime, timedelta
import logging
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.components.recorder.statistics import (
    async_import_statistics,
    list_statistic_ids,
    statistics_during_period,
)
from homeassistant.const import EVENT_RECORDER_HOURLY_STATISTICS_GENERATED
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
)
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.pilot.rooms import store, tracker as tracker_module
from custom_components.pilot.rooms.model import Placement, Span, Timeline
from custom_components.pilot.rooms.quantities import QUANTITIES
from custom_components.pilot.rooms.rooms import HOUR, Hour
from custom_components.pilot.rooms.runtime import PLACEMENTS
from custom_components.pilot.rooms.statistics import statistic_id_of
from support.integration_host import ANNOUNCE, HOST_ID, NOW, FakeHost, make_entry

from .placements import MINUTE, minutes, room_by_minutes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freezegun.api import FrozenDateTimeFactory
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient, WebSocketGenerator

    from custom_components.pilot.rooms.tracker import Tracker

NOON = int(datetime.fromisoformat(NOW).timestamp())
"""When the tests begin."""

AHT = "sensor.aht20_temperature"
BME = "sensor.bme280_temperature"
ROOM = "sensor.aht20_room"

TWO_SENSORS = copy.deepcopy(ANNOUNCE)
TWO_SENSORS["devices"]["bme280-1-76"] = {"name": "BME280"}
TWO_SENSORS["readings"] += [
    {"key": f"i2c.bme280-1-76.{kind}", "kind": kind, "device": "bme280-1-76"}
    for kind in ("temperature", "humidity", "pressure")
]


class FakeHouse:
    """A house with rooms and two sensors, and a recorder that knows what they measured."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
        """Build the rooms."""
        self.hass = hass
        self.freezer = freezer
        self.host = FakeHost(hass, TWO_SENSORS)
        self.entry = make_entry(hass)
        self.areas = ar.async_get(hass)
        self.devices = dr.async_get(hass)
        self.entities = er.async_get(hass)
        for name in ("Attic", "Dining room", "Kitchen"):
            self.areas.async_create(name)

    async def set_up(self) -> None:
        """Set up Pilot, and let the host be heard of."""
        await self.hass.config_entries.async_setup(self.entry.entry_id)
        await self.hass.async_block_till_done()
        await self.host.connect()
        await self.settle()

    async def settle(self) -> None:
        """Wait until all is computed and committed."""
        for _ in range(2):
            await self.hass.async_block_till_done(wait_background_tasks=True)
            await async_wait_recording_done(self.hass)

    @property
    def tracker(self) -> Tracker:
        return self.hass.data[PLACEMENTS].tracker

    def device(self, name: str = "aht20-1-38") -> str:
        """Return the id of a sensor's device."""
        device = self.devices.async_get_device_by_identifier(
            ("pilot", f"{HOST_ID}_{name}"), self.entry.entry_id
        )
        assert device is not None
        return device.id

    async def carry(self, area_id: str | None, name: str = "aht20-1-38") -> None:
        """Tell Home Assistant that a sensor stands there now."""
        self.devices.async_update_device(self.device(name), area_id=area_id)
        await self.settle()

    async def at(self, hours: float) -> None:
        """Let it be so many hours after the beginning, with all hours compiled until then."""
        self.freezer.move_to(datetime.fromtimestamp(NOON, UTC) + timedelta(hours=hours))
        self.hass.bus.async_fire(EVENT_RECORDER_HOURLY_STATISTICS_GENERATED)
        await self.settle()

    async def measured(
        self,
        values: Mapping[int, float | Hour],
        entity_id: str = AHT,
        unit: str | None = "°C",
        unit_class: str | None = "temperature",
    ) -> None:
        """Let the recorder have hourly statistics of a sensor; hours count from the beginning."""
        async_import_statistics(
            self.hass,
            {
                "source": "recorder",
                "statistic_id": entity_id,
                "name": None,
                "has_sum": False,
                "mean_type": StatisticMeanType.ARITHMETIC,
                "unit_class": unit_class,
                "unit_of_measurement": unit,
            },
            [
                {"start": datetime.fromtimestamp(NOON + hour * HOUR, UTC), **value._asdict()}
                for hour, value in (
                    (hour, value if isinstance(value, Hour) else Hour(value, value - 1, value + 1))
                    for hour, value in values.items()
                )
            ],
        )
        await self.settle()

    async def room(
        self, statistic_id: str, *types: str
    ) -> dict[int, float | None] | dict[int, tuple[float, ...]]:
        """Return a room's hours as the recorder has them."""
        rows = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            datetime.fromtimestamp(0, UTC),
            None,
            {statistic_id},
            "hour",
            None,
            {"mean", "min", "max"},
        )
        return {
            (int(row["start"]) - NOON) // HOUR: tuple(row[kind] for kind in types)
            if types
            else row["mean"]
            for row in rows.get(statistic_id, [])
        }

    async def known(self) -> dict[str, Any]:
        """Return the room statistics that the recorder knows."""
        listed = await get_instance(self.hass).async_add_executor_job(list_statistic_ids, self.hass)
        return {one["statistic_id"]: one for one in listed if one["source"] == "pilot"}

    async def do(self, action: str, **data: Any) -> Any:
        """Call an action; moments are hours after the beginning."""
        for name in ("at", "start", "end"):
            if isinstance(data.get(name), (int, float)):
                data[name] = datetime.fromtimestamp(NOON + data[name] * HOUR, UTC)
        answer = await self.hass.services.async_call(
            "pilot", action, data, blocking=True, return_response=True
        )
        await self.settle()
        return answer

    async def placements(self, **data: Any) -> list[tuple[str, str, float, float | None]]:
        """Return what `get_placements` says, in hours after the beginning."""
        found = await self.do("get_placements", **data)
        return [
            (one["device"], one["area_id"], hours(one["start"]), hours(one["end"]))
            for one in found["placements"]
        ]


def hours(moment: str | None) -> float | None:
    """Return how many hours after the beginning a moment is."""
    if moment is None:
        return None
    return (datetime.fromisoformat(moment).timestamp() - NOON) / HOUR


@pytest.fixture
def unstarted(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    enable_custom_integrations: None,
    mqtt_mock: MqttMockHAClient,
    freezer: FrozenDateTimeFactory,
) -> FakeHouse:
    """Return a house in which Pilot is not set up yet."""
    # The recorder's test fixture has every statement logged.
    for name in ("sqlalchemy.engine", "homeassistant.components.recorder"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return FakeHouse(hass, freezer)


@pytest.fixture
async def house(unstarted: FakeHouse) -> FakeHouse:
    """Return a house whose AHT20 stands in the dining room since the beginning."""
    await unstarted.set_up()
    await unstarted.carry("dining_room")
    return unstarted


# --- Moves -----------------------------------------------------------------------------------


async def test_a_sensor_that_moves(house: FakeHouse) -> None:
    """The story that all this is for: dining room until half past two, attic from then on."""
    await house.measured({0: 20.0, 1: 21.0, 2: 24.0, 3: 30.0})
    await house.at(2.5)
    await house.carry("attic")
    await house.at(4)

    assert await house.placements() == [
        ("AHT20", "dining_room", 0, 2.5),
        ("AHT20", "attic", 2.5, None),
    ]
    assert await house.room("pilot:dining_room_temperature", "mean", "min", "max") == {
        0: (20, 19, 21),
        1: (21, 20, 22),
        2: (24, 23, 25),
    }
    assert await house.room("pilot:attic_temperature") == {2: 24, 3: 30}


async def test_several_sensors_in_a_room(house: FakeHouse) -> None:
    """Their mean, each by the part of the hour that it stood there."""
    await house.measured({0: 20.0, 1: 20.0, 2: 20.0})
    await house.measured({1: 27.0, 2: 22.0}, BME)
    await house.at(1.25)
    await house.carry("dining_room", "bme280-1-76")
    await house.at(3)

    assert await house.room("pilot:dining_room_temperature", "mean", "min", "max") == {
        0: (20, 19, 21),
        1: (pytest.approx((20 + 0.75 * 27) / 1.75), 19, 28),
        2: (21, 19, 23),
    }


async def test_statistics_are_described(house: FakeHouse) -> None:
    """As the recorder asks for, with the room's name in them."""
    await house.carry("kitchen", "bme280-1-76")
    await house.measured({0: 68.0}, BME, "°F")
    await house.measured({0: 55.0}, "sensor.bme280_humidity", "%", "unitless")
    await house.measured({0: 101_300.0}, "sensor.bme280_air_pressure", "Pa", "pressure")
    await house.at(1)

    known = await house.known()
    assert {
        statistic_id: (
            one["name"],
            one["mean_type"],
            one["has_sum"],
            one["unit_class"],
            one["statistics_unit_of_measurement"],
        )
        for statistic_id, one in known.items()
    } == {
        f"pilot:kitchen_{key}": (name, StatisticMeanType.ARITHMETIC, False, unit_class, unit)
        for key, name, unit_class, unit in (
            ("temperature", "Kitchen Temperature", "temperature", "°C"),
            ("humidity", "Kitchen Humidity", "unitless", "%"),
            ("pressure", "Kitchen Air pressure", "pressure", "hPa"),
        )
    }
    assert await house.room("pilot:kitchen_temperature") == {0: pytest.approx(20)}
    assert await house.room("pilot:kitchen_pressure") == {0: pytest.approx(1013)}


async def test_a_statistic_in_a_strange_unit_does_not_count(house: FakeHouse) -> None:
    """What cannot be converted is left out, and breaks nothing."""
    await house.measured({0: 20.0}, unit="W", unit_class="power")
    await house.at(1)

    assert await house.known() == {}


async def test_a_sensor_carried_away_and_back(house: FakeHouse) -> None:
    """In no room at all it measures for none."""
    await house.measured(dict.fromkeys(range(5), 20.0))
    await house.at(1)
    await house.carry(None)
    await house.at(3)
    await house.carry("dining_room")
    await house.at(5)

    assert await house.placements() == [
        ("AHT20", "dining_room", 0, 1),
        ("AHT20", "dining_room", 3, None),
    ]
    assert list(await house.room("pilot:dining_room_temperature")) == [0, 3, 4]


async def test_the_room_sensor(house: FakeHouse, hass: HomeAssistant) -> None:
    """Where it stands, and since when; a move or a new name is shown at once."""
    state = hass.states.get(ROOM)
    assert state.state == "Dining room"
    assert state.attributes["area_id"] == "dining_room"
    assert state.attributes["since"] == NOW
    assert house.entities.async_get(ROOM).entity_category == "diagnostic"
    assert hass.states.get("sensor.bme280_room").state == "unknown"

    await house.at(1)
    await house.carry("attic")
    assert hass.states.get(ROOM).state == "Attic"
    house.areas.async_update("attic", name="Loft")
    await house.settle()
    assert hass.states.get(ROOM).state == "Loft"


async def test_a_device_without_room_readings_has_no_room(
    house: FakeHouse, hass: HomeAssistant
) -> None:
    """Only what measures a room is shown in one."""
    await house.host.announce(
        readings=[reading for reading in TWO_SENSORS["readings"] if "aht20" not in reading["key"]]
        + [{"key": "i2c.aht20-1-38.bus_errors", "kind": "custom", "device": "aht20-1-38"}]
    )
    await house.settle()

    assert house.entities.async_get(ROOM) is None
    assert house.entities.async_get("sensor.bme280_room") is not None


async def test_a_sensor_that_is_unplugged_and_comes_back(house: FakeHouse) -> None:
    """Its history stays, and goes on where it stands then."""
    await house.at(1)
    await house.host.announce(
        devices={"bme280-1-76": {"name": "BME280"}},
        readings=[reading for reading in TWO_SENSORS["readings"] if "aht20" not in reading["key"]],
    )
    await house.settle()
    assert await house.placements() == [("AHT20", "dining_room", 0, 1)]

    await house.at(2)
    await house.host.announce(**copy.deepcopy(TWO_SENSORS))
    await house.settle()
    assert await house.placements() == [
        ("AHT20", "dining_room", 0, 1),
        ("AHT20", "dining_room", 2, None),
    ]


async def test_a_host_that_is_removed_and_added_again(house: FakeHouse) -> None:
    """Its sensors are the same devices, and their history goes on."""
    device_id = house.device()
    await house.measured({0: 20.0})
    await house.at(1)
    with patch("custom_components.pilot.async_part"):
        await house.hass.config_entries.async_remove(house.entry.entry_id)
    await house.settle()
    assert await house.placements() == [("AHT20", "dining_room", 0, 1)]

    await house.at(2)
    house.entry = make_entry(house.hass, entry_id="01JAGAIN")
    await house.set_up()
    await house.carry("dining_room")
    await house.measured({2: 22.0})
    await house.at(3)

    assert house.device() == device_id
    assert await house.placements() == [
        ("AHT20", "dining_room", 0, 1),
        ("AHT20", "dining_room", 2, None),
    ]
    assert await house.room("pilot:dining_room_temperature") == {0: 20, 2: 22}


async def test_renamed_entities_keep_their_history(house: FakeHouse) -> None:
    """Home Assistant takes the statistics along; so does the room."""
    await house.measured({0: 20.0})
    house.entities.async_update_entity(AHT, new_entity_id="sensor.table")
    await house.settle()
    await house.measured({1: 21.0}, "sensor.table")
    await house.at(2)

    assert await house.room("pilot:dining_room_temperature") == {0: 20, 1: 21}


# --- Rooms -----------------------------------------------------------------------------------


async def test_a_renamed_room(house: FakeHouse) -> None:
    """The same statistic, under its new name."""
    await house.measured({0: 20.0})
    await house.at(1)
    house.areas.async_update("dining_room", name="Salon")
    house.areas.async_update("kitchen", name="Empty kitchen")
    await house.settle()

    known = await house.known()
    assert known["pilot:dining_room_temperature"]["name"] == "Salon Temperature"
    assert await house.room("pilot:dining_room_temperature") == {0: 20}


async def test_a_removed_room(house: FakeHouse) -> None:
    """Its statistics go; who stood there is still known. With the room it all comes back."""
    await house.measured({0: 20.0})
    await house.at(1)
    house.areas.async_delete("dining_room")
    await house.settle()

    assert await house.known() == {}
    assert await house.placements() == [("AHT20", "dining_room", 0, 1)]
    found = await house.do("get_placements")
    assert found["placements"][0]["area"] == "Dining room"

    house.areas.async_create("Dining room")
    await house.settle()
    assert await house.room("pilot:dining_room_temperature") == {0: 20}


async def test_a_removed_room_that_nothing_stood_in_any_more(house: FakeHouse) -> None:
    """Is forgotten altogether."""
    await house.at(1)
    await house.carry("attic")
    await house.do("delete_placement", device_id=house.device(), at=0.5)
    house.areas.async_delete("dining_room")
    await house.settle()

    assert set(house.tracker.state.rooms) == {"attic"}


@pytest.mark.parametrize("removed_first", [False, True])
async def test_rooms_that_become_one(house: FakeHouse, removed_first: bool) -> None:
    """The past of one is the other's, before or after Home Assistant has it no more."""
    await house.measured({0: 20.0, 1: 21.0, 2: 22.0})
    await house.at(2)
    await house.carry("kitchen")
    if removed_first:
        house.areas.async_delete("dining_room")
    await house.at(3)

    merged = await house.do("merge_rooms", area_id="dining_room", into="kitchen")

    assert [one["area"] for one in merged["placements"]] == ["Kitchen"]
    assert await house.placements() == [("AHT20", "kitchen", 0, None)]
    assert await house.room("pilot:kitchen_temperature") == {0: 20, 1: 21, 2: 22}
    assert set(await house.known()) == {"pilot:kitchen_temperature"}


async def test_rooms_that_cannot_become_one(house: FakeHouse) -> None:
    """Something stands there, it is the same, or there is none such."""
    for area_id, into, key in (
        ("dining_room", "kitchen", "area_is_occupied"),
        ("kitchen", "kitchen", "same_area"),
        ("kitchen", "nowhere", "unknown_area"),
        ("nowhere", "kitchen", "unknown_area"),
    ):
        with pytest.raises(ServiceValidationError) as error:
            await house.do("merge_rooms", area_id=area_id, into=into)
        assert error.value.translation_key == key
    assert await house.placements() == [("AHT20", "dining_room", 0, None)]


@pytest.mark.parametrize(
    ("area_id", "statistic_id"),
    [
        ("dining_room", "pilot:dining_room_temperature"),
        ("0b1c", "pilot:0b1c_temperature"),
        ("Old__Id-", "pilot:old_id_temperature"),
    ],
)
def test_ids_of_statistics(area_id: str, statistic_id: str) -> None:
    """Areas of old installations may have ids that a statistic cannot."""
    assert statistic_id_of(area_id, QUANTITIES["temperature"]) == statistic_id


async def test_rooms_with_names_without_end(house: FakeHouse) -> None:
    """Their statistics fit into every database that a recorder may have, and are two."""
    for end in "ab":
        house.areas.async_create("long " * 60 + end)
    await house.measured(dict.fromkeys(range(3), 20.0))
    for hour, area in enumerate([one for one in house.areas.areas if "long" in one], 1):
        await house.at(hour)
        await house.carry(area)
    await house.at(3)

    long = [one for one in (await house.known()).values() if "long" in one["statistic_id"]]
    assert len(long) == 2
    for one in long:
        assert max(len(one["statistic_id"]), len(one["name"])) <= 255
        assert one["name"].endswith(" Temperature")
        assert len(await house.room(one["statistic_id"])) == 1


# --- Corrections -----------------------------------------------------------------------------


async def test_moved_on_saturday_told_on_monday(house: FakeHouse) -> None:
    """Both rooms are computed anew, from the first hour that was wrong."""
    await house.measured({hour: 20.0 + hour for hour in range(6)})
    await house.at(4)
    await house.carry("attic")
    await house.at(6)

    answer = await house.do("move_placement", device_id=house.device(), at=5, start=1.5)

    assert [one["area"] for one in answer["placements"]] == ["Dining room", "Attic"]
    dining_room = await house.room("pilot:dining_room_temperature")
    assert dining_room == {0: 20, 1: 21, 2: None, 3: None}
    assert await house.room("pilot:attic_temperature") == {
        hour: 20 + hour for hour in (1, 2, 3, 4, 5)
    }


async def test_history_from_before_pilot(house: FakeHouse) -> None:
    """A placement may be added for as long as there are statistics, a part at a time."""
    await house.measured(dict.fromkeys(range(-100, 1), 20.0))
    await house.at(1)

    with patch("custom_components.pilot.rooms.statistics.CHUNK", 30 * HOUR):
        await house.do(
            "add_placement", device_id=house.device(), area_id="attic", start=-100, end=-1
        )
    await house.do("add_placement", device_id=house.device(), area_id="kitchen", start=-1)

    assert await house.placements(start=-2, end=0) == [
        ("AHT20", "attic", -100, -1),
        ("AHT20", "kitchen", -1, 0),
    ]
    assert list(await house.room("pilot:attic_temperature")) == list(range(-100, -1))
    assert await house.room("pilot:kitchen_temperature") == {-1: 20}


async def test_split_and_delete(house: FakeHouse) -> None:
    """It was in the kitchen at first; then even that is taken back."""
    await house.measured(dict.fromkeys(range(4), 20.0))
    await house.at(4)

    await house.do("split_placement", device_id=house.device(), at=2, area_before="kitchen")
    assert await house.placements() == [
        ("AHT20", "kitchen", 0, 2),
        ("AHT20", "dining_room", 2, None),
    ]
    assert await house.room("pilot:kitchen_temperature") == {0: 20, 1: 20}

    await house.do("delete_placement", device_id=house.device(), at=1)
    assert await house.placements(area_id="kitchen") == []
    assert set(await house.known()) == {"pilot:dining_room_temperature"}


async def test_only_what_differs_is_written(house: FakeHouse) -> None:
    """An SD card does not last for ever."""
    await house.measured(dict.fromkeys(range(4), 20.0))
    await house.at(4)

    with patch("custom_components.pilot.rooms.statistics.async_add_external_statistics") as add:
        await house.tracker.async_statistics_changed(house.device(), NOON, NOON + 4 * HOUR)
        await house.settle()
        assert not add.called

    await house.measured({2: 25.0})
    await house.tracker.async_statistics_changed(house.device(), NOON, NOON + 4 * HOUR)
    await house.tracker.async_statistics_changed("nothing", NOON, NOON + 4 * HOUR)
    await house.settle()
    assert await house.room("pilot:dining_room_temperature") == {0: 20, 1: 20, 2: 25, 3: 20}


@pytest.mark.parametrize(
    ("action", "data", "key"),
    [
        ("add_placement", {"area_id": "attic", "start": 0.5, "end": 1}, "placement_overlaps"),
        ("add_placement", {"area_id": "attic", "start": -1, "end": 9}, "placement_in_future"),
        ("add_placement", {"area_id": "cellar", "start": -1}, "unknown_area"),
        ("add_placement", {"area_id": "attic", "start": 1}, "placement_without_end"),
        ("move_placement", {"at": -1, "start": -2}, "no_placement_then"),
        ("move_placement", {"at": 1, "area_id": "attic"}, "placement_is_current"),
        ("split_placement", {"at": 1, "area_after": "attic"}, "placement_is_current"),
        ("split_placement", {"at": 0}, "placement_ends_before_start"),
        ("delete_placement", {"at": 1}, "placement_is_current"),
        ("untrack_device", {}, "room_sensor_stays_tracked"),
    ],
)
async def test_what_cannot_be_corrected(
    house: FakeHouse, action: str, data: dict[str, Any], key: str
) -> None:
    """The user reads why, and nothing has changed."""
    await house.at(2)
    before = house.tracker.timelines

    with pytest.raises(ServiceValidationError) as caught:
        await house.do(action, device_id=house.device(), **data)

    assert caught.value.translation_key == key
    assert "AHT20" in str(caught.value) or "cellar" in str(caught.value)
    assert house.tracker.timelines == before


@pytest.mark.parametrize(
    "action",
    [
        "add_placement",
        "delete_placement",
        "merge_rooms",
        "move_placement",
        "split_placement",
        "track_device",
        "untrack_device",
    ],
)
async def test_corrections_are_for_administrators(
    house: FakeHouse, hass: HomeAssistant, hass_read_only_user: MockUser, action: str
) -> None:
    """Others may read."""
    data: dict[str, Any] = {"device_id": house.device()}
    if action.endswith("placement"):
        data |= {"area_id": "attic", "start": NOW} if action == "add_placement" else {"at": NOW}
    if action == "merge_rooms":
        data = {"area_id": "attic", "into": "kitchen"}
    with pytest.raises(Unauthorized):
        await hass.services.async_call(
            "pilot", action, data, blocking=True, context=Context(user_id=hass_read_only_user.id)
        )


# --- Other devices ---------------------------------------------------------------------------


@pytest.fixture
async def thermometer(house: FakeHouse) -> dr.DeviceEntry:
    """Return a device of another integration."""
    entry = MockConfigEntry(domain="other")
    entry.add_to_hass(house.hass)
    device = house.devices.async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={("other", "1")}, name="Thermometer"
    )
    house.devices.async_update_device(device.id, area_id="kitchen")
    for name, category, state_class in (
        ("temperature", None, "measurement"),
        ("chip_temperature", er.EntityCategory.DIAGNOSTIC, "measurement"),
        ("yesterday", None, None),
    ):
        house.entities.async_get_or_create(
            "sensor",
            "other",
            name,
            suggested_object_id=name,
            device_id=device.id,
            config_entry=entry,
            original_device_class="temperature",
            entity_category=category,
            capabilities={"state_class": state_class},
        )
    return device


@pytest.mark.parametrize(
    ("wall", "utc"),
    [
        ("2026-03-29 02:30:00", "2026-03-29T01:30:00+00:00"),
        ("2026-10-25 02:30:00", "2026-10-25T00:30:00+00:00"),
    ],
    ids=["skipped in spring", "twice in autumn"],
)
async def test_a_time_of_the_wall_when_the_clocks_are_changed(
    house: FakeHouse, wall: str, utc: str
) -> None:
    """As the card reads it: as much later in spring, and the first one in autumn."""
    await house.hass.config.async_set_time_zone("Europe/Paris")

    await house.do("add_placement", device_id=house.device(), area_id="attic", start=wall, end=-1)

    [first, _] = (await house.do("get_placements"))["placements"]
    assert first["start"] == utc


async def test_any_device_can_be_picked(house: FakeHouse, thermometer: dr.DeviceEntry) -> None:
    """From then on it counts as Pilot's own do; unpicked, it never did."""
    assert thermometer.id not in house.tracker.state.devices
    await house.do("track_device", device_id=thermometer.id)
    await house.do("track_device", device_id=thermometer.id)
    await house.measured({0: 18.0}, "sensor.temperature")
    await house.at(1)
    assert await house.placements(device_id=thermometer.id) == [("Thermometer", "kitchen", 0, None)]
    assert await house.room("pilot:kitchen_temperature") == {0: 18}

    answer = await house.do("untrack_device", device_id=thermometer.id)
    assert len(answer["placements"]) == 1
    assert await house.known() == {}
    with pytest.raises(ServiceValidationError, match="Thermometer"):
        await house.do("delete_placement", device_id=thermometer.id, at=0.5)


async def test_a_room_sensor_may_be_picked_too(house: FakeHouse) -> None:
    """It makes no difference."""
    await house.do("track_device", device_id=house.device())

    assert house.tracker.record(house.device()).picked


async def test_a_device_that_is_not_there(house: FakeHouse) -> None:
    """Cannot be picked, nor corrected."""
    with pytest.raises(ServiceValidationError) as caught:
        await house.do("track_device", device_id="nothing")
    assert caught.value.translation_key == "unknown_device"
    with pytest.raises(ServiceValidationError) as caught:
        await house.do("untrack_device", device_id="nothing")
    assert caught.value.translation_key == "device_not_tracked"


async def test_children_move_with_their_parent(
    house: FakeHouse, thermometer: dr.DeviceEntry
) -> None:
    """A child device has no area of its own, and no event when its parent moves."""
    child = house.devices.async_get_or_create_child(
        config_entry_id=thermometer.config_entry_id,
        identifiers={("other", "probe")},
        name="Probe",
        parent_device_id=thermometer.id,
    )
    await house.do("track_device", device_id=child.id)
    await house.at(1)
    house.devices.async_update_device(thermometer.id, area_id="attic")
    await house.settle()

    assert await house.placements(device_id=child.id) == [
        ("Probe", "kitchen", 0, 1),
        ("Probe", "attic", 1, None),
    ]


async def test_devices_are_bounded(house: FakeHouse, thermometer: dr.DeviceEntry) -> None:
    """A removed one makes room for a new one; what it measured stays in the room."""
    with patch.object(tracker_module, "MAX_DEVICES", 2):
        with pytest.raises(ServiceValidationError) as caught:
            await house.do("track_device", device_id=thermometer.id)
        assert caught.value.translation_key == "too_many_devices"

    await house.do("track_device", device_id=thermometer.id)
    await house.measured({0: 18.0}, "sensor.temperature")
    await house.at(1)
    house.devices.async_remove_device(thermometer.id)
    await house.settle()
    with patch.object(tracker_module, "MAX_DEVICES", 3):
        await house.host.announce(
            devices={**TWO_SENSORS["devices"], "aht20-1-39": {"name": "Other"}},
            readings=[
                *TWO_SENSORS["readings"],
                {
                    "key": "i2c.aht20-1-39.temperature",
                    "kind": "temperature",
                    "device": "aht20-1-39",
                },
            ],
        )
        await house.settle()
    assert len(house.tracker.state.devices) == 3
    assert thermometer.id not in house.tracker.state.devices

    await house.carry("kitchen", "aht20-1-39")
    await house.at(2)
    assert await house.room("pilot:kitchen_temperature") == {0: 18}


async def test_room_sensors_are_kept_however_many(unstarted: FakeHouse) -> None:
    """They were not asked for; it is a limit for those that were picked."""
    with patch.object(tracker_module, "MAX_DEVICES", 1):
        await unstarted.set_up()

    assert len(unstarted.tracker.state.devices) == 2


async def test_old_placements_give_way(house: FakeHouse) -> None:
    """And leave the room's statistics as they are."""
    with patch("custom_components.pilot.rooms.model.LIMIT", 2):
        await house.measured({0: 20.0, 1: 21.0, 2: 22.0})
        for hour, area_id in ((1, "attic"), (2, "kitchen")):
            await house.at(hour)
            await house.carry(area_id)
        await house.at(3)

    assert [area for _, area, _, _ in await house.placements()] == ["attic", "kitchen"]
    assert house.tracker.state.rooms["dining_room"].settled_to == NOON + HOUR
    assert await house.room("pilot:dining_room_temperature") == {0: 20}


# --- Reading ---------------------------------------------------------------------------------


async def test_room_history(house: FakeHouse) -> None:
    """Values with which sensor gave which span."""
    await house.at(2)
    await house.carry("attic")
    await house.carry("dining_room", "bme280-1-76")
    await house.measured({0: 20.0, 1: 21.0, 2: 30.0})
    await house.measured({2: 22.0}, BME)
    await house.at(3)

    history = await house.do(
        "get_room_history", area_id="dining_room", start=0.5, end=9, quantity=["temperature"]
    )

    assert (history["area_id"], history["area"]) == ("dining_room", "Dining room")
    assert [
        (one["device"], hours(one["start"]), hours(one["end"])) for one in history["sensors"]
    ] == [("AHT20", 0.5, 2), ("BME280", 2, 3)]
    assert list(history["measured"]) == ["temperature"]
    assert history["measured"]["temperature"]["unit"] == "°C"
    assert history["measured"]["temperature"]["statistic_id"] == "pilot:dining_room_temperature"
    assert [
        (hours(one["start"]), one["mean"], one["min"], one["max"])
        for one in history["measured"]["temperature"]["values"]
    ] == [(0, 20, 19, 21), (1, 21, 20, 22), (2, 22, 21, 23)]

    history = await house.do("get_room_history", area_id="kitchen", start=0)
    assert history["sensors"] == []
    assert history["measured"] == {}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"area_id": "cellar", "start": -1}, "unknown_area"),
        ({"area_id": "attic", "start": 1}, "bad_period"),
        ({"area_id": "attic", "start": -400 * 24}, "bad_period"),
    ],
)
async def test_room_history_of_nothing(house: FakeHouse, data: dict[str, Any], key: str) -> None:
    """No such room, or no such time."""
    with pytest.raises(ServiceValidationError) as caught:
        await house.do("get_room_history", **data)
    assert caught.value.translation_key == key


async def test_websocket(house: FakeHouse, hass_ws_client: WebSocketGenerator) -> None:
    """What a card asks for."""
    client = await hass_ws_client()
    await client.send_json_auto_id({"type": "pilot/placements/list", "area_ids": ["dining_room"]})
    answer = await client.receive_json()
    assert [one["device"] for one in answer["result"]["placements"]] == ["AHT20"]
    await client.send_json_auto_id(
        {"type": "pilot/placements/list", "start": "2026-11-04", "end": NOW, "device_ids": []}
    )
    assert (await client.receive_json())["result"] == {"placements": []}

    await client.send_json_auto_id({"type": "pilot/placements/subscribe"})
    assert (await client.receive_json())["success"]
    first = (await client.receive_json())["event"]
    assert first["rooms"] == [{"area_id": "dining_room", "name": "Dining room", "removed": False}]
    assert [(one["name"], one["quantities"]) for one in first["devices"]] == [
        ("AHT20", ["temperature"]),
        ("BME280", ["humidity", "pressure", "temperature"]),
    ]
    await house.at(1)
    await house.carry("attic")
    second = (await client.receive_json())["event"]
    assert [one["area"] for one in second["placements"]] == ["Dining room", "Attic"]


# --- Restarts and storage --------------------------------------------------------------------


def kept(hass_storage: dict[str, Any]) -> dict[str, Any]:
    """Return what is in the storage."""
    return hass_storage["pilot.placements"]


async def test_moves_are_written_at_once(house: FakeHouse, hass_storage: dict[str, Any]) -> None:
    """With what they make necessary, in one piece."""
    house.devices.async_update_device(house.device(), area_id="attic")
    await house.hass.async_block_till_done()

    stored = kept(hass_storage)
    assert (stored["version"], stored["minor_version"]) == (1, 1)
    placements = stored["data"]["devices"][house.device()]["placements"]
    assert [list(placement) for placement in placements] == [["attic", NOON, None]]
    assert store.from_stored(store.to_stored(house.tracker.state)) == house.tracker.state
    await house.settle()


async def test_what_is_pending_survives(hass: HomeAssistant) -> None:
    """Whole rooms, open ends, and rooms that only have another name."""
    state = store.State(
        rooms={area_id: store.Room(area_id) for area_id in "abc"},
        pending={"a": Span(1, 2), "b": Span(0, float("inf")), "c": store.NOTHING},
        computed_to=5,
    )

    assert store.from_stored(store.to_stored(state)) == state


def stored_state(unstarted: FakeHouse) -> tuple[str, dict[str, Any]]:
    """Return a device, and a storage that has it in the dining room since ten in the morning."""
    device = unstarted.devices.async_get_or_create(
        config_entry_id=unstarted.entry.entry_id,
        identifiers={("pilot", f"{HOST_ID}_aht20-1-38")},
        name="AHT20",
    )
    state = store.State(
        devices={
            device.id: store.Record(
                "AHT20",
                Timeline((Placement("dining_room", NOON - 2 * HOUR),)),
                {"gone": store.Source("sensor.earlier", "temperature")},
            ),
            "removed": store.Record(
                "Removed",
                Timeline((Placement("attic", NOON - 2 * HOUR),)),
                {"gone": store.Source(BME, "temperature")},
            ),
        },
        rooms={
            "dining_room": store.Room("Dining table"),
            "attic": store.Room("Attic"),
            "cellar": store.Room("Cellar"),
        },
        computed_to=NOON - HOUR,
    )
    return device.id, {
        "version": 1,
        "minor_version": 1,
        "key": "pilot.placements",
        "data": store.to_stored(state),
    }


async def test_moves_while_pilot_was_away(
    unstarted: FakeHouse, hass_storage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Moves, removals, renames: found at the start, and computed from what is there."""
    device_id, hass_storage["pilot.placements"] = stored_state(unstarted)
    unstarted.freezer.move_to(datetime.fromtimestamp(NOON - HOUR / 2, UTC))
    unstarted.devices.async_update_device(device_id, area_id="attic")
    unstarted.freezer.move_to(datetime.fromtimestamp(NOON, UTC))
    await unstarted.measured({-2: 19.0, -1: 20.0}, "sensor.earlier")
    await unstarted.measured({-1: 30.0}, BME)
    await unstarted.set_up()

    assert await unstarted.placements() == [
        ("AHT20", "dining_room", -2, -0.5),
        ("Removed", "attic", -2, 0),
        ("AHT20", "attic", -0.5, None),
    ]
    assert await unstarted.room("pilot:dining_room_temperature") == {-1: 20}
    assert await unstarted.room("pilot:attic_temperature") == {
        -1: pytest.approx((30 + 0.5 * 20) / 1.5)
    }
    assert (await unstarted.known())["pilot:dining_room_temperature"]["name"] == (
        "Dining room Temperature"
    )
    assert set(unstarted.tracker.state.rooms) == {"dining_room", "attic"}
    assert unstarted.tracker.state.pending == {}
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_crash_right_after_a_move(
    unstarted: FakeHouse, hass_storage: dict[str, Any]
) -> None:
    """Home Assistant had not written it yet, Pilot had: the sensor is where it was carried."""
    unstarted.freezer.move_to(datetime.fromtimestamp(NOON - 3 * HOUR, UTC))
    device_id, hass_storage["pilot.placements"] = stored_state(unstarted)
    unstarted.devices.async_update_device(device_id, area_id="attic")
    unstarted.freezer.move_to(datetime.fromtimestamp(NOON, UTC))
    await unstarted.set_up()

    assert await unstarted.placements(device_id=device_id) == [("AHT20", "dining_room", -2, None)]
    assert unstarted.devices.async_get(device_id).area_id == "dining_room"


async def test_a_restart(unstarted: FakeHouse, hass_storage: dict[str, Any]) -> None:
    """Sensors that the registries know are taken up before their host is heard of."""
    device_id, _ = stored_state(unstarted)
    for key, translation_key, on in (
        ("i2c.aht20-1-38.temperature", "temperature_of", device_id),
        ("i2c.loose.temperature", "temperature", None),
    ):
        unstarted.entities.async_get_or_create(
            "sensor",
            "pilot",
            f"{HOST_ID}_{key}",
            device_id=on,
            config_entry=unstarted.entry,
            translation_key=translation_key,
        )
    host = unstarted.devices.async_get_or_create(
        config_entry_id=unstarted.entry.entry_id,
        identifiers={("pilot", HOST_ID)},
        name="office-pc",
    )
    unstarted.devices.async_update_device(device_id, via_device_id=host.id, area_id="kitchen")
    assert await unstarted.hass.config_entries.async_setup(unstarted.entry.entry_id)
    await unstarted.settle()

    assert await unstarted.placements() == [("AHT20", "kitchen", 0, None)]
    assert list(kept(hass_storage)["data"]["devices"]) == [device_id]


async def test_a_child_that_was_moved_with_its_parent_while_pilot_was_away(
    unstarted: FakeHouse, hass_storage: dict[str, Any]
) -> None:
    """The parent says when."""
    parent_id, stored = stored_state(unstarted)
    child = unstarted.devices.async_get_or_create_child(
        config_entry_id=unstarted.entry.entry_id,
        identifiers={("pilot", f"{HOST_ID}_probe")},
        name="Probe",
        parent_device_id=parent_id,
    )
    stored["data"]["devices"] = {child.id: stored["data"]["devices"][parent_id]}
    hass_storage["pilot.placements"] = stored
    unstarted.freezer.move_to(datetime.fromtimestamp(NOON + HOUR, UTC))
    unstarted.devices.async_update_device(parent_id, area_id="attic")
    unstarted.freezer.move_to(datetime.fromtimestamp(NOON + 2 * HOUR, UTC))
    await unstarted.hass.config_entries.async_setup(unstarted.entry.entry_id)
    await unstarted.settle()

    assert await unstarted.placements(device_id=child.id) == [
        ("Probe", "dining_room", -2, 1),
        ("Probe", "attic", 1, None),
    ]


async def test_a_storage_of_another_minor_version(
    unstarted: FakeHouse, hass_storage: dict[str, Any]
) -> None:
    """What it does not have is not known; what it has more is not needed."""
    device_id, stored = stored_state(unstarted)
    stored["minor_version"] = 7
    record = stored["data"]["devices"][device_id]
    stored["data"] = {
        "devices": {
            device_id: {
                "name": "AHT20",
                "placements": [[*placement, "new"] for placement in record["placements"]],
                "colour": "blue",
            }
        }
    }
    hass_storage["pilot.placements"] = stored
    unstarted.devices.async_update_device(device_id, area_id="dining_room")
    await unstarted.set_up()

    assert await unstarted.placements() == [("AHT20", "dining_room", -2, None)]
    assert kept(hass_storage)["minor_version"] == 1


async def test_a_storage_of_a_newer_version(
    unstarted: FakeHouse,
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is left alone, and the hosts are there all the same."""
    _, stored = stored_state(unstarted)
    stored["version"] = 2
    hass_storage["pilot.placements"] = copy.deepcopy(stored)
    await unstarted.set_up()

    assert kept(hass_storage) == stored
    assert "pilot.placements" in caplog.text
    assert hass.states.get("sensor.office_pc_status").state == "online"
    assert hass.states.get(ROOM) is None
    assert not hass.services.has_service("pilot", "add_placement")


# --- Clocks that are wrong -------------------------------------------------------------------


async def test_a_move_by_a_clock_that_was_ahead(house: FakeHouse) -> None:
    """Once the clock is right, every move is dated by it, and none replaces another."""
    await house.carry("dining_room")
    house.freezer.move_to(datetime.fromtimestamp(NOON + 48 * HOUR, UTC))
    await house.carry("attic")
    house.freezer.move_to(datetime.fromtimestamp(NOON + HOUR, UTC))
    await house.carry("kitchen")
    house.freezer.move_to(datetime.fromtimestamp(NOON + 2 * HOUR, UTC))
    await house.carry("attic")

    assert await house.placements(device_id=house.device()) == [
        ("AHT20", "dining_room", 0, 1),
        ("AHT20", "kitchen", 1, 2),
        ("AHT20", "attic", 2, None),
    ]


async def test_an_hour_puts_right_what_a_clock_that_was_ahead_has_dated(house: FakeHouse) -> None:
    """Of all devices, not only of one that is moved again; by how long ago it was."""
    elapsed = 1000.0
    with patch("custom_components.pilot.rooms.tracker.monotonic", lambda: elapsed):
        await house.carry("dining_room")
        house.freezer.move_to(datetime.fromtimestamp(NOON + 48 * HOUR, UTC))
        elapsed += HOUR
        await house.carry("attic")
        elapsed += HOUR
        await house.at(2)

    assert await house.placements(device_id=house.device()) == [
        ("AHT20", "dining_room", 0, 1),
        ("AHT20", "attic", 1, None),
    ]


async def test_a_correction_after_the_clock_was_ahead(house: FakeHouse) -> None:
    """The user need not wait for what is in the future."""
    await house.carry("dining_room")
    house.freezer.move_to(datetime.fromtimestamp(NOON + 48 * HOUR, UTC))
    await house.carry("attic")
    house.freezer.move_to(datetime.fromtimestamp(NOON + HOUR, UTC))

    await house.do("move_placement", device_id=house.device(), at=0.5, start=0.25)

    assert await house.placements(device_id=house.device()) == [
        ("AHT20", "dining_room", 0.25, 1),
        ("AHT20", "attic", 1, None),
    ]


async def test_a_start_after_the_clock_was_ahead(
    unstarted: FakeHouse, hass_storage: dict[str, Any]
) -> None:
    """Nothing that is kept begins or ends after now, and hours are computed again."""
    device_id, stored = stored_state(unstarted)
    stored["data"]["devices"][device_id]["placements"] = [
        ["dining_room", NOON - 2 * HOUR, NOON + 24 * HOUR],
        ["attic", NOON + 24 * HOUR, NOON + 48 * HOUR],
        ["cellar", NOON + 48 * HOUR, None],
    ]
    stored["data"]["devices"]["removed"]["placements"] = [
        ["attic", NOON - 2 * HOUR, NOON + 24 * HOUR]
    ]
    stored["data"]["computed_to"] = NOON + 48 * HOUR
    stored["data"]["rooms"]["dining_room"]["settled_to"] = NOON + 48 * HOUR
    hass_storage["pilot.placements"] = stored
    unstarted.devices.async_update_device(device_id, area_id="kitchen")
    await unstarted.set_up()

    assert await unstarted.placements() == [
        ("AHT20", "dining_room", -2, 0),
        ("Removed", "attic", -2, 0),
        ("AHT20", "kitchen", 0, None),
    ]
    assert unstarted.tracker.state.computed_to == NOON


async def test_a_clock_that_was_behind_at_the_start(
    unstarted: FakeHouse, hass_storage: dict[str, Any]
) -> None:
    """A machine without a battery for its clock: when that is set nothing is lost."""
    device_id, stored = stored_state(unstarted)
    hass_storage["pilot.placements"] = stored
    unstarted.devices.async_update_device(device_id, area_id="dining_room")
    elapsed = 1000.0
    with patch("custom_components.pilot.rooms.tracker.monotonic", lambda: elapsed):
        unstarted.freezer.move_to(datetime.fromtimestamp(NOON - 2000 * HOUR, UTC))
        await unstarted.set_up()
        await unstarted.carry("attic")
        elapsed += HOUR
        await unstarted.at(1)

    assert await unstarted.placements(device_id=device_id) == [
        ("AHT20", "dining_room", -2, 0),
        ("AHT20", "attic", 0, None),
    ]
    assert unstarted.tracker.state.computed_to == NOON + HOUR


async def test_time_that_goes_by_is_no_clock_that_was_behind(house: FakeHouse) -> None:
    """What a clock that was ahead has dated does not come back when that time is there."""
    await house.carry("dining_room")
    house.freezer.move_to(datetime.fromtimestamp(NOON + 48 * HOUR, UTC))
    await house.carry("attic")
    await house.at(1)
    await house.at(50)

    assert await house.placements(device_id=house.device()) == [
        ("AHT20", "dining_room", 0, 1),
        ("AHT20", "attic", 1, None),
    ]


# --- The recorder ----------------------------------------------------------------------------


async def test_a_recorder_that_fails(house: FakeHouse, caplog: pytest.LogCaptureFixture) -> None:
    """What is to be computed stays noted, and is computed an hour later."""
    await house.measured({0: 20.0, 1: 21.0})
    with patch(
        "custom_components.pilot.rooms.statistics.get_metadata",
        side_effect=HomeAssistantError("no database"),
    ):
        await house.at(1)
    assert house.tracker.state.pending
    assert "Room statistics cannot be computed" in caplog.text

    await house.at(2)
    assert await house.room("pilot:dining_room_temperature") == {0: 20, 1: 21}
    assert not house.tracker.state.pending


async def test_changes_while_computing(house: FakeHouse) -> None:
    """What changes meanwhile is computed again."""
    await house.measured({0: 20.0, 1: 21.0})
    names = house.hass.data[PLACEMENTS].statistics._names
    changed = False

    async def change_meanwhile() -> Any:
        nonlocal changed
        if not changed:
            changed = True
            await house.tracker.async_statistics_changed(house.device(), NOON, NOON + 2 * HOUR)
        return await names()

    with patch.object(house.hass.data[PLACEMENTS].statistics, "_names", change_meanwhile):
        await house.at(1.5)
    assert await house.room("pilot:dining_room_temperature") == {0: 20}
    assert not house.tracker.state.pending


async def test_statistics_equal_the_reference(house: FakeHouse) -> None:
    """Two sensors, three rooms, moves and corrections: as minute by minute."""
    random = Random(4)
    end = 40
    values = {
        entity_id: {
            hour: Hour(mean := float(random.randrange(10, 30)), mean - 1, mean + 1)
            for hour in range(end)
            if random.random() < 0.9
        }
        for entity_id in (AHT, BME)
    }
    for entity_id, measured in values.items():
        await house.measured(measured, entity_id)
    rooms = ("attic", "dining_room", "kitchen", None)
    for minute in sorted(random.sample(range(end * 60), 12)):
        await house.at(minute / 60)
        await house.carry(random.choice(rooms), random.choice(("aht20-1-38", "bme280-1-76")))
    await house.at(end)
    corrected = 0
    while corrected < 10:
        device_id = house.device(random.choice(("aht20-1-38", "bme280-1-76")))
        at, other = (random.randrange(end * 60) / 60 for _ in range(2))
        action: Callable[[], tuple[str, dict[str, Any]]] = random.choice(
            (
                lambda at=at, other=other: ("move_placement", {"at": at, "start": other}),
                lambda at=at: ("split_placement", {"at": at, "area_before": "kitchen"}),
                lambda at=at: ("delete_placement", {"at": at}),
                lambda at=at: ("add_placement", {"start": at, "area_id": "attic"}),
            )
        )
        name, data = action()
        try:
            await house.do(name, device_id=device_id, **data)
        except ServiceValidationError:
            continue
        corrected += 1

    timelines = house.tracker.timelines
    stood = {
        device_id: minutes(timeline, NOON, NOON + end * HOUR)
        for device_id, timeline in timelines.items()
    }
    measured_by = {
        house.device(device): {NOON + hour * HOUR: value for hour, value in values[entity].items()}
        for device, entity in (("aht20-1-38", AHT), ("bme280-1-76", BME))
    }
    assert MINUTE * len(stood[house.device()]) == end * HOUR
    for area in ("attic", "dining_room", "kitchen"):
        expected = room_by_minutes(stood, measured_by, area, NOON, NOON + end * HOUR)
        written = await house.room(f"pilot:{area}_temperature", "mean", "min", "max")
        assert {hour: value for hour, value in written.items() if value[0] is not None} == {
            (hour - NOON) // HOUR: pytest.approx(tuple(value)) for hour, value in expected.items()
        }


async def test_without_a_recorder(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    mqtt_mock: MqttMockHAClient,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Placements are kept all the same; there is no history to show."""
    house = FakeHouse(hass, freezer)
    await house.hass.config_entries.async_setup(house.entry.entry_id)
    await hass.async_block_till_done()
    await house.host.connect()
    house.devices.async_update_device(house.device(), area_id="attic")
    await hass.async_block_till_done()

    assert hass.states.get(ROOM).state == "Attic"
    with pytest.raises(ServiceValidationError) as caught:
        await hass.services.async_call(
            "pilot",
            "get_room_history",
            {"area_id": "attic", "start": "2026-11-01"},
            blocking=True,
            return_response=True,
        )
    assert caught.value.translation_key == "no_recorder"
