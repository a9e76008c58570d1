"""Brokers that do not take everything, or that are no brokers: what the agent makes of them."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.config.settings import Broker, Tls
from companion_agent.mqtt import peer
from companion_agent.mqtt.connection import SUBACK_LIMIT, Message
from companion_agent.mqtt.limits import Limits
from support.agent_host import FakeCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.agent_host import RunningAgent
    from support.agent_mqtt import (
        Certificates,
        FakeHomeAssistant,
        Mosquitto,
        TransportDriver,
    )
    from support.clock import PassingClock

OPEN = "allow_anonymous true\n"
CONNACK = b"\x20\x03\x00\x00\x00"
HANG_UP = b""
CONNACK_3 = b"\x20\x02\x00\x00"


class Script:
    """A server that answers the packets of each connection by a list of its own."""

    def __init__(self, *connections: list[bytes], tls: ssl.SSLContext | None = None) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.heard: list[bytes] = []
        self._connections = connections
        self._tls = tls
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def broker(self) -> Broker:
        return Broker("127.0.0.1", self.port)

    def _serve(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            answers = self._connections[min(number, len(self._connections) - 1)]
            number += 1
            with contextlib.suppress(OSError):
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                for answer in answers:
                    if answer == HANG_UP:
                        connection.close()
                        break
                    self.heard.append(connection.recv(4096))
                    connection.sendall(answer)
            self._open.append(connection)

    def close(self) -> None:
        self._server.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    scripts: list[Script] = []

    def make(*connections: list[bytes], tls: ssl.SSLContext | None = None) -> Script:
        scripts.append(Script(*connections, tls=tls))
        return scripts[-1]

    yield make
    for one in scripts:
        one.close()


def connack(**properties: int) -> bytes:
    """Write the CONNACK of a broker with limits (MQTT 5.0, 3.2)."""
    coded = {
        "packet": lambda value: b"\x27" + value.to_bytes(4),
        "inflight": lambda value: b"\x21" + value.to_bytes(2),
        "wildcards": lambda value: b"\x28" + value.to_bytes(1),
    }
    body = b"".join(coded[name](value) for name, value in properties.items())
    return bytes([0x20, len(body) + 3, 0, 0, len(body)]) + body


# --- What a real broker does not take --------------------------------------------------------


def many_readings() -> FakeCollector:
    return FakeCollector("cpu", **{f"core_{number}": 12.5 for number in range(60)})


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("max_packet_size 2000\n", "packets of at most 2,000 bytes"),
        ("retain_available false\n", "no retained messages"),
        ("max_qos 0\n", "QoS 0 at most"),
        ("max_keepalive 10\n", "keep-alive 10 s"),
        ("max_packet_size 2000\nretain_available false\nmax_qos 0\n", "QoS 0 at most"),
        ("max_inflight_messages 1\n", "MQTT 5"),
    ],
)
def test_the_agent_works_with_a_broker_that_does_not_take_everything(
    make_mosquitto: Callable[..., Mosquitto],
    home_assistant_at: Callable[[Mosquitto], FakeHomeAssistant],
    run_agent: Callable[..., RunningAgent],
    caplog: pytest.LogCaptureFixture,
    setting: str,
    words: str,
) -> None:
    caplog.set_level(logging.INFO, "companion_agent")
    mosquitto = make_mosquitto(OPEN + setting)
    home_assistant = home_assistant_at(mosquitto)

    run_agent(mosquitto.broker(), collectors=[many_readings()])
    home_assistant.wait_for("availability", b"online")
    home_assistant.wait_for("announce", b"cpu.core_0")
    home_assistant.wait_for("state/cpu", b"core_59")

    assert words in caplog.text
    assert "Lost the connection" not in caplog.text


def test_what_is_too_large_is_not_sent_and_the_setting_is_named(
    driver: Callable[..., TransportDriver],
    make_mosquitto: Callable[..., Mosquitto],
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = driver(make_mosquitto(OPEN + "max_packet_size 2000\n").broker())
    link.connect()

    sent = [link.transport.publish(Message("topic", b"x" * 2000, qos=1)) for _ in range(2)]
    fits = link.transport.publish(Message("topic", b"x" * 1980, qos=1))
    link.until(lambda: link.transport.settled)

    assert (sent, fits, link.transport.online) == ([False, False], True, True)
    assert sum("is not sent" in message for message in caplog.messages) == 1
    assert "has 2000 bytes" in caplog.text
    assert "max_packet_size in Mosquitto" in caplog.text


@pytest.mark.parametrize("setting", ["max_packet_size 2000", "retain_available false"])
def test_with_mqtt_3_the_reason_is_guessed_from_what_was_said(
    driver: Callable[..., TransportDriver], make_mosquitto: Callable[..., Mosquitto], setting: str
) -> None:
    link = driver(make_mosquitto(f"{OPEN}{setting}\n").broker(protocol="3.1.1"))
    link.connect()

    link.transport.publish(Message("pilot/announce", b"x" * 3000, qos=1))
    link.until(lambda: bool(link.transport.trouble))

    assert "before it took a message of 3,000 bytes on pilot/announce" in link.transport.trouble
    assert setting.split(maxsplit=1)[0] in link.transport.trouble


def test_with_mqtt_3_a_keepalive_that_is_too_long_is_not_blamed_on_the_client_id_alone(
    driver: Callable[..., TransportDriver], script: Callable[..., Script]
) -> None:
    identifier_rejected = b"\x20\x02\x00\x02"
    port = script([identifier_rejected, HANG_UP]).port

    trouble = driver(Broker("127.0.0.1", port, protocol="3.1.1", keepalive=60)).fail()

    assert "a keepalive below 60 s (max_keepalive in Mosquitto)" in trouble


# --- Versions of MQTT ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal",
    [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""],
    ids=["as 3.1.1 does", "as 5 does", "by hanging up"],
)
def test_mqtt_3_is_spoken_where_mqtt_5_is_refused(
    driver: Callable[..., TransportDriver], script: Callable[..., Script], refusal: bytes
) -> None:
    old = script([refusal, HANG_UP], [CONNACK_3])
    link = driver(old.broker)

    link.connect()

    assert link.transport.protocol == "3.1.1"
    assert link.counts.reconnects == 0
    assert link.bounds == []


# --- Receive Maximum, wildcards --------------------------------------------------------------


def test_no_more_messages_are_under_way_than_the_broker_takes(
    driver: Callable[..., TransportDriver], script: Callable[..., Script]
) -> None:
    small = script([connack(inflight=1), HANG_UP], [connack(inflight=1)])
    link = driver(small.broker)

    link.connect()

    assert link.transport._client
    assert link.transport._client.max_inflight_messages == 1


def test_subscriptions_with_wildcards_are_left_out_where_there_are_none(
    driver: Callable[..., TransportDriver],
    script: Callable[..., Script],
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = script([connack(wildcards=0), b"\x90\x04\x00\x01\x00\x01"])
    link = driver(plain.broker)
    link.connect()

    link.transport.subscribe(["a/command/+", "a/announce"])
    link.until(lambda: link.transport.settled)

    assert b"a/announce" in plain.heard[1]
    assert b"a/command" not in plain.heard[1]
    assert "what is said on a/command/+ is not heard" in caplog.text


# --- Two rights ------------------------------------------------------------------------------


def suback(mid: int, *codes: int) -> bytes:
    return bytes([0x90, 3 + len(codes), 0, mid, 0, *codes])


def test_a_right_to_hear_is_none_to_say(
    driver: Callable[..., TransportDriver],
    script: Callable[..., Script],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "companion_agent")
    puback_not_authorized = b"\x40\x04\x00\x01\x87\x00"
    link = driver(script([CONNACK, puback_not_authorized, suback(2, 1)]).broker)
    link.connect()

    link.transport.publish(Message("topic", b"x", qos=1))
    link.until(lambda: link.transport.settled)
    link.transport.subscribe(["topic"])
    link.until(lambda: link.transport.settled)

    assert link.transport.unwritable.keys() == {"topic"}
    assert link.transport.unreadable == {}
    assert "refused a message on topic: not allowed" in caplog.text
    assert "again" not in caplog.text


def test_a_subscription_that_is_refused_is_tried_again_until_it_works(
    driver: Callable[..., TransportDriver],
    script: Callable[..., Script],
    clock: PassingClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "companion_agent")
    cluster = script([CONNACK, suback(1, 0x80, 1), suback(2, 0x80), suback(3, 1)])
    link = driver(cluster.broker)
    link.connect()
    link.transport.subscribe(["first", "second"])
    link.until(lambda: bool(link.transport.unreadable))

    clock.advance(2)
    link.until(lambda: len(cluster.heard) == 3 and link.transport.settled)
    clock.advance(4)
    link.until(lambda: not link.transport.unreadable)

    assert link.transport.unreadable == {}
    assert b"second" not in cluster.heard[2]
    assert caplog.text.count("does not deliver first (it failed, and the broker does not say") == 1
    assert "delivers first now" in caplog.text
    assert link.counts.reconnects == 0


def test_a_subscription_that_is_never_answered_is_tried_again(
    driver: Callable[..., TransportDriver], script: Callable[..., Script], clock: PassingClock
) -> None:
    # A PINGRESP answers nothing.
    cluster = script([CONNACK, b"\xd0\x00", suback(2, 1)])
    link = driver(cluster.broker)
    link.connect()
    link.transport.subscribe(["topic"])
    # Or one read of the server's has both tries in it.
    link.until(lambda: len(cluster.heard) == 2)

    clock.advance(SUBACK_LIMIT)
    link.until(lambda: link.transport.unreadable)
    clock.advance(2)
    link.until(lambda: not link.transport.unreadable)

    assert link.transport.online


def test_mqtt_3_says_only_that_a_subscription_failed(
    driver: Callable[..., TransportDriver], script: Callable[..., Script]
) -> None:
    old = script([CONNACK_3, b"\x90\x03\x00\x01\x80"])
    link = driver(Broker("127.0.0.1", old.port, protocol="3.1.1"))
    link.connect()

    link.transport.subscribe(["topic"])
    link.until(lambda: link.transport.settled)

    assert link.transport.unreadable == {"topic": "it failed, and the broker does not say why"}


def test_a_topic_that_an_answer_leaves_out_is_not_taken_for_heard(
    driver: Callable[..., TransportDriver], script: Callable[..., Script]
) -> None:
    short = script([CONNACK_3, b"\x90\x03\x00\x01\x00"])
    link = driver(Broker("127.0.0.1", short.port, protocol="3.1.1"))
    link.connect()

    link.transport.subscribe(["first", "second"])
    link.until(lambda: link.transport.settled)

    assert link.transport.unreadable == {"second": "no answer"}


def test_limits_of_zero_are_none() -> None:
    said = SimpleNamespace(MaximumPacketSize=0, ReceiveMaximum=0)

    assert Limits.of(said) == Limits()


# --- What is no broker at all ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a web server (“HTTP/1.1 400 Bad Request”)"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "an SSH server (“SSH-2.0-OpenSSH_9.2p1"),
        (b"AMQP\x00\x00\x09\x01", "AMQP, which RabbitMQ speaks besides MQTT"),
        (b"220 mail.example ESMTP Postfix\r\n", "a mail or FTP server"),
        (b"-ERR unknown command\r\n", "a Redis server"),
        (b"+OK POP3 ready\r\n", "a POP3 server"),
        (b"RFB 003.008\n", "a VNC server"),
        # Its first byte has the high half of an AUTH packet's.
        (b"\xff\xfd\x18\xff\xfd\x20", "a telnet server"),
        (b"Hello, stranger\r\n", "it says “Hello, stranger”"),
        (b"\x00\x00\x12\x04\x00", "something that is not MQTT"),
    ],
)
@pytest.mark.parametrize("encrypted", [False, True])
def test_what_answers_is_called_by_its_name(
    driver: Callable[..., TransportDriver],
    script: Callable[..., Script],
    certificates: Certificates,
    words: bytes,
    what: str,
    encrypted: bool,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    server = script([words, HANG_UP], tls=context if encrypted else None)
    tls = Tls(certificates.ca) if encrypted else None

    trouble = driver(Broker("127.0.0.1", server.port, tls=tls)).fail()

    assert f"port {server.port} does not speak MQTT" in trouble
    assert what in trouble
    assert "1883" in trouble


def test_tls_where_none_is_spoken_is_answered_by_what_to_set(
    driver: Callable[..., TransportDriver], script: Callable[..., Script]
) -> None:
    alert = b"\x15\x03\x03\x00\x02\x02\x46"

    trouble = driver(script([alert, HANG_UP]).broker).fail()

    assert "speaks TLS; set tls: true" in trouble


def test_a_plain_port_that_is_spoken_to_in_tls(
    driver: Callable[..., TransportDriver], mosquitto: Mosquitto, certificates: Certificates
) -> None:
    trouble = driver(mosquitto.broker(tls=Tls(certificates.ca))).fail()

    assert "without TLS" in trouble


def test_home_assistants_own_port_is_known(
    driver: Callable[..., TransportDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = b"HTTP/1.1 400 Bad Request\r\n\r\n"

    assert "Home Assistant's own page" in peer.explain(first, Broker("ha.local", 8123))
    assert "set tls: true" in peer.explain(b"\x15\x03\x03\x00\x02\x02\x46", Broker("x", 8883))


def test_a_port_that_closes_without_a_word_is_asked_for_its_name(
    make_mosquitto: Callable[..., Mosquitto],
    script: Callable[..., Script],
    certificates: Certificates,
) -> None:
    encrypted = make_mosquitto(certificates.settings())
    page: Any = script([HANG_UP], [HANG_UP], [b"HTTP/1.0 200 OK\r\n\r\n", HANG_UP])

    assert "speaks TLS; set tls: true" in peer.look(encrypted.broker())
    assert "a web server" in peer.look(page.broker)


@pytest.mark.parametrize("answer", [b"N", b"S"])
def test_postgresql_is_asked_in_its_own_words(script: Callable[..., Script], answer: bytes) -> None:
    """It closes on everything else without one; and says by a letter whether it has TLS."""
    database: Any = script([HANG_UP], [HANG_UP], [HANG_UP], [answer, HANG_UP])

    said = peer.look(database.broker)

    assert f"port {database.port} does not speak MQTT: what answers there is a PostgreSQL" in said
    assert database.heard[-1] == bytes.fromhex("0000000804d2162f")


def test_postgresql_that_answers_with_an_error_is_known() -> None:
    assert peer.name(b"E\x00\x00\x00\x2aSFATAL\x00C08P01\x00") == "a PostgreSQL server"
