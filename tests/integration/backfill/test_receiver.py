"""Chunks as they come from the broker: who is believed, who is answered, and how."""

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, patch

from homeassistant.core import CoreState
from homeassistant.exceptions import HomeAssistantError
import pytest

from custom_components.pilot.backfill.importer import Importer
from custom_components.pilot.backfill.runtime import BACKLOG
from custom_components.pilot.protocol.signing import Keys, derive, sign, verify
from custom_components.pilot.protocol.validation import FLEET, MAX_CHUNK_ENVELOPE
from custom_components.pilot.trust import async_get_trust
from support.integration_host import HOST_ID, FakeHost, make_entry

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

KEY = "i2c.aht20-1-38.temperature"
TOPIC = f"pilot/v2/{HOST_ID}/backlog"
ACKNOWLEDGE = f"pilot/v2/{HOST_ID}/acknowledge"
CHUNK: dict[str, Any] = {
    "chunk": "00112233445566aa",
    "session": "5f1c0a9be3d24c77",
    "time": 1793880000,
    "more": False,
    "values": {KEY: [[1793876400.0, 21.5], [1793876460.5, None]]},
}
SECRET = bytes(range(32))

pytestmark = pytest.mark.usefixtures("freezer")


@pytest.fixture
def importer(hass: HomeAssistant) -> Any:
    """Return what keeps chunks, without a recorder behind it."""
    with patch.object(Importer, "_wake"), patch.object(Importer, "_hopeless", return_value={}):
        importer = hass.data[BACKLOG] = Importer(hass)
        yield importer


@pytest.fixture
def published() -> Any:
    """Return what is published."""
    published = AsyncMock()
    with patch("custom_components.pilot.backfill.receiver.mqtt.async_publish", published):
        yield published


def signed(keys: Keys, topic: str, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a message as a paired host sends it."""
    text = json.dumps(body)
    signature = sign(keys.report, topic, text.encode())
    return {"protocol": 2, "body": text, "signatures": {keys.key_id: signature}} | changes


async def test_a_host_that_is_not_paired_is_answered_in_the_clear(
    hass: HomeAssistant, online: FakeHost, importer: Importer, published: AsyncMock
) -> None:
    """There is nothing to sign with."""
    await online.send("backlog", CHUNK)

    controller = (await async_get_trust(hass)).controller
    [call] = published.await_args_list
    assert call.args[1] == ACKNOWLEDGE
    assert json.loads(call.args[2]) == {"chunk": CHUNK["chunk"], "controller": controller}
    assert call.kwargs == {"qos": 1}
    assert importer.hosts[HOST_ID].readings[KEY].points == (
        (1793876400.0, 21.5),
        (1793876460.5, None),
    )


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        pytest.param("nonsense", "json", id="no JSON"),
        pytest.param(CHUNK | {"chunk": "../../etc"}, "chunk", id="bad id"),
        pytest.param(CHUNK | {"values": {KEY: "x"}}, "points", id="bad points"),
        pytest.param(" " * (MAX_CHUNK_ENVELOPE + 1), "size", id="too large"),
    ],
)
async def test_hostile_chunks_are_counted_and_not_answered(
    online: FakeHost,
    configured: Any,
    importer: Importer,
    published: AsyncMock,
    payload: Any,
    kind: str,
) -> None:
    """Nothing of them is kept."""
    await online.send("backlog", payload)

    published.assert_not_awaited()
    assert importer.hosts == {}
    assert configured.runtime_data.coordinator.refused == {f"backlog.{kind}": 1}


async def test_retained_chunks_are_refused(
    online: FakeHost, configured: Any, importer: Importer, published: AsyncMock
) -> None:
    """They were put there by another publisher."""
    await online.send("backlog", CHUNK, retain=True)

    published.assert_not_awaited()
    assert configured.runtime_data.coordinator.refused == {"backlog.retained": 1}


@pytest.fixture(params=["code", "fleet_key"])
async def keys(
    hass: HomeAssistant, mqtt_mock: Any, host: FakeHost, request: pytest.FixtureRequest
) -> Keys:
    """Return the keys between Home Assistant and a host that is set up."""
    trust = await async_get_trust(hass)
    if request.param == "fleet_key":
        await trust.async_set_fleet(SECRET, add=False)
        await trust.async_pair(HOST_ID, None)
        keys = derive(FLEET, SECRET, "pilot/v2", HOST_ID)
    else:
        await trust.async_pair(HOST_ID, SECRET)
        keys = derive(trust.controller, SECRET, "pilot/v2", HOST_ID)
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    announce = host.announced | {"sequence": [1, 1]}
    await host.send("announce", signed(keys, f"pilot/v2/{HOST_ID}/announce", announce))
    return keys


async def test_a_paired_host_is_believed_by_its_signature_and_answered_with_ours(
    hass: HomeAssistant, host: FakeHost, keys: Keys, importer: Importer, published: AsyncMock
) -> None:
    """The answer is signed for the topic that it is on."""
    await host.send("backlog", signed(keys, TOPIC, CHUNK))

    controller = (await async_get_trust(hass)).controller
    [call] = published.await_args_list
    envelope = json.loads(call.args[2])
    [(key_id, signature)] = envelope["signatures"].items()
    assert key_id == keys.key_id
    assert verify(keys.command, ACKNOWLEDGE, envelope["body"].encode(), signature)
    assert json.loads(envelope["body"]) == {"chunk": CHUNK["chunk"], "controller": controller}


async def test_no_other_client_speaks_for_a_paired_host(
    hass: HomeAssistant, host: FakeHost, keys: Keys, importer: Importer, published: AsyncMock
) -> None:
    """Not without a signature, not with one for another topic, not with another key."""
    other = derive(keys.key_id, bytes(32), "pilot/v2", HOST_ID)
    await host.send("backlog", CHUNK)
    await host.send("backlog", signed(keys, f"pilot/v2/{HOST_ID}/event/power", CHUNK))
    await host.send("backlog", signed(other, TOPIC, CHUNK))
    await host.send("backlog", signed(keys, TOPIC, CHUNK, signatures={"0" * 16: "0" * 64}))

    published.assert_not_awaited()
    assert importer.hosts == {}
    [entry] = hass.config_entries.async_entries("pilot")
    assert entry.runtime_data.coordinator.refused == {
        "backlog.unsigned": 1,
        "backlog.bad_signature": 2,
        "backlog.not_signed_for_us": 1,
    }


async def test_before_the_announce_nothing_is_taken(
    host: FakeHost, configured: Any, importer: Importer, published: AsyncMock
) -> None:
    """What the values are of is not known yet: the host will deliver it again."""
    await host.send("backlog", CHUNK)
    published.assert_not_awaited()

    await host.connect()
    await host.send("backlog", CHUNK)

    published.assert_awaited_once()


async def test_without_a_recorder_nothing_is_taken(
    online: FakeHost, published: AsyncMock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and the host keeps what it has."""
    await online.send("backlog", CHUNK)
    await online.send("backlog", CHUNK)

    published.assert_not_awaited()
    assert caplog.text.count("there is no recorder to keep it") == 1


async def test_while_home_assistant_stops_nothing_is_taken(
    hass: HomeAssistant, online: FakeHost, importer: Importer, published: AsyncMock
) -> None:
    """The recorder may have ended, which says what becomes of a value: it is delivered again."""
    hass.set_state(CoreState.stopping)

    await online.send("backlog", CHUNK)

    published.assert_not_awaited()
    assert HOST_ID not in importer.hosts


async def test_the_broker_goes_before_the_answer(
    online: FakeHost, importer: Importer, published: AsyncMock
) -> None:
    """The chunk is kept; when it is repeated, it is answered."""
    published.side_effect = HomeAssistantError("no broker")
    await online.send("backlog", CHUNK)

    published.side_effect = None
    await online.send("backlog", CHUNK)

    assert published.await_count == 2
    assert importer.hosts[HOST_ID].chunks == [CHUNK["chunk"]]
