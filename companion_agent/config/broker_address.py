"""A broker as one text: `host`, `host:port`, `mqtt://user:password@host:port`, `wss://host/path`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

if TYPE_CHECKING:
    from companion_agent.values import Raw

BROKER_FORM = "a host, host:port, mqtt(s)://… or ws(s)://…"
"""What a broker's text is, as it follows "expected"."""

_SCHEMES: dict[str, dict[str, Raw]] = {
    "mqtt": {},
    "mqtts": {"tls": "true"},
    "ws": {"transport": "websockets"},
    "wss": {"transport": "websockets", "tls": "true"},
}
_PORT = "has a port that is not a number from 1 to 65535"
_ENCODE = "write what is special in the login in percent-encoding, a slash as %2F"


def expand_broker(broker: Raw) -> Raw:
    """Turn a broker that is one text into its keys; what is not such a text stays as it is."""
    if not isinstance(broker, str):
        return broker
    try:
        return parse_broker(broker)
    except ValueError:
        return broker


def parse_broker(text: str) -> dict[str, Raw]:
    """Read `host`, `host:port` or `mqtt://user:password@host:port`, also with `mqtts`.

    With `ws` and `wss` a path may follow.

    Raises:
        ValueError: It is none of these; the message says why, and shows nothing of the text.
    """
    text = text.strip()
    if text.count(":") > 1 and not any(mark in text for mark in ("://", "[", "@")):
        text = f"[{text}]"  # a bare IPv6 address
    if not text.isprintable():
        # urlsplit() leaves line feeds and tabs out, of passwords too.
        raise ValueError(f"holds a line feed, a tab or the like; {_ENCODE}")
    url = _split(text if "://" in text else f"mqtt://{text}")
    broker = {"host": "", **_carried_by(url, text)}
    if not url.hostname:
        raise ValueError("names no host")
    # A zone's % is %25 in an address: RFC 6874.
    broker["host"] = url.hostname.replace("%25", "%", 1)
    try:
        port = url.port
    except ValueError:
        raise ValueError(_PORT) from None
    if port is not None:
        broker["port"] = str(port)
    try:
        if url.username:
            broker["username"] = unquote(url.username, errors="strict")
        if url.password:
            broker["password"] = unquote(url.password, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has a login whose percent-encoding is not UTF-8") from None
    return broker


def _carried_by(url: SplitResult, text: str) -> dict[str, Raw]:
    """Return the keys that the scheme and the path stand for."""
    if url.scheme not in _SCHEMES:
        raise ValueError(f"{_begins(text)}, but mqtt://, mqtts://, ws:// or wss:// is expected")
    keys = dict(_SCHEMES[url.scheme])
    by_websocket = "transport" in keys
    if "@" in f"{url.path}{url.query}{url.fragment}":
        raise ValueError(f"goes on after the host and port; {_ENCODE}")
    if url.query or url.fragment or (url.path.strip("/") and not by_websocket):
        raise ValueError(f"goes on after the {'path' if by_websocket else 'host and port'}")
    if by_websocket and url.path:
        keys["websocket_path"] = url.path
    return keys


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        # Python's words quote the address with its login.
        raise ValueError("is no address") from None


def _begins(text: str) -> str:
    scheme = text.partition("://")[0]
    # A login without mqtt:// before it may hold "://" too.
    return "has no scheme" if any(c in scheme for c in ":@") else f"begins with {scheme}://"
