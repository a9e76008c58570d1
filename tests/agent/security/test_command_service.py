"""Commands in the agent's event loop, turned by hand."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from companion_agent import platforms
from companion_agent.config.policy import Policy
from companion_agent.errors import CommandError, Unanswered
from companion_agent.models import Command, Output, TextArgument
from companion_agent.plugins.agent import RELOAD, AgentPlugin
from companion_agent.plugins.readings import REFRESH, ReadingsPlugin
from companion_agent.protocol.messages import FieldError
from companion_agent.protocol.settings import CONFIG_SET
from companion_agent.protocol.topics import Topics
from companion_agent.security.audit import AuditLog
from companion_agent.security.command_service import (
    COMMAND_LIMIT,
    FIRST_ANSWER_INTERVAL,
    CommandService,
)
from companion_agent.security.key_store import Controller as Known, TrustStore
from companion_agent.security.keyring import KeyRing
from companion_agent.security.refusals import Refusals
from companion_agent.timing import Grid
from support.agent_commands import FakePower
from support.agent_security import BASE, HOST, NOW, PREFIX, SESSION, FakeController
from support.clock import ManualClock
from support.event_loop import ManualEventLoop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from companion_agent.plugins.base import CommandProvider

pytestmark = pytest.mark.proves("readings.refresh")


class Slow(FakePower):
    """Commands that wait for a test."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        self.entered.set()
        self.gate.wait(20)
        super().run(key, args)


class Scene:
    """The command service of a host that is paired with one Home Assistant."""

    def __init__(self, folder: Path, *others: CommandProvider) -> None:
        self.clock = ManualClock()
        self.now = ManualClock(NOW)
        self.group = Slow()
        self.home = FakeController()
        self.said: list[tuple[str, str]] = []
        self.changed: list[str] = []
        self.refreshed: list[list[str]] = []
        self.renewed: list[int] = []
        TrustStore(folder).save([Known(self.home.id, "Home", self.home.secret, 0)])
        self.service = CommandService(
            [self.group, *others],
            ring=KeyRing(TrustStore(folder), PREFIX, HOST, clock=self.now),
            topics=Topics(PREFIX, HOST),
            session=SESSION,
            policy=Policy(),
            publish=lambda topic, payload: self.said.append((topic, payload)),
            audit=AuditLog(folder / "audit.log", self.now, self.clock),
            refusals=Refusals(),
            grid=Grid(self.clock.now),
            changed=self.changed.append,
            refresh=lambda names: self.refreshed.append(list(names)),
            renew=lambda: self.renewed.append(len(self.said)),
            clock=self.clock,
            now=self.now,
        )
        self.loop = ManualEventLoop(self.clock)
        self.loop.spawn(self.service.run())
        self.loop.until(lambda: self.service.settled)

    def send(self, key: str, args: Mapping[str, Any] | None = None) -> None:
        payload = self.home.command(key, args)
        self.loop.call(self.service.received, f"{BASE}/command/{key}", payload, retained=False)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.loop.settle()

    def results(self) -> list[dict[str, Any]]:
        return [self.home.read(topic, payload) for topic, payload in self.said]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "state")
    yield scene
    scene.group.gate.set()
    scene.loop.end()


def test_a_command_is_carried_out_and_has_one_result(scene: Scene) -> None:
    scene.group.gate.set()
    scene.send("power.lock")
    scene.loop.until(lambda: scene.said)
    assert [result["status"] for result in scene.results()] == ["done"]
    assert not scene.service.busy


def test_a_command_that_hangs_has_failed_and_does_not_answer_twice(scene: Scene) -> None:
    scene.send("power.lock")
    scene.loop.settle()
    assert scene.service.busy
    scene.loop.until(scene.group.entered.is_set)
    scene.pass_time(COMMAND_LIMIT)
    [result] = scene.results()
    assert (result["status"], result["reason"]) == ("failed", "failed")
    assert "did not answer" in result["detail"]
    scene.group.gate.set()
    scene.loop.until(lambda: scene.group.done)
    scene.loop.settle(grace=0.05)
    assert len(scene.said) == 1
    assert not scene.service.busy


def test_one_that_hangs_holds_no_other_up(scene: Scene) -> None:
    scene.send("power.lock")
    scene.loop.until(scene.group.entered.is_set)
    scene.send("power.suspend")
    scene.pass_time(6)
    scene.group.gate.set()
    scene.loop.until(lambda: len(scene.said) == 2)
    assert not scene.service.busy


def test_what_the_system_permits_is_asked_every_minute(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(scene.service.announced()) == 4
    monkeypatch.setattr(scene.group, "commands", list)
    scene.pass_time(59)
    assert len(scene.service.announced()) == 4
    scene.pass_time(1)
    scene.loop.until(lambda: scene.service.announced() == {})


def test_a_refusal_has_the_system_asked_at_once(scene: Scene) -> None:
    scene.group.missing = None
    scene.send("power.reboot")
    scene.loop.until(lambda: scene.service.announced()["power.reboot"].missing is None)
    assert [result["reason"] for result in scene.results()] == ["not_permitted"]


class LateAnswer(FakePower):
    """Commands of a system that answers when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def commands(self) -> Sequence[Command]:
        answer = super().commands()
        self.asked.set()
        self.gate.wait(20)
        return answer


def test_a_refusal_while_the_system_is_asked_has_it_asked_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = LateAnswer()
    scene = Scene(tmp_path)
    monkeypatch.setattr(scene.group, "commands", system.commands)
    system.gate.clear()
    scene.loop.call(scene.service.probe, "power")
    scene.loop.until(system.asked.is_set)

    system.missing = None
    scene.send("power.reboot")
    system.gate.set()

    scene.loop.until(lambda: scene.service.announced()["power.reboot"].missing is None)
    scene.loop.end()


class Restarting(FakePower):
    """Commands of a system that does not always answer."""

    def __init__(self, *, answers: bool) -> None:
        super().__init__()
        self.answers = answers

    def commands(self) -> Sequence[Command]:
        self.asked += 1
        if not self.answers:
            raise Unanswered("polkit does not answer")
        return super().commands()

    asked = 0


def test_no_answer_takes_no_command_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setattr(scene.group, "commands", Restarting(answers=False).commands)

    scene.send("power.reboot")

    scene.loop.until(lambda: "not known now: polkit does not answer" in caplog.text)
    assert len(scene.service.announced()) == 4


def test_what_did_not_answer_at_the_start_is_asked_again_soon(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = Restarting(answers=False)
    monkeypatch.setattr(scene.group, "commands", list)
    scene.loop.call(scene.service.probe, "power")
    scene.loop.until(lambda: scene.service.announced() == {})
    monkeypatch.setattr(scene.group, "commands", system.commands)
    scene.loop.call(scene.service.probe, "power")
    scene.loop.until(lambda: system.asked == 1)
    scene.loop.settle()

    system.answers = True
    scene.pass_time(FIRST_ANSWER_INTERVAL)

    scene.loop.until(lambda: len(scene.service.announced()) == 4)


@pytest.mark.parametrize(
    ("args", "collectors"),
    [({}, []), ({"collectors": "cpu"}, ["cpu"]), ({"collectors": "cpu,,disk"}, ["cpu", "disk"])],
)
def test_collectors_are_read_once_that_is_allowed(
    tmp_path: Path, args: dict[str, Any], collectors: list[str]
) -> None:
    scene = Scene(tmp_path, ReadingsPlugin(platforms.current()))
    scene.send(REFRESH, args)
    scene.loop.until(lambda: scene.said)
    assert [result["status"] for result in scene.results()] == ["done"]
    assert scene.refreshed == [collectors]
    scene.send(REFRESH, {"collectors": "cpu disk"})
    scene.loop.until(lambda: len(scene.said) == 2)
    assert scene.results()[1]["reason"] == "bad_arguments"
    assert scene.refreshed == [collectors]
    scene.loop.end()


class File:
    """A configuration that is read again, or has a mistake."""

    def __init__(self) -> None:
        self.mistake = ""

    def read(self) -> None:
        if self.mistake:
            raise CommandError("failed", self.mistake)


def test_the_agent_begins_anew_once_it_has_said_that_its_configuration_was_read(
    tmp_path: Path,
) -> None:
    file = File()
    scene = Scene(tmp_path, AgentPlugin(platforms.current(), rereader=file))

    file.mistake = "config.yaml:3: is not known here"
    scene.send(RELOAD)
    scene.loop.until(lambda: len(scene.said) == 1)
    file.mistake = ""
    scene.send(RELOAD)
    scene.loop.until(lambda: bool(scene.renewed))

    results = [(result["status"], result["detail"]) for result in scene.results()]
    assert results == [("failed", "config.yaml:3: is not known here"), ("done", "")]
    assert scene.renewed == [2]
    scene.loop.end()


class Editor(FakePower):
    """Settings that can be changed unless one is wrong."""

    name: ClassVar[str] = "config"

    def commands(self) -> Sequence[Command]:
        return [Command(CONFIG_SET, {"values": TextArgument(64, None, pattern=r"\{.*\}")})]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        if args["values"] == "{}":
            errors = {"log.level": FieldError("fixed", "config.yaml:3")}
            raise CommandError("bad_arguments", "log.level: fixed", errors)


def test_settings_are_gone_on_with_once_the_result_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Editor())

    scene.send(CONFIG_SET, {"values": "{}"})
    scene.loop.until(lambda: len(scene.said) == 1)
    scene.send(CONFIG_SET, {"values": '{"log.level": "debug"}'})
    scene.loop.until(lambda: bool(scene.renewed))

    refused, done = scene.results()
    assert refused["status"] == "rejected"
    assert refused["errors"] == {"log.level": {"reason": "fixed", "detail": "config.yaml:3"}}
    assert (done["status"], "errors" in done) == ("done", False)
    assert scene.renewed == [2]
    scene.loop.end()


class Printer(FakePower):
    """A command that prints, and may take longer than the system's own."""

    name: ClassVar[str] = "own_commands"

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def commands(self) -> Sequence[Command]:
        return [Command("own_commands.print", time_limit=600)]

    def run(self, key: str, args: Mapping[str, Any]) -> Output:
        self.gate.wait(60)
        return Output("printed")


def test_a_command_with_time_of_its_own_may_take_it_and_answers_with_its_output(
    tmp_path: Path,
) -> None:
    printer = Printer()
    scene = Scene(tmp_path, printer)

    scene.send("own_commands.print")
    scene.pass_time(COMMAND_LIMIT + 100)
    assert not scene.said
    printer.gate.set()
    scene.loop.until(lambda: bool(scene.said))

    [result] = scene.results()
    assert (result["status"], result["output"], result["truncated"]) == ("done", "printed", False)
    scene.loop.end()
