"""Writes the vectors in `tests/contract/signed/`; run by hand, after a change of the contract.

Everything is computed here from the standard library (and SPAKE2's) with the words of
`docs/protocol.md`, not with the agent's own functions: the agent is tested against it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from spake2 import SPAKE2_A, SPAKE2_B

FOLDER = Path(__file__).parents[2] / "contract" / "signed"

PREFIX, HOST = "pilot/v2", "9c3f6f0e3a5b4d21"
BASE = f"{PREFIX}/{HOST}"
SESSION = "5f1c0a9be3d24c77"
CONTROLLER, GUEST = "4f1d2c3b5a697887", "0123456789abcdef"
NOW = 1793952000.25
SECRET = bytes(range(32))
FLEET = bytes(range(100, 132))


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def keys(secret: bytes, base: str = BASE) -> tuple[bytes, bytes]:
    salt = base.encode()
    return hkdf(secret, salt, b"pilot command"), hkdf(secret, salt, b"pilot report")


COMMAND, REPORT = keys(SECRET)
FLEET_COMMAND, FLEET_REPORT = keys(FLEET)


def signature(key: bytes, topic: str, body: str) -> str:
    return hmac.new(key, f"pilot/2\n{topic}\n{body}".encode(), hashlib.sha256).hexdigest()


def dump(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def envelope(topic: str, body: str, keyring: dict[str, bytes], **more: Any) -> str:
    signatures = {name: signature(key, topic, body) for name, key in keyring.items()}
    return dump({"protocol": 2, "body": body, "signatures": signatures} | more)


def derivations() -> Any:
    cases = [
        (SECRET, PREFIX, HOST),
        (SECRET, PREFIX, "another-host"),
        (SECRET, "house/pilot", HOST),
        (FLEET, PREFIX, HOST),
        (bytes(range(40)), PREFIX, HOST),
    ]
    return [
        {
            "secret": secret.hex(),
            "prefix": prefix,
            "host": host,
            "command": keys(secret, f"{prefix}/{host}")[0].hex(),
            "report": keys(secret, f"{prefix}/{host}")[1].hex(),
        }
        for secret, prefix, host in cases
    ]


def fleet_keys() -> Any:
    good = base64.b64encode(FLEET).decode()
    return {
        "accepted": [
            {"text": good, "secret": FLEET.hex()},
            {"text": f"  {good[:20]}\n{good[20:]}\n", "secret": FLEET.hex()},
            {"text": base64.b64encode(bytes(range(64))).decode(), "secret": bytes(range(64)).hex()},
        ],
        "refused": [
            {"text": "", "why": "empty"},
            {"text": "correct horse battery staple, and some more words", "why": "not base64"},
            {"text": base64.b64encode(bytes(range(31))).decode(), "why": "31 bytes"},
            {"text": base64.b64encode(bytes(32)).decode(), "why": "fewer than 16 different bytes"},
            {"text": good.rstrip("="), "why": "without padding"},
            {"text": "-_" + good[2:], "why": "the other alphabet of base64"},
        ],
    }


def commands() -> Any:
    topic = f"{BASE}/command/power.shutdown"
    content = {
        "id": "00000000000000a1",
        "controller": CONTROLLER,
        "session": SESSION,
        "counter": 1793952000250,
        "time": NOW,
        "args": {"delay": 60},
    }
    cases: list[dict[str, Any]] = []

    def case(name: str, reason: str, payload: str, **more: Any) -> None:
        heard = {"name": name, "topic": topic, "payload": payload, "reason": reason}
        cases.append(heard | more)

    def signed(
        key: bytes = COMMAND, key_id: str = CONTROLLER, on: str = topic, **changes: Any
    ) -> str:
        body = {name: value for name, value in (content | changes).items() if value is not ...}
        return envelope(on, dump(body), {key_id: key})

    case("shut down in a minute", "", signed())
    case("arguments left out", "", signed(args=...))
    case("the same within the clocks' tolerance", "", signed(time=NOW - 30))
    case("unknown fields", "", signed(mood="good"))
    case("by the fleet key", "", signed(FLEET_COMMAND, "fleet", controller=GUEST))
    case(
        "a body with line feeds and white space",
        "",
        envelope(topic, json.dumps(content, indent=2), {CONTROLLER: COMMAND}),
    )
    case("retained", "retained", signed(), retained=True)
    case("empty", "malformed", "")
    case("a bare body", "malformed", dump(content))
    case(
        "another protocol",
        "malformed",
        envelope(topic, dump(content), {CONTROLLER: COMMAND}, protocol=3),
    )
    case(
        "two signatures",
        "malformed",
        envelope(topic, dump(content), {CONTROLLER: COMMAND, "fleet": FLEET_COMMAND}),
    )
    case("no signature", "malformed", envelope(topic, dump(content), {}))
    case(
        "a signature in upper case",
        "malformed",
        envelope(
            topic,
            dump(content),
            {},
            signatures={CONTROLLER: signature(COMMAND, topic, dump(content)).upper()},
        ),
    )
    case(
        "a body that is an object",
        "malformed",
        dump({"protocol": 2, "body": content, "signatures": {CONTROLLER: "0" * 64}}),
    )
    for field in ("id", "controller", "session", "counter", "time"):
        case(f"without {field}", "malformed", signed(**{field: ...}))
    case("speaks for another controller", "malformed", signed(controller=GUEST))
    case("a counter that is a text", "malformed", signed(counter="1793952000250"))
    case("a counter that is true", "malformed", signed(counter=True))
    case("a counter of zero", "malformed", signed(counter=0))
    case("a counter above 2^53 - 1", "malformed", signed(counter=2**53))
    case(
        "a time that is not a number",
        "malformed",
        envelope(topic, dump(content | {"time": float("nan")}), {CONTROLLER: COMMAND}),
    )
    case("an argument without a proper name", "malformed", signed(args={"De lay": 1}))
    case("16 KiB and more", "malformed", signed(padding="x" * 16384))
    case("a stranger's", "not_paired", signed(keys(bytes(32))[0], GUEST, controller=GUEST))
    case("the wrong secret", "bad_signature", signed(keys(bytes(32))[0]))
    case("the host's own key", "bad_signature", signed(REPORT))
    case(
        "the same secret at another host",
        "bad_signature",
        signed(keys(SECRET, f"{PREFIX}/another-host")[0]),
    )
    without_dots = f"{BASE}/command/power:shutdown"
    case("in a topic without dots", "", signed(on=without_dots), topic=without_dots)
    case("signed for the topic without dots", "bad_signature", signed(on=without_dots))
    case("signed for the topic with dots", "bad_signature", signed(), topic=without_dots)
    case("signed for another command", "bad_signature", signed(on=f"{BASE}/command/power.lock"))
    case(
        "signed for another host",
        "bad_signature",
        signed(on=f"{PREFIX}/another-host/command/power.shutdown"),
    )
    case(
        "a body changed by one space",
        "bad_signature",
        envelope(
            topic,
            dump(content) + " ",
            {},
            signatures={CONTROLLER: signature(COMMAND, topic, dump(content))},
        ),
    )
    case("another start of the agent", "wrong_session", signed(session="0000000000000000"))
    case("the last counter", "replayed", signed(counter=1000))
    case("31 s behind", "too_old", signed(time=NOW - 31))
    case("an hour ahead", "too_old", signed(time=NOW + 3600))
    case("delay below its minimum", "bad_arguments", signed(args={"delay": -1}))
    case("delay that is true", "bad_arguments", signed(args={"delay": True}))
    case("an argument too many", "bad_arguments", signed(args={"force": 1}))
    return {
        "prefix": PREFIX,
        "host": HOST,
        "session": SESSION,
        "now": NOW,
        "last_counter": 1000,
        "secrets": {CONTROLLER: SECRET.hex(), "fleet": FLEET.hex()},
        "command": {"key": "power.shutdown", "args": {"delay": {"minimum": 0, "maximum": 3600}}},
        "cases": cases,
    }


def reports() -> Any:
    keyring = {CONTROLLER: REPORT, "fleet": FLEET_REPORT}
    result = {
        "id": "00000000000000a1",
        "session": SESSION,
        "controller": CONTROLLER,
        "status": "done",
        "reason": "",
        "detail": "",
        "time": NOW,
        "dry_run": False,
    }
    rejected = result | {
        "status": "rejected",
        "reason": "replayed",
        "detail": "its counter is not above the last one",
        "counter": 1000,
    }
    event = {"ts": NOW, "session": SESSION, "sequence": [7, 1], "type": "locked", "data": {}}
    announce = {
        "protocol": 2,
        "session": SESSION,
        "sequence": [7, 1],
        "host": {"id": HOST, "name": "büro-pc"},
        "agent": {"version": "0.1.0"},
        "collectors": {},
        "readings": [],
        "trust": {"controllers": [CONTROLLER, "fleet"], "pairing": False},
        "commands": [{"key": "power.shutdown", "args": {"delay": "seconds"}}],
        "events": [{"key": "session", "types": ["locked", "unlocked"]}],
        "separator": ":",
    }
    verified = {**result, "refused": {"command.replayed": 3, "pairing.wrong_code": 1}}
    off = {"ts": NOW, "session": SESSION, "sequence": [7, 2_000_002], "availability": "off"}
    locked = {"ts": NOW, "values": {"locked": True}, "sequence": [7, 1]}
    topics = {
        f"{BASE}/availability": [off],
        f"{BASE}/state/session": [locked],
        f"{BASE}/result/trust.verify": [verified],
        f"{BASE}/result/power.shutdown": [result, rejected],
        f"{BASE}/result/power:shutdown": [result],
        f"{BASE}/event/session": [event],
        f"{BASE}/announce": [announce],
    }
    good = [
        {"topic": topic, "payload": envelope(topic, dump(body), keyring), "body": body}
        for topic, bodies in topics.items()
        for body in bodies
    ]
    topic, body = f"{BASE}/result/power.shutdown", dump(result)
    bad = {
        "a bare body": body,
        "signed by the controller's own key": envelope(topic, body, {CONTROLLER: COMMAND}),
        "signed for another topic": envelope(f"{BASE}/result/power.lock", body, keyring),
        "signed for the topic without dots": envelope(
            f"{BASE}/result/power:shutdown", body, keyring
        ),
        "signed with another secret": envelope(topic, body, {CONTROLLER: keys(bytes(32))[1]}),
        "not signed for this controller": envelope(topic, body, {GUEST: REPORT}),
        "changed": envelope(
            topic,
            body.replace("done", "failed"),
            {},
            signatures={CONTROLLER: signature(REPORT, topic, body)},
        ),
    }
    return {
        "prefix": PREFIX,
        "host": HOST,
        "secrets": {CONTROLLER: SECRET.hex(), "fleet": FLEET.hex()},
        "valid": good,
        "refused": [
            {"name": name, "topic": topic, "payload": payload} for name, payload in bad.items()
        ],
    }


def backlog() -> Any:
    topic = f"{BASE}/backlog"
    keyring = {CONTROLLER: REPORT, "fleet": FLEET_REPORT}
    temperature = "i2c.aht20-1-38.temperature"
    hour = 1793952000.0
    chunk: dict[str, Any] = {
        "chunk": "8c1f4e0d2b7a9635",
        "session": SESSION,
        "time": NOW + 36000,
        "more": True,
        "values": {
            temperature: [[hour, 21.5], [hour + 60.125, -4], [hour + 3600, None]],
            "cpu.percent": [[hour - 0.5, 12.5]],
        },
    }
    valid = {
        "a chunk": chunk,
        "the last one": chunk | {"more": False},
        "without points": chunk | {"values": {}},
        "without points of a key": chunk | {"values": {temperature: []}},
        "unknown fields": chunk | {"mood": "good"},
        "a host whose clock was never set": chunk | {"time": 12.5},
        "from long ago, and from the future": chunk | {"values": {temperature: [[0, 1], [4e9, 2]]}},
        "200 keys": chunk | {"values": {f"c.{count}": [[hour, count]] for count in range(200)}},
    }
    malformed: dict[str, Any] = {
        f"without {field}": {name: value for name, value in chunk.items() if name != field}
        for field in chunk
    }
    malformed |= {
        "a chunk's id in upper case": chunk | {"chunk": "8C1F4E0D2B7A9635"},
        "a chunk's id of 15 digits": chunk | {"chunk": "8c1f4e0d2b7a963"},
        "a chunk's id that is a number": chunk | {"chunk": 8},
        "a session that is too short": chunk | {"session": "5f1c"},
        "a time that is a text": chunk | {"time": "now"},
        "a time that is true": chunk | {"time": True},
        "more that is a number": chunk | {"more": 1},
        "values that are a list": chunk | {"values": []},
        "points that are an object": chunk | {"values": {temperature: {}}},
        "a point that is a number": chunk | {"values": {temperature: [21.5]}},
        "a point of one": chunk | {"values": {temperature: [[hour]]}},
        "a point of three": chunk | {"values": {temperature: [[hour, 1, 2]]}},
        "a point without a time": chunk | {"values": {temperature: [[None, 21.5]]}},
        "a point whose time is true": chunk | {"values": {temperature: [[True, 21.5]]}},
        "a value that is a text": chunk | {"values": {temperature: [[hour, "21.5"]]}},
        "a value that is true": chunk | {"values": {temperature: [[hour, True]]}},
        "a value that is too great": chunk | {"values": {temperature: [[hour, 1e15]]}},
        "points that go back in time": chunk
        | {"values": {temperature: [[hour + 1, 1], [hour, 2]]}},
        "a key of one segment": chunk | {"values": {"temperature": [[hour, 1]]}},
        "a key of 129 characters": chunk | {"values": {"c." + "k" * 127: [[hour, 1]]}},
        "201 keys": chunk | {"values": {f"c.{count}": [[hour, count]] for count in range(201)}},
        "a list": [chunk],
    }
    body = dump(chunk)
    not_believed = {
        "a bare body": body,
        "signed by the controller's own key": envelope(topic, body, {CONTROLLER: COMMAND}),
        "signed for another topic": envelope(f"{BASE}/event/backlog", body, keyring),
        "signed for another host": envelope(f"{PREFIX}/another-host/backlog", body, keyring),
        "signed with another secret": envelope(topic, body, {CONTROLLER: keys(bytes(32))[1]}),
        "not signed for this controller": envelope(topic, body, {GUEST: REPORT}),
        "changed": envelope(
            topic,
            body.replace("21.5", "31.5"),
            {},
            signatures={CONTROLLER: signature(REPORT, topic, body)},
        ),
    }
    return {
        "prefix": PREFIX,
        "host": HOST,
        "topic": topic,
        "secrets": {CONTROLLER: SECRET.hex(), "fleet": FLEET.hex()},
        "valid": [
            {"name": name, "payload": envelope(topic, dump(content), keyring), "body": content}
            for name, content in valid.items()
        ],
        "malformed": [
            {"name": name, "payload": envelope(topic, dump(content), keyring), "body": content}
            for name, content in malformed.items()
        ],
        "not_believed": [
            {"name": name, "payload": payload} for name, payload in not_believed.items()
        ],
    }


def acknowledgements() -> Any:
    topic = f"{BASE}/acknowledge"
    content = {"chunk": "8c1f4e0d2b7a9635", "controller": CONTROLLER}
    cases: list[dict[str, Any]] = []

    def case(name: str, reason: str, payload: str, **more: Any) -> None:
        cases.append({"name": name, "payload": payload, "reason": reason} | more)

    def signed(
        key: bytes = COMMAND, key_id: str = CONTROLLER, on: str = topic, **changes: Any
    ) -> str:
        body = {name: value for name, value in (content | changes).items() if value is not ...}
        return envelope(on, dump(body), {key_id: key})

    case("by its controller", "", signed(), key_id=CONTROLLER)
    case("by the fleet key", "", signed(FLEET_COMMAND, "fleet", controller=GUEST), key_id="fleet")
    case("unknown fields", "", signed(mood="good"), key_id=CONTROLLER)
    case("retained", "retained", signed(), retained=True)
    case("empty", "malformed", "")
    case("a bare body", "malformed", dump(content))
    case("no signature", "malformed", envelope(topic, dump(content), {}))
    case(
        "two signatures",
        "malformed",
        envelope(topic, dump(content), {CONTROLLER: COMMAND, "fleet": FLEET_COMMAND}),
    )
    case(
        "another protocol",
        "malformed",
        envelope(topic, dump(content), {CONTROLLER: COMMAND}, protocol=3),
    )
    case("without chunk", "malformed", signed(chunk=...))
    case("without controller", "malformed", signed(controller=...))
    case("a chunk's id in upper case", "malformed", signed(chunk="8C1F4E0D2B7A9635"))
    case("a chunk's id that is a list", "malformed", signed(chunk=["8c1f4e0d2b7a9635"]))
    case("speaks for another controller", "malformed", signed(controller=GUEST))
    case("4 KiB and more", "malformed", signed(padding="x" * 4096))
    case("a stranger's", "not_paired", signed(keys(bytes(32))[0], GUEST, controller=GUEST))
    case("the wrong secret", "bad_signature", signed(keys(bytes(32))[0]))
    case("the host's own key", "bad_signature", signed(REPORT))
    case("signed for a command", "bad_signature", signed(on=f"{BASE}/command/acknowledge"))
    case(
        "signed for another host", "bad_signature", signed(on=f"{PREFIX}/another-host/acknowledge")
    )
    case(
        "a body changed by one space",
        "bad_signature",
        envelope(
            topic,
            dump(content) + " ",
            {},
            signatures={CONTROLLER: signature(COMMAND, topic, dump(content))},
        ),
    )
    bare = [
        {"name": "a bare body", "payload": dump(content), "reason": ""},
        {"name": "unknown fields", "payload": dump(content | {"mood": "good"}), "reason": ""},
        {"name": "signed by an unknown controller", "payload": signed(), "reason": "not_paired"},
        {"name": "retained", "payload": dump(content), "reason": "retained", "retained": True},
        {"name": "without chunk", "payload": dump({"controller": GUEST}), "reason": "malformed"},
        {"name": "a list", "payload": dump([content]), "reason": "malformed"},
    ]
    return {
        "prefix": PREFIX,
        "host": HOST,
        "topic": topic,
        "body": content,
        "secrets": {CONTROLLER: SECRET.hex(), "fleet": FLEET.hex()},
        "cases": cases,
        "unpaired": bare,
    }


def pairing() -> Any:
    code, attempt, name = "01234567", "00112233aabbccdd", "Maison d'été"
    identity_a, identity_b = f"controller:{CONTROLLER}", f"host:{BASE}"
    entropy_a, entropy_b = bytes(range(64)), bytes(range(64, 128))
    side_a = SPAKE2_A(
        code.encode(),
        idA=identity_a.encode(),
        idB=identity_b.encode(),
        entropy_f=lambda size: entropy_a[:size],
    )
    side_b = SPAKE2_B(
        code.encode(),
        idA=identity_a.encode(),
        idB=identity_b.encode(),
        entropy_f=lambda size: entropy_b[:size],
    )
    message_a, message_b = side_a.start(), side_b.start()
    shared = side_a.finish(message_b)
    assert shared == side_b.finish(message_a)
    salt = hashlib.sha256(message_a + message_b).digest()
    secret = hkdf(shared, salt, b"pilot pairing")

    def confirm(role: str) -> str:
        lines = [role, identity_a, identity_b, attempt, name, message_a.hex(), message_b.hex()]
        return hmac.new(secret, "\n".join(lines).encode(), hashlib.sha256).hexdigest()

    below = f"{BASE}/pair/{CONTROLLER}"
    return {
        "code": code,
        "prefix": PREFIX,
        "host": HOST,
        "controller": CONTROLLER,
        "name": name,
        "attempt": attempt,
        "controller_entropy": entropy_a.hex(),
        "host_entropy": entropy_b.hex(),
        "shared": shared.hex(),
        "secret": secret.hex(),
        "messages": [
            {
                "topic": f"{below}/request",
                "payload": dump(
                    {
                        "protocol": 2,
                        "attempt": attempt,
                        "name": name,
                        "message": base64.b64encode(message_a).decode(),
                    }
                ),
            },
            {
                "topic": f"{below}/answer",
                "payload": dump(
                    {"attempt": attempt, "message": base64.b64encode(message_b).decode()}
                ),
            },
            {
                "topic": f"{below}/confirm",
                "payload": dump({"attempt": attempt, "confirm": confirm("controller")}),
            },
            {
                "topic": f"{below}/result",
                "payload": dump({"attempt": attempt, "confirm": confirm("host")}),
            },
        ],
    }


def main() -> None:
    made = {
        "keys": derivations(),
        "fleet_keys": fleet_keys(),
        "commands": commands(),
        "reports": reports(),
        "backlog": backlog(),
        "acknowledgements": acknowledgements(),
        "pairing": pairing(),
    }
    for name, content in made.items():
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (FOLDER / f"{name}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
