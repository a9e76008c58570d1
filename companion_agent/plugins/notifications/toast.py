"""A notification as the XML that Windows shows: pure.

Source: Microsoft's "Toast content" (schema of `ToastGeneric`), and its list of
`ms-winsoundevent` sounds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, tostring

from companion_agent.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePath

REPLY = "reply"
"""The id of the reply field, and what its button says."""
MAX_BUTTONS = 5
"""That of the reply field is one of them."""
LONGEST_SHORT = 10
"""Seconds from which on a notification stays for 25 s: Windows knows two durations."""

# What no XML may contain, with Python's lone surrogates.
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SOUNDS = "Notification."


def toast(args: Mapping[str, Any], image: PurePath | None = None) -> str:
    """Return the XML of a notification.

    Buttons answer with their number, the reply field's with `REPLY`.

    Args:
        args: The arguments of `notifications.show`.
        image: The file of its image, an absolute path.

    Raises:
        CommandError: It has more buttons than Windows shows.
    """
    buttons = list(args.get("actions", ()))
    reply = args.get("reply", "")
    if len(buttons) + bool(reply) > MAX_BUTTONS:
        raise CommandError(
            "bad_arguments",
            f"Windows shows {MAX_BUTTONS} buttons, of which that of the reply field is one",
        )
    # It stays until it is answered, and only where there is something to answer with.
    stays = args["urgency"] == "critical" or args["timeout"] == 0
    root = Element("toast", {"launch": ""})
    if stays:
        root.set("scenario", "reminder")
    elif args["timeout"] > LONGEST_SHORT:
        root.set("duration", "long")
    binding = SubElement(SubElement(root, "visual"), "binding", {"template": "ToastGeneric"})
    for text in (args["title"], args["message"]):
        if text:
            SubElement(binding, "text").text = _clean(text)
    if image:
        SubElement(binding, "image", {"src": image.as_uri()})
    _add_actions(root, buttons, reply and (args.get("reply_title") or reply), stays=stays)
    _add_sound(root, str(args.get("sound", "")), silent=args["urgency"] == "low")
    return tostring(root, encoding="unicode")


def _add_actions(
    root: Element, buttons: list[Mapping[str, str]], reply: str, *, stays: bool
) -> None:
    if not buttons and not reply and not stays:
        return
    actions = SubElement(root, "actions")
    if reply:
        field = {"id": REPLY, "type": "text", "placeHolderContent": _clean(reply)}
        SubElement(actions, "input", field)
    for number, one in enumerate(buttons):
        button = {"content": _clean(one["title"]), "arguments": str(number)}
        SubElement(actions, "action", button)
    if reply:
        button = {"content": _clean(reply), "arguments": REPLY, "hint-inputId": REPLY}
        SubElement(actions, "action", button)
    if not buttons and not reply:
        # Windows' own, in the user's language.
        button = {"activationType": "system", "arguments": "dismiss", "content": ""}
        SubElement(actions, "action", button)


def _add_sound(root: Element, sound: str, *, silent: bool) -> None:
    if sound == "none" or (silent and not sound):
        SubElement(root, "audio", {"silent": "true"})
    elif sound.startswith(_SOUNDS):
        SubElement(root, "audio", {"src": f"ms-winsoundevent:{_clean(sound)}"})


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
