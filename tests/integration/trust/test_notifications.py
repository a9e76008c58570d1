"""Notifications on the desktop of a paired host, and their answers."""

import asyncio
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from homeassistant.components.automation.const import DOMAIN as AUTOMATION
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import Context
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from PIL import Image
import pytest
from pytest_homeassistant_custom_component.common import (
    MockUser,
    async_capture_events,
    async_mock_service,
)

from companion_agent.errors import CommandError
from companion_agent.models import Command, TextArgument
from companion_agent.plugins.base import CommandProvider
from companion_agent.plugins.notifications.plugin import NotificationsPlugin
from support.integration_host import make_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from homeassistant.core import Event, HomeAssistant
    from homeassistant.helpers import area_registry as ar, entity_registry as er
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from syrupy.assertion import SnapshotAssertion

    from custom_components.pilot.trust import TrustStore
    from support.integration_agent import FakeAgent

NOTIFY = "notify.office_pc_notification"
ANSWER = "event.office_pc_answered_notification"
SERVER = "sensor.office_pc_server_for_notifications"
HOST = {"entity_id": NOTIFY}
BUTTONS = [{"action": "OPEN", "title": "Open"}, {"action": "LEAVE", "title": "Leave it"}]
REPLY = {"action": "ANSWER", "title": "Say something", "behavior": "textInput"}


class Desktop(CommandProvider):
    """A desktop that shows notifications, as the agent's plug-in has it."""

    name: ClassVar[str] = "notifications"

    def __init__(self, *lacking: str) -> None:
        """Offer all that there may be, but for these arguments."""
        self.lacking = {*lacking}
        self.shown: list[dict[str, Any]] = []
        self.cleared: list[dict[str, Any]] = []
        self.failure = ""
        self.asked = asyncio.Event()

    def commands(self) -> Sequence[Command]:
        """Offer what the agent offers."""
        session = {"session": TextArgument(longest=64, default="")}
        return [
            Command(
                one.key,
                {
                    name: argument
                    for name, argument in {**one.args, **session}.items()
                    if name not in self.lacking
                },
                per_minute=one.per_minute,
            )
            for one in NotificationsPlugin.declared_commands
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Show or clear something."""
        if self.failure:
            raise CommandError("failed", self.failure)
        done = self.shown if key == "notifications.show" else self.cleared
        self.asked.set()
        done.append({name: value for name, value in args.items() if value not in ("", [])})


@pytest.fixture
async def offer(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> Callable[..., Any]:
    """Have the paired host offer notifications, all but some parts of them."""

    async def offer(*lacking: str) -> Desktop:
        desktop = Desktop(*lacking)
        agent.dispatcher.offer({agent.power: agent.power.commands(), desktop: desktop.commands()})
        agent.announce(events=[{"key": "notifications", "types": ["pressed", "replied", "closed"]}])
        await hass.async_block_till_done()
        return desktop

    return offer


@pytest.fixture
async def desktop(offer: Callable[..., Any]) -> Desktop:
    return await offer()


async def show(hass: HomeAssistant, message: str = "The door is open", **data: Any) -> Any:
    return await hass.services.async_call(
        "pilot",
        "notify",
        {"message": message, **data},
        target=HOST,
        blocking=True,
        return_response=True,
    )


async def answer(hass: HomeAssistant, agent: FakeAgent, kind: str, **data: Any) -> None:
    agent.happens("notifications", kind, **{"tag": "", "user": "anna", **data})
    await hass.async_block_till_done()


def last_answer(events: list[Event]) -> dict[str, Any]:
    return {name: value for name, value in events[-1].data.items() if name != "device_id"}


async def test_the_entities(
    hass: HomeAssistant,
    desktop: Desktop,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """They have their name, icon and category."""
    for entity_id in (NOTIFY, ANSWER):
        assert entity_registry.async_get(entity_id) == snapshot(name=f"{entity_id}-entry")
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


async def test_the_entity_shows_a_text_with_a_title(hass: HomeAssistant, desktop: Desktop) -> None:
    """In the session that is in use."""
    await hass.services.async_call(
        "notify",
        "send_message",
        {"message": "Grüße\nund mehr 🚪", "title": "Door"},
        target=HOST,
        blocking=True,
    )

    [shown] = desktop.shown
    assert (shown["title"], shown["message"]) == ("Door", "Grüße\nund mehr 🚪")
    assert "session" not in shown


async def test_all_of_it_reaches_the_host(hass: HomeAssistant, desktop: Desktop) -> None:
    """Everything that the action takes."""
    response = await show(
        hass,
        title="Door",
        urgency="critical",
        actions=[*BUTTONS, REPLY],
        tag="door",
        timeout={"seconds": 90},
        sound="bell",
        user="*",
        when_absent="keep",
    )

    [shown] = desktop.shown
    assert len(shown.pop("id")) == 16
    assert shown == {
        "message": "The door is open",
        "title": "Door",
        "urgency": "critical",
        "actions": BUTTONS,
        "reply": "ANSWER",
        "reply_title": "Say something",
        "tag": "door",
        "timeout": 90,
        "sound": "bell",
        "session": "*",
        "when_absent": "keep",
    }
    assert response == {"office-pc": {"left_out": []}}


async def test_the_data_of_phones_is_understood(hass: HomeAssistant, desktop: Desktop) -> None:
    """What only a phone can do is left out; what the action says itself counts."""
    await show(
        hass,
        tag="mine",
        data={
            "tag": "theirs",
            "actions": [*BUTTONS, {"action": "URI", "title": "Look", "uri": "/lovelace/0"}],
            "sticky": "true",
            "push": {"interruption-level": "critical", "sound": "none"},
            "channel": "alarm",
            "ttl": 0,
        },
    )

    [shown] = desktop.shown
    assert (shown["tag"], shown["actions"]) == ("mine", BUTTONS)
    assert (shown["timeout"], shown["urgency"], shown["sound"]) == (0, "critical", "none")


async def test_it_is_cleared_by_its_tag(hass: HomeAssistant, desktop: Desktop) -> None:
    """By the action, and as on phones."""
    await hass.services.async_call(
        "pilot", "clear_notification", {"tag": "door"}, target=HOST, blocking=True
    )
    await show(hass, "clear_notification", data={"tag": "bell"})

    assert desktop.cleared == [{"tag": "door", "session": "*"}, {"tag": "bell", "session": "*"}]
    assert desktop.shown == []


@pytest.mark.parametrize(
    ("lacking", "data", "complaint"),
    [
        (("actions",), {"actions": BUTTONS}, "offers no buttons"),
        (("reply",), {"actions": [REPLY]}, "offers no reply field"),
        ((), {"actions": [{"action": "OPEN"}]}, "needs an action and a title"),
        ((), {"actions": [REPLY, REPLY]}, "one reply field"),
        ((), {"actions": BUTTONS * 3}, "five buttons"),
        ((), {"image": "/etc/passwd"}, "not a kind of address"),
        ((), {"image": "/local/../secrets.yaml"}, "outside of its folder"),
        ((), {"image": "http://example.com/a.png"}, "allowlist_external_urls"),
        ((), {"image": "/local/none.png"}, "No such file"),
    ],
)
async def test_what_cannot_be_shown_is_refused(
    hass: HomeAssistant,
    offer: Callable[..., Any],
    lacking: tuple[str, ...],
    data: dict[str, Any],
    complaint: str,
) -> None:
    """An answer that could never come is no notification."""
    desktop = await offer(*lacking)

    with pytest.raises(ServiceValidationError, match=complaint):
        await show(hass, **data)
    assert desktop.shown == []


async def test_what_is_only_decoration_is_left_out_and_told(
    hass: HomeAssistant, offer: Callable[..., Any]
) -> None:
    """The text is shown all the same."""
    desktop = await offer("image", "sound")

    response = await show(hass, image="/local/door.jpg", sound="bell")

    assert response == {"office-pc": {"left_out": ["sound", "image"]}}
    assert {"image", "sound"}.isdisjoint(desktop.shown[0])


async def test_a_host_without_a_user_says_so(hass: HomeAssistant, desktop: Desktop) -> None:
    """In the words of the host."""
    desktop.failure = "no user is logged in"

    with pytest.raises(HomeAssistantError, match="no user is logged in"):
        await show(hass)


async def test_a_host_without_a_desktop_is_told_apart(
    hass: HomeAssistant, paired: MockConfigEntry
) -> None:
    """It has no entity, and the action says why."""
    assert hass.states.get(NOTIFY) is None
    with pytest.raises(ServiceValidationError, match="cannot show notifications"):
        await hass.services.async_call(
            "pilot",
            "notify",
            {"message": "x"},
            target={"entity_id": "switch.office_pc_power"},
            blocking=True,
        )


async def test_texts_stay_out_of_the_record(
    hass: HomeAssistant, desktop: Desktop, agent: FakeAgent
) -> None:
    """It says that there was one, and how long."""
    await show(hass, "Your code is 4711", title="Code", actions=BUTTONS)

    args = agent.audit[-1]["args"]
    assert args["message"] == "<free text, 17>"
    assert args["actions"] == "<list, 2>"
    assert "4711" not in str(agent.audit)


# --- Images ----------------------------------------------------------------------------------


@pytest.fixture
def picture(hass: HomeAssistant, tmp_path: Path) -> Callable[..., None]:
    """Put a picture where `/local/` is."""
    hass.config.config_dir = str(tmp_path)
    (tmp_path / "www").mkdir()

    def picture(name: str, mode: str, size: tuple[int, int]) -> None:
        # Noise cannot be compressed.
        Image.effect_noise(size, 100).convert(mode).save(tmp_path / "www" / name)

    return picture


@pytest.mark.parametrize(("name", "mode"), [("door.jpg", "RGB"), ("door.png", "RGBA")])
async def test_an_image_is_made_small_and_sent(
    hass: HomeAssistant, desktop: Desktop, picture: Callable[..., None], name: str, mode: str
) -> None:
    """It fits, whatever it was."""
    picture(name, mode, (2000, 1000))

    await show(hass, image=f"/local/{name}")

    content = b64decode(desktop.shown[0]["image"])
    assert len(content) <= 64 * 1024
    with Image.open(BytesIO(content)) as shown:
        assert (shown.format, shown.mode) == ("JPEG" if mode == "RGB" else "PNG", mode)
        assert max(shown.size) <= 640


async def test_what_is_no_image_is_refused(
    hass: HomeAssistant, desktop: Desktop, picture: Callable[..., None], tmp_path: Path
) -> None:
    """With what is wrong."""
    (tmp_path / "www" / "door.svg").write_text("<svg/>")

    with pytest.raises(ServiceValidationError, match="not an image that can be read"):
        await show(hass, image="/local/door.svg")


async def test_a_camera_is_for_those_who_may_see_it(
    hass: HomeAssistant, desktop: Desktop, hass_read_only_user: MockUser
) -> None:
    """Who may control the host and not see the camera sends no picture of it."""
    hass_read_only_user.mock_policy({"entities": {"entity_ids": {NOTIFY: True}}})

    with pytest.raises(Unauthorized):
        await hass.services.async_call(
            "pilot",
            "notify",
            {"message": "x", "image": "/api/camera_proxy/camera.door"},
            target=HOST,
            blocking=True,
            context=Context(user_id=hass_read_only_user.id),
        )


# --- Whom it reaches -------------------------------------------------------------------------


@pytest.fixture
async def office(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    area_registry: ar.AreaRegistry,
    device_registry: dr.DeviceRegistry,
) -> tuple[str, MockConfigEntry]:
    """Return a room with the paired host and another one in it, and that one."""
    other = make_entry(hass, name="studio", unique_id="0" * 16, entry_id="01JOTHER")
    await hass.config_entries.async_setup(other.entry_id)
    await hass.async_block_till_done()
    room = area_registry.async_create("Office")
    for entry in (paired, other):
        [device] = [
            one
            for one in dr.async_entries_for_config_entry(device_registry, entry.entry_id)
            if ("pilot", entry.unique_id) in one.identifiers
        ]
        device_registry.async_update_device(device.id, area_id=room.id)
    return room.id, other


async def notify_room(hass: HomeAssistant, room: str) -> None:
    await hass.services.async_call(
        "pilot", "notify", {"message": "Dinner"}, target={"area_id": room}, blocking=True
    )


async def test_a_host_that_is_not_set_up_keeps_nothing_from_the_others(
    hass: HomeAssistant, office: tuple[str, MockConfigEntry], desktop: Desktop
) -> None:
    """It is named in the error."""
    room, other = office
    await hass.config_entries.async_unload(other.entry_id)

    with pytest.raises(HomeAssistantError, match="studio is not set up"):
        await notify_room(hass, room)

    assert [one["message"] for one in desktop.shown] == ["Dinner"]


async def test_a_disabled_host_is_not_meant_by_its_room(
    hass: HomeAssistant, office: tuple[str, MockConfigEntry], desktop: Desktop
) -> None:
    """An automation for a room goes on without it; where it alone is meant, that is an error."""
    room, other = office
    await hass.config_entries.async_set_disabled_by(other.entry_id, ConfigEntryDisabler.USER)

    await notify_room(hass, room)

    assert [one["message"] for one in desktop.shown] == ["Dinner"]
    [device] = dr.async_entries_for_config_entry(dr.async_get(hass), other.entry_id)
    for action, data in (("notify", {"message": "Dinner"}), ("refresh", {})):
        with pytest.raises(HomeAssistantError, match="studio is not set up"):
            await hass.services.async_call(
                "pilot", action, {**data, "device_id": device.id}, blocking=True
            )


async def test_the_action_of_phones_asks_who_calls(
    hass: HomeAssistant, desktop: Desktop, hass_read_only_user: MockUser
) -> None:
    """It is not among Pilot's own, and the same holds for it."""
    with pytest.raises(Unauthorized):
        await hass.services.async_call(
            "notify",
            "pilot_office_pc",
            {"message": "Hello"},
            blocking=True,
            context=Context(user_id=hass_read_only_user.id),
        )

    assert desktop.shown == []


async def test_the_action_of_phones_goes_and_comes_with_its_host(
    hass: HomeAssistant, desktop: Desktop, paired: MockConfigEntry
) -> None:
    """An automation is told that there is none, rather than that nothing happens."""
    await hass.config_entries.async_unload(paired.entry_id)
    gone = not hass.services.has_service("notify", "pilot_office_pc")
    await hass.config_entries.async_setup(paired.entry_id)
    await hass.async_block_till_done()

    assert gone
    assert hass.services.has_service("notify", "pilot_office_pc")


# --- Answers ---------------------------------------------------------------------------------


async def test_a_button_is_an_event_and_what_phones_fire(
    hass: HomeAssistant, desktop: Desktop, agent: FakeAgent, paired: MockConfigEntry
) -> None:
    """Both say which button."""
    events = async_capture_events(hass, "mobile_app_notification_action")
    await show(hass, title="Door", data={"actions": BUTTONS, "action_data": {"door": 1}})
    sent = desktop.shown[0]["id"]

    await answer(hass, agent, "pressed", id=sent, action="OPEN", tag="door")

    assert last_answer(events) == {
        "action": "OPEN",
        "tag": "door",
        "message": "The door is open",
        "title": "Door",
        "action_data": {"door": 1},
        "action_1_key": "OPEN",
        "action_1_title": "Open",
        "action_2_key": "LEAVE",
        "action_2_title": "Leave it",
    }
    attributes = hass.states.get(ANSWER).attributes
    assert (attributes["event_type"], attributes["action"]) == ("pressed", "OPEN")
    assert (attributes["tag"], attributes["user"]) == ("door", "anna")


async def test_what_an_unpaired_host_answers_is_no_answer(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """Any client of the broker could press the buttons that automations ask phones by."""
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    agent.come_online()
    agent.announce(events=[{"key": "notifications", "types": ["pressed", "replied", "closed"]}])
    await hass.async_block_till_done()
    told = [
        async_capture_events(hass, f"mobile_app_notification_{what}")
        for what in ("action", "cleared")
    ]

    await answer(hass, agent, "pressed", id="invented", action="UNLOCK_FRONT_DOOR")
    await answer(hass, agent, "replied", id="invented", action="ANSWER", reply="1234")
    await answer(hass, agent, "closed", id="invented", reason="dismissed")

    assert hass.states.get(ANSWER).attributes["event_type"] == "closed"
    assert told == [[], []]


async def test_a_reply_arrives_whole(
    hass: HomeAssistant, desktop: Desktop, agent: FakeAgent
) -> None:
    """Although the host tells it in parts, and Home Assistant has forgotten the notification."""
    events = async_capture_events(hass, "mobile_app_notification_action")

    await answer(
        hass, agent, "replied", id="forgotten", action="ANSWER", reply="a" * 255, reply_1="b"
    )

    assert last_answer(events) == {"action": "ANSWER", "reply_text": "a" * 255 + "b"}
    assert hass.states.get(ANSWER).attributes["reply_text"] == "a" * 255 + "b"


async def test_closing_one_is_told_as_phones_do(
    hass: HomeAssistant, desktop: Desktop, agent: FakeAgent
) -> None:
    """By the user only; one that ran out is an event of the entity alone."""
    actions = async_capture_events(hass, "mobile_app_notification_action")
    cleared = async_capture_events(hass, "mobile_app_notification_cleared")
    await show(hass, tag="door")
    sent = desktop.shown[0]["id"]

    await answer(hass, agent, "closed", id=sent, tag="door", reason="expired")
    assert cleared == []
    assert hass.states.get(ANSWER).attributes["reason"] == "expired"

    await answer(hass, agent, "closed", id=sent, tag="door", reason="dismissed")
    assert last_answer(cleared) == {"tag": "door", "message": "The door is open"}
    assert actions == []


# --- A blueprint that was made for phones -----------------------------------------------------

PHONES = """\
blueprint:
  name: Ask before the blinds close
  domain: automation
  input:
    notify_action:
      name: Notify action of the phone
      selector:
        text:
    blinds:
      name: Blinds
      selector:
        entity:
          domain: cover
triggers:
  - trigger: event
    event_type: dusk
variables:
  notify: !input notify_action
actions:
  - variables:
      action_close: "{{ 'CLOSE_' ~ context.id }}"
      action_keep: "{{ 'KEEP_' ~ context.id }}"
  - action: "{{ notify }}"
    data:
      title: Blinds
      message: It gets dark. Close them?
      data:
        tag: blinds
        channel: house
        actions:
          - action: "{{ action_close }}"
            title: Close
          - action: "{{ action_keep }}"
            title: Leave open
  - wait_for_trigger:
      - trigger: event
        event_type: mobile_app_notification_action
        event_data:
          action: "{{ action_close }}"
      - trigger: event
        event_type: mobile_app_notification_action
        event_data:
          action: "{{ action_keep }}"
  - if: "{{ wait.trigger.event.data.action == action_close }}"
    then:
      - action: cover.close_cover
        target:
          entity_id: !input blinds
  - action: "{{ notify }}"
    data:
      message: clear_notification
      data:
        tag: blinds
"""


async def test_a_blueprint_for_phones_works_unchanged(
    hass: HomeAssistant, desktop: Desktop, agent: FakeAgent, tmp_path: Path
) -> None:
    """The action that has the host's name takes the place of the phone's."""
    hass.config.config_dir = str(tmp_path)
    folder = tmp_path / "blueprints" / "automation"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "blinds.yaml").write_text(PHONES)
    closed = async_mock_service(hass, "cover", "close_cover")
    inputs = {"notify_action": "notify.pilot_office_pc", "blinds": "cover.office"}
    assert await async_setup_component(
        hass,
        AUTOMATION,
        {AUTOMATION: {"use_blueprint": {"path": "blinds.yaml", "input": inputs}}},
    )
    await hass.async_block_till_done()

    hass.bus.async_fire("dusk")
    # It goes on waiting, so that there is no end of all work to wait for.
    async with asyncio.timeout(30):
        await desktop.asked.wait()
    [shown] = desktop.shown
    close, keep = shown["actions"]
    assert (close["title"], keep["title"]) == ("Close", "Leave open")
    assert closed == []

    await answer(hass, agent, "pressed", id=shown["id"], tag="blinds", action=close["action"])
    assert [call.data["entity_id"] for call in closed] == [["cover.office"]]
    assert desktop.cleared == [{"tag": "blinds", "session": "*"}]
