"""The terminal, the service and Home Assistant, pairing; the broker is a list."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.cli.pairing_session import Terminal
from companion_agent.identity import only_agent
from companion_agent.ipc.client import ChannelError, LocalClient, NotRunningError
from companion_agent.storage.permissions import typed_by_administrator
from support.agent_pairing import PairingService
from support.agent_security import BASE, FakePairingController

if TYPE_CHECKING:
    from pathlib import Path

CODE = "12345678"


@pytest.fixture(params=[True, False], ids=["unix", "loopback"])
def unix(request: pytest.FixtureRequest) -> bool:
    if request.param and sys.platform == "win32":
        pytest.skip("Windows' Python has no such sockets")
    return bool(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def service(folder: Path, unix: bool) -> Any:
    service = PairingService(folder, unix=unix)
    yield service
    service.close()


def call(
    service: PairingService, folder: Path, unix: bool, message: dict[str, Any]
) -> dict[str, Any]:
    """Ask the service something, as a terminal does."""
    client = LocalClient(folder, unix=unix)
    client.send(message)
    service.turn()
    answer = client.receive(1)
    client.close()
    assert answer is not None
    return answer


@pytest.fixture
def terminal(service: PairingService, folder: Path, unix: bool) -> Terminal:
    client = LocalClient(folder, unix=unix)
    client.send({"ask": "pair"})
    service.turn()
    answer = client.receive(1)
    assert answer == {"host": BASE, "online": True}
    return Terminal(client, CODE, BASE)


def say(
    service: PairingService,
    terminal: Terminal,
    home: FakePairingController,
    kind: str,
    payload: bytes,
) -> Any:
    """Publish a message of Home Assistant and return the host's answer."""
    service.pairing_received(home.id, kind, payload)
    terminal.wait(0.2)
    service.turn()
    terminal.wait(0.05)
    return service.published[-1][1]


def test_pairing_from_the_terminal_to_the_keys(service: PairingService, terminal: Terminal) -> None:
    home = FakePairingController(CODE)
    assert service.handlers.pairing
    answer = say(service, terminal, home, "request", home.request())
    result = say(service, terminal, home, "confirm", home.confirm(answer))
    assert home.believes(result)
    assert terminal.paired
    assert [known.secret for known in service.ring.controllers] == [home.secret]
    assert service.published[-1][0] == f"{BASE}/pair/{home.id}/result"
    # When it began, and when it ended with a new key to sign with.
    assert (service.handlers.pairing, service.announced) == (False, 2)


def test_a_wrong_code_is_said_on_both_sides(service: PairingService, terminal: Terminal) -> None:
    home = FakePairingController("87654321")
    answer = say(service, terminal, home, "request", home.request())
    result = say(service, terminal, home, "confirm", home.confirm(answer))
    assert result == {"attempt": home.attempt, "error": "wrong_code", "left": 4}
    assert service.ring.ids == []
    assert not terminal.paired


def test_keys_that_cannot_be_kept_are_said_in_the_terminal_and_do_not_pair(
    service: PairingService, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("companion_agent.security.key_store.write_private", fail)
    home = FakePairingController(CODE)
    answer = say(service, terminal, home, "request", home.request())
    with pytest.raises(ChannelError, match="No space left"):
        say(service, terminal, home, "confirm", home.confirm(answer))
    assert [topic for topic, _ in service.published] == [f"{BASE}/pair/{home.id}/answer"]


def test_without_a_code_home_assistant_is_told_and_the_log_says_what_to_do(
    service: PairingService, caplog: pytest.LogCaptureFixture
) -> None:
    home = FakePairingController(CODE, name="Maison")
    for _ in range(5):
        service.pairing_received(home.id, "request", home.request())
    assert service.published[0] == (
        f"{BASE}/pair/{home.id}/answer",
        {"attempt": home.attempt, "error": "no_code"},
    )
    assert len(caplog.records) == 3  # not more often, however often it asks
    assert 'Home Assistant "Maison" asks to pair' in caplog.text
    assert typed_by_administrator("pilot-agent pair") in caplog.text


def test_a_flood_of_requests_is_not_answered(service: PairingService) -> None:
    home = FakePairingController(CODE)
    for _ in range(1000):
        service.pairing_received(home.id, "request", home.request())
    assert len(service.published) == 10


def test_retained_and_foreign_messages_are_ignored(service: PairingService) -> None:
    home = FakePairingController(CODE)
    service.pairing_received(home.id, "request", home.request(), retained=True)
    service.pairing_received("not-an-id", "request", home.request())
    service.pairing_received(home.id, "answer", home.request())
    assert service.published == []


def test_garbage_is_answered_as_malformed(service: PairingService, terminal: Terminal) -> None:
    home = FakePairingController(CODE)
    assert say(service, terminal, home, "request", b"{")["error"] == "malformed"
    terminal.close("cancelled")
    service.turn()
    service.pairing_received(home.id, "request", b"[]")
    assert service.published[-1][1] == {"attempt": "", "error": "malformed"}


@pytest.mark.parametrize(
    ("end", "error"), [("expired", "expired"), ("burned", "burned"), ("cancelled", "no_code")]
)
def test_after_the_end_home_assistant_hears_why(
    service: PairingService, terminal: Terminal, end: str, error: str
) -> None:
    terminal.close(end)
    service.turn()
    assert not service.handlers.pairing
    home = FakePairingController(CODE)
    service.pairing_received(home.id, "request", home.request())
    assert service.published[-1][1]["error"] == error
    service.clock.now += 3600
    service.pairing_received(home.id, "request", home.request())
    assert service.published[-1][1]["error"] == "no_code"


def test_one_terminal_at_a_time(
    service: PairingService, terminal: Terminal, folder: Path, unix: bool
) -> None:
    assert "another terminal" in call(service, folder, unix, {"ask": "pair"})["error"]
    assert not terminal.paired


def test_a_terminal_that_dies_takes_its_code_with_it(
    service: PairingService, folder: Path, unix: bool
) -> None:
    client = LocalClient(folder, unix=unix)
    client.send({"ask": "pair"})
    service.turn()
    assert service.handlers.pairing
    client.close()
    service.turn()
    assert not service.handlers.pairing


def test_list_and_revoke(service: PairingService, folder: Path, unix: bool) -> None:
    service.ring.add("4f1d2c3b5a697887", "Home", bytes(32))
    service.ring.add("0123456789abcdef", "Guest", bytes(32))
    listed = call(service, folder, unix, {"ask": "list"})
    assert [known["name"] for known in listed["controllers"]] == ["Home", "Guest"]
    assert "secret" not in json.dumps(listed)
    answer = call(
        service, folder, unix, {"ask": "revoke", "ids": ["0123456789abcdef", "not-an-id"]}
    )
    assert answer == {"revoked": ["0123456789abcdef"]}
    # At once, not at the next start.
    assert service.ring.ids == ["4f1d2c3b5a697887"]
    assert service.announced == 1


def test_only_who_shows_the_code_can_confirm_a_pairing(
    service: PairingService, folder: Path, unix: bool
) -> None:
    client = LocalClient(folder, unix=unix)
    secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    message = {
        "say": "result",
        "to": "4f1d2c3b5a697887",
        "payload": {},
        "name": "x",
        "secret": secret,
    }
    client.send(message)
    service.turn()
    assert service.ring.ids == []
    client.close()


def test_a_loopback_caller_needs_the_token(folder: Path) -> None:
    service = PairingService(folder, unix=False)
    client = LocalClient(folder, unix=False)
    client._token = ""
    client.send({"ask": "list"})
    service.turn()
    with pytest.raises(ChannelError):
        client.receive(1)
    service.close()


def test_what_listens_at_the_port_of_a_killed_agent_is_not_trusted(folder: Path) -> None:
    service = PairingService(folder, unix=False)
    service.crash()

    with pytest.raises(NotRunningError):
        LocalClient(folder, unix=False)

    # Another one has the folder, and has not said yet where it listens.
    left = json.loads((folder / "control.json").read_text())
    (folder / "control.json").write_text(json.dumps(left | {"pid": left["pid"] + 1}))
    with only_agent(folder), pytest.raises(NotRunningError):
        LocalClient(folder, unix=False)


def test_an_agent_of_before_says_no_process(folder: Path) -> None:
    service = PairingService(folder, unix=False)
    left = json.loads((folder / "control.json").read_text())
    del left["pid"]
    (folder / "control.json").write_text(json.dumps(left))

    assert call(service, folder, False, {"ask": "list"})["controllers"] == []
    service.close()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"port": "x", "token": 1}', "null"])
def test_a_damaged_address_is_that_of_no_agent(folder: Path, content: str) -> None:
    service = PairingService(folder, unix=False)
    (folder / "control.json").write_text(content)

    with pytest.raises(NotRunningError):
        LocalClient(folder, unix=False)

    service.close()


def test_strangers_at_the_port_cannot_keep_others_out(folder: Path) -> None:
    service = PairingService(folder, unix=False)
    strangers = []
    for _ in range(20):
        strangers.append(LocalClient(folder, unix=False))
        service.turn()
    assert call(service, folder, False, {"ask": "list"})["controllers"] == []
    service.close()


@pytest.mark.parametrize("garbage", [b"\xff\n", b"[]\n", b"{" * 70_000, b"\n"])
def test_garbage_from_a_terminal_ends_the_call(
    service: PairingService, folder: Path, unix: bool, garbage: bytes
) -> None:
    client = LocalClient(folder, unix=unix)
    client._connection.sendall(garbage)
    service.turn()
    with pytest.raises(ChannelError):
        client.receive(1)


def test_without_a_service_the_terminal_says_so(folder: Path, unix: bool) -> None:
    with pytest.raises(ChannelError, match="no agent is running"):
        LocalClient(folder, unix=unix)


def test_a_socket_that_a_crash_left_behind_is_replaced(folder: Path, unix: bool) -> None:
    PairingService(folder, unix=unix).crash()
    service = PairingService(folder, unix=unix)
    assert call(service, folder, unix, {"ask": "list"}) == {"controllers": [], "fleet": False}
    service.close()


def test_a_state_folder_with_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    if sys.platform == "win32":
        pytest.skip("Windows' Python has no such sockets")
    service = PairingService(folder)
    assert call(service, folder, True, {"ask": "list"})["controllers"] == []
    service.close()
    assert not (folder / "control.sock").exists()
