"""Why a server does not open a WebSocket: paho says only that it did not."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from companion_agent.mqtt import peer, tls

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from companion_agent.config.settings import Broker

_NO_HTTP = (
    "port {port} does not speak HTTP, which opens a WebSocket; for MQTT without it set "
    "transport: tcp (mqtt://… or mqtts://…)"
)
_PATIENCE = 5.0


class HandshakeError(Exception):
    """The server did not open a WebSocket; the text says what it answered."""


def explain(broker: Broker) -> str:
    """Ask a server for a WebSocket once more, and say what it answers; blocks for some seconds.

    Raises:
        OSError: It cannot be reached any more.
    """
    # Few need it, and it brings much.
    from http.client import HTTPConnection, HTTPException, HTTPSConnection  # noqa: PLC0415

    connection = (
        HTTPSConnection(
            broker.host, broker.port, timeout=_PATIENCE, context=tls.context(broker.tls)
        )
        if broker.tls
        else HTTPConnection(broker.host, broker.port, timeout=_PATIENCE)
    )
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "mqtt",
    }
    connection.connect()
    try:
        connection.request("GET", broker.websocket_path, headers=headers)
        return _meaning(connection.getresponse(), broker)
    except (OSError, HTTPException):
        if broker.tls is None and peer.speaks_tls(broker):
            return peer.wants_tls(broker)
        return _NO_HTTP.format(port=broker.port)
    finally:
        connection.close()


def _meaning(answer: HTTPResponse, broker: Broker) -> str:
    path, said = broker.websocket_path, f"HTTP {answer.status} {answer.reason}".strip()
    match answer.status:
        case 101:
            return "it opened a WebSocket only when it was asked again"
        case 301 | 302 | 303 | 307 | 308:
            return f"it redirects {path} to {answer.headers['Location']} ({said}); set that address"
        case 401 | 403 | 407:
            return f"it does not let this host open {path} ({said}); look into the proxy's log"
        case 502 | 503 | 504:
            return f"the proxy does not reach the broker ({said})"
        case 400 if broker.tls is None and peer.speaks_tls(broker):
            return peer.wants_tls(broker)
    return f"there is no WebSocket at {path} ({said}); set websocket_path (ws://…/path)"
