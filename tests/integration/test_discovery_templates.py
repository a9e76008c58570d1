"""The templates of the agent's MQTT discovery, as Home Assistant renders them."""

import json
from typing import TYPE_CHECKING, Any

from homeassistant.helpers.template import Template
import pytest

from companion_agent.mqtt.discovery import discovery_payload
from companion_agent.protocol.announce import parse_announce
from companion_agent.protocol.topics import Topics
from support.integration_host import ANNOUNCE, HOST_ID

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

TOPICS = Topics("pilot/v2", HOST_ID)


@pytest.fixture
def payload() -> dict[str, Any]:
    """Describe a host whose screen lock is reported."""
    readings = [{"key": "session.locked"}, {"key": "disk.a.used_percent", "of": "/"}]
    collectors = {"session": {"interval": 60}, "disk": {"interval": 60}}
    announce = parse_announce(
        json.dumps({**ANNOUNCE, "readings": readings, "collectors": collectors}).encode(), HOST_ID
    )
    assert announce is not None
    return discovery_payload(announce, TOPICS)


def signed(body: dict[str, Any]) -> dict[str, Any]:
    """Put what is said into an envelope, as a paired host does."""
    return {"body": json.dumps(body), "signatures": {"0" * 16: "0" * 64}}


def rendered(hass: HomeAssistant, template: str, payload: str) -> str:
    """Render a template as the MQTT integration does."""
    value: str = Template(template, hass).async_render_with_possible_json_value(
        payload, parse_result=False
    )
    return value


@pytest.mark.parametrize(
    ("word", "shown"), [("online", "online"), ("off", "offline"), ("asleep", "offline")]
)
async def test_availability(
    hass: HomeAssistant, payload: dict[str, Any], word: str, shown: str
) -> None:
    """Bare, or signed."""
    template = payload["availability"][0]["value_template"]

    assert rendered(hass, template, word) == shown
    assert rendered(hass, template, json.dumps(signed({"availability": word}))) == shown


@pytest.mark.parametrize(("locked", "shown"), [(True, "OFF"), (False, "ON"), (None, "None")])
async def test_a_value_that_may_be_signed(
    hass: HomeAssistant, payload: dict[str, Any], locked: bool | None, shown: str
) -> None:
    """On is unlocked, as in the integration."""
    template = payload["components"]["session_locked"]["value_template"]
    part = {"ts": 1, "values": {"locked": locked}}

    for said in (part, signed(part)):
        state = json.dumps({"collectors": {"session": said}})
        assert rendered(hass, template, state) == shown


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({"collectors": {"disk": {"ts": 1, "values": {"a.used_percent": 41.5}}}}, "41.5"),
        ({"collectors": {"disk": {"ts": 1, "values": {"a.used_percent": None}}}}, "None"),
        ({"collectors": {"disk": {"ts": 1, "values": {}}}}, "None"),
        ({"collectors": {}}, "None"),
        (None, "None"),
    ],
)
async def test_a_value(
    hass: HomeAssistant, payload: dict[str, Any], state: dict[str, Any] | None, shown: str
) -> None:
    """What is not said is unknown, and so is everything when the topic was cleared."""
    template = payload["components"]["disk_a_used_percent"]["value_template"]

    assert rendered(hass, template, "" if state is None else json.dumps(state)) == shown
