"""What a person sees of pairing."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.cli import pair
from companion_agent.security.key_store import Controller, TrustStore
from support.agent_pairing import PairingService
from support.agent_security import FakePairingController
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CODE = "01234567"
HOME = Controller("4f1d2c3b5a697887", "Home", bytes(32), 1793952000.0)
GUEST = Controller("0123456789abcdef", "Guest", bytes(32), 1793952000.0)


@contextlib.contextmanager
def running(
    service: PairingService, then: Callable[[PairingService], None] = lambda _: None
) -> Iterator[None]:
    """Let the service run beside the terminal, and call a function once a code is shown."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            service.turn()
            if service.handlers.pairing:
                then(service)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        service.close()


def home_assistant(code: str, tries: int = 1) -> Callable[[PairingService], None]:
    """A user who types a code in Home Assistant."""
    left = iter(range(tries))

    def act(service: PairingService) -> None:
        if next(left, None) is None:
            return
        home = FakePairingController(code)

        def hear(kind: str) -> dict[str, Any]:
            before = len(service.published)
            payload = home.request() if kind == "request" else home.confirm(answer)
            service.pairing_received(home.id, kind, payload)
            deadline = time.monotonic() + 5
            while len(service.published) == before and time.monotonic() < deadline:
                service.turn()
            return service.published[-1][1]

        answer = hear("request")
        hear("confirm")

    return act


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pair, "draw_code", lambda: CODE)
    return tmp_path / "state"


def test_pairing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = PairingService(folder)
    with running(service, home_assistant(CODE)):
        assert pair.pair(folder, qr=True) == 0
    said = capsys.readouterr().out
    assert "0123 4567" in said
    assert "It is valid for 10 minutes" in said
    assert said.endswith('Paired with Home Assistant "Home".\n')
    assert len(service.ring.controllers) == 1


def test_a_program_shows_the_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(PairingService(folder), home_assistant(CODE)):
        assert pair.pair(folder, qr=True, as_json=True) == 0
    begun, ended = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert begun["code"] == CODE
    assert begun["link"].endswith(f"#code={CODE}")
    assert begun["seconds"] == pytest.approx(600, abs=60)
    assert ended == {"paired": "Home"}


def test_five_wrong_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = PairingService(folder)
    with running(service, home_assistant("99999999", tries=5)):
        assert pair.pair(folder, qr=False) == 1
    assert "Five wrong tries" in capsys.readouterr().err


def test_an_unused_code(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.protocol.pairing.LIFETIME", 0.2)
    with running(PairingService(folder)):
        assert pair.pair(folder, qr=False) == 1
    assert "The code has expired" in capsys.readouterr().err


def test_ctrl_c_cancels_the_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("companion_agent.cli.pair._progress", interrupt)
    service = PairingService(folder)
    with running(service):
        with pytest.raises(KeyboardInterrupt):
            pair.pair(folder, qr=False)
        wait_until(lambda: not service.handlers.pairing)


def test_the_service_stops_meanwhile(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(PairingService(folder), lambda service: service.loop.call(service.server.close)):
        assert pair.pair(folder, qr=False) == 1
    assert "the agent has stopped" in capsys.readouterr().err


def test_without_a_service_there_is_no_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pair.pair(folder, qr=False) == 1
    said = capsys.readouterr()
    assert "no agent is running" in said.err
    assert said.out == ""


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_a_terminal_gets_a_qr_code(monkeypatch: pytest.MonkeyPatch, terminal: str) -> None:
    """In its own colours, so that a camera reads it from a light terminal as well."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", terminal)
    drawn = pair._draw(pair._LINK.format(code=CODE))
    assert drawn.count("\n") > 10
    assert "▀" in drawn
    lines = drawn.splitlines()
    assert all(line.startswith("\x1b[") is (terminal == "xterm") for line in lines if line)


def test_revoking_where_nothing_is_paired_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pair.revoke(tmp_path / "state", [], all_controllers=True) == 0

    assert "Not paired" in capsys.readouterr().out
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("service_runs", [True, False])
def test_list_and_revoke(
    folder: Path, capsys: pytest.CaptureFixture[str], service_runs: bool
) -> None:
    TrustStore(folder).save([HOME, GUEST])
    with running(PairingService(folder)) if service_runs else contextlib.nullcontext():
        assert pair.show(folder) == 0
        said = capsys.readouterr().out
        assert said.splitlines()[0].startswith("Home   4f1d2c3b5a697887  paired 2026-11-0")
        assert pair.revoke(folder, ["Home"], all_controllers=False) == 0
        assert pair.revoke(folder, ["Stranger"], all_controllers=False) == 1
        assert "not paired with Stranger" in capsys.readouterr().err
        assert pair.revoke(folder, [], all_controllers=True) == 0
        assert pair.show(folder) == 0
    assert "Not paired" in capsys.readouterr().out
    assert TrustStore(folder).load() == []


def test_two_of_the_same_name_are_told_apart_by_id(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = Controller(GUEST.id, "Home", GUEST.secret, GUEST.since)
    TrustStore(folder).save([HOME, twin])
    assert pair.revoke(folder, ["Home"], all_controllers=False) == 1
    assert f"{HOME.id}, {twin.id}" in capsys.readouterr().err
    assert pair.revoke(folder, [twin.id], all_controllers=False) == 0
    assert TrustStore(folder).load() == [HOME]
