"""Notifications on hosts: what is sent, and what comes back as it does from phones.

The data of phones is documented by the companion app ("Actionable notifications", "Notification
cleared"): whatever is sent in that shape is understood, and answers are told in it too.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
import secrets
from typing import TYPE_CHECKING, Any, Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .devices import async_get_device
from .notification_image import async_image

if TYPE_CHECKING:
    from .access import Caller
    from .data import PilotConfigEntry
    from .protocol.announce import Command
    from .protocol.messages import HostEvent

EVENTS: Final = "notifications"
SHOW: Final = "notifications.show"
CLEAR: Final = "notifications.clear"
URGENCIES: Final = ("low", "normal", "critical")
WHEN_ABSENT: Final = ("error", "keep")
ALL_USERS: Final = "*"
MAX_BUTTONS: Final = 5

CLEAR_NOTIFICATION: Final = "clear_notification"
"""As a message of phones: the notification with that tag goes."""
EVENT_ACTION: Final = "mobile_app_notification_action"
EVENT_CLEARED: Final = "mobile_app_notification_cleared"

_SIMPLE_FIELDS: Final = (
    "message", "title", "image", "urgency", "tag", "sound", "user", "when_absent",
)  # fmt: skip
_REPLY: Final = "REPLY"
_TEXT_INPUT: Final = "textInput"
_INTERRUPTIONS: Final = {"passive": "low", "time-sensitive": "critical", "critical": "critical"}
_IMPORTANCES: Final = {"min": "low", "low": "low"}
_MAX_SENT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification as it is asked for.

    Attributes:
        message: Its text.
        title: What stands above it.
        image: Where its image is.
        urgency: One of :data:`URGENCIES`.
        actions: Its buttons, as phones have them.
        tag: What it can be replaced and cleared by.
        timeout: Seconds after which it goes; 0 for never, None as the desktop does.
        sound: A name of the freedesktop sound naming specification; `none` for silence.
        user: Who is to see it: the one in front of the screen when empty, all users by `*`.
        when_absent: What is to be done when there is no such user.
        action_data: What comes back with the answer.
    """

    message: str
    title: str = ""
    image: str = ""
    urgency: str = "normal"
    actions: tuple[Mapping[str, Any], ...] = ()
    tag: str = ""
    timeout: float | None = None
    sound: str = ""
    user: str = ""
    when_absent: str = "error"
    action_data: Any = None


def of_phones(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the data of a phone's notification says, as fields of a notification.

    What only phones have is left out.
    """
    fields: dict[str, Any] = {}
    push = data.get("push")
    push = push if isinstance(push, Mapping) else {}
    attachment = data.get("attachment")
    attachment = attachment if isinstance(attachment, Mapping) else {}
    if isinstance(actions := data.get("actions"), list):
        # There is no app that opens an address.
        fields["actions"] = tuple(
            action for action in actions if isinstance(action, Mapping) and not action.get("uri")
        )
    if image := data.get("image") or attachment.get("url"):
        fields["image"] = str(image)
    if tag := data.get("tag"):
        fields["tag"] = str(tag)
    timeout = data.get("timeout")
    if isinstance(timeout, int | float) and timeout > 0:
        fields["timeout"] = timeout
    elif data.get("sticky") in (True, "true") or data.get("persistent") in (True, "true"):
        fields["timeout"] = 0
    if urgency := _INTERRUPTIONS.get(str(push.get("interruption-level"))) or _IMPORTANCES.get(
        str(data.get("importance"))
    ):
        fields["urgency"] = urgency
    if push.get("sound") == "none":
        fields["sound"] = "none"
    if (action_data := data.get("action_data")) is not None:
        fields["action_data"] = action_data
    return fields


def wanted_by(data: Mapping[str, Any]) -> Notification:
    """Return the notification that the data of an action asks for.

    Its own fields count before those of the data of phones.
    """
    fields = of_phones(data.get("data", {}))
    fields |= {name: data[name] for name in _SIMPLE_FIELDS if name in data}
    if "actions" in data:
        fields["actions"] = tuple(data["actions"])
    if "timeout" in data:
        fields["timeout"] = data["timeout"].total_seconds()
    return Notification(**fields)


async def async_notify(
    hass: HomeAssistant, entry: PilotConfigEntry, wanted: Notification, caller: Caller
) -> list[str]:
    """Have a host show a notification, or clear one where phones are told so by the message.

    Returns and raises as `async_show()` and `async_clear()` do.
    """
    if wanted.message == CLEAR_NOTIFICATION and wanted.tag:
        await async_clear(entry, wanted.tag)
        return []
    return await async_show(hass, entry, wanted, caller)


async def async_show(
    hass: HomeAssistant, entry: PilotConfigEntry, wanted: Notification, caller: Caller | None = None
) -> list[str]:
    """Have a host show a notification.

    Returns:
        What its desktop does not offer and was left out: an image, a sound.

    Raises:
        ServiceValidationError: It cannot be shown like that.
        HomeAssistantError: It was not shown, and why.
    """
    command = _command(entry, SHOW)
    buttons, reply = _answers(wanted.actions)
    if buttons and "actions" not in command.args:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="notify_no_buttons",
            translation_placeholders={"name": entry.title},
        )
    if reply and "reply" not in command.args:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="notify_no_reply",
            translation_placeholders={"name": entry.title},
        )
    args: dict[str, Any] = {"message": wanted.message, "id": secrets.token_hex(8)}
    args |= {
        name: value
        for name, value in (
            ("title", wanted.title),
            ("urgency", wanted.urgency),
            ("tag", wanted.tag),
            ("session", wanted.user),
            ("when_absent", wanted.when_absent),
            ("actions", buttons),
        )
        if value
    } | reply
    if wanted.timeout is not None:
        args["timeout"] = wanted.timeout
    left_out = []
    if wanted.sound and "sound" in command.args:
        args["sound"] = wanted.sound
    elif wanted.sound:
        left_out.append("sound")
    if wanted.image and "image" in command.args:
        limit = int(command.limits["image"].maximum)
        args["image"] = await async_image(hass, wanted.image, limit, caller)
    elif wanted.image:
        left_out.append("image")
    await entry.runtime_data.coordinator.commands.async_do(
        SHOW, args, files=len(args.get("image", ""))
    )
    sent = hass.data.setdefault(_SENT, OrderedDict())
    sent[args["id"]] = wanted
    if len(sent) > _MAX_SENT:
        sent.popitem(last=False)
    return left_out


async def async_clear(entry: PilotConfigEntry, tag: str, user: str = ALL_USERS) -> None:
    """Have a host clear the notification with a tag, if there is one.

    Raises:
        HomeAssistantError: It was not cleared, and why.
    """
    _command(entry, CLEAR)
    await entry.runtime_data.coordinator.commands.async_do(CLEAR, {"tag": tag, "session": user})


@callback
def async_tell_answers(hass: HomeAssistant, entry: PilotConfigEntry) -> None:
    """Fire the events of phones for the answers that come from a paired host.

    Automations act on these events, whichever phone they come from. What an unpaired host says may
    come from any client of the broker, and it is shown no notification that it could answer.
    """
    coordinator = entry.runtime_data.coordinator

    @callback
    def answered(event: HostEvent) -> None:
        if not coordinator.auth.paired:
            return
        data = event.data
        sent = hass.data.setdefault(_SENT, OrderedDict()).get(str(data.get("id")))
        told: dict[str, Any] = {"device_id": async_get_device(hass, entry).id}
        if sent is not None:
            told |= _as_phones_say(sent)
        if tag := data.get("tag"):
            told["tag"] = tag
        if event.type in ("pressed", "replied"):
            told["action"] = data.get("action")
            if event.type == "replied":
                told["reply_text"] = reply_of(data)
            hass.bus.async_fire(EVENT_ACTION, told)
        elif data.get("reason") == "dismissed":
            hass.bus.async_fire(EVENT_CLEARED, told)

    entry.async_on_unload(coordinator.async_add_event_listener(EVENTS, answered))


def reply_of(data: Mapping[str, Any]) -> str:
    """Return the reply of an event, which has it in parts."""
    parts = [data.get("reply", ""), *(data.get(f"reply_{place}", "") for place in range(1, 8))]
    return "".join(str(part) for part in parts)


def _as_phones_say(sent: Notification) -> dict[str, Any]:
    told: dict[str, Any] = {"message": sent.message}
    if sent.title:
        told["title"] = sent.title
    if sent.action_data is not None:
        told["action_data"] = sent.action_data
    for place, action in enumerate(sent.actions, start=1):
        told[f"action_{place}_key"] = action.get("action")
        told[f"action_{place}_title"] = action.get("title")
    return told


def _answers(
    actions: tuple[Mapping[str, Any], ...],
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Return the buttons, and the arguments of the reply field.

    Raises:
        ServiceValidationError: There are too many, or one lacks something.
    """
    buttons: list[dict[str, str]] = []
    reply: dict[str, str] = {}
    for action in actions:
        key, title = action.get("action"), action.get("title")
        if not key or not title:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="notify_action_incomplete"
            )
        if action.get("behavior") == _TEXT_INPUT or key == _REPLY:
            if reply:
                raise ServiceValidationError(
                    translation_domain=DOMAIN, translation_key="notify_two_replies"
                )
            reply = {"reply": str(key), "reply_title": str(title)}
        else:
            buttons.append({"action": str(key), "title": str(title)})
    if len(buttons) > MAX_BUTTONS:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="notify_too_many_buttons"
        )
    return buttons, reply


def _command(entry: PilotConfigEntry, key: str) -> Command:
    announce = entry.runtime_data.coordinator.data
    command = None if announce is None else announce.commands.get(key)
    if command is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="notify_not_offered",
            translation_placeholders={"name": entry.title},
        )
    return command


_SENT: HassKey[OrderedDict[str, Notification]] = HassKey(f"{DOMAIN}_notifications_sent")
"""The last notifications, by the id that answers name; a restart of Home Assistant forgets them."""
