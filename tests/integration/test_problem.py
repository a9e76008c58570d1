"""The sensor that says whether anything is wrong with a computer."""

from typing import TYPE_CHECKING, Any

from homeassistant.const import EntityCategory
from homeassistant.helpers.event import async_track_state_change_event
import pytest

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import entity_registry as er
    from pytest_homeassistant_custom_component.common import MockConfigEntry

    from support.integration_host import FakeHost

pytestmark = pytest.mark.usefixtures("freezer")

PROBLEM = "binary_sensor.office_pc_problem"
READINGS = [
    {"key": "cpu.temperature"},
    {"key": "disk.root.used_percent", "kind": "disk.used_percent", "of": "/"},
    {"key": "disk.home.used_percent", "kind": "disk.used_percent", "of": "/home"},
    {"key": "rpi.under_voltage"},
    {"key": "system.pending_reboot"},
]
COLLECTORS = {name: {"interval": 60} for name in ("cpu", "disk", "rpi", "system")}


@pytest.fixture
async def judged(configured: MockConfigEntry, host: FakeHost) -> FakeHost:
    """Return a host with readings that can show problems, and has none."""
    await host.availability()
    await host.announce(readings=READINGS, collectors=COLLECTORS, devices={})
    await host.state("disk", root__used_percent=40, home__used_percent=50)
    await host.state("rpi", under_voltage=False)
    return host


def shown(hass: HomeAssistant) -> tuple[str, Any, Any]:
    state = hass.states.get(PROBLEM)
    assert state is not None
    return state.state, state.attributes.get("reasons"), state.attributes.get("problems")


async def test_no_problem(
    hass: HomeAssistant, judged: FakeHost, entity_registry: er.EntityRegistry
) -> None:
    """A restart that is pending, and what cannot be read, is none."""
    await judged.state("system", pending_reboot=True)
    await judged.state("cpu", temperature=None)

    assert shown(hass) == ("off", [], [])
    entry = entity_registry.async_get(PROBLEM)
    assert entry is not None
    assert entry.entity_category is EntityCategory.DIAGNOSTIC
    assert hass.states.get(PROBLEM).attributes["device_class"] == "problem"


async def test_a_graphics_card_that_is_too_hot_is_a_problem_of_its_own(
    hass: HomeAssistant, judged: FakeHost
) -> None:
    """It is a device below the computer, which has none by that."""
    card = "graphics-0000-0b-00-0"
    await judged.announce(
        readings=[
            *READINGS,
            {"key": "graphics.0000-0b-00-0.too_hot", "kind": "graphics.too_hot", "device": card},
        ],
        collectors={**COLLECTORS, "graphics": {"interval": 10}},
        devices={card: {"name": "AMD Radeon RX 5700"}},
    )

    await judged.state("graphics", **{"0000-0b-00-0__too_hot": True})

    state = hass.states.get("binary_sensor.office_pc_amd_radeon_rx_5700_problem")
    assert state is not None
    assert (state.state, state.attributes["reasons"]) == ("on", ["too_hot"])
    assert shown(hass) == ("off", [], [])


async def test_problems_are_told_apart(hass: HomeAssistant, judged: FakeHost) -> None:
    """By key for automations, in words for people."""
    await judged.state("disk", root__used_percent=97, home__used_percent=99)
    await judged.state("rpi", under_voltage=True)

    assert shown(hass) == (
        "on",
        ["disk_nearly_full", "supply_too_weak"],
        ["Disk nearly full: /", "Disk nearly full: /home", "Power supply too weak"],
    )


@pytest.mark.parametrize(
    ("collector", "values", "reason"),
    [
        ("cpu", {"temperature": 95}, "too_hot"),
        ("disk", {"root__used_percent": 95}, "disk_nearly_full"),
        ("rpi", {"under_voltage": True}, "supply_too_weak"),
    ],
)
async def test_each_problem(
    hass: HomeAssistant, judged: FakeHost, collector: str, values: dict[str, Any], reason: str
) -> None:
    """From its limit on."""
    await judged.state(collector, **values)

    assert shown(hass)[:2] == ("on", [reason])


async def test_to_and_fro_at_the_limit_is_one_problem(
    hass: HomeAssistant, judged: FakeHost
) -> None:
    """A disk that is emptied a little is nearly full still."""
    written: list[str] = []
    async_track_state_change_event(
        hass, [PROBLEM], lambda event: written.append(event.data["new_state"].state)
    )
    for percent in (94, 95, 94, 96, 93, 92.9, 94):
        await judged.state("disk", root__used_percent=percent, home__used_percent=50)
    await hass.async_block_till_done()

    assert written == ["on", "off"]


async def test_it_is_unavailable_with_the_host(hass: HomeAssistant, judged: FakeHost) -> None:
    """What was wrong before it went may be put right meanwhile."""
    await judged.state("rpi", under_voltage=True)
    await judged.availability("off")
    assert shown(hass)[0] == "unavailable"

    await judged.availability("online")
    assert shown(hass)[0] == "on"


async def test_a_host_that_reports_nothing_of_that_has_none(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """Nothing can be said of it."""
    await host.availability()
    await host.announce(readings=[{"key": "cpu.percent"}])

    assert hass.states.get(PROBLEM) is None


async def test_it_follows_the_announce(hass: HomeAssistant, judged: FakeHost) -> None:
    """A disk that comes is judged too, one that goes is not."""
    await judged.announce(
        readings=[*READINGS, {"key": "disk.usb.used_percent", "kind": "disk.used_percent"}]
    )
    await judged.state("disk", usb__used_percent=99)
    assert shown(hass)[0] == "on"

    await judged.announce(readings=READINGS)
    await judged.state("disk", root__used_percent=40, home__used_percent=50)
    assert shown(hass)[0] == "off"


async def test_a_device_below_has_its_own(hass: HomeAssistant, judged: FakeHost) -> None:
    """Each device is judged by its own readings."""
    below = {"key": "disk.nas.used_percent", "kind": "disk.used_percent", "device": "nas"}
    await judged.announce(readings=[*READINGS, below], devices={"nas": {"name": "NAS"}})
    await judged.state("disk", root__used_percent=1, home__used_percent=1, nas__used_percent=99)

    assert shown(hass)[0] == "off"
    assert hass.states.get("binary_sensor.office_pc_nas_problem").state == "on"


async def test_a_disk_has_its_own(hass: HomeAssistant, judged: FakeHost) -> None:
    """A disk that fails or is worn is the disk's problem, an array that lacks one its host's."""
    disk = {"device": "disk-1"}
    below = [
        {"key": "disk_health.1.health", "kind": "disk_health.health", **disk},
        {"key": "disk_health.1.wear", "kind": "disk_health.wear", **disk},
        {"key": "disk_health.md0.degraded", "kind": "disk_health.array_degraded", "of": "md0"},
    ]
    await judged.announce(
        readings=[*READINGS, *below],
        collectors={**COLLECTORS, "disk_health": {"interval": 60}},
        devices={"disk-1": {"name": "SSD", "model": "SSD 1", "serial": "S1"}},
    )
    values = {"1__health": "passed", "1__wear": 89, "md0__degraded": False}
    await judged.state("disk_health", **values)
    assert hass.states.get("binary_sensor.office_pc_ssd_problem").state == "off"

    await judged.state(
        "disk_health", **{"1__health": "failed", "1__wear": 90, "md0__degraded": True}
    )

    state = hass.states.get("binary_sensor.office_pc_ssd_problem")
    assert state.attributes["reasons"] == ["disk_failing", "disk_worn"]
    assert shown(hass) == ("on", ["array_degraded"], ["Disk array degraded: md0"])
