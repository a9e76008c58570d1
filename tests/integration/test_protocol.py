"""The copy of the protocol: the agent's, byte for byte, and at work with Home Assistant's JSON.

What it does is tested with the original, in `tests/agent/protocol`.
"""

import base64
import json
import subprocess
import sys
from typing import Any

from homeassistant.util.json import json_loads
import pytest

from custom_components.pilot import commands
from custom_components.pilot.backfill import store
from custom_components.pilot.protocol.announce import parse_announce
from custom_components.pilot.protocol.backlog import parse_chunk
from custom_components.pilot.protocol.envelope import verified
from custom_components.pilot.protocol.errors import ProtocolError
from custom_components.pilot.protocol.messages import parse_availability, parse_state
from custom_components.pilot.protocol.signing import derive
from custom_components.pilot.protocol.topics import split_announce_topic
from custom_components.pilot.protocol.validation import MAX_ANNOUNCE

from .conftest import CONTRACT, ROOT


def vectors(folder: str) -> list[Any]:
    """Return the vectors of a folder, each with its name."""
    return [
        pytest.param(json.loads(path.read_text()), id=path.stem)
        for path in sorted((CONTRACT / folder).glob("*.json"))
    ]


def parse(vector: dict[str, Any]) -> object:
    """Read a vector as its topic says, with the decoder that Home Assistant has."""
    topic, payload = vector["topic"], vector.get("payload")
    if payload is None:
        content = base64.b64decode(vector["payload_base64"])
    else:
        content = payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
    if topic.endswith("/announce"):
        return parse_announce(content, split_announce_topic(topic)[1])
    if topic.endswith("/availability"):
        return parse_availability(content)
    assert topic.endswith("/state")
    return parse_state(content, decode=json_loads)


def test_the_copy_is_the_original() -> None:
    """`scripts/sync-protocol` was run after the last change."""
    command = [sys.executable, ROOT / "scripts" / "sync-protocol", "--check"]
    check = subprocess.run(command, capture_output=True, text=True, check=False)

    assert check.stderr == ""
    assert check.returncode == 0


@pytest.mark.parametrize("vector", vectors("valid"))
def test_accepts_what_the_contract_allows(vector: dict[str, Any]) -> None:
    """Every valid vector is read: that none is refused is the point."""
    parse(vector)


@pytest.mark.parametrize("vector", vectors("refused"))
def test_refuses_what_the_contract_forbids(vector: dict[str, Any]) -> None:
    """Every refused vector is refused, as a whole."""
    with pytest.raises(ProtocolError):
        parse(vector)


@pytest.mark.parametrize("name", ["reports", "backlog"])
def test_believes_what_a_host_has_signed(name: str) -> None:
    """With each key that the host has."""
    file = json.loads((CONTRACT / "signed" / f"{name}.json").read_text())

    for key_id, secret in file["secrets"].items():
        keys = derive(key_id, bytes.fromhex(secret), file["prefix"], file["host"])
        for case in file["valid"]:
            topic = case.get("topic", file.get("topic"))
            body = verified(keys, topic, case["payload"].encode(), MAX_ANNOUNCE)
            assert json.loads(body) == case["body"]
            if name == "backlog":
                parse_chunk(body)


def test_the_documentation_has_the_controllers_times() -> None:
    """How often and how long a controller asks, and what it remembers."""
    text = (ROOT / "docs" / "protocol.md").read_text()
    *first, last = (f"{delay:g}" for delay in commands.REPEATS)

    assert f"after {', '.join(first)} and {last} seconds until the result is there" in text
    assert f"gives up after {commands.GIVE_UP:g}" in text
    assert f"the last {store.REMEMBERED} chunks of a host" in text
    assert f"older than {store.MAX_AGE // 86_400} days" in text
