"""Trust in the agent's loop, turned by hand."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.config.settings import Broker, Config
from companion_agent.models import Counters
from companion_agent.security.host_trust import COMMAND_LIMIT, HostTrust
from companion_agent.security.key_store import Controller as Known, TrustStore
from companion_agent.security.start_counter import next_start
from companion_agent.storage.files import make_private_folder

from .peer import BASE, HOST, NOW, SESSION, Clock, Controller, Power

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from companion_agent.mqtt.connection import Message


class Wire:
    """A broker that is a list."""

    online = True

    def __init__(self) -> None:
        self.said: list[Message] = []

    def publish(self, message: Message) -> bool:
        self.said.append(message)
        return True


class Slow(Power):
    """Commands that wait for a test, or that the system refuses to speak of."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        self.gate.wait(20)
        super().run(key, args)


class Loop:
    """The agent's loop without the rest of the agent."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock(1000)
        self.now = Clock()
        self.wire = Wire()
        self.counts = Counters()
        self.group = Slow()
        self.home = Controller()
        self.woken = threading.Event()
        TrustStore(folder).save([Known(self.home.id, "Home", self.home.secret, 0)])
        config = Config((Broker("localhost"),), folder)
        self.trust = HostTrust(
            config,
            HOST,
            SESSION,
            [self.group],
            self.wire,
            self.counts,
            self.woken.set,
            self.clock,
            self.now,
        )
        self.trust.start()
        self.until(lambda: self.trust.settled)

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline
            self.trust.step()
            time.sleep(0.001)

    def send(self, key: str) -> None:
        payload = self.home.command(key)
        self.trust.received(f"{BASE}/command/{key}", payload, retained=False)

    def results(self) -> list[dict[str, Any]]:
        return [self.home.read(said.topic, said.payload.decode()) for said in self.wire.said]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path / "state")
    yield loop
    loop.group.gate.set()
    loop.trust.close()


def test_a_command_that_hangs_has_failed_and_does_not_answer_twice(loop: Loop) -> None:
    loop.send("power.lock")
    assert loop.trust.busy
    deadline = time.monotonic() + 20
    while not loop.wire.said and time.monotonic() < deadline:
        loop.clock.now += COMMAND_LIMIT
        loop.trust.step()
    [result] = loop.results()
    assert (result["status"], result["reason"]) == ("failed", "failed")
    assert "did not answer" in result["detail"]
    loop.group.gate.set()
    loop.until(lambda: bool(loop.group.done))
    loop.trust.step()
    assert len(loop.wire.said) == 1
    assert not loop.trust.busy


def test_results_are_neither_retained_nor_acknowledged(loop: Loop) -> None:
    loop.group.gate.set()
    loop.send("power.lock")
    loop.until(lambda: bool(loop.wire.said))
    assert (loop.wire.said[0].qos, loop.wire.said[0].retain) == (0, False)


def test_events_are_signed_and_numbered(loop: Loop) -> None:
    loop.trust.offer_events({"session": ("locked", "unlocked")})
    assert loop.trust.offer["events"] == {"session": ("locked", "unlocked")}
    loop.trust.event("session", "locked", {"user": "ada"})
    loop.trust.event("session", "unlocked", {})
    first, second = loop.results()
    assert first["type"] == "locked"
    assert first["data"] == {"user": "ada"}
    assert (first["ts"], first["session"]) == (NOW, SESSION)
    assert first["sequence"] < second["sequence"]
    assert (loop.wire.said[0].qos, loop.wire.said[0].retain) == (1, False)


def test_what_the_system_permits_is_asked_every_minute(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(loop.trust.offer["commands"]) == 4
    monkeypatch.setattr(loop.group, "commands", list)
    assert loop.trust.deadline() == loop.clock.now + 60
    loop.clock.now += 60
    loop.until(lambda: loop.trust.offer["commands"] == {})


def test_only_this_host_s_keys_are_believed(loop: Loop) -> None:
    topic = f"{BASE}/announce"
    body = json.dumps({"session": "ffffffffffffffff"}).encode()
    assert loop.trust.unwrap(topic, loop.trust.seal(topic, body)) == (body, True)
    assert loop.trust.unwrap(topic, loop.trust.seal(f"{BASE}/other", body)) == (body, False)
    assert loop.trust.unwrap(topic, body) == (body, False)


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"body": 1, "signatures": []}', b"x" * 600_000],
)
def test_whatever_is_announced_in_its_name(loop: Loop, payload: bytes) -> None:
    assert loop.trust.unwrap(f"{BASE}/announce", payload) == (payload, False)


def test_a_folder_that_cannot_be_private_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("companion_agent.security.host_trust.make_private_folder", refuse)
    loop = Loop(tmp_path / "state")
    loop.trust.close()
    assert "cannot be paired" in caplog.text


# --- The number of starts --------------------------------------------------------------------


def test_starts_are_numbered_by_the_clock_and_never_fall(tmp_path: Path) -> None:
    make_private_folder(tmp_path)
    assert next_start(tmp_path, NOW) == int(NOW)
    # The clock was set back; the same second; and it goes on.
    assert next_start(tmp_path, 0) == int(NOW) + 1
    assert next_start(tmp_path, NOW) == int(NOW) + 2
    assert next_start(tmp_path, NOW + 60) == int(NOW) + 60


@pytest.mark.parametrize("content", ["", "many", "-5", "9" * 30])
def test_a_damaged_number_follows_the_clock(tmp_path: Path, content: str) -> None:
    (tmp_path / "starts").write_text(content)
    assert next_start(tmp_path, NOW) == int(NOW)


def test_a_number_that_cannot_be_kept_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert next_start(tmp_path / "gone", NOW) == int(NOW)
    assert "cannot be kept" in caplog.text
