"""Values that come, and payloads that should not have."""

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.components import mqtt
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers.entity import Entity
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_mqtt_message

from support.integration_host import ANNOUNCE, HOST_ID, FakeHost

if TYPE_CHECKING:
    from collections.abc import Generator

PROCESSOR = "sensor.office_pc_processor"
LOAD = "sensor.office_pc_load_1_min"


@pytest.fixture
def written() -> Generator[list[str]]:
    """Return a list that fills with the entities whose state is written, changed or not."""
    entities: list[str] = []
    write = Entity._async_write_ha_state

    def noting(entity: Entity) -> None:
        entities.append(entity.entity_id)
        write(entity)

    with patch.object(Entity, "_async_write_ha_state", noting):
        yield entities


async def test_shows_values(hass: HomeAssistant, online: FakeHost) -> None:
    """What the host reads is what Home Assistant shows."""
    await online.state("cpu", percent=99.5, load_1m=3)

    assert hass.states.get(PROCESSOR).state == "99.5"
    assert hass.states.get(LOAD).state == "3"


async def test_writes_only_what_changed(online: FakeHost, written: list[str]) -> None:
    """Entities whose value is the same are left alone."""
    await online.state("cpu", percent=99.5, load_1m=0.42)

    assert written == [PROCESSOR]


async def test_writes_nothing_if_nothing_changed(online: FakeHost, written: list[str]) -> None:
    """Most updates of most hosts are like this."""
    await online.state("cpu", percent=12.5, load_1m=0.42)

    assert written == []


async def test_writes_nothing_while_the_host_is_away(online: FakeHost, written: list[str]) -> None:
    """Values that arrive after the will are kept for when it is back."""
    await online.availability("lost")
    written.clear()

    await online.state("cpu", percent=77, load_1m=0.42)
    assert written == []

    await online.availability("online")
    assert PROCESSOR in written


async def test_true_is_not_one(hass: HomeAssistant, online: FakeHost) -> None:
    """Equal for Python, and for no user."""
    await online.state("cpu", percent=1, load_1m=0.42)
    await online.state("cpu", percent=1.0, load_1m=0.42)

    assert hass.states.get(PROCESSOR).state == "1.0"


@pytest.mark.parametrize(
    "values", [{"percent": None, "load_1m": 1}, {"load_1m": 1}], ids=["null", "missing"]
)
async def test_what_cannot_be_read_is_unavailable(
    hass: HomeAssistant, online: FakeHost, values: dict[str, Any]
) -> None:
    """And comes back when it can."""
    await online.state("cpu", **values)
    assert hass.states.get(PROCESSOR).state == "unavailable"
    assert hass.states.get(LOAD).state == "1"

    await online.state("cpu", percent=5, load_1m=1)
    assert hass.states.get(PROCESSOR).state == "5"


async def test_announced_but_not_received_is_unavailable(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """There is nothing to show yet."""
    await host.connect()

    assert hass.states.get(PROCESSOR).state == "unavailable"


async def test_values_that_were_not_announced_are_ignored(
    hass: HomeAssistant, online: FakeHost
) -> None:
    """So are collectors; the others' values count."""
    await online.send("state/gpu", {"ts": 1, "values": {"percent": 1}})
    await online.state("cpu", percent=5, load_1m=1, surprise=3)

    assert hass.states.get(PROCESSOR).state == "5"


async def test_cleared_values_are_ignored(hass: HomeAssistant, online: FakeHost) -> None:
    """An empty retained payload takes nothing away; silence will."""
    await online.send("state/cpu", "")

    assert hass.states.get(PROCESSOR).state == "12.5"


async def test_an_option_that_is_not_known_is_unavailable(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost
) -> None:
    """A newer agent may know more states of a battery; the other readings stay."""
    await host.availability()
    await host.announce(
        readings=[
            {"key": "cpu.bat0.state", "kind": "battery.state", "of": "BAT0"},
            {"key": "cpu.percent"},
        ]
    )
    await host.state("cpu", bat0__state="exploding", percent=4)

    assert hass.states.get("sensor.office_pc_bat0_state").state == "unavailable"
    assert hass.states.get(PROCESSOR).state == "4"


async def test_a_shared_subscription_may_hand_over_text(
    hass: HomeAssistant, online: FakeHost
) -> None:
    """Home Assistant gives one encoding to all who subscribe to the same filter."""
    await mqtt.async_subscribe(hass, f"pilot/v2/{HOST_ID}/state/+", callback(lambda _: None))
    await online.state("cpu", percent=6, load_1m=1)

    assert hass.states.get(PROCESSOR).state == "6"


# --- Payloads that are refused ---------------------------------------------------------------

HOSTILE = [
    pytest.param("state/cpu", b"\xff\xfe\x00", id="not UTF-8"),
    pytest.param("state/cpu", b"not json", id="not JSON"),
    pytest.param("state/cpu", b"[" * 60_000, id="deep"),
    pytest.param(
        "state/cpu",
        b'{"ts": 1, "values": {"percent": 1, "x": "' + b"y" * 70_000 + b'"}}',
        id="large",
    ),
    pytest.param("state/cpu", b'{"ts": 1, "values": {"percent": NaN}}', id="NaN"),
    pytest.param("state/cpu", b'{"ts": 1, "values": {"percent": 1e999}}', id="infinite"),
    pytest.param("state/cpu", b'{"ts": 1, "values": {"percent": 1' + b"0" * 400 + b"}}", id="huge"),
    pytest.param("state/cpu", b'{"ts": 1, "values": {"percent": "99"}}', id="text for a number"),
    pytest.param("state/cpu", b'{"ts": 1, "values": {"percent": true}}', id="true for a number"),
    pytest.param("state/cpu", b'{"ts": 1, "values": {"percent": [99]}}', id="list for a number"),
    pytest.param("state/cpu", b'{"ts": 1, "values": {"percent": "\\ud800"}}', id="lone surrogate"),
    pytest.param(
        "state/cpu", b'{"ts": 1, "values": {"load_1m": 9, "percent": "\\u0000"}}', id="NUL"
    ),
    pytest.param("state/cpu", b'{"ts": "now", "values": {"percent": 99}}', id="ts is text"),
    pytest.param("availability", b"gone", id="unknown word"),
    pytest.param("availability", b"offofflostoffofflost", id="long word"),
    pytest.param("availability", b"\xc3\x28", id="word is not UTF-8"),
    pytest.param("announce", b"{}", id="empty announce"),
    pytest.param("announce", b'{"protocol": 2' + b" " * 300_000 + b"}", id="large announce"),
    pytest.param("announce", b"\x00\x01", id="binary announce"),
]


@pytest.mark.parametrize(("topic", "payload"), HOSTILE)
async def test_a_refused_payload_changes_nothing(
    hass: HomeAssistant,
    online: FakeHost,
    caplog: pytest.LogCaptureFixture,
    topic: str,
    payload: bytes,
) -> None:
    """No state, no entity, no exception; one line in the log, however often it comes."""
    before = {state.entity_id: state for state in hass.states.async_all()}
    caplog.clear()

    for _ in range(3):
        await online.send(topic, payload)

    assert {state.entity_id: state for state in hass.states.async_all()} == before
    warnings = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert [record.name for record in warnings] == ["custom_components.pilot"]
    assert "office-pc" in warnings[0].message


async def test_each_kind_of_refusal_is_logged(
    online: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """A second thing that is wrong is worth a second line."""
    caplog.clear()
    await online.send("state/cpu", b"not json")
    await online.send("state/cpu", b'{"ts": 1, "values": 1}')
    await online.send("availability", b"gone")

    assert caplog.text.count("Refused a payload") == 3


@pytest.mark.parametrize(
    ("reading_type", "value"),
    [
        ("boolean", 1),
        ("boolean", "true"),
        ("text", 5),
        ("enum", False),
        ("timestamp", "yesterday"),
        ("timestamp", "2026-11-05T08:00:00"),
        ("timestamp", 1793952000),
        ("timestamp", "0001-01-01T00:00:00+14:00"),
        ("number", "5"),
    ],
)
async def test_values_of_another_type_are_refused_as_a_whole(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    host: FakeHost,
    reading_type: str,
    value: Any,
) -> None:
    """What came with them is not believed either."""
    await host.availability()
    await host.announce(
        readings=[
            {"key": "cpu.thing", "kind": "custom", "type": reading_type, "options": ["a"]},
            {"key": "cpu.percent"},
        ]
    )
    await host.state("cpu", percent=1, thing=None)
    await host.state("cpu", percent=2, thing=value)

    assert hass.states.get(PROCESSOR).state == "1"


async def test_another_hosts_topics_are_another_hosts(
    hass: HomeAssistant, online: FakeHost
) -> None:
    """Nothing that is said under another id is heard."""
    other = FakeHost(hass, ANNOUNCE | {"host": ANNOUNCE["host"] | {"id": "0" * 16}})
    await other.state("cpu", percent=99, load_1m=99)
    await other.availability("off")

    assert hass.states.get(PROCESSOR).state == "12.5"


async def test_states_mean_nothing_before_the_announce(
    hass: HomeAssistant, configured: MockConfigEntry
) -> None:
    """They are not even asked for."""
    changes: list[Event[EventStateChangedData]] = []
    hass.bus.async_listen("state_changed", changes.append)
    async_fire_mqtt_message(hass, f"pilot/v2/{HOST_ID}/state/cpu", '{"ts": 1, "values": {}}')
    await hass.async_block_till_done()

    assert changes == []
