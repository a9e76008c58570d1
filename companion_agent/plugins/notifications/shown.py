"""What both systems' notifications have in common: what is shown, its image, and its answers."""

from __future__ import annotations

from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from companion_agent.desktop.messages import MAX_TEXT, Thing
from companion_agent.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER = Thing("server")
SHOW = Thing("show")
CLEAR = Thing("clear")
APP = "Home Assistant"
"""Who the user sees a notification from."""
MAX_SHOWN = 100
"""Notifications whose answers are told; the oldest are forgotten."""

_REPLY_PARTS = 8
_IMAGES = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A notification that is shown.

    Attributes:
        id: What Home Assistant calls it.
        tag: What it can be replaced and cleared by.
        actions: What its buttons say to Home Assistant, in their order.
        reply: What its reply field says besides the text.
        image: The file of its image.
    """

    id: str
    tag: str
    actions: tuple[str, ...]
    reply: str
    image: Path | None

    @classmethod
    def of(cls, args: Mapping[str, Any], image: Path | None) -> Self:
        """Return the notification of a command."""
        actions = tuple(one["action"] for one in args.get("actions", ()))
        return cls(args["id"], args["tag"], actions, args.get("reply", ""), image)


def reply_parts(text: str) -> dict[str, str]:
    """Return a reply as an event carries it: a text there has up to 255 characters."""
    parts = [text[at : at + MAX_TEXT] for at in range(0, len(text), MAX_TEXT)] or [""]
    return {
        f"reply_{place}" if place else "reply": part
        for place, part in enumerate(parts[:_REPLY_PARTS])
    }


def write_image(text: str) -> Path:
    """Write an image where the user's programs find it, and no other user.

    Raises:
        CommandError: It is no image of a format that all servers draw.
    """
    content = b64decode(text)
    suffix = next((end for begin, end in _IMAGES.items() if content.startswith(begin)), "")
    if not suffix:
        raise CommandError("bad_arguments", "image is neither PNG nor JPEG")
    import tempfile  # noqa: PLC0415  (it brings a megabyte that most never need)

    try:
        number, name = tempfile.mkstemp(suffix, "pilot-", os.environ.get("XDG_RUNTIME_DIR"))
        with os.fdopen(number, "wb") as file:
            file.write(content)
    except OSError as error:
        raise CommandError("failed", f"the image cannot be written: {error.strerror}") from error
    return Path(name)


def remove(image: Path | None) -> None:
    """Take an image away."""
    if image:
        with suppress(OSError):
            image.unlink()
