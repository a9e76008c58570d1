"""MQTT over WebSocket: to a real Mosquitto, directly and through a real nginx."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from companion_agent.cli import doctor
from companion_agent.config.settings import Broker, Tls
from companion_agent.mqtt.connection import Message
from companion_agent.protocol.topics import Topics
from support.agent_host import HOST, PREFIX, FakeCollector
from support.agent_mqtt import Certificates, FakeHomeAssistant, Mosquitto, free_port
from support.nginx import PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.agent_host import RunningAgent
    from support.agent_mqtt import TransportDriver
    from support.nginx import Nginx

    MakeDriver = Callable[..., TransportDriver]
    MakeProxy = Callable[..., Nginx]


class TwoDoors(NamedTuple):
    """A broker that listens for MQTT and for MQTT over WebSocket."""

    mosquitto: Mosquitto
    websocket_port: int


@pytest.fixture
def broker(make_mosquitto: Callable[..., Mosquitto]) -> TwoDoors:
    port = free_port()
    more = f"allow_anonymous true\nlistener {port} 127.0.0.1\nprotocol websockets\n"
    mosquitto = make_mosquitto(more)
    mosquitto.wait_for(port)
    return TwoDoors(mosquitto, port)


@pytest.fixture
def home_assistant(
    home_assistant_at: Callable[[Mosquitto], FakeHomeAssistant], broker: TwoDoors
) -> FakeHomeAssistant:
    return home_assistant_at(broker.mosquitto)


@pytest.fixture
def make_proxy(broker: TwoDoors, make_nginx: Callable[..., Nginx]) -> MakeProxy:
    def make(certificates: Certificates | None = None, address: str = "127.0.0.1") -> Nginx:
        return make_nginx(broker.websocket_port, certificates=certificates, address=address)

    return make


def by_websocket(port: int, path: str = PATH, host: str = "127.0.0.1", **more: object) -> Broker:
    return Broker(host, port, transport="websockets", websocket_path=path, **more)  # type: ignore[arg-type]


@pytest.fixture(params=["direct", "proxy", "proxy with TLS", "proxy by IPv6"])
def reached(
    request: pytest.FixtureRequest,
    broker: TwoDoors,
    make_proxy: MakeProxy,
    certificates: Certificates,
) -> Broker:
    """The broker as a host reaches it by WebSocket."""
    match request.param:
        case "direct":
            return by_websocket(broker.websocket_port)
        case "proxy with TLS":
            return by_websocket(make_proxy(certificates).port, tls=Tls(certificates.ca))
        case "proxy by IPv6":
            return by_websocket(make_proxy(address="::1").port, host="::1")
    return by_websocket(make_proxy().port)


def test_publishes_and_hears(
    driver: MakeDriver, reached: Broker, home_assistant: FakeHomeAssistant
) -> None:
    link = driver(reached)
    link.connect()

    link.transport.subscribe(["greeting"])
    link.until(lambda: link.transport.settled)
    home_assistant.publish("greeting", "hello")
    link.until(lambda: bool(link.recorder.messages))
    link.transport.publish(Message(f"{PREFIX}/announce", b"{}", qos=1))

    assert link.recorder.messages == [("greeting", b"hello", False)]
    assert home_assistant.wait_for("announce") == b"{}"


@pytest.mark.parametrize("encrypted", [False, True])
def test_large_messages_go_both_ways(
    driver: MakeDriver,
    make_proxy: MakeProxy,
    home_assistant: FakeHomeAssistant,
    certificates: Certificates,
    encrypted: bool,
) -> None:
    proxy = make_proxy(certificates if encrypted else None)
    link = driver(by_websocket(proxy.port, tls=Tls(certificates.ca) if encrypted else None))
    link.connect()
    # Mosquitto 2.0.11 takes and sends 4 KiB in 0.1 s by WebSocket, from and to every client.
    large = bytes(range(256)) * 100

    link.transport.subscribe(["large"])
    link.until(lambda: link.transport.settled)
    for _ in range(3):
        home_assistant.publish("large", large)
    link.until(lambda: len(link.recorder.messages) == 3)
    link.transport.publish(Message(f"{PREFIX}/announce", large, qos=1))
    link.until(lambda: link.transport.settled)

    assert link.recorder.messages == [("large", large, False)] * 3
    assert home_assistant.wait_for("announce") == large


def test_an_agent_is_lost_and_found_with_its_proxy(
    run_agent: Callable[..., RunningAgent],
    make_proxy: MakeProxy,
    home_assistant: FakeHomeAssistant,
) -> None:
    proxy = make_proxy()
    run_agent(by_websocket(proxy.port), collectors=[FakeCollector("cpu", percent=12.5)])
    home_assistant.wait_for("announce", b"cpu.percent")
    home_assistant.wait_for("availability", b"online")

    proxy.stop()
    home_assistant.wait_for("availability", b"lost")
    proxy.start()

    home_assistant.wait_for("availability", b"online", count=2)
    home_assistant.wait_for("state/cpu", b"12.5")


def test_what_was_retained_is_delivered(
    driver: MakeDriver, reached: Broker, home_assistant: FakeHomeAssistant
) -> None:
    home_assistant.publish("birth", "online", retain=True)
    link = driver(reached)
    link.connect()

    link.transport.subscribe(["birth"])
    link.until(lambda: bool(link.recorder.messages))

    assert link.recorder.messages == [("birth", b"online", True)]


# --- What goes wrong, in words ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/mqtt", "there is no WebSocket at /mqtt (HTTP 404 Not Found); set websocket_path"),
        ("/page", "there is no WebSocket at /page (HTTP 200 OK)"),
        ("/moved", "it redirects /moved to https://elsewhere.example/mqtt"),
        ("/forbidden", "it does not let this host open /forbidden (HTTP 403 Forbidden)"),
    ],
)
def test_a_path_that_is_no_brokers(
    driver: MakeDriver, make_proxy: MakeProxy, path: str, words: str
) -> None:
    trouble = driver(by_websocket(make_proxy().port, path)).fail()

    assert words in trouble


def test_a_broker_that_is_away_behind_its_proxy(
    driver: MakeDriver, make_proxy: MakeProxy, broker: TwoDoors
) -> None:
    link = driver(by_websocket(make_proxy().port))
    broker.mosquitto.stop()

    trouble = link.fail()
    broker.mosquitto.start()
    link.until(lambda: link.transport.online)

    assert trouble == "the proxy does not reach the broker (HTTP 502 Bad Gateway)"


def test_a_port_that_speaks_mqtt_and_no_http(driver: MakeDriver, broker: TwoDoors) -> None:
    trouble = driver(by_websocket(broker.mosquitto.port)).fail()

    assert "does not speak HTTP" in trouble
    assert "transport: tcp" in trouble


def test_a_port_that_wants_tls(
    driver: MakeDriver, make_proxy: MakeProxy, certificates: Certificates
) -> None:
    trouble = driver(by_websocket(make_proxy(certificates).port)).fail()

    assert "speaks TLS; set tls: true (wss://…)" in trouble


def test_an_authority_that_is_not_trusted(
    driver: MakeDriver, make_proxy: MakeProxy, certificates: Certificates
) -> None:
    trouble = driver(by_websocket(make_proxy(certificates).port, tls=Tls())).fail()

    assert trouble.endswith("for a private one set tls.ca_cert")


def test_a_web_server_where_plain_mqtt_was_expected(
    driver: MakeDriver, make_proxy: MakeProxy
) -> None:
    trouble = driver(Broker("127.0.0.1", make_proxy().port)).fail()

    assert "a web server" in trouble
    assert "ws://…/path" in trouble


def test_doctor_says_what_carries_mqtt(reached: Broker) -> None:
    checks = doctor.check_broker(reached, Topics("pilot/v2", HOST), "homeassistant/status")

    assert [check.verdict for check in checks] == ["ok", "ok", "ok"]
    assert checks[0].name == f"broker {reached}"
    assert "by WebSocket" in checks[0].detail
