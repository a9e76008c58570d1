"""Brokers that a newcomer probably means: those that announce themselves, and the usual names."""

from __future__ import annotations

from contextlib import suppress
import logging
import socket
import threading
import time
from typing import NamedTuple

_LOGGER = logging.getLogger(__name__)

# What is listened for: brokers, and Home Assistants, whose add-on broker is on the same machine.
_SERVICES = {"_mqtt._tcp.local.": "broker", "_home-assistant._tcp.local.": "Home Assistant"}
# Answers to mDNS come within a second (RFC 6762, section 6), or not at all.
_LISTEN = 1.5
_USUAL_NAMES = ("homeassistant.local", "localhost")
_PORT = 1883
_KNOCK = 1.5
# Looking up a name that no resolver knows can take longer than a setup should wait.
_ALL = 6.0


class Found(NamedTuple):
    """A machine on which something answers where brokers do.

    Attributes:
        address: Its name or address, as the configuration wants it.
        port: The port.
        what: How it was found.
    """

    address: str
    port: int
    what: str

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return host if self.port == _PORT else f"{host}:{self.port}"


def find() -> list[Found]:
    """Look for brokers, the likeliest one first; only those that answer."""
    candidates = [*_announced(), *(Found(name, _PORT, "usual name") for name in _USUAL_NAMES)]
    answers: dict[Found, bool] = {}
    threads = [
        threading.Thread(target=_knock, args=(one, answers), daemon=True)
        for one in dict.fromkeys(candidates)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + _ALL
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    seen = set()
    found = []
    for one in candidates:
        if answers.get(one) and (one.address, one.port) not in seen:
            seen.add((one.address, one.port))
            found.append(one)
    return found


def _knock(one: Found, answers: dict[Found, bool]) -> None:
    with suppress(OSError), socket.create_connection((one.address, one.port), timeout=_KNOCK):
        answers[one] = True


def _announced() -> list[Found]:
    """Listen for services that announce themselves; nothing without the library for it."""
    try:
        from zeroconf import ServiceBrowser, ServiceStateChange, Zeroconf  # noqa: PLC0415
    except ImportError:
        return []
    heard: list[tuple[str, str]] = []

    def changed(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Added:
            heard.append((service_type, name))

    try:
        zeroconf = Zeroconf()
    except OSError as error:
        _LOGGER.debug("mDNS cannot be used here: %s", error)
        return []
    try:
        ServiceBrowser(zeroconf, list(_SERVICES), handlers=[changed])
        time.sleep(_LISTEN)
        return _resolve(zeroconf, heard)
    finally:
        zeroconf.close()


def _resolve(zeroconf: object, heard: list[tuple[str, str]]) -> list[Found]:
    from zeroconf import IPVersion, Zeroconf  # noqa: PLC0415

    assert isinstance(zeroconf, Zeroconf)
    found = []
    # Brokers before Home Assistants.
    for kind, name in sorted(set(heard), key=lambda one: list(_SERVICES).index(one[0])):
        info = zeroconf.get_service_info(kind, name, timeout=1000)
        if info is None:
            continue
        is_broker = _SERVICES[kind] == "broker"
        port = info.port if is_broker and info.port else _PORT
        what = f"{_SERVICES[kind]} “{name.removesuffix('.' + kind)}”"
        server = (info.server or "").rstrip(".")
        if server and _resolves(server):
            found.append(Found(server, port, what))
        else:
            found += [
                Found(address, port, what)
                for address in info.parsed_scoped_addresses(IPVersion.V4Only)[:1]
            ]
    return found


def _resolves(name: str) -> bool:
    """Tell whether this system can look a name up; many have no mDNS in their resolver."""
    try:
        socket.getaddrinfo(name, _PORT)
    except OSError:
        return False
    return True
