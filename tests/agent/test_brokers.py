"""An agent at brokers beside Mosquitto: `docs/brokers.md` says what each of them gives."""

from __future__ import annotations

from functools import partial
import json
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import MQTTProtocolVersion
import pytest

from companion_agent.cli.doctor import check_broker
from companion_agent.config.settings import Broker, Config, Tls
from companion_agent.protocol.topics import Separator, Topics
from companion_agent.security.key_store import Controller, TrustStore
from stack.other_brokers import Nats, OtherBroker, RabbitMq
from support.agent_mqtt import FakeHomeAssistant
from support.agent_security import BASE, HOST, PREFIX, TOPICS, FakeController
from support.mqtt_client import RecordingClient
from support.nginx import PATH
from support.paired_agent import PairedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.agent_mqtt import Certificates
    from support.nginx import Nginx

OLD: dict[str, Any] = {"protocol": MQTTProtocolVersion.MQTTv311, "listen": "pilot/#"}


EVERY_WAY = pytest.mark.parametrize(
    "reached", ["by TCP", "by WebSocket", "by WebSocket with TLS through nginx"], indirect=True
)


@pytest.fixture(scope="module", params=[Nats, RabbitMq])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OtherBroker]:
    kind: type[OtherBroker] = request.param
    if why_not := kind.why_not():
        pytest.skip(why_not)
    with kind(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture
def reached(request: pytest.FixtureRequest, server: OtherBroker) -> Broker:
    """The broker as the agent reaches it: by TCP, where the test says nothing else."""
    by_websocket = partial(Broker, server.host, transport="websockets")
    match getattr(request, "param", "by TCP"):
        case "by WebSocket":
            return by_websocket(server.websocket_port, websocket_path=server.websocket_path)
        case "by WebSocket with TLS through nginx":
            certificates: Certificates = request.getfixturevalue("certificates")
            proxy: Nginx = request.getfixturevalue("make_nginx")(
                server.websocket_port,
                certificates=certificates,
                upstream_path=server.websocket_path,
            )
            return by_websocket(proxy.port, websocket_path=PATH, tls=Tls(certificates.ca))
    return Broker(server.host, server.port)


@pytest.fixture
def home_assistant(server: OtherBroker) -> Iterator[FakeHomeAssistant]:
    client = FakeHomeAssistant(server.port, **OLD)
    yield client
    client.close()


@pytest.fixture
def agent(
    tmp_path: Path, reached: Broker, home_assistant: FakeHomeAssistant
) -> Iterator[PairedAgent]:
    home = FakeController()
    TrustStore(tmp_path).save([Controller(home.id, home.name, home.secret, 0)])
    home_assistant.forget()
    running = PairedAgent(tmp_path, home_assistant, Config((reached,), tmp_path))
    running.availability(b"online")
    running.wait_until_it_listens()
    yield running
    running.stop()


@EVERY_WAY
def test_it_reports_and_is_lost(
    agent: PairedAgent, server: OtherBroker, home_assistant: FakeHomeAssistant
) -> None:
    announced = agent.announce(b"fake.percent")
    home_assistant.wait_for("state/fake", b"12.5")

    agent.lose_connection()

    assert announced["host"]["id"] == HOST
    assert agent.availability(b"lost")["availability"] == "lost"
    assert agent.availability(b"online", count=2)["availability"] == "online"
    assert agent.agent._transport.protocol == server.protocol


@EVERY_WAY
def test_it_obeys(agent: PairedAgent) -> None:
    answer = agent.call("power.lock", separator=Separator.COLON)

    assert answer["status"] == "done"
    assert agent.power.done == [("power.lock", {})]


@EVERY_WAY
def test_doctor_says_what_becomes_of_dots(server: OtherBroker, reached: Broker) -> None:
    checks = check_broker(reached, TOPICS, "homeassistant/status")

    assert {check.verdict for check in checks} == {"ok"}
    found = [check.detail for check in checks if check.name.endswith("topics")]
    assert len(found) == bool(server.dots)
    assert all(server.dots in detail for detail in found)


def test_doctor_refuses_a_prefix_that_this_broker_takes_for_another(
    server: OtherBroker, reached: Broker
) -> None:
    checks = check_broker(reached, Topics("pilot.v2", HOST), "homeassistant/status")

    hints = [check.hint for check in checks if check.verdict == "bad"]
    assert any("without dots" in hint for hint in hints) is bool(server.dots)


def test_it_is_found_by_a_search(agent: PairedAgent, server: OtherBroker) -> None:
    agent.announce(b"fake.percent")
    late = FakeHomeAssistant(server.port, **OLD)

    late.publish(f"{PREFIX}/search", json.dumps({"within": 0}))
    live = late.wait_until_heard(
        lambda message: message.topic == f"{BASE}/announce" and not message.retained,
        "an answer to the search",
    )
    kept = [message for message in late.heard(f"{BASE}/announce") if message.retained]
    late.close()

    assert live.body["host"]["name"] == "office-pc"
    assert bool(kept) is server.keeps_for_wildcards


def test_what_is_retained_is_kept_for_its_own_topic(
    agent: PairedAgent, server: OtherBroker
) -> None:
    agent.announce(b"fake.percent")
    topic = f"{BASE}/announce"

    with RecordingClient("127.0.0.1", server.port, **(OLD | {"listen": topic})) as late:
        kept = late.wait_until_heard(lambda message: message.retained, "the announce")

    assert kept.body["host"]["name"] == "office-pc"


@pytest.mark.real
@pytest.mark.parametrize(
    ("denied", "verdict", "words"),
    [
        ("availability", "bad", f"what is published on {BASE}/availability does not arrive"),
        ("state", "ok", f"as far as MQTT 3.1.1 tells; {BASE}/state does not come back"),
    ],
)
def test_doctor_says_what_nats_takes_and_drops(
    tmp_path: Path, denied: str, verdict: str, words: str
) -> None:
    if why_not := Nats.why_not():
        pytest.skip(why_not)
    topic = f'"{BASE.replace("/", ".")}.{denied}"'
    user = f"{{ user: pc, password: secret, permissions: {{ publish: {{ deny: {topic} }} }} }}"
    lines = [f"authorization {{ users: [ {user} ] }}", "no_auth_user: pc"]

    with Nats(tmp_path / "broker", settings=lines) as strict:
        checks = check_broker(Broker(strict.host, strict.port), TOPICS, "homeassistant/status")

    [publishing] = [check for check in checks if check.name.endswith("publishing")]
    assert publishing.verdict == verdict
    assert words in publishing.detail
