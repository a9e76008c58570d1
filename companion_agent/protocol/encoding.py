"""JSON as it is on the wire."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from .errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable


def dump(value: object) -> str:
    """Write JSON without white space, as everything on the wire is.

    Raises:
        ValueError: It holds a number that is not finite.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def decode_json(payload: bytes) -> object:
    """Read JSON in UTF-8, as strictly as RFC 8259 asks for.

    Raises:
        ValueError: It is something else, or holds a number that is not finite, or half a
            surrogate pair, which neither can be signed nor printed.
    """
    text = payload.decode("utf-8")
    value: object = json.loads(text, parse_constant=_finite, parse_float=_finite)
    if "\\u" in text:
        # Only an escape can spell half a pair.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def load_object(
    payload: bytes, limit: int, decode: Callable[[bytes], object] = decode_json
) -> dict[str, Any]:
    """Read a JSON object of limited size.

    Args:
        payload: The message.
        limit: The most bytes that are read.
        decode: Reads JSON, as strictly as `decode_json()`: a faster one, where there is one.

    Raises:
        ProtocolError: It is something else.
    """
    if len(payload) > limit:
        raise ProtocolError("size", f"{len(payload)} bytes are more than {limit}")
    try:
        data = decode(payload)
    except (ValueError, RecursionError):
        raise ProtocolError("json", "not JSON in UTF-8") from None
    if not isinstance(data, dict):
        raise ProtocolError("json", "not a JSON object")
    return data


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
