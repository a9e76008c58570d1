"""What the tests of the protocol share: the vectors of `tests/contract`, and an announce."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

CONTRACT = Path(__file__).parents[2] / "contract"
HOST = "9c3f6f0e3a5b4d21"
SESSION = "5f1c0a9be3d24c77"
ANNOUNCE: dict[str, Any] = json.loads((CONTRACT / "valid" / "announce.json").read_text("utf-8"))[
    "payload"
]

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def vectors(folder: str) -> list[tuple[str, str, bytes]]:
    """Return the name, topic and payload of every vector in a folder."""
    found = [
        (path.stem, vector["topic"], payload_of(vector))
        for path in sorted((CONTRACT / folder).glob("*.json"))
        for vector in [json.loads(path.read_text("utf-8"))]
    ]
    assert found
    return found


def payload_of(vector: dict[str, Any]) -> bytes:
    """Return the bytes of a vector: given as they are, as text or as JSON."""
    if "payload_base64" in vector:
        return base64.b64decode(vector["payload_base64"])
    payload = vector["payload"]
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def signed(name: str) -> Any:
    """Return a file of signed vectors."""
    return json.loads((CONTRACT / "signed" / f"{name}.json").read_text("utf-8"))
