"""Feeds the protocol's readers of what hosts send: ``python tests/fuzz/protocol.py``.

What controllers send is read in the running agent: `agent.py`. Needs atheris on Linux:

    uv venv fuzz-3.11 --python 3.11
    uv pip install --python fuzz-3.11/bin/python atheris -e .
    fuzz-3.11/bin/python tests/fuzz/protocol.py -max_total_time=3600 corpus/

Everything behind the script's name goes to libFuzzer. It is run by hand, not in CI.
"""

from __future__ import annotations

import base64
from copy import deepcopy
import json
from pathlib import Path
import sys

import atheris

ROOT = Path(__file__).parents[2]

with atheris.instrument_imports(include=["companion_agent.protocol"]):
    from companion_agent.protocol import (
        announce as announces,
        backlog,
        envelope,
        messages,
        pairing,
        signing,
        validation,
    )
    from companion_agent.protocol.errors import ProtocolError

HOST = "9c3f6f0e3a5b4d21"
BASE = f"pilot/v2/{HOST}"
CONTROLLER = "4f1d2c3b5a697887"
KEYS = signing.derive(CONTROLLER, bytes(range(32)), "pilot/v2", HOST)
RESULT = f"{BASE}/result/power.shutdown"

BODY = json.dumps(
    {
        "id": "5f1c0a9be3d24c77",
        "session": "5f1c0a9be3d24c77",
        "controller": CONTROLLER,
        "status": "done",
        "reason": "",
        "detail": "",
        "time": 1793952000.27,
        "dry_run": False,
    }
)


ANNOUNCE = {
    "protocol": 2,
    "session": "5f1c0a9be3d24c77",
    "sequence": [1793952000, 2],
    "host": {"id": HOST, "name": "office-pc", "os": "Debian", "macs": ["00:00:5e:00:53:01"]},
    "agent": {"version": "0.1.0", "python": "3.11.7"},
    "collectors": {"cpu": {"interval": 10}, "i2c": {"interval": 60}},
    "devices": {"aht20-1-38": {"name": "AHT20", "manufacturer": "Aosong", "model": "AHT20"}},
    "readings": [
        {"key": "cpu.percent"},
        {"key": "i2c.aht20-1-38.temperature", "kind": "temperature", "device": "aht20-1-38"},
        {"key": "i2c.mode", "kind": "custom", "name": "Mode", "type": "enum", "options": ["a"]},
    ],
    "conflict": {"session": "5f1c0a9be3d24c78", "name": "office-pc"},
    "trust": {"controllers": [CONTROLLER, "fleet"], "pairing": True},
    "commands": [
        {"key": "power.shutdown", "args": {"delay": "seconds"}},
        {"key": "power.reboot", "missing": {"reason": "polkit", "fix": "write a rule"}},
    ],
    "events": [{"key": "session", "types": ["locked", "unlocked"]}],
}
EVENT = {
    "ts": 1793952000.25,
    "session": "5f1c0a9be3d24c77",
    "sequence": [1793952000, 2],
    "type": "locked",
    "data": {"user": "anna", "uid": 1000},
}
SAID = {
    "ts": 1793952000.25,
    "session": "5f1c0a9be3d24c77",
    "sequence": [1793952000, 2_000_002],
    "availability": "asleep",
}
VERIFIED = json.loads(BODY) | {"refused": {"command.replayed": 3, "pairing.wrong_code": 1}}
ODD = (
    None, True, False, 0, -1, 2, 2**53, 10**400, -0.0, 1e308, "", "\0", "x" * 70_000, "9c3f",
    "ünï.cödé", "\u202e", [], {}, [[]], [None] * 3000, {"": {}}, {"key": "cpu.percent"},
)  # fmt: skip


def _sealed(body: str) -> bytes:
    signature = signing.sign(KEYS.report, RESULT, body.encode())
    return json.dumps({"protocol": 2, "body": body, "signatures": {CONTROLLER: signature}}).encode()


GENUINE = _sealed(BODY)


def _believed(data: bytes) -> None:
    """Only what the host has signed is believed, whatever is wrapped around it."""
    try:
        body = envelope.verified(KEYS, RESULT, data, validation.MAX_RESULT)
    except ProtocolError:
        return
    assert body == BODY.encode()


def _reports(data: bytes) -> None:
    for read in (
        messages.parse_result,
        messages.parse_event,
        messages.parse_state,
        messages.parse_availability_word,
        messages.parse_availability,
        backlog.parse_chunk,
    ):
        try:
            read(data)
        except ProtocolError:
            continue


def _announce(data: bytes) -> None:
    try:
        opened = envelope.open_envelope(data, validation.MAX_ANNOUNCE)
        announce = announces.parse_announce(opened.body, HOST)
    except ProtocolError:
        return
    if announce is not None:
        assert announce.host.id == HOST
        assert len(announce.readings) <= validation.MAX_READINGS


def _pairing(one_try: pairing.ControllerPairing, data: bytes) -> None:
    try:
        message = one_try.read(data)
    except pairing.PairingError:
        return
    if message is not None:
        try:
            one_try.finish(message)
        except pairing.PairingError:
            return
        raise AssertionError("a proof was made without the code")


def _changed(provider: atheris.FuzzedDataProvider) -> bytes:
    """Return the genuine result after a few changes: random bytes never get that far."""
    payload = bytearray(GENUINE)
    for _ in range(provider.ConsumeIntInRange(0, 4)):
        position = provider.ConsumeIntInRange(0, len(payload))
        match provider.ConsumeIntInRange(0, 2):
            case 0 if position < len(payload):
                payload[position] ^= provider.ConsumeIntInRange(1, 255)
            case 1:
                payload[position:position] = provider.ConsumeBytes(8)
            case _:
                del payload[position : position + provider.ConsumeIntInRange(1, 16)]
    return bytes(payload)


def _with_odd_parts(provider: atheris.FuzzedDataProvider, whole: object) -> object:
    """Return a copy in which a few parts are something else."""
    changed = deepcopy(whole)
    for _ in range(provider.ConsumeIntInRange(1, 3)):
        node = changed
        while True:
            places = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not places:
                break
            place = places[provider.ConsumeIntInRange(0, len(places) - 1)]
            below = node[place]
            if isinstance(below, (dict, list)) and below and provider.ConsumeBool():
                node = below
                continue
            choice = provider.ConsumeIntInRange(0, len(ODD))
            odd = ODD[choice] if choice < len(ODD) else provider.ConsumeUnicode(40)
            node[place] = deepcopy(odd)
            break
    return changed


def main() -> None:
    """Run until libFuzzer has enough."""
    attempt = pairing.ControllerPairing("01234567", CONTROLLER, BASE, "Home", "00112233aabbccdd")
    other = pairing.ControllerPairing("76543210", CONTROLLER, BASE, "Home", "00112233aabbccdd")
    # So that it expects a proof: it is given a host's message of another try.
    point = base64.b64decode(json.loads(other.request())["message"])
    attempt.confirm({"message": base64.b64encode(b"B" + point[1:]).decode()})
    assert announces.parse_announce(json.dumps(ANNOUNCE).encode(), HOST)
    assert messages.parse_event(json.dumps(EVENT).encode())
    assert messages.parse_availability(json.dumps(SAID).encode())[1] == (1793952000, 2_000_002)
    assert messages.parse_result(json.dumps(VERIFIED).encode()).refused == VERIFIED["refused"]
    assert envelope.verified(KEYS, RESULT, GENUINE, validation.MAX_RESULT) == BODY.encode()

    def one(data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        match provider.ConsumeIntInRange(0, 8):
            case 0:
                _believed(provider.ConsumeBytes(4096))
            case 1:
                _believed(_changed(provider))
            case 2:
                _reports(provider.ConsumeBytes(4096))
            case 3:
                _announce(provider.ConsumeBytes(8192))
            case 4:
                _pairing(attempt, provider.ConsumeBytes(4096))
            case 5:
                pairing.read_code(provider.ConsumeUnicode(64))
                pairing.controller_name(provider.ConsumeUnicode(256)).encode()
            case 6:
                _announce(json.dumps(_with_odd_parts(provider, ANNOUNCE)).encode())
            case 7:
                whole = provider.PickValueInList([json.loads(BODY), EVENT, SAID, VERIFIED])
                _reports(json.dumps(_with_odd_parts(provider, whole)).encode())
            case _:
                text = provider.ConsumeUnicodeNoSurrogates(4096)
                body = envelope.verified(KEYS, RESULT, _sealed(text), validation.MAX_RESULT)
                assert body == text.encode()
                _reports(body)

    arguments = list(sys.argv)
    _seed(arguments)
    atheris.Setup(arguments, one)
    atheris.Fuzz()


def _seed(arguments: list[str]) -> None:
    """Put the vectors of the contract into the corpus, if there is one."""
    folders = [Path(one) for one in arguments[1:] if not one.startswith("-")]
    if not folders or not folders[0].is_dir():
        return
    # The provider takes numbers from the end: the last byte chooses a reader.
    for path in (ROOT / "tests" / "contract" / "valid").glob("*.json"):
        payload = json.loads(path.read_text(encoding="utf-8")).get("payload", "")
        text = payload if isinstance(payload, str) else json.dumps(payload)
        for choice in (2, 3):
            (folders[0] / f"{path.stem}-{choice}").write_bytes(text.encode() + bytes([choice]))
    for choice in range(9):
        (folders[0] / f"genuine-{choice}").write_bytes(GENUINE + bytes([choice]))


if __name__ == "__main__":
    main()
