"""Why a broker cannot be reached or refuses something, in words that say what to do."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING

from companion_agent.mqtt import tls

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from companion_agent.config.settings import Broker


def closing(broker: Broker, paho_error: str, *, greeting: bool) -> str:
    """Say why a connection ended without a message that says why.

    Args:
        broker: The other end.
        paho_error: What paho logged, `failed to receive on socket: [Errno 104] …`.
        greeting: Whether it ended before the broker accepted us.
    """
    if meaning := tls.explain_alert(paho_error):
        return meaning
    reason = _system_error(paho_error) or "the broker closed the connection"
    if not greeting:
        return reason
    hints = []
    if broker.tls and broker.tls.client_cert:
        hints.append("it may not accept the client certificate")
    elif broker.tls:
        # With TLS 1.3 its alert comes after the handshake, and not always before the end.
        hints.append("it may want a client certificate (tls.client_cert)")
    else:
        hints.append("set tls: true if this port wants it")
    if broker.protocol == "5":
        hints.append('set protocol: "3.1.1" if it does not know MQTT 5')
    return f"{reason} without saying why; {', or '.join(hints)}"


def _system_error(paho_error: str) -> str:
    """Take "Connection reset by peer" from "failed to …: [Errno 104] Connection reset by peer"."""
    found = re.search(r"\[Errno \d+\] (.+)$", paho_error)
    return found[1] if found else ""


def opening(error: Exception, broker: Broker) -> str:
    """Say in words why a connection could not be opened."""
    if isinstance(error, socket.gaierror):
        return f"the name {broker.host} cannot be resolved ({error.strerror})"
    if isinstance(error, TimeoutError):
        return "no answer; is the machine on, and is a firewall in between?"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on port {broker.port}"
    if broker.tls and isinstance(error, (ConnectionResetError, ssl.SSLEOFError)):
        return "the broker closed the connection during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        return tls.explain(error, broker)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def refusal(code: ReasonCode, broker: Broker) -> str:
    """Say in words why a broker did not accept us, and what to do."""
    name = code.getName()
    if name == "Bad user name or password":
        return "it refused the login: username or password is wrong"
    if name == "Not authorized":
        login = f"the user {broker.username}" if broker.username else "a login (username, password)"
        verb = "is not allowed, or its password is wrong" if broker.username else "is needed"
        return f"it refused the login: {login} {verb}"
    if name == "Unsupported protocol version":
        other = "3.1.1" if broker.protocol == "5" else "5"
        return f'it does not speak MQTT {broker.protocol}; set protocol: "{other}"'
    if name == "Client identifier not valid":
        return "it refused the client id; set client_id to one that it allows"
    return f"it refused the connection: {name}"


def disconnect(code: ReasonCode) -> str:
    """Say in words why a broker ended a connection."""
    name = code.getName()
    if name == "Session taken over":
        return "another client connected with the same client id"
    if name == "Server shutting down":
        return "the broker shuts down"
    return f"the broker ended it: {name}"


def denial(code: ReasonCode) -> str:
    """Say why a broker did not take or deliver a message."""
    if code.getName() in {"Not authorized", "Unspecified error"}:
        return "not authorised; the broker's access list must allow it"
    return code.getName()
