"""What this host says is numbered and signed, and known again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from companion_agent.security.key_store import Controller as Known, TrustStore
from companion_agent.security.keyring import KeyRing
from companion_agent.security.signer import Signer
from companion_agent.security.start_counter import next_start
from companion_agent.storage.files import make_private_folder
from support.agent_security import BASE, HOST, NOW, PREFIX, SESSION, FakeController

if TYPE_CHECKING:
    from pathlib import Path

START = 7


@pytest.fixture
def home() -> FakeController:
    return FakeController()


@pytest.fixture
def signer(tmp_path: Path, home: FakeController) -> Signer:
    store = TrustStore(tmp_path / "state")
    store.save([Known(home.id, "Home", home.secret, 0)])
    return Signer(KeyRing(store, PREFIX, HOST), SESSION, START, lambda: NOW)


def test_events_are_signed_and_numbered(signer: Signer, home: FakeController) -> None:
    topic = f"{BASE}/event/session"
    first, second = (
        home.read(topic, signer.event(topic, event_type, data).decode())
        for event_type, data in (("locked", {"user": "ada"}), ("unlocked", {}))
    )
    assert first["type"] == "locked"
    assert first["data"] == {"user": "ada"}
    assert (first["ts"], first["session"]) == (NOW, SESSION)
    assert first["sequence"] < second["sequence"]


def test_announces_are_numbered(signer: Signer) -> None:
    assert signer.next_announce() == (START, 1)
    assert signer.next_announce() == (START, 2)


def test_only_this_host_s_keys_are_believed(signer: Signer) -> None:
    topic = f"{BASE}/announce"
    body = json.dumps({"session": "ffffffffffffffff"}).encode()
    assert signer.unwrap(topic, signer.seal(topic, body)) == (body, True)
    assert signer.unwrap(topic, signer.seal(f"{BASE}/other", body)) == (body, False)
    assert signer.unwrap(topic, body) == (body, False)


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"body": 1, "signatures": []}', b"x" * 600_000],
)
def test_whatever_is_announced_in_its_name(signer: Signer, payload: bytes) -> None:
    assert signer.unwrap(f"{BASE}/announce", payload) == (payload, False)


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
