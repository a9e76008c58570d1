"""The examples in `deploy/mosquitto` in a Mosquitto: hosts work, and keep to themselves."""

from __future__ import annotations

import getpass
import secrets
import shutil
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Self

from harness.settings import WITHOUT_PACKAGE_MANAGERS
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
import pytest
from security.certificates import write_certificates
from security.controller import PREFIX, FakeController
from security.victim import SHUTDOWN

from stack import system
from stack.agent import Agent
from stack.paths import ROOT
from stack.process import Process, answers, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from paho.mqtt.reasoncodes import ReasonCode
    from security.machine import FakeMachine

EXAMPLES = ROOT / "deploy" / "mosquitto"
HOST, NEIGHBOUR = "9c3f6f0e3a5b4d21", "0123456789abcdef"
HOME_ASSISTANT = "homeassistant"
NOT_AUTHORIZED = 135
"""MQTT 5, section 3.4.2.1."""

OF_A_HOST = (
    "announce",
    "availability",
    "state",
    "backlog",
    "acknowledge",
    "event/power",
    "result/power.shutdown",
    "result/power:shutdown",
    "command/power.shutdown",
    "command/power:shutdown",
    "pair/4f1d2c3b5a697887/request",
    "pair/4f1d2c3b5a697887/answer",
    "pair/4f1d2c3b5a697887/confirm",
    "pair/4f1d2c3b5a697887/result",
)


class ExampleBroker:
    """A Mosquitto with nothing but the examples; only port, paths and user are our own."""

    host = "127.0.0.1"
    protocol = "5"
    username: str | None = None
    password: str | None = None

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.ca = folder / "certs" / "ca.pem"
        config = folder / "pilot.conf"
        self.process = Process(
            "mosquitto",
            [system.require("mosquitto")["mosquitto"], "-c", str(config)],
            folder / "mosquitto.log",
        )
        write_certificates(folder / "certs", self.host)
        passwords = folder / "pilot.passwords"
        passwords.touch(mode=0o600)
        for login in (HOST, NEIGHBOUR, HOME_ASSISTANT):
            tool = shutil.which("mosquitto_passwd")
            assert tool, "mosquitto_passwd comes with Mosquitto"
            subprocess.run([tool, "-b", str(passwords), login, _password(login)], check=True)
        for example in ("pilot.acl", "pilot.conf"):
            text = (EXAMPLES / example).read_text(encoding="utf-8")
            (folder / example).write_text(text.replace("/etc/mosquitto", str(folder)))
        text = config.read_text().replace("listener 8883", f"listener {self.port} {self.host}")
        config.write_text(f"user {getpass.getuser()}\nlog_dest stderr\n{text}")
        (folder / "pilot.acl").chmod(0o600)

    def __enter__(self) -> Self:
        self.process.start()
        wait_for(lambda: answers(self.host, self.port), "Mosquitto", process=self.process)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()

    def start(self) -> None:
        """Do nothing: it runs."""

    def stop(self) -> None:
        """Do nothing: it goes on."""


class Guest:
    """A client with a login, that says something and hears whether it may.

    Args:
        broker: Where it logs in.
        login: As whom.
    """

    def __init__(self, broker: ExampleBroker, login: str | None) -> None:
        self.refused = threading.Event()
        self._answers: dict[int, int] = {}
        self._heard: list[tuple[str, bytes]] = []
        self._ready = threading.Event()
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.tls_set_context(ssl.create_default_context(cafile=broker.ca))
        if login:
            client.username_pw_set(login, _password(login))
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_publish = self._on_publish
        client.on_message = lambda _, __, message: self._heard.append(
            (message.topic, message.payload)
        )
        client.connect(broker.host, broker.port)
        client.loop_start()

    def __enter__(self) -> Self:
        wait_for(lambda: self._ready.is_set() or self.refused.is_set(), "an answer")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def may_say(self, topic: str, payload: bytes = b"{}") -> bool:
        """Publish something, and tell whether the broker took it."""
        sent = self._client.publish(topic, payload, qos=1)
        wait_for(lambda: sent.mid in self._answers, "the broker's answer", interval=0.02)
        return self._answers[sent.mid] != NOT_AUTHORIZED

    def heard(self, topic: str) -> list[bytes]:
        """Return what it heard on a topic."""
        return [payload for heard, payload in self._heard if heard == topic]

    def _on_connect(
        self, client: paho.Client, _: object, __: object, reason: ReasonCode, *___: object
    ) -> None:
        if reason.is_failure:
            self.refused.set()
        else:
            client.subscribe("#", qos=1)

    def _on_publish(
        self, _: paho.Client, __: object, mid: int, reason: ReasonCode, ___: object
    ) -> None:
        self._answers[mid] = reason.value


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleBroker]:
    """Return a broker as the examples make it."""
    with ExampleBroker(tmp_path_factory.mktemp("example")) as broker:
        yield broker


@pytest.fixture
def home_assistant(broker: ExampleBroker) -> Iterator[Guest]:
    """Return a client with Home Assistant's login."""
    with Guest(broker, HOME_ASSISTANT) as guest:
        yield guest


@pytest.fixture
def neighbour(broker: ExampleBroker) -> Iterator[Guest]:
    """Return a client with another host's login."""
    with Guest(broker, NEIGHBOUR) as guest:
        yield guest


@pytest.fixture
def host(broker: ExampleBroker, tmp_path: Path, machine: FakeMachine) -> Iterator[Agent]:
    """Return an agent with a login of its own."""
    access = {
        "host": broker.host,
        "port": broker.port,
        "username": HOST,
        "password": _password(HOST),
        "tls": {"ca_cert": str(broker.ca)},
    }
    settings = {"broker": access, "collectors": WITHOUT_PACKAGE_MANAGERS}
    agent = Agent(tmp_path / "host", None, settings=settings, env=machine.env)
    state = agent.folder / "state"
    state.mkdir(parents=True)
    (state / "host-id").write_text(f"{HOST}\n")
    yield agent
    agent.stop()


@pytest.mark.parametrize("example", ["pilot.conf", "pilot.acl"])
def test_documentation_quotes_the_examples(example: str) -> None:
    documentation = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

    assert f"```conf\n{(EXAMPLES / example).read_text(encoding='utf-8')}```" in documentation


@pytest.mark.parametrize("below", OF_A_HOST)
def test_neighbour_may_say_nothing_in_a_hosts_name(
    neighbour: Guest, home_assistant: Guest, below: str
) -> None:
    topic = f"{PREFIX}/{HOST}/{below}"

    mark = secrets.token_bytes(8)

    assert not neighbour.may_say(topic, mark)

    # What it may say comes through the same way, behind it.
    assert neighbour.may_say(f"{PREFIX}/{NEIGHBOUR}/state", mark)
    wait_for(lambda: mark in home_assistant.heard(f"{PREFIX}/{NEIGHBOUR}/state"), "its own")
    assert mark not in home_assistant.heard(topic)


@pytest.mark.parametrize(
    "topic", ["homeassistant/status", "homeassistant/sensor/x/config", "pilot"]
)
def test_hosts_may_say_nothing_in_home_assistants_name(neighbour: Guest, topic: str) -> None:
    assert not neighbour.may_say(topic)


@pytest.mark.parametrize(
    "below",
    [
        "command/power.shutdown",
        "command/power:shutdown",
        "acknowledge",
        "pair/4f1d2c3b5a697887/request",
    ],
)
def test_hosts_may_not_command_themselves(neighbour: Guest, below: str) -> None:
    """Else an attacker who takes over one host could ask it to be paired."""
    assert not neighbour.may_say(f"{PREFIX}/{NEIGHBOUR}/{below}")


def test_neighbour_hears_nothing_of_a_host(neighbour: Guest, home_assistant: Guest) -> None:
    for below in (
        "command/power.shutdown",
        "command/power:shutdown",
        "acknowledge",
        "pair/4f1d2c3b5a697887/request",
        "announce",
    ):
        assert home_assistant.may_say(f"{PREFIX}/{HOST}/{below}")
    mine = f"{PREFIX}/{NEIGHBOUR}/command/power:lock"
    assert home_assistant.may_say(mine)

    wait_for(lambda: neighbour.heard(mine), "its own command")
    assert all(topic.startswith(f"{PREFIX}/{NEIGHBOUR}/") for topic, _ in neighbour._heard)


def test_no_client_gets_in_without_a_login(broker: ExampleBroker) -> None:
    with Guest(broker, None) as guest:
        assert guest.refused.is_set()


def test_agent_reports_and_obeys(host: Agent, machine: FakeMachine, home_assistant: Guest) -> None:
    """All that an agent does works with its login: nothing is missing from the rules."""
    home = FakeController(HOST)
    home.pair_long_ago(host.folder / "state")

    host.start()

    announce = _wait_for(home_assistant, "announce")
    body = home.read(f"{PREFIX}/{HOST}/announce", announce)
    assert body is not None
    assert _wait_for(home_assistant, "state")
    topic = f"{PREFIX}/{HOST}/availability"
    told = home.read(topic, _wait_for(home_assistant, "availability"))
    assert told
    assert told["availability"] == "online"

    def shut_down() -> list[str]:
        said = home.command(SHUTDOWN, body["session"], separator=":")
        assert home_assistant.may_say(said.topic, said.payload)
        return machine.orders()

    assert wait_for(shut_down, "the order")[0] == "PowerOff"
    assert _wait_for(home_assistant, f"result/{SHUTDOWN.replace('.', ':')}")
    assert home_assistant.may_say(f"{PREFIX}/{HOST}/pair/{home.id}/request")
    assert b"malformed" in _wait_for(home_assistant, f"pair/{home.id}/answer")
    host.stop()
    wait_for(lambda: b"off" in _wait_for(home_assistant, "availability"), "its good-bye")
    assert "WARNING" not in host.process.log.read_text()


def _wait_for(guest: Guest, below: str) -> bytes:
    topic = f"{PREFIX}/{HOST}/{below}"
    return wait_for(lambda: guest.heard(topic), f"message on {topic}")[-1]


def _password(login: str) -> str:
    return f"the password of {login}"
