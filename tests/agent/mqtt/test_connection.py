"""The connection, against a real Mosquitto and against things that only look like one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import logging
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from companion_agent.config.settings import Broker
from companion_agent.mqtt.connection import (
    BACKOFF_MOST,
    GREETING_LIMIT,
    OPEN_LIMIT,
    Message,
    State,
)
from support.agent_mqtt import (
    FakeHomeAssistant,
    Mosquitto,
    TransportDriver,
    free_port,
    password_file,
)
from support.event_loop import PATIENCE

if TYPE_CHECKING:
    from support.clock import PassingClock

MakeDriver = Callable[..., TransportDriver]

CONNACK = b"\x20\x03\x00\x00\x00"


class Silence:
    """A server that accepts connections, reads, and says only what it was told to say."""

    def __init__(self, *answers: bytes, hang_up: bool = False) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.broker = Broker("127.0.0.1", self._server.getsockname()[1], keepalive=1)
        self._answers = answers
        self._hang_up = hang_up
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(connection)
            with contextlib.suppress(OSError):
                for answer in self._answers or [b""]:
                    connection.recv(4096)
                    connection.sendall(answer)
            if self._hang_up:
                connection.close()

    def close(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.close()


@pytest.fixture
def silent() -> Iterator[Callable[..., Broker]]:
    servers: list[Silence] = []

    def make(*answers: bytes, **options: Any) -> Broker:
        servers.append(Silence(*answers, **options))
        return servers[-1].broker

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def locked(make_mosquitto: Callable[..., Mosquitto], tmp_path: Any) -> Mosquitto:
    """A broker that knows one user, who may write to his own topics only."""
    acl = tmp_path / "acl"
    acl.write_text("user pilot\ntopic readwrite allowed/#\n")
    login = password_file(tmp_path / "passwords", "pilot", "secret")
    return make_mosquitto(f"allow_anonymous false\n{login}acl_file {acl}\n")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_publishes_and_hears(
    driver: MakeDriver, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant, protocol: str
) -> None:
    link = driver(mosquitto.broker(protocol=protocol))
    link.connect()

    link.transport.subscribe(["greeting"])
    link.until(lambda: link.transport.settled)
    home_assistant.publish("greeting", "hello")
    link.until(lambda: bool(link.recorder.messages))
    link.transport.publish(Message("pilot/v2/9c3f6f0e3a5b4d21/announce", b"{}", qos=1))

    assert link.recorder.messages == [("greeting", b"hello", False)]
    assert home_assistant.wait_for("announce") == b"{}"


def test_sets_tcp_nodelay(driver: MakeDriver, mosquitto: Mosquitto) -> None:
    link = driver(mosquitto.broker())

    link.connect()

    sock = link.transport._socket
    assert isinstance(sock, socket.socket)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_broker_that_has_only_an_address_of_ipv6(
    driver: MakeDriver, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    port = free_port()
    make_mosquitto(f"allow_anonymous true\nlistener {port} ::1\n")
    link = driver(Broker("::1", port))

    link.connect()

    assert str(link.transport.broker) == f"[::1]:{port}"


def test_does_not_hear_its_own_messages_in_mqtt_5(driver: MakeDriver, mosquitto: Mosquitto) -> None:
    link = driver(mosquitto.broker())
    link.connect()
    link.transport.subscribe(["topic"])

    link.transport.publish(Message("topic", b"x", qos=1, retain=False))
    link.until(lambda: link.transport.settled)

    assert link.recorder.messages == []


def test_comes_back_when_the_broker_restarts(
    driver: MakeDriver, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "companion_agent")
    link = driver(mosquitto.broker())
    link.connect()

    mosquitto.stop()
    link.until(lambda: not link.transport.online)
    mosquitto.start()
    link.until(lambda: link.transport.online)

    assert (link.recorder.connections, link.recorder.losses) == (2, 1)
    assert link.counts.reconnects == 1
    assert "Lost the connection" in caplog.text
    assert caplog.messages[-1].startswith("Connected to")


def test_waits_longer_after_every_failure_and_complains_once(
    driver: MakeDriver, clock: PassingClock, caplog: pytest.LogCaptureFixture
) -> None:
    link = driver(Broker("127.0.0.1", free_port()), backoff=1.0)
    link.transport.start()

    for attempts in range(1, 10):
        link.until(lambda n=attempts: len(link.bounds) == n)  # type: ignore[misc]
        clock.advance(BACKOFF_MOST)

    assert link.bounds == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(caplog.messages) == 1


def test_fails_over_and_tries_the_preferred_broker_first(
    driver: MakeDriver, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    first, second = make_mosquitto(), make_mosquitto()
    link = driver(first.broker(), second.broker())
    link.connect()
    ports = [link.transport.broker.port]

    first.stop()
    link.until(lambda: link.recorder.connections == 2)
    ports.append(link.transport.broker.port)
    first.start()
    second.stop()
    link.until(lambda: link.recorder.connections == 3)
    ports.append(link.transport.broker.port)

    assert ports == [first.port, second.port, first.port]


def test_each_connection_has_a_client_id_of_its_own(
    driver: MakeDriver, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    first, second = make_mosquitto(), make_mosquitto()
    link = driver(first.broker(), second.broker())
    link.connect()
    ids = [link.transport._client._client_id]

    first.stop()
    link.until(lambda: link.recorder.connections == 2)
    ids.append(link.transport._client._client_id)

    assert ids == [b"pilot-test-1", b"pilot-test-2"]


def test_a_broker_that_lets_it_in_and_hangs_up_is_not_the_only_one_that_is_tried(
    driver: MakeDriver, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    first, second = make_mosquitto(), make_mosquitto()
    link = driver(first.broker(), second.broker())
    link.connect()

    link.transport._fail("it hung up")
    link.until(lambda: link.recorder.connections == 2)

    assert link.transport.broker.port == second.port


# --- What goes wrong, in words ---------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_two_with_one_client_id(driver: MakeDriver, mosquitto: Mosquitto, protocol: str) -> None:
    """A disk was cloned, with a configuration that sets it."""
    link = driver(mosquitto.broker(protocol=protocol, client_id="office-pc"))
    link.connect()

    driver(mosquitto.broker(protocol=protocol, client_id="office-pc")).connect()
    link.until(lambda: bool(link.transport.trouble))

    # Brokers may say so by MQTT 5; Mosquitto 2.0 hangs up.
    assert "same client id" in link.transport.trouble


def test_nothing_listens(driver: MakeDriver) -> None:
    port = free_port()

    assert driver(Broker("127.0.0.1", port)).fail() == f"nothing listens on port {port}"


def test_a_name_that_does_not_exist(driver: MakeDriver) -> None:
    trouble = driver(Broker("no-such-host.invalid")).fail()

    assert "the name no-such-host.invalid cannot be resolved" in trouble


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_wrong_password(driver: MakeDriver, locked: Mosquitto, protocol: str) -> None:
    broker = locked.broker(username="pilot", password="wrong", protocol=protocol)

    assert driver(broker).fail().startswith("it refused the login: ")


def test_no_login_where_one_is_needed(driver: MakeDriver, locked: Mosquitto) -> None:
    trouble = driver(locked.broker()).fail()

    assert trouble == "it refused the login: a login (username, password) is needed"


def test_a_topic_that_is_not_allowed_is_reported_once(
    driver: MakeDriver, locked: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    link = driver(locked.broker(username="pilot", password="secret"))
    link.connect()

    for topic in ("forbidden", "forbidden", "allowed/x"):
        link.transport.publish(Message(topic, b"x", qos=1))
    link.until(lambda: link.transport.settled)

    assert link.transport.unwritable.keys() == {"forbidden"}
    assert [message for message in caplog.messages if "forbidden" in message] == [
        (
            f"127.0.0.1:{locked.port} refused a message on forbidden: "
            "not allowed; the broker's access list must allow it"
        )
    ]


def test_a_subscription_that_is_not_allowed_is_reported(
    driver: MakeDriver, silent: Callable[..., Broker], caplog: pytest.LogCaptureFixture
) -> None:
    # Mosquitto's access lists accept every subscription and then deliver nothing.
    link = driver(silent(CONNACK, b"\x90\x05\x00\x01\x00\x87\x01"))
    link.connect()

    link.transport.subscribe(["forbidden", "allowed/x"])
    link.until(lambda: link.transport.settled)

    assert link.transport.unreadable.keys() == {"forbidden"}
    assert "does not deliver forbidden (not allowed" in caplog.text


def test_a_broker_that_speaks_no_version_that_the_agent_knows(
    driver: MakeDriver, silent: Callable[..., Broker]
) -> None:
    connack_wrong_version = b"\x20\x02\x00\x01"

    trouble = driver(silent(connack_wrong_version)).fail()

    assert trouble == "it speaks neither MQTT 5 nor MQTT 3.1.1"


def test_a_broker_that_hangs_up(driver: MakeDriver, silent: Callable[..., Broker]) -> None:
    trouble = driver(silent(hang_up=True)).fail()

    assert "without saying why, by MQTT 5 and by MQTT 3.1.1" in trouble


def test_a_server_that_speaks_something_else(
    driver: MakeDriver, silent: Callable[..., Broker]
) -> None:
    not_mqtt = b"\xff\xff\xff\xff\xff\xff\xff"

    assert driver(silent(not_mqtt)).fail()


def test_a_server_that_does_not_answer_in_time(
    driver: MakeDriver, silent: Callable[..., Broker], clock: PassingClock
) -> None:
    link = driver(silent(b""))
    link.transport.start()
    link.until(lambda: link.transport.state is State.GREETING)

    clock.advance(GREETING_LIMIT)
    link.until(lambda: bool(link.transport.trouble))

    assert "is it an MQTT broker?" in link.transport.trouble


def test_a_broker_that_falls_silent(driver: MakeDriver, silent: Callable[..., Broker]) -> None:
    link = driver(silent(CONNACK))
    link.connect()

    link.until(lambda: bool(link.transport.trouble))  # a keep-alive of 1 s

    assert link.transport.trouble == "silent for 2 s"
    assert link.counts.reconnects == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are not asked")
def test_a_slow_line_is_not_taken_for_a_dead_one(
    driver: MakeDriver,
    clock: PassingClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("paho.mqtt.client.time_func", clock)
    with SlowServer() as server:
        link = driver(server.broker)
        link.connect()
        link.transport.publish(Message("announce", bytes(4_000_000), qos=1))

        for _ in range(5):
            server.read(300_000)
            clock.advance(server.broker.keepalive)
            link.loop.settle()
        while_it_sends = link.counts.reconnects
        for _ in range(3):
            clock.advance(server.broker.keepalive)
            link.loop.settle()

    assert while_it_sends == 0
    assert f"silent for {2 * server.broker.keepalive} s" in caplog.text


class SlowServer:
    """A server that accepts a connection as a broker does, and reads only when it is told to."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.broker = Broker("127.0.0.1", self._server.getsockname()[1], keepalive=60)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        self._connection, _ = self._server.accept()
        self._connection.settimeout(PATIENCE)
        self._connection.recv(4096)
        self._connection.sendall(CONNACK)

    def read(self, size: int) -> None:
        while size > 0:
            size -= len(self._connection.recv(size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._connection.close()


def test_a_resolver_that_never_answers(
    driver: MakeDriver, clock: PassingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: gate.wait(PATIENCE))
    link = driver(Broker("slow.example"), backoff=1.0)
    link.transport.start()

    for _ in range(10):
        link.until(lambda: link.transport.state in {State.OPENING, State.WAITING})
        clock.advance(max(OPEN_LIMIT, BACKOFF_MOST))
        link.loop.settle()
    hung = [thread for thread in threading.enumerate() if thread.name == "connect"]
    gate.set()

    assert link.transport.trouble == "no connection within 15 s"
    assert len(hung) <= 4


def test_a_connection_that_comes_too_late_is_closed(
    driver: MakeDriver, mosquitto: Mosquitto, clock: PassingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real = threading.Event(), socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        gate.wait(PATIENCE)
        return real(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    link = driver(mosquitto.broker(), backoff=1.0)
    link.transport.start()
    link.until(lambda: link.transport._attempt)
    late = link.transport._attempt
    clock.advance(OPEN_LIMIT)
    link.until(lambda: bool(link.transport.trouble))

    gate.set()
    link.until(lambda: bool(late and late.done))

    assert late
    sock = late.client.socket()
    assert sock is None or sock.fileno() == -1
    clock.advance(BACKOFF_MOST)
    link.until(lambda: link.transport.online)
