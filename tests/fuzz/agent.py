"""Feeds the agent's readers of what strangers send: ``python tests/fuzz/agent.py``.

Needs atheris beside the agent, on Python 3.11 and Linux:

    uv venv fuzz-3.11 --python 3.11
    uv pip install --python fuzz-3.11/bin/python atheris -e .
    fuzz-3.11/bin/python tests/fuzz/agent.py -max_total_time=3600 corpus/

Everything behind the script's name goes to libFuzzer. It is run by hand, not in CI.
"""

from __future__ import annotations

from pathlib import Path
import sys
import tempfile

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["companion_agent", "json"]):
    from companion_agent.config.policy import Policy
    from companion_agent.ipc.lines import LineDecoder
    from companion_agent.models import Argument, Command
    from companion_agent.plugins.base import CommandProvider
    from companion_agent.protocol.encoding import dump
    from companion_agent.protocol.envelope import parse_controller_envelope, seal
    from companion_agent.protocol.errors import ProtocolError
    from companion_agent.protocol.messages import REASONS, parse_request
    from companion_agent.protocol.pairing import parse_pair_confirm, parse_pair_request
    from companion_agent.protocol.signing import derive
    from companion_agent.protocol.topics import Separator, Topics
    from companion_agent.security.audit import AuditLog
    from companion_agent.security.authorizer import Dispatcher, Job
    from companion_agent.security.key_store import TrustStore
    from companion_agent.security.keyring import KeyRing

HOST = "9c3f6f0e3a5b4d21"
TOPICS = Topics("pilot/v2", HOST)
CONTROLLER = "4f1d2c3b5a697887"
SESSION = "5f1c0a9be3d24c77"
SECRET = bytes(range(32))
NOW = 1793952000.0
KEY = "power.shutdown"
TOPIC = TOPICS.command(KEY, Separator.COLON)

BODY = dump(
    {
        "id": "5f1c0a9be3d24c77",
        "controller": CONTROLLER,
        "session": SESSION,
        "counter": 1793952000250,
        "time": NOW,
        "args": {"delay": 60},
    }
)
GENUINE = seal(
    TOPIC,
    BODY,
    {CONTROLLER: derive(CONTROLLER, SECRET, "pilot/v2", HOST).command},
).encode()


class _Power(CommandProvider):
    name = "power"

    def commands(self) -> list[Command]:
        return [Command(KEY, {"delay": Argument("seconds", 0, 3600, 0)})]

    def run(self, key: str, args: object) -> None:
        raise AssertionError("nothing is carried out here")


class _NullAuditLog(AuditLog):
    """No record: writing one of every refusal to a disk would be all that is measured."""

    def write(self, event: str, **details: object) -> None:
        """Write nothing."""


class _PairedHost:
    """A host that is paired with one controller, rebuilt for every input from the same keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ring = KeyRing(TrustStore(folder), "pilot/v2", HOST, clock=lambda: NOW)
        self.ring.add(CONTROLLER, "Home", SECRET)
        self.audit = _NullAuditLog(folder / "audit.log", lambda: NOW, lambda: 0.0)
        self.power = _Power(platform=None)  # type: ignore[arg-type]

    def receive(self, topic: str, payload: bytes, *, retained: bool) -> tuple[list[Job], list[str]]:
        jobs: list[Job] = []
        said: list[str] = []
        dispatcher = Dispatcher(
            ring=self.ring,
            topics=TOPICS,
            session=SESSION,
            policy=Policy(),
            publish=lambda _, payload: said.append(payload),
            start=jobs.append,
            revoked=lambda: None,
            missing=lambda: None,
            audit=self.audit,
            clock=lambda: NOW,
            monotonic=lambda: 0.0,
        )
        dispatcher.offer({self.power: self.power.commands()})
        dispatcher.received(topic, payload, retained=retained)
        assert set(dispatcher.refused) <= set(REASONS)
        assert len(said) + len(jobs) + dispatcher.refused["malformed"] >= 1
        return jobs, said


def _envelope(data: bytes) -> None:
    try:
        envelope = parse_controller_envelope(data)
        request = parse_request(envelope)
    except ProtocolError:
        return
    assert request.counter > 0
    assert envelope.key_id in (request.controller, "fleet")
    again = seal("topic", envelope.body, {envelope.key_id: b"key"})
    assert parse_controller_envelope(again.encode()).body == envelope.body


def _pairing(data: bytes) -> None:
    for read in (parse_pair_request, parse_pair_confirm):
        try:
            read(data)
        except ProtocolError:
            continue


def _lines(data: bytes) -> None:
    lines = LineDecoder()
    try:
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            for message in lines.feed(part):
                dump(message)
    except (ProtocolError, ValueError):
        pass


def _dispatch(host: _PairedHost, data: bytes, *, retained: bool) -> None:
    jobs, said = host.receive(TOPIC, data, retained=retained)
    for text in said:
        text.encode()
    if jobs:
        # What is signed may be wrapped in other white space, and is the only thing that acts.
        assert not retained
        assert parse_controller_envelope(data).body == BODY


def _changed(provider: atheris.FuzzedDataProvider) -> bytes:
    """Return the genuine command after a few changes: random bytes never get that far."""
    payload = bytearray(GENUINE)
    for _ in range(provider.ConsumeIntInRange(0, 4)):
        position = provider.ConsumeIntInRange(0, len(payload))
        match provider.ConsumeIntInRange(0, 3):
            case 0 if position < len(payload):
                payload[position] ^= provider.ConsumeIntInRange(1, 255)
            case 1:
                payload[position:position] = provider.ConsumeBytes(8)
            case 2:
                del payload[position : position + provider.ConsumeIntInRange(1, 16)]
            case _:
                length = provider.ConsumeIntInRange(1, 64)
                payload[position:position] = payload[:length]
    return bytes(payload)


def _rewrapped(provider: atheris.FuzzedDataProvider) -> bytes:
    """Return a command with a valid signature over whatever body."""
    body = provider.ConsumeUnicodeNoSurrogates(2048)
    keys = derive(CONTROLLER, SECRET, "pilot/v2", HOST)
    return seal(TOPIC, body, {CONTROLLER: keys.command}).encode()


def main() -> None:
    """Run until libFuzzer has enough."""
    folder = tempfile.TemporaryDirectory(prefix="pilot-fuzz-")
    host = _PairedHost(Path(folder.name))
    assert host.receive(TOPIC, GENUINE, retained=False)[0], "the genuine command is refused"

    def one(data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        choice = provider.ConsumeIntInRange(0, 6)
        match choice:
            case 0:
                _envelope(provider.ConsumeBytes(4096))
            case 1:
                _pairing(provider.ConsumeBytes(4096))
            case 2:
                _lines(provider.ConsumeBytes(4096))
            case 3:
                _dispatch(host, provider.ConsumeBytes(4096), retained=False)
            case 4:
                key = provider.ConsumeUnicodeNoSurrogates(140)
                jobs, _said = host.receive(TOPICS.command(key), GENUINE, retained=False)
                assert not jobs or TOPICS.command(key) == TOPIC
            case 5:
                retained = provider.ConsumeBool()
                _dispatch(host, _changed(provider), retained=retained)
            case _:
                jobs, _said = host.receive(TOPIC, _rewrapped(provider), retained=False)
                assert all(0 <= job.args["delay"] <= 3600 for job in jobs)

    arguments = list(sys.argv)
    _seed(arguments)
    atheris.Setup(arguments, one)
    atheris.Fuzz()


def _seed(arguments: list[str]) -> None:
    """Put the vectors of the contract into the corpus, if there is one."""
    folders = [Path(one) for one in arguments[1:] if not one.startswith("-")]
    if not folders or not folders[0].is_dir():
        return
    vectors = Path(__file__).parents[1] / "contract" / "signed"
    for path in vectors.rglob("*.json"):
        # The provider takes numbers from the end: any last byte chooses a reader.
        (folders[0] / path.stem).write_bytes(path.read_bytes())
    for choice in range(7):
        (folders[0] / f"genuine-{choice}").write_bytes(GENUINE + bytes([choice]))


if __name__ == "__main__":
    main()
