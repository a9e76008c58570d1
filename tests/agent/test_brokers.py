"""An agent at brokers beside Mosquitto: `docs/brokers.md` says what each of them gives."""

from __future__ import annotations

from functools import partial
import json
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import MQTTProtocolVersion
import pytest

from companion_agent.cli.doctor import check_broker
from companion_agent.config.settings import Broker, Config, Tls
from companion_agent.mqtt.connection import Message
from companion_agent.protocol.topics import Separator, Topics
from companion_agent.security.key_store import Controller, TrustStore
from stack.other_brokers import Nats, OtherBroker, RabbitMq
from support.agent_mqtt import FakeHomeAssistant
from support.agent_security import BASE, HOST, PREFIX, TOPICS, FakeController
from support.event_loop import wait_until
from support.mqtt_client import RecordingClient
from support.nginx import PATH
from support.paired_agent import PairedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from companion_agent.cli.doctor import Check
    from companion_agent.mqtt.connection import Transport
    from support.agent_host import RunningAgent
    from support.agent_mqtt import Certificates, TransportDriver
    from support.nginx import Nginx

FORBIDDEN = "forbidden"
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
    folder = tmp_path_factory.mktemp("broker")
    with kind(folder, settings=forbidding(folder) if kind is RabbitMq else ()) as server:
        yield server


def forbidding(folder: Path) -> list[str]:
    """Return settings of RabbitMQ with which no client may publish or hear one topic."""
    all_others = f"^(?!{FORBIDDEN}$)"
    guest = {"user": "guest", "vhost": "/"}
    definitions = folder / "definitions.json"
    definitions.write_text(
        json.dumps(
            {
                "users": [{"name": "guest", "password": "guest", "tags": []}],
                "vhosts": [{"name": "/"}],
                "permissions": [{**guest, "configure": ".*", "write": ".*", "read": ".*"}],
                "topic_permissions": [
                    {**guest, "exchange": "amq.topic", "write": all_others, "read": all_others}
                ],
            }
        )
    )
    return [f"load_definitions = {definitions}"]


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


@pytest.mark.parametrize("server", [RabbitMq], indirect=True)
@pytest.mark.parametrize(
    ("do", "words"),
    [
        (lambda transport: transport.publish(Message(FORBIDDEN, b"x", qos=1)), "messages on"),
        (lambda transport: transport.subscribe(["allowed", FORBIDDEN]), "subscriptions to"),
    ],
    ids=["publishing", "listening"],
)
def test_what_rabbitmq_does_not_allow_ends_the_connection(
    reached: Broker,
    driver: Callable[..., TransportDriver],
    do: Callable[[Transport], object],
    words: str,
) -> None:
    link = driver(reached)
    link.connect()

    do(link.transport)
    link.until(lambda: link.counts.reconnects)

    assert f"allow {words}" in link.transport.trouble
    assert f"{FORBIDDEN} (RabbitMQ hangs up then)" in link.transport.trouble


# --- A NATS server that says of all that it took it -----------------------------------------------


@pytest.fixture
def strict(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A NATS server with permissions."""
    if why_not := Nats.why_not():
        pytest.skip(why_not)
    user = f"{{ user: pc, password: secret, permissions: {{ {request.param} }} }}"
    lines = [f"authorization {{ users: [ {user} ] }}", "no_auth_user: pc"]
    with Nats(tmp_path / "broker", settings=lines) as server:
        yield Broker(server.host, server.port)


def subject(name: str) -> str:
    """Return what NATS calls a topic of the host."""
    return f"{BASE}/{name}".replace("/", ".")


def drops(name: str) -> str:
    """Return permissions with which what is published on a topic of the host is dropped."""
    return f'publish: {{ deny: "{subject(name)}" }}'


def examine(broker: Broker, what: str) -> Check:
    """Return what doctor says of publishing, or of listening."""
    checks = check_broker(broker, TOPICS, "homeassistant/status")
    [found] = [check for check in checks if check.name.endswith(what)]
    return found


@pytest.mark.real
@pytest.mark.parametrize(
    ("strict", "verdict", "words"),
    [
        (drops("availability"), "bad", f"what is published on {BASE}/availability does not arrive"),
        (drops("state"), "ok", f"as far as MQTT 3.1.1 tells; {BASE}/state does not come back"),
    ],
    indirect=["strict"],
)
def test_doctor_says_what_nats_takes_and_drops(strict: Broker, verdict: str, words: str) -> None:
    check = examine(strict, "publishing")

    assert check.verdict == verdict
    assert words in check.detail


@pytest.mark.real
@pytest.mark.parametrize("strict", [drops("announce")], indirect=True)
def test_doctor_says_that_nats_drops_the_announce(
    strict: Broker, run_agent: Callable[..., RunningAgent]
) -> None:
    """An agent has to have run: no other's announce would be taken for nothing."""
    transport = run_agent(strict).agent._transport
    wait_until(lambda: transport.online and transport.settled)

    check = examine(strict, "publishing")

    assert check.verdict == "bad"
    assert f"nothing on {BASE}/announce: it drops that" in check.detail
    assert f"{subject('announce')} below publish" in check.hint


@pytest.mark.real
@pytest.mark.parametrize("strict", [f'subscribe: {{ allow: "{subject(">")}" }}'], indirect=True)
def test_doctor_says_what_more_nats_wants_to_be_subscribed_to(strict: Broker) -> None:
    """The topics of the host alone are not enough: it delivers each on a subject of its own."""
    check = examine(strict, "listening")

    assert check.verdict == "bad"
    assert f"{BASE}/acknowledge (it failed" in check.detail
    assert "$MQTT.sub.>" in check.hint
