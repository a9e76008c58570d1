"""Why a broker cannot be reached or refuses something, in words that say what to do."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
import ssl
from typing import TYPE_CHECKING

from companion_agent.mqtt import peer, tls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paho.mqtt.reasoncodes import ReasonCode

    from companion_agent.config.settings import Broker


# What limits the size of a packet, by broker.
_PACKET_SETTINGS = "max_packet_size in Mosquitto and EMQX, mqtt.max_packet_size in RabbitMQ"


def packet_limit(size: float) -> str:
    """Say how large a packet may be, and which setting of the broker says so."""
    return f"packets of at most {size:,.0f} bytes ({_PACKET_SETTINGS})"


def is_vague(reason: str) -> bool:
    """Tell whether asking the port what it is may say more (`peer.look()`)."""
    vague = ("without saying why", "did not answer within", "TLS handshake", "not speak TLS")
    return any(text in reason for text in vague)


def silence(broker: Broker, limit: float) -> str:
    """Say that something accepted the connection and did not answer within some seconds."""
    what = peer.usual(broker) or "is it an MQTT broker?"
    return f"it accepts connections but did not answer within {limit:.0f} s; {what}"


def closing(broker: Broker, paho_error: str, protocol: str) -> str:
    """Say why a connection ended before the broker accepted us.

    Args:
        broker: The other end.
        paho_error: What paho logged, `failed to receive on socket: [Errno 104] …`.
        protocol: The version of MQTT that was spoken last; the other was refused before.
    """
    if meaning := tls.explain_alert(paho_error):
        return meaning
    reason = _system_error(paho_error) or "the broker closed the connection"
    hints = [usual] if (usual := peer.usual(broker)) else []
    if broker.transport == "websockets":
        hints.append(f"{broker.websocket_path} may be something else's (websocket_path)")
    if broker.tls and broker.tls.client_cert:
        hints.append("it may not accept the client certificate")
    elif broker.tls:
        # With TLS 1.3 its alert comes after the handshake, and not always before the end.
        hints.append("it may want a client certificate (tls.client_cert)")
    elif broker.transport == "tcp":
        hints.append("set tls: true if this port wants it")
    if broker.protocol == "5":
        spoken = "by MQTT 5 and by MQTT 3.1.1"
    else:
        spoken = f"by MQTT {protocol}"
        hints.append("it may take no retained will (retain_available), or no keepalive this long")
    return f"{reason} without saying why, {spoken}; {', or '.join(hints)}"


def lost(
    paho_error: str,
    largest: tuple[str, int] | None = None,
    unconfirmed: Iterable[str] = (),
    unheard: Iterable[str] = (),
    client_id: str = "",
) -> str:
    """Say why a connection ended soon after the broker had accepted it.

    3.1.1 has no words for what a broker does not take.

    Args:
        paho_error: What paho logged.
        largest: Topic and bytes of the largest message that was said on it, when the broker had not
            taken all that was said.
        unconfirmed: The topics of what it had not taken.
        unheard: The topics whose subscription it had not answered, or had refused.
        client_id: The client id, if it is one that others may have too.
    """
    reason = _system_error(paho_error) or "the broker closed the connection"
    guesses = [f"another client may have the same client id ({client_id})"] if client_id else []
    denied = []
    if largest is not None:
        topic, size = largest
        reason += f" before it took a message of {size:,} bytes on {topic}"
        guesses += [
            f"it may take no packets this large ({_PACKET_SETTINGS})",
            "nothing retained (retain_available in Mosquitto)",
        ]
        denied.append(f"messages on {', '.join(dict.fromkeys(unconfirmed))}")
    if topics := dict.fromkeys(unheard):
        denied.append(f"subscriptions to {', '.join(topics)}")
    if denied:
        begin = "or" if largest is not None else "it may"
        guesses.append(f"{begin} not allow {', or '.join(denied)} (RabbitMQ hangs up then)")
    return f"{reason}; {', '.join(guesses)}" if guesses else reason


def _system_error(paho_error: str) -> str:
    """Take "Connection reset by peer" from "failed to …: [Errno 104] Connection reset by peer"."""
    found = re.search(r"\[Errno \d+\] (.+)$", paho_error)
    return found[1] if found else ""


def opening(error: Exception, broker: Broker) -> str:
    """Say in words why a connection could not be opened."""
    if isinstance(error, socket.gaierror):
        reason = f"the name {broker.host} cannot be resolved ({error.strerror})"
        if broker.host.lower().removesuffix(".").endswith(".local"):
            # RFC 6762: no server of names knows them.
            reason += "; names in .local need mDNS on this host (libnss-mdns), or write the address"
        return reason
    if getattr(error, "errno", None) == errno.EINVAL and _lacks_zone(broker.host):
        return (
            f"the address {broker.host} needs this host's interface behind it: {broker.host}%eth0"
        )
    if isinstance(error, TimeoutError):
        return "no answer; is the machine on, and is a firewall in between?"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on port {broker.port}"
    if broker.tls and isinstance(error, (ConnectionResetError, ssl.SSLEOFError)):
        return (
            "the broker closed the connection during the TLS handshake; "
            "this port may be for MQTT without TLS"
        )
    if isinstance(error, ssl.SSLError):
        return tls.explain(error, broker)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _lacks_zone(host: str) -> bool:
    """Tell whether a host is an IPv6 address of any of the networks here, and of none."""
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return address.is_link_local and address.scope_id is None


def wrong_version(broker: Broker, protocol: str) -> str:
    """Say that a broker does not speak the version that was tried last."""
    if broker.protocol == "5":
        return "it speaks neither MQTT 5 nor MQTT 3.1.1"
    return f'it does not speak MQTT {protocol}; set protocol: "5"'


def refusal(code: ReasonCode, broker: Broker, protocol: str) -> str:
    """Say in words why a broker did not accept us, and what to do.

    Args:
        code: What it answered.
        broker: The other end.
        protocol: The version of MQTT that was spoken.
    """
    name = code.getName()
    if name == "Bad user name or password":
        return "it refused the login: username or password is wrong"
    if name == "Not authorized":
        login = f"the user {broker.username}" if broker.username else "a login (username, password)"
        verb = "is not allowed, or its password is wrong" if broker.username else "is needed"
        return f"it refused the login: {login} {verb}"
    if name == "Unsupported protocol version":
        return wrong_version(broker, protocol)
    if name == "Client identifier not valid" and protocol != "5":
        # 3.1.1 has no code for it; Mosquitto answers this.
        return (
            "it refused the client id (set client_id to one that it allows), or it wants a "
            f"keepalive below {broker.keepalive} s (max_keepalive in Mosquitto)"
        )
    if name == "Client identifier not valid":
        return "it refused the client id; set client_id to one that it allows"
    return f"it refused the connection: {name}"


def disconnect(code: ReasonCode, largest: tuple[str, int] = ("", 0)) -> str:
    """Say in words why a broker ended a connection.

    Args:
        code: What it said.
        largest: Topic and bytes of the largest message that was said on it.
    """
    match code.getName():
        case "Session taken over":
            return "another client connected with the same client id"
        case "Server shutting down":
            return "the broker shuts down"
        case "Packet too large":
            topic, size = largest
            return (
                f"it does not take packets as large as {size:,} bytes on {topic} "
                f"({_PACKET_SETTINGS})"
            )
        case "Retain not supported":
            return "it keeps no retained messages (retain_available in Mosquitto)"
        case "QoS not supported":
            return "it does not take QoS 1 (max_qos in Mosquitto)"
        case name:
            return f"the broker ended it: {name}"


def denial(code: ReasonCode) -> str:
    """Say why a broker did not take or deliver a message."""
    match code.getName():
        case "Not authorized":
            return "not allowed; the broker's access list must allow it"
        case "Unspecified error":
            # All that 3.1.1 has for a refused subscription; MQTT 5 has it for unknown reasons.
            return "it failed, and the broker does not say why"
        case name:
            return name
