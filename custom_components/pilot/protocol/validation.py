"""Limits and forms: what a message may hold, and how its fields are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from .errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROTOCOL: Final = 2

# Sizes of messages in bytes. Those of signed messages are the sizes of their bodies, unless the
# name says otherwise.
MAX_ANNOUNCE: Final = 256 * 1024
MAX_ENVELOPE: Final = 512 * 1024
"""An announce of the largest size, written as a text in JSON, and its signatures."""
MAX_STATE: Final = 256 * 1024
MAX_AVAILABILITY: Final = 16
"""One of the four words, bare."""
MAX_AVAILABILITY_BODY: Final = 1024
MAX_COMMAND: Final = 16 * 1024
"""With its envelope, and without the files in its arguments."""
MAX_RESULT: Final = 384 * 1024
"""A picture in base64, and what is around it."""
MAX_PICTURE: Final = 256 * 1024
MAX_EVENT: Final = 16 * 1024
MAX_CHUNK: Final = 64 * 1024
MAX_CHUNK_ENVELOPE: Final = 128 * 1024
MAX_ACKNOWLEDGEMENT: Final = 4 * 1024
"""With its envelope."""
MAX_PAIRING: Final = 4 * 1024

# Counts
MAX_READINGS: Final = 2000
MAX_COLLECTORS: Final = 200
MAX_DEVICES: Final = 500
MAX_MACS: Final = 200
MAX_OPTIONS: Final = 200
MAX_COMMANDS: Final = 200
MAX_EVENTS: Final = 200
MAX_ARGUMENTS: Final = 32
MAX_EVENT_DATA: Final = 32
MAX_FIELD_ERRORS: Final = 64
MAX_SETTINGS: Final = 200
"""Sections, and fields of one."""
MAX_REFUSED_COUNTS: Final = 100
MAX_CHUNK_POINTS: Final = 2000
MAX_CHUNK_READINGS: Final = 200
MAX_PAIRED: Final = 32
"""Controllers that a host pairs with."""
MAX_SIGNATURES: Final = 64
"""Keys that a reader takes of a host, with room for hosts that pair with more than this one."""

# Lengths of texts in characters
MAX_TEXT: Final = 255
MAX_KEY: Final = 128
MAX_OF: Final = 128
MAX_FIX: Final = 8 * 1024
MAX_NOTES: Final = 4096
MAX_OUTPUT: Final = 12 * 1024
"""Bytes of a command's output, written in JSON."""
MAX_CONTROLLER_NAME: Final = 64
MAX_ARGUMENT_NAME: Final = 64

# Numbers
MAX_NUMBER: Final = 1e15
MAX_INTERVAL: Final = 86_400
"""Seconds"""
MAX_TIME_LIMIT: Final = 3600
"""Seconds that a command may take"""
MAX_PRECISION: Final = 15
MAX_WHOLE: Final = 2**53
"""Whole numbers below it are exact for every reader of JSON (RFC 8259, section 6)."""

HOST_ID: Final = re.compile(r"[a-z0-9-]{8,64}")
SEGMENT: Final = re.compile(rf"[a-z0-9_-]{{1,{MAX_KEY}}}")
_KEY = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_TOKEN = re.compile(r"[a-z0-9]{8,64}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2})+")
_SIXTEEN_DIGITS = re.compile(r"[0-9a-f]{16}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_PICTURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_ARGUMENT = re.compile(rf"[a-z0-9_]{{1,{MAX_ARGUMENT_NAME}}}")

# Controls, line separators, what turns the direction of writing, and broken characters: hosts
# show the name of a controller in logs and terminals.
UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

FLEET: Final = "fleet"
"""The id of the key that many hosts share."""

Value = float | bool | str | None
"""What a reading may be. Whole numbers are numbers too; null means not readable now."""
Order = tuple[int, int]
"""The number of the agent's starts, and that of a message of its sort in this one."""


# --- Forms -----------------------------------------------------------------------------------


def is_key(text: str) -> bool:
    """Tell whether a text can be the key of a reading or a command."""
    return len(text) <= MAX_KEY and _KEY.fullmatch(text) is not None


def is_token(value: object) -> TypeGuard[str]:
    """Tell whether something can be a session, or the id of a request."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def is_hex_id(value: object) -> TypeGuard[str]:
    """Tell whether something has 16 hexadecimal digits: an id of a chunk, a try, a controller."""
    return isinstance(value, str) and _SIXTEEN_DIGITS.fullmatch(value) is not None


is_controller = is_hex_id


def is_key_id(value: object) -> TypeGuard[str]:
    """Tell whether something can be the id that a signature stands under."""
    return value == FLEET or is_hex_id(value)


def is_signature(value: object) -> TypeGuard[str]:
    """Tell whether something has the form of a signature: HMAC-SHA256 in hexadecimal digits."""
    return isinstance(value, str) and _SIGNATURE.fullmatch(value) is not None


def is_mac(value: object) -> TypeGuard[str]:
    """Tell whether something is a hardware address: lower case, with colons."""
    return isinstance(value, str) and len(value) <= MAX_TEXT and _MAC.fullmatch(value) is not None


def is_argument_name(text: str) -> bool:
    """Tell whether a text can name an argument of a command."""
    return _ARGUMENT.fullmatch(text) is not None


def is_controller_name(text: object) -> TypeGuard[str]:
    """Tell whether something can be what a controller calls itself."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= MAX_CONTROLLER_NAME
        and not UNPRINTABLE.search(text)
        and text.strip() == text
    )


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether something is a whole number, which true and false are not."""
    return type(value) is int


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether something is a number of the size that the protocol allows."""
    return type(value) in (int, float) and in_range(value)  # type: ignore[arg-type]


def in_range(number: float) -> bool:
    """Tell whether a number has the size that the protocol allows; NaN has not."""
    # Compared, not converted: a whole number may be too large for a float.
    return -MAX_NUMBER < number < MAX_NUMBER


# --- Writing ---------------------------------------------------------------------------------


def picture_type(data: bytes) -> str | None:
    """Return the media type of a picture by its first bytes; `None` for anything else."""
    for beginning, media_type in _PICTURES:
        if data.startswith(beginning):
            return media_type
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Cut a text to what a reader takes: at most `limit` characters, no NUL, no broken ones."""
    # Names of files and devices that are not UTF-8 reach Python as lone surrogates.
    return text[:limit].encode("utf-8", "replace").decode("utf-8").replace("\0", "?")


def clean_value(value: Value) -> Value:
    """Return a value as a reader takes it; a number that it would refuse becomes `None`."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool):
        return value
    return value if in_range(value) else None


# --- Reading ---------------------------------------------------------------------------------


def as_object(value: object, name: str) -> dict[str, Any]:
    """Return an object.

    Raises:
        ProtocolError: It is something else.
    """
    if not isinstance(value, dict):
        raise ProtocolError(name, f"{name} is not an object")
    return value


def get_object(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a field that is an object.

    Raises:
        ProtocolError: It is missing, or something else.
    """
    return as_object(data.get(name), name)


def get_text(data: Mapping[str, Any], name: str, limit: int = MAX_TEXT) -> str:
    """Return a field that is a text of 1 to `limit` characters.

    Raises:
        ProtocolError: It is missing, or something else.
    """
    value = data.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= limit or "\0" in value:
        raise ProtocolError(name, f"{name} is not a text of 1 to {limit} characters")
    return value


def get_optional_text(data: Mapping[str, Any], name: str, limit: int = MAX_TEXT) -> str | None:
    """Return a field that is a text; `None` where it is absent, or empty, which says as little.

    Raises:
        ProtocolError: It is something else.
    """
    if name not in data:
        return None
    value = data[name]
    if not isinstance(value, str) or len(value) > limit or "\0" in value:
        raise ProtocolError(name, f"{name} is not a text of at most {limit} characters")
    return value or None


def get_number(data: Mapping[str, Any], name: str) -> float:
    """Return a field that is a number.

    Raises:
        ProtocolError: It is missing, or something else.
    """
    value = data.get(name)
    if not is_number(value):
        raise ProtocolError(name, f"{name} is not a number")
    return float(value)


def get_session(data: Mapping[str, Any]) -> str:
    """Return the session of a start of the agent.

    Raises:
        ProtocolError: It is missing, or something else.
    """
    session = data.get("session")
    if not is_token(session):
        raise ProtocolError("session", "session is not 8 to 64 characters of a-z and 0-9")
    return session


def get_sequence(data: Mapping[str, Any]) -> Order:
    """Return what orders a host's messages across all its starts.

    Raises:
        ProtocolError: It is missing, or something else.
    """
    sequence = data.get("sequence")
    if (
        not isinstance(sequence, list)
        or len(sequence) != 2
        or not all(is_whole(number) and 0 <= number < MAX_WHOLE for number in sequence)
    ):
        raise ProtocolError("sequence", "sequence is not two whole numbers")
    return sequence[0], sequence[1]


def get_options(values: object) -> tuple[str, ...]:
    """Return a list of different texts, as the options of an enum and the types of an event are.

    Raises:
        ProtocolError: It is something else.
    """
    if not isinstance(values, list) or len(values) > MAX_OPTIONS:
        raise ProtocolError("options", f"options is not a list of at most {MAX_OPTIONS}")
    return tuple(dict.fromkeys(_texts(values)))


def _texts(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or "\0" in value:
            raise ProtocolError("options", "an option is not a text")
        yield value


def check_protocol(data: Mapping[str, Any]) -> None:
    """Check that a message is of this protocol.

    Raises:
        ProtocolError: It is not; `kind` says which side is older.
    """
    number = data.get("protocol")
    if not is_whole(number):
        raise ProtocolError("protocol", "protocol is not a whole number")
    if number > PROTOCOL:
        text = f"the other side speaks protocol {number}: this side is older, it speaks {PROTOCOL}"
        raise ProtocolError("protocol_newer", text, number)
    if number < PROTOCOL:
        text = f"the other side speaks protocol {number}: it is older than {PROTOCOL}"
        raise ProtocolError("protocol_older", text, number)
