"""What answers at a port where an MQTT broker was expected, by the first bytes that it sends."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from companion_agent.config.settings import Broker

# As much as tells protocols apart.
FIRST_BYTES = 128
# What a broker may send first: CONNACK, DISCONNECT, AUTH. The low half of each is reserved, and 0.
_MQTT_FIRST = frozenset({0x20, 0xE0, 0xF0})
# How long a server may think, where only a person waits for the finding.
_PATIENCE = 2.0

_BROKER_PORTS = "a broker's usual ports are 1883 and, with TLS, 8883"
# What usually listens where people look for a broker.
_USUAL = {
    22: "SSH",
    23: "telnet",
    80: "a web server",
    443: "a web server",
    3306: "MySQL or MariaDB",
    4222: "NATS's own protocol; its MQTT has a port of its own",
    5432: "PostgreSQL",
    5671: "AMQP with TLS, which RabbitMQ speaks besides MQTT",
    5672: "AMQP, which RabbitMQ speaks besides MQTT",
    6379: "Redis",
    8083: "EMQX's MQTT over WebSocket",
    8084: "EMQX's MQTT over WebSocket",
    8123: "Home Assistant's own page, which is not its broker",
    9001: "Mosquitto's MQTT over WebSocket",
    15672: "RabbitMQ's management page",
    15675: "RabbitMQ's MQTT over WebSocket",
    18083: "EMQX's dashboard",
}

# SSLRequest, of PostgreSQL's protocol ("Message Formats" in its documentation): a server answers
# with one letter. To everything that it does not understand it says nothing.
_POSTGRESQL_QUESTION = bytes.fromhex("0000000804d2162f")
_POSTGRESQL_ANSWERS = frozenset({b"N", b"S"})
_POSTGRESQL = "a PostgreSQL server"

# The start of what is sent, and what sends it. Most specific first.
_SIGNS = (
    (rb"HTTP/\d", "a web server ({line}), perhaps with MQTT over WebSocket (ws://…/path)"),
    (rb"SSH-", "an SSH server ({line})"),
    (rb"AMQP", "AMQP, which RabbitMQ speaks besides MQTT"),
    (rb"[\x14-\x17]\x03[\x00-\x04]", "TLS"),
    (rb"220[ -].*FTP", "an FTP server ({line})"),
    (rb"220[ -]", "a mail or FTP server ({line})"),
    (rb"\+OK", "a POP3 server ({line})"),
    (rb"\* OK", "an IMAP server ({line})"),
    (rb"RFB ", "a VNC server ({line})"),
    (rb"-ERR|-NOAUTH|-DENIED", "a Redis server ({line})"),
    (rb"INFO \{", "NATS's own protocol; its MQTT has a port of its own"),
    (rb".\x00\x00\x00\x0a\d", "a MySQL or MariaDB server"),
    (rb"E\x00\x00..S(?:ERROR|FATAL)\x00", _POSTGRESQL),
    # IAC and a command: RFC 854.
    (rb"\xff[\xf0-\xff]", "a telnet server"),
)


def is_mqtt(first: bytes) -> bool:
    """Tell whether a broker's first packet can begin like this."""
    return first[0] in _MQTT_FIRST and not _line(first)


def name(first: bytes) -> str:
    """Name what sent these bytes first; "something that is not MQTT" where that is unknown."""
    for sign, meaning in _SIGNS:
        if re.match(sign, first, re.IGNORECASE | re.DOTALL):
            return meaning.format(line=f"“{_line(first)}”")
    if line := _line(first):
        return f"something that is not MQTT (it says “{line}”)"
    return f"something that is not MQTT (its first bytes are {first[:8].hex(' ')})"


def explain(first: bytes, broker: Broker) -> str:
    """Say what answers at a broker's port, and what to do."""
    what = name(first)
    if what == "TLS":
        return wants_tls(broker)
    return _no_mqtt(what, broker)


def _no_mqtt(what: str, broker: Broker) -> str:
    where = f"port {broker.port} does not speak MQTT: what answers there is {what}"
    return f"{where}; {usual(broker) or _BROKER_PORTS}"


def wants_tls(broker: Broker) -> str:
    """Say that a port speaks TLS, and what to set."""
    scheme = "wss" if broker.transport == "websockets" else "mqtts"
    return f"port {broker.port} speaks TLS; set tls: true ({scheme}://…)"


def usual(broker: Broker) -> str:
    """Say what a broker's port is usually for, where that is something else; else nothing."""
    if broker.transport == "websockets" or broker.port not in _USUAL:
        return ""
    return f"port {broker.port} is usually that of {_USUAL[broker.port]}; {_BROKER_PORTS}"


def look(broker: Broker) -> str:
    """Ask a port that closed without a word what it is; blocks for some seconds.

    Returns:
        What answers there and what to do; empty when that could not be found out.
    """
    if broker.tls is None and speaks_tls(broker):
        return wants_tls(broker)
    if broker.transport == "websockets":
        return ""  # HTTP is what is expected there, and it has answered.
    for question in (b"", b"GET / HTTP/1.0\r\n\r\n"):
        with contextlib.suppress(OSError, ValueError):
            first = _ask(broker, question)
            if first and not is_mqtt(first):
                return explain(first, broker)
    with contextlib.suppress(OSError, ValueError):
        if _ask(broker, _POSTGRESQL_QUESTION) in _POSTGRESQL_ANSWERS:
            return _no_mqtt(_POSTGRESQL, broker)
    return ""


def _connect(broker: Broker) -> socket.socket:
    return socket.create_connection((broker.host, broker.port), timeout=_PATIENCE)


def speaks_tls(broker: Broker) -> bool:
    """Tell whether a port speaks TLS; blocks for some seconds."""
    # Nothing is sent over this connection: who is at the other end does not matter.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _connect(broker) as plain:
            context.wrap_socket(plain, server_hostname=broker.host).close()
    except ssl.SSLError as error:
        # It speaks TLS, and wants a certificate or another version.
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False
    return True


def _ask(broker: Broker, question: bytes) -> bytes:
    with _connect(broker) as plain:
        plain.sendall(question)
        return plain.recv(FIRST_BYTES)


def _line(first: bytes) -> str:
    """Return the first line of a text; empty when it is none."""
    line = first.splitlines()[0] if first.strip() else b""
    text = line.decode("ascii", "replace")
    return text[:60].strip() if text.isprintable() and len(text) > 2 else ""
