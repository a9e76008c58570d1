"""What a broker's refusals mean, in words that say what to do."""

from __future__ import annotations

from pathlib import Path
import socket
import ssl

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
import pytest

from companion_agent.config import Broker, Tls
from companion_agent.mqtt import errors
from companion_agent.secret import Secret

PLAIN = Broker("mqtt.local")
LOGIN = Broker("mqtt.local", username="pilot", password=Secret("x"))
OLD = Broker("mqtt.local", protocol="3.1.1")
SECURE = Broker("mqtt.local", tls=Tls())
CLIENT = Broker("mqtt.local", tls=Tls(client_cert=Path("client.pem")))


@pytest.mark.parametrize(
    ("name", "broker", "words"),
    [
        ("Bad user name or password", LOGIN, "username or password is wrong"),
        ("Not authorized", LOGIN, "the user pilot is not allowed, or its password is wrong"),
        ("Not authorized", PLAIN, "a login (username, password) is needed"),
        ("Unsupported protocol version", PLAIN, "it speaks neither MQTT 5 nor MQTT 3.1.1"),
        ("Unsupported protocol version", OLD, 'set protocol: "5"'),
        ("Client identifier not valid", PLAIN, "set client_id"),
        ("Server busy", PLAIN, "it refused the connection: Server busy"),
    ],
)
def test_refusals(name: str, broker: Broker, words: str) -> None:
    code = ReasonCode(PacketTypes.CONNACK, name)

    assert words in errors.refusal(code, broker, broker.protocol)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Session taken over", "another client connected with the same client id"),
        ("Server shutting down", "the broker shuts down"),
        ("Packet too large", "it does not take packets as large as 3,000 bytes on announce"),
        ("Retain not supported", "it keeps no retained messages (retain_available in Mosquitto)"),
        ("QoS not supported", "it does not take QoS 1 (max_qos in Mosquitto)"),
        ("Quota exceeded", "the broker ended it: Quota exceeded"),
    ],
)
def test_disconnections(name: str, words: str) -> None:
    said = errors.disconnect(ReasonCode(PacketTypes.DISCONNECT, name), ("announce", 3000))

    assert said.startswith(words)


@pytest.mark.parametrize(
    ("error", "broker", "words"),
    [
        (TimeoutError(), PLAIN, "is the machine on"),
        (ConnectionResetError(104, "reset"), SECURE, "during the TLS handshake"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), SECURE, "does not speak TLS"),
        (OSError(113, "No route to host"), PLAIN, "No route to host"),
        (ValueError("odd"), PLAIN, "odd"),
        (socket.gaierror(-2, "Name or service not known"), PLAIN, "need mDNS on this host"),
        (OSError(22, "Invalid argument"), Broker("fe80::1"), "interface behind it: fe80::1%eth0"),
        (OSError(22, "Invalid argument"), Broker("fe80::1%eth0"), "Invalid argument"),
    ],
)
def test_connections_that_do_not_open(error: Exception, broker: Broker, words: str) -> None:
    assert words in errors.opening(error, broker)


@pytest.mark.parametrize(
    ("broker", "words"),
    [
        (PLAIN, "set tls: true"),
        (PLAIN, "by MQTT 5 and by MQTT 3.1.1"),
        (OLD, "retain_available"),
        (Broker("mqtt.local", 9001), "Mosquitto's MQTT over WebSocket"),
        (SECURE, "tls.client_cert"),
        (CLIENT, "may not accept the client certificate"),
    ],
)
def test_connections_that_end_during_the_greeting(broker: Broker, words: str) -> None:
    error = "failed to receive on socket: [Errno 104] Connection reset by peer"

    said = errors.closing(broker, error, "3.1.1")

    assert said.startswith("Connection reset by peer without saying why")
    assert words in said


def test_a_connection_that_ends_later() -> None:
    assert errors.lost("") == "the broker closed the connection"


def test_a_connection_that_ends_with_something_large_under_way() -> None:
    said = errors.lost("", ("pilot/announce", 9000), ["pilot/announce", "pilot/availability"])

    assert "before it took a message of 9,000 bytes on pilot/announce" in said
    assert "max_packet_size" in said
    assert "or not allow messages on pilot/announce, pilot/availability (RabbitMQ" in said


def test_a_connection_that_ends_with_a_subscription_not_confirmed() -> None:
    said = errors.lost("", unheard=["pilot/search", "pilot/search"])

    assert said == (
        "the broker closed the connection; "
        "it may not allow subscriptions to pilot/search (RabbitMQ hangs up then)"
    )


def test_a_connection_that_ends_with_both_under_way() -> None:
    said = errors.lost("", ("pilot/announce", 9000), ["pilot/announce"], ["pilot/search"])

    assert "not allow messages on pilot/announce, or subscriptions to pilot/search (" in said
