"""The picture of what is played, as bytes.

Only files and `data:` addresses are read, and only pictures are handed on: a track names its
picture itself, and must not be able to name other files of the user. An address on the network is
neither opened here nor handed to Home Assistant, for which a track of a stranger would then fetch
whatever it names.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from companion_agent.errors import CommandError
from companion_agent.protocol.validation import MAX_PICTURE, picture_type
from companion_agent.storage.plain import read_plain

_SCHEMES = ("file:", "data:")


def can_be_read(address: str) -> bool:
    """Tell whether there may be a picture at an address."""
    return address.lower().startswith(_SCHEMES)


def read(address: str) -> bytes:
    """Return a picture; it may wait for a disk.

    Raises:
        CommandError: It cannot be read, is too large, or is something else than a picture.
    """
    scheme, _, rest = address.partition(":")
    try:
        found = _of_data(rest) if scheme.lower() == "data" else _of_file(address)
    except OSError as error:
        raise CommandError("failed", f"the picture: {error.strerror or error}") from error
    except ValueError:
        raise CommandError("failed", "the picture's address is malformed") from None
    return checked(found)


def checked(found: bytes) -> bytes:
    """Return a picture that may be handed on.

    Raises:
        CommandError: It is too large, or is something else than a picture.
    """
    if len(found) > MAX_PICTURE:
        raise CommandError("failed", f"the picture is larger than {MAX_PICTURE // 1024} KiB")
    if picture_type(found) is None:
        raise CommandError("failed", "it is no picture (JPEG, PNG, GIF, WebP)")
    return found


def _of_file(address: str) -> bytes:
    parts = urlsplit(address)
    if parts.scheme.lower() != "file" or parts.netloc not in ("", "localhost"):
        raise ValueError
    return read_plain(Path(unquote(parts.path)), MAX_PICTURE + 1)


def _of_data(rest: str) -> bytes:
    head, comma, body = rest.partition(",")
    if not comma:
        raise ValueError
    if len(body) > 2 * MAX_PICTURE:
        raise CommandError("failed", f"the picture is larger than {MAX_PICTURE // 1024} KiB")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(unquote(body), validate=True)
    except binascii.Error:
        raise ValueError from None
