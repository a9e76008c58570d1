"""Adding hosts: offered by discovery, or found by a search."""

import base64
import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.components.mqtt import ReceiveMessage
from homeassistant.config_entries import SOURCE_IGNORE, SOURCE_USER
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import async_fire_mqtt_message

from custom_components.pilot import config_flow, discovery
from custom_components.pilot.kept_announces import async_get_kept_announces
from custom_components.pilot.trust import async_get_trust
from support.integration_host import ANNOUNCE, HOST_ID, FakeHost, make_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient

pytestmark = pytest.mark.usefixtures("enable_custom_integrations", "quick_search", "mqtt_mock")

ANYWHERE = {"advanced": {"prefix": "pilot/v2"}}
OTHER_ID = "0" * 16
FLEET_KEY = base64.b64encode(bytes(range(32))).decode()


def another(host_id: str = OTHER_ID, **host: Any) -> dict[str, Any]:
    """Return the announce of another host, which is like the usual one unless told."""
    return ANNOUNCE | {"host": {**ANNOUNCE["host"], "id": host_id, **host}}


async def discovered(hass: HomeAssistant) -> list[Any]:
    """Return the cards that discovery shows."""
    await hass.async_block_till_done(wait_background_tasks=True)
    return hass.config_entries.flow.async_progress_by_handler("pilot")


@pytest.fixture
def retained(hass: HomeAssistant) -> Generator[dict[str, Any]]:
    """Return what the broker keeps, by topic: it is sent to every new subscriber."""
    topics: dict[str, Any] = {}
    subscribe = discovery.mqtt.async_subscribe

    async def subscribe_and_hear(
        hass: HomeAssistant, topic: str, on_message: Callable[..., None], **kwargs: Any
    ) -> Any:
        unsubscribe = await subscribe(hass, topic, on_message, **kwargs)
        start, _, end = topic.partition("+")
        for kept, payload in topics.items():
            if kept == topic or (end and kept.startswith(start) and kept.endswith(end)):
                data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                on_message(ReceiveMessage(kept, data, 1, True, topic, 0))
        return unsubscribe

    def confirm(
        hass: HomeAssistant, topic: str, qos: int, done: Callable[[], None]
    ) -> Callable[[], None]:
        hass.loop.call_soon(done)
        return lambda: None

    with (
        patch.object(discovery.mqtt, "async_subscribe", subscribe_and_hear),
        patch.object(discovery.mqtt, "async_on_subscribe_done", confirm),
    ):
        yield topics


def keep(topics: dict[str, Any], *announces: dict[str, Any], prefix: str = "pilot/v2") -> None:
    """Let the broker keep announces."""
    for announce in announces:
        topics[f"{prefix}/{announce['host']['id']}/announce"] = announce


# --- Discovery -------------------------------------------------------------------------------


async def test_a_discovered_host_is_added(hass: HomeAssistant, host: FakeHost) -> None:
    """One card, one question, done."""
    await host.announce(retain=True)
    [flow] = await discovered(hass)
    assert flow["context"]["title_placeholders"] == {"name": "office-pc", "model": "ThinkPad X1"}

    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert form["step_id"] == "confirm"
    assert form["description_placeholders"] == {
        "command": "sudo pilot-agent pair",
        "name": "office-pc",
        "model": "LENOVO ThinkPad X1",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "version": "0.1.0",
        "host_id": HOST_ID,
    }

    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "office-pc"
    assert result["data"] == {
        "prefix": "pilot/v2",
        "host_name": "office-pc",
        "auto_title": "office-pc",
    }
    assert result["result"].unique_id == HOST_ID


async def test_a_host_of_which_little_is_known(hass: HomeAssistant, host: FakeHost) -> None:
    """A machine need not say what it is."""
    await host.announce(host={"id": HOST_ID, "name": "thing"})
    [flow] = await discovered(hass)
    assert flow["context"]["title_placeholders"] == {"name": "thing", "model": HOST_ID}

    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert form["description_placeholders"]["model"] == "-"

    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_machine_without_a_model_is_told_by_its_system(
    hass: HomeAssistant, host: FakeHost
) -> None:
    """Without the brackets that systems like to have in their names."""
    await host.announce(host={key: ANNOUNCE["host"][key] for key in ("id", "name", "os")})

    [flow] = await discovered(hass)
    assert flow["context"]["title_placeholders"]["model"] == "Debian GNU/Linux 12"


async def test_two_hosts_of_the_same_name_are_distinguishable(
    hass: HomeAssistant, host: FakeHost
) -> None:
    """On the cards, and as entries."""
    await host.announce()
    await FakeHost(hass, another()).announce()
    flows = await discovered(hass)
    assert {flow["context"]["title_placeholders"]["model"] for flow in flows} == {
        "ThinkPad X1",
        "ThinkPad X1, 000000",
    }

    await FakeHost(hass, another("1" * 16)).announce()
    titles = [
        (await hass.config_entries.flow.async_configure(flow["flow_id"], {}))["title"]
        for flow in await discovered(hass)
    ]
    assert titles[:2] == ["office-pc", "office-pc (ThinkPad X1)"]
    assert titles[2].startswith("office-pc (")
    assert len(set(titles)) == 3


async def test_a_card_keeps_to_its_line(hass: HomeAssistant, host: FakeHost) -> None:
    """Whatever a host calls itself; one whose name cannot be seen is told by its id."""
    name = "of\u202efice\nUpdate now"
    await host.announce(host={"id": HOST_ID, "name": name, "os": "\u2066Debian"})
    await FakeHost(hass, another(name="\u202e\n")).announce()

    cards = [flow["context"]["title_placeholders"] for flow in await discovered(hass)]

    assert {card["name"]: card["model"] for card in cards} == {
        "office Update now": "Debian",
        OTHER_ID: "ThinkPad X1",
    }


async def test_hosts_of_other_names_need_no_distinction(
    hass: HomeAssistant, host: FakeHost
) -> None:
    """The model is enough."""
    await FakeHost(hass, another(name="studio-pc")).announce()
    await host.announce()

    shown = [flow["context"]["title_placeholders"] for flow in await discovered(hass)]
    assert [placeholders["model"] for placeholders in shown] == ["ThinkPad X1"] * 2


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"not json", "invalid_discovery_info"),
        (b"{}", "invalid_discovery_info"),
        (json.dumps(ANNOUNCE | {"protocol": 3}), "protocol_newer"),
        (json.dumps(ANNOUNCE | {"protocol": 1}), "protocol_older"),
    ],
)
async def test_an_announce_that_is_refused_is_not_offered(
    hass: HomeAssistant,
    host: FakeHost,
    caplog: pytest.LogCaptureFixture,
    payload: bytes | str,
    reason: str,
) -> None:
    """The log says why, once; and a good one is offered after it."""
    with patch(
        "custom_components.pilot.config_flow.PilotConfigFlow.async_abort",
        autospec=True,
        side_effect=lambda flow, **kwargs: {
            "type": FlowResultType.ABORT,
            "flow_id": flow.flow_id,
            "handler": "pilot",
            **kwargs,
        },
    ) as abort:
        await host.send("announce", payload)
        await host.send("announce", b"")
        await host.send("announce", payload)
        assert await discovered(hass) == []
    assert abort.mock_calls[0].kwargs == {"reason": reason}
    assert caplog.text.count("Refused an announce on 'pilot/v2/9c3f6f0e3a5b4d21/announce") == 1

    await host.announce()
    [flow] = await discovered(hass)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_flood_of_bad_hosts_does_not_flood_the_log(
    hass: HomeAssistant, host: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that may publish may do so under any number of names."""
    with patch("custom_components.pilot.config_flow._MAX_LOGGED", 3):
        for number in range(10):
            await FakeHost(hass, another(f"{number:016}")).send("announce", "{}")
        await discovered(hass)

    assert caplog.text.count("Refused an announce") == 3


async def test_the_offer_is_withdrawn_when_the_host_is_removed_for_good(
    hass: HomeAssistant, host: FakeHost
) -> None:
    """An empty announce takes the card away; the next one brings it back."""
    await host.announce()
    assert len(await discovered(hass)) == 1

    await host.send("announce", "")
    assert await discovered(hass) == []

    await host.announce()
    [flow] = await discovered(hass)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_configured_host_is_not_offered(hass: HomeAssistant, online: FakeHost) -> None:
    """It announces itself often enough."""
    await online.announce(session="0123456789abcdef")

    assert await discovered(hass) == []


async def test_a_bad_announce_of_a_configured_host_is_left_to_its_entry(
    hass: HomeAssistant, online: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """Which says what is wrong; discovery does not repeat it."""
    await online.send("announce", "{}")

    assert await discovered(hass) == []
    assert "Refused an announce on" not in caplog.text


async def test_an_ignored_host_is_not_offered_again(hass: HomeAssistant, host: FakeHost) -> None:
    """Until the user stops ignoring it."""
    await host.announce()
    [flow] = await discovered(hass)
    await hass.config_entries.flow.async_init(
        "pilot",
        context={"source": SOURCE_IGNORE},
        data={"unique_id": HOST_ID, "title": "office-pc"},
    )
    await host.announce(session="0123456789abcdef")
    assert await discovered(hass) == []

    [ignored] = hass.config_entries.async_entries("pilot")
    await hass.config_entries.async_remove(ignored.entry_id)
    [flow] = await discovered(hass)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_removed_host_is_not_offered_again(
    hass: HomeAssistant, host: FakeHost, retained: dict[str, Any], hass_storage: dict[str, Any]
) -> None:
    """Not even after a restart; by hand it comes back, and is offered as ever after that."""
    await host.announce()
    [flow] = await discovered(hass)
    entry = (await hass.config_entries.flow.async_configure(flow["flow_id"], {}))["result"]

    await hass.config_entries.async_remove(entry.entry_id)
    await host.announce(session="0123456789abcdef")
    assert await discovered(hass) == []

    keep(retained, ANNOUNCE)
    form = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": HOST_ID, **ANYWHERE}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_removed_hosts_are_remembered_over_restarts(
    hass: HomeAssistant, host: FakeHost, hass_storage: dict[str, Any]
) -> None:
    """The store says so."""
    hass_storage["pilot.removed_hosts"] = {"version": 1, "data": {"hosts": [HOST_ID]}}

    await host.announce()

    assert await discovered(hass) == []


# --- Strangers -------------------------------------------------------------------------------


def strange(number: int) -> dict[str, Any]:
    """Return the announce of one of many hosts that do not exist."""
    return another(f"{number:016x}", name=f"stranger-{number}")


async def test_strangers_beyond_number(
    hass: HomeAssistant, retained: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """As many are offered as can be handled, one line says so, and the search lists the rest."""
    for number in range(1_000):
        announce = strange(number)
        async_fire_mqtt_message(
            hass, f"pilot/v2/{announce['host']['id']}/announce", json.dumps(announce)
        )
    flows = await discovered(hass)
    assert len(flows) == config_flow.MAX_OFFERS
    assert caplog.text.count("are not offered") == 1

    keep(retained, strange(0), strange(999))
    found = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    result = await hass.config_entries.flow.async_configure(
        found["flow_id"], {"host_id": f"{999:016x}", **ANYWHERE}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_one_stranger_with_many_names(hass: HomeAssistant) -> None:
    """Is one card, whatever it says how often."""
    for number in range(100):
        await FakeHost(hass, another(name=f"name-{number}")).announce()

    [flow] = await discovered(hass)
    assert flow["context"]["unique_id"] == OTHER_ID


async def test_others_are_offered_once_there_is_room(
    hass: HomeAssistant, host: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log tells of the next crowd."""
    with patch("custom_components.pilot.config_flow.MAX_OFFERS", 1):
        await FakeHost(hass, strange(1)).announce()
        await host.announce()
        [flow] = await discovered(hass)
        hass.config_entries.flow.async_abort(flow["flow_id"])
        await host.announce(session="0123456789abcdef")
        [flow] = await discovered(hass)
        assert flow["context"]["unique_id"] == HOST_ID
        await FakeHost(hass, strange(2)).announce()
        await discovered(hass)

    assert caplog.text.count("are not offered") == 2


async def test_a_search_takes_in_so_many(
    hass: HomeAssistant, host: FakeHost, retained: dict[str, Any]
) -> None:
    """The rest of a flood is let pass."""
    keep(retained, *(strange(number) for number in range(30)))
    retained |= {f"pilot/v2/{number:016x}/announce": b"{" for number in range(100, 130)}
    with patch("custom_components.pilot.discovery.MAX_FOUND", 10):
        found = await discovery.async_search(hass, "pilot/v2")

    assert len(found.hosts) == len(found.payloads) == len(found.refused) == 10


# --- Search ----------------------------------------------------------------------------------


async def test_the_user_chooses_among_the_hosts_found(
    hass: HomeAssistant, host: FakeHost, retained: dict[str, Any]
) -> None:
    """By name, model and id, sorted by name; those that are set up are left out."""
    make_entry(hass, unique_id="f" * 16)
    keep(
        retained,
        another(name="Studio", manufacturer="", model="NUC"),
        ANNOUNCE,
        another("f" * 16, name="known"),
    )
    retained["pilot/v2/1111111111111111/announce"] = b"rubbish"
    retained["pilot/v2/NOT-A-HOST/announce"] = ANNOUNCE
    retained["pilot/v2/2222222222222222/announce"] = b""

    form = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] == {}
    [selector] = [value for key, value in form["data_schema"].schema.items() if key == "host_id"]
    assert selector.config["options"] == [
        {"value": HOST_ID, "label": f"office-pc · LENOVO ThinkPad X1 · {HOST_ID}"},
        {"value": OTHER_ID, "label": f"Studio · NUC · {OTHER_ID}"},
    ]

    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": OTHER_ID, **ANYWHERE}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert (result["title"], result["result"].unique_id) == ("Studio", OTHER_ID)


@pytest.mark.parametrize(
    ("kept", "error"),
    [
        pytest.param({}, "no_hosts", id="none"),
        pytest.param({HOST_ID: {"protocol": 3}}, "protocol_newer", id="newer agent"),
        pytest.param({HOST_ID: {"protocol": 1}}, "protocol_older", id="older agent"),
        pytest.param({HOST_ID: {}}, "not_understood", id="not understood"),
    ],
)
async def test_a_search_that_finds_nothing_says_why_and_can_be_repeated(
    hass: HomeAssistant,
    host: FakeHost,
    retained: dict[str, Any],
    kept: dict[str, Any],
    error: str,
) -> None:
    """The user starts an agent meanwhile."""
    make_entry(hass, unique_id="f" * 16)
    for host_id, announce in kept.items():
        retained[f"pilot/v2/{host_id}/announce"] = announce

    form = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    assert form["errors"] == {"base": error}
    assert "host_id" not in form["data_schema"].schema

    keep(retained, ANNOUNCE)
    form = await hass.config_entries.flow.async_configure(form["flow_id"], ANYWHERE)
    assert form["errors"] == {}

    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": HOST_ID, **ANYWHERE}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_broker_that_hangs_is_not_the_fault_of_the_computer(
    hass: HomeAssistant, host: FakeHost, retained: dict[str, Any]
) -> None:
    """Home Assistant is still connected to it, and nothing comes back."""
    with patch("custom_components.pilot.discovery.mqtt.async_on_subscribe_done") as wait:
        wait.return_value = lambda: None

        form = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})

    assert form["errors"] == {"base": "broker_silent"}


async def test_a_search_that_finds_only_what_is_set_up_is_no_error(
    hass: HomeAssistant, host: FakeHost, retained: dict[str, Any]
) -> None:
    """It says so in words of its own, and can be repeated."""
    make_entry(hass, unique_id="f" * 16)
    keep(retained, another("f" * 16))

    form = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    assert form["step_id"] == "all_added"
    assert form["errors"] == {}
    assert "host_id" not in form["data_schema"].schema

    keep(retained, ANNOUNCE)
    form = await hass.config_entries.flow.async_configure(form["flow_id"], ANYWHERE)
    assert form["step_id"] == "user"
    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": HOST_ID, **ANYWHERE}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_searches_under_another_prefix(
    hass: HomeAssistant, host: FakeHost, retained: dict[str, Any]
) -> None:
    """A prefix that cannot be is refused; one that can be is searched."""
    keep(retained, ANNOUNCE)
    keep(retained, another(name="Studio"), prefix="attic/pilot")

    form = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    form = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": HOST_ID, "advanced": {"prefix": "attic/#"}}
    )
    assert form["errors"] == {"base": "invalid_prefix"}
    [advanced] = [field for key, field in form["data_schema"].schema.items() if key == "advanced"]
    assert advanced.options == {"collapsed": False}
    assert advanced.schema({}) == {"prefix": "attic/#"}

    form = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": HOST_ID, "advanced": {"prefix": "/attic/pilot/ "}}
    )
    assert form["errors"] == {}
    assert form["description_placeholders"] == {"prefix": "attic/pilot"}

    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": OTHER_ID, "advanced": {"prefix": "attic/pilot"}}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"]["prefix"] == "attic/pilot"


async def test_an_offered_host_can_be_added_by_hand(
    hass: HomeAssistant, host: FakeHost, retained: dict[str, Any]
) -> None:
    """The card vanishes with it."""
    await host.announce()
    await discovered(hass)
    keep(retained, ANNOUNCE)

    form = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": HOST_ID, **ANYWHERE}
    )

    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert await discovered(hass) == []


async def test_a_host_that_was_added_meanwhile(
    hass: HomeAssistant, host: FakeHost, retained: dict[str, Any]
) -> None:
    """Another flow was quicker."""
    keep(retained, ANNOUNCE)
    form = await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    make_entry(hass)

    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host_id": HOST_ID, **ANYWHERE}
    )

    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"


async def start(hass: HomeAssistant, step: str) -> Any:
    """Start a flow that needs the broker: the search, or a part of the reconfiguration."""
    if step == "user":
        return await hass.config_entries.flow.async_init("pilot", context={"source": SOURCE_USER})
    menu = await make_entry(hass, entry_id=step, unique_id=step).start_reconfigure_flow(hass)
    return await hass.config_entries.flow.async_configure(menu["flow_id"], {"next_step_id": step})


STEPS = ["user", "topic_prefix", "reinstalled"]


@pytest.mark.parametrize("step", STEPS)
async def test_says_that_the_broker_cannot_be_reached(
    hass: HomeAssistant, host: FakeHost, mqtt_mock: MqttMockHAClient, step: str
) -> None:
    """Nothing that can be entered would help."""
    mqtt_mock.connected = False

    result = await start(hass, step)

    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "mqtt_not_connected"


@pytest.mark.parametrize(
    ("announced", "error"),
    [
        pytest.param(None, "no_new_installation", id="none"),
        pytest.param({"protocol": 3}, "protocol_newer", id="newer agent"),
        pytest.param({}, "not_understood", id="not understood"),
    ],
)
async def test_a_new_installation_that_is_not_found(
    hass: HomeAssistant,
    host: FakeHost,
    retained: dict[str, Any],
    announced: dict[str, Any] | None,
    error: str,
) -> None:
    """The error is about that computer, and the search can be repeated."""
    entry = make_entry(hass)
    if announced is not None:
        retained[f"pilot/v2/{OTHER_ID}/announce"] = announced

    form = await reconfigure(hass, entry, "reinstalled", ["pair", "topic_prefix", "reinstalled"])
    assert form["errors"] == {"base": error}

    keep(retained, another())
    form = await hass.config_entries.flow.async_configure(form["flow_id"], {})
    assert form["errors"] == {}
    result = await hass.config_entries.flow.async_configure(form["flow_id"], {"host_id": OTHER_ID})
    assert result["reason"] == "reconfigure_successful"


@pytest.mark.parametrize("step", STEPS)
async def test_says_that_mqtt_is_not_set_up(hass: HomeAssistant, host: FakeHost, step: str) -> None:
    """That comes first."""
    [mqtt] = hass.config_entries.async_entries("mqtt")
    await hass.config_entries.async_remove(mqtt.entry_id)

    result = await start(hass, step)

    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "mqtt_not_configured"


# --- Reconfiguration -------------------------------------------------------------------------


async def reconfigure(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    step: str,
    choices: Sequence[str] = ("topic_prefix", "reinstalled"),
) -> Any:
    """Choose from the menu what has changed."""
    menu = await entry.start_reconfigure_flow(hass)
    assert menu["type"] is FlowResultType.MENU
    assert menu["menu_options"] == list(choices)
    return await hass.config_entries.flow.async_configure(menu["flow_id"], {"next_step_id": step})


async def test_follows_a_host_to_another_prefix(
    hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry, retained: dict[str, Any]
) -> None:
    """Once it is found there."""
    form = await reconfigure(hass, configured, "topic_prefix")
    for prefix, error in (("attic/#", "invalid_prefix"), ("attic/pilot", "host_not_found")):
        form = await hass.config_entries.flow.async_configure(form["flow_id"], {"prefix": prefix})
        assert form["errors"] == {"prefix": error}

    keep(retained, ANNOUNCE, prefix="attic/pilot")
    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"prefix": "attic/pilot/"}
    )
    await hass.async_block_till_done()
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reconfigure_successful"
    assert configured.data["prefix"] == "attic/pilot"

    retained.clear()
    online.prefix = "attic/pilot"
    await online.connect()
    await online.state("cpu", percent=3, load_1m=1)
    assert hass.states.get("sensor.office_pc_processor").state == "3"


async def test_a_reinstalled_computer_keeps_its_entities(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    device_registry: dr.DeviceRegistry,
    retained: dict[str, Any],
) -> None:
    """With their names, rooms and history, under the new id; the card of the new one goes."""
    entity_registry.async_update_entity(
        "sensor.office_pc_processor", new_entity_id="sensor.busy", name="Busy"
    )
    [device] = device_registry.async_get_devices(identifiers={("pilot", HOST_ID)})
    device_registry.async_update_device(device.id, area_id="office")
    new = FakeHost(hass, another(name="office-pc-new"))
    await new.announce()
    assert len(await discovered(hass)) == 1

    keep(retained, ANNOUNCE)
    form = await reconfigure(hass, configured, "reinstalled")
    assert form["errors"] == {"base": "no_new_installation"}
    keep(retained, new.announced)
    form = await hass.config_entries.flow.async_configure(form["flow_id"], {})
    assert form["errors"] == {}
    result = await hass.config_entries.flow.async_configure(form["flow_id"], {"host_id": OTHER_ID})
    await hass.async_block_till_done()
    retained.clear()
    await new.connect()
    await new.state("cpu", percent=7, load_1m=1)

    assert result["reason"] == "reconfigure_successful"
    assert configured.unique_id == OTHER_ID
    assert configured.title == "office-pc-new"
    kept = await async_get_kept_announces(hass)
    assert (kept.get(HOST_ID, ""), kept.get(OTHER_ID, "") is None) == (None, False)
    assert hass.states.get("sensor.busy").state == "7"
    assert device_registry.async_get(device.id).area_id == "office"
    assert device_registry.async_get(device.id).identifiers == {("pilot", OTHER_ID)}
    assert {
        entry.unique_id.partition("_")[0]
        for entry in er.async_entries_for_config_entry(entity_registry, configured.entry_id)
    } == {OTHER_ID}
    assert await discovered(hass) == []


async def test_the_old_installation_is_not_offered_afterwards(
    hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry, retained: dict[str, Any]
) -> None:
    """Its announce lies on the broker still; and the new one may have been ignored."""
    make_entry(hass, unique_id=OTHER_ID, entry_id="ignored", source=SOURCE_IGNORE)
    keep(retained, another())

    form = await reconfigure(hass, configured, "reinstalled")
    await hass.config_entries.flow.async_configure(form["flow_id"], {"host_id": OTHER_ID})
    await hass.async_block_till_done()
    retained.clear()
    await online.announce(session="0123456789abcdef")

    assert await discovered(hass) == []
    assert [entry.unique_id for entry in hass.config_entries.async_entries("pilot")] == [OTHER_ID]


# --- Options ---------------------------------------------------------------------------------


async def configure(hass: HomeAssistant, entry: MockConfigEntry, step: str) -> Any:
    """Choose from the menu what to set."""
    menu = await hass.config_entries.options.async_init(entry.entry_id)
    assert menu["type"] is FlowResultType.MENU
    assert menu["menu_options"] == ["settings", "computer", "fleet_key"]
    return await hass.config_entries.options.async_configure(
        menu["flow_id"], {"next_step_id": step}
    )


async def test_options(hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry) -> None:
    """What to do with the broker when the host is removed."""
    form = await configure(hass, configured, "computer")
    assert form["step_id"] == "computer"

    result = await hass.config_entries.options.async_configure(
        form["flow_id"], {"clear_on_remove": True}
    )

    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert configured.options == {"clear_on_remove": True}


async def test_what_is_no_address_can_be_corrected(
    hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry
) -> None:
    """Nothing that was entered is lost."""
    form = await configure(hass, configured, "computer")
    entered = {"clear_on_remove": True, "wake_address": "the attic", "wake_port": 7}
    form = await hass.config_entries.options.async_configure(form["flow_id"], entered)
    assert form["errors"] == {"wake_address": "invalid_address"}
    suggested = {str(key): key.description for key in form["data_schema"].schema}
    assert suggested["wake_address"] == {"suggested_value": "the attic"}
    assert suggested["wake_port"] == {"suggested_value": 7}

    right = entered | {"wake_address": "192.0.2.255"}
    copied = entered | {"wake_address": " 192.0.2.255\n"}
    result = await hass.config_entries.options.async_configure(form["flow_id"], copied)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert configured.options == right


async def test_a_fleet_key_without_a_broker(hass: HomeAssistant, host: FakeHost) -> None:
    """It is kept all the same: hosts that have it are found later."""
    entry = make_entry(hass, options={"clear_on_remove": True})
    [mqtt] = hass.config_entries.async_entries("mqtt")
    await hass.config_entries.async_remove(mqtt.entry_id)

    form = await configure(hass, entry, "fleet_key")
    result = await hass.config_entries.options.async_configure(
        form["flow_id"], {"fleet_key": FLEET_KEY, "fleet_mode": "ask"}
    )

    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == {"clear_on_remove": True}
    trust = await async_get_trust(hass)
    assert (trust.fleet, trust.add_fleet) == (bytes(range(32)), False)
