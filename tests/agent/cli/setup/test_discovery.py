"""Finding brokers: those that announce themselves, by a real responder, and the usual names."""

from __future__ import annotations

import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent.cli.setup import discovery
from support.agent_mqtt import free_port

if TYPE_CHECKING:
    from support.agent_mqtt import Mosquitto


def test_only_what_answers_is_offered(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = discovery.Found("127.0.0.1", mosquitto.port, "broker")
    again = discovery.Found("127.0.0.1", mosquitto.port, "Home Assistant")
    silent = discovery.Found("127.0.0.1", free_port(), "broker")
    monkeypatch.setattr(discovery, "_announced", lambda: [silent, there, again])
    monkeypatch.setattr(discovery, "_USUAL_NAMES", ())
    assert discovery.find() == [there]
    assert str(there) == f"127.0.0.1:{mosquitto.port}"
    assert str(discovery.Found("2001:db8::1", 1883, "")) == "[2001:db8::1]"


def test_hears_a_broker_that_announces_itself(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeroconf = pytest.importorskip("zeroconf")
    name = f"Pilot test {threading.get_native_id()}"
    info = zeroconf.ServiceInfo(
        "_mqtt._tcp.local.",
        f"{name}._mqtt._tcp.local.",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=mosquitto.port,
        server="pilot-test.local.",
    )
    try:
        responder = zeroconf.Zeroconf()
        responder.register_service(info)
    except OSError:
        pytest.skip("no multicast on this machine")
    monkeypatch.setattr(discovery, "_USUAL_NAMES", ())
    try:
        found = discovery.find()
    finally:
        responder.close()
    assert discovery.Found("127.0.0.1", mosquitto.port, f"broker “{name}”") in found


def test_without_the_library_the_usual_names_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    assert discovery._announced() == []
