"""Home Assistant and a host on RabbitMQ and on NATS: `docs/brokers.md` says what each gives.

Each broker has a Home Assistant of its own, which serves all tests with it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness.bus import Bus
from harness.host import Host
from harness.settings import QUICK
import pytest

from stack import system
from stack.agent import Agent
from stack.homeassistant import HomeAssistant
from stack.other_brokers import Nats, OtherBroker, RabbitMq
from support.nginx import PATH, Nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeHost
    from harness.logs import Logs

pytestmark = [pytest.mark.slow, pytest.mark.proves("readings.refresh")]

PATIENCE = 60
"""Seconds. Erlang and Home Assistant share a busy machine."""


# Each has one worker: another would start a broker and a Home Assistant once more.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(kind, marks=pytest.mark.xdist_group(kind.program)) for kind in (Nats, RabbitMq)
    ],
)
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, logs: Logs
) -> Iterator[OtherBroker]:
    """Return a running broker in Mosquitto's place."""
    kind: type[OtherBroker] = request.param
    if why_not := kind.why_not():
        pytest.skip(why_not)
    with kind(tmp_path_factory.mktemp("broker")) as broker:
        logs.watch(broker.process)
        yield broker


@pytest.fixture(scope="module")
def bus(broker: OtherBroker) -> Iterator[Bus]:
    """Return a plain client of that broker."""
    with Bus(broker) as bus:
        yield bus


@pytest.fixture(scope="module")
def ha(
    tmp_path_factory: pytest.TempPathFactory, broker: OtherBroker, logs: Logs
) -> Iterator[HomeAssistant]:
    """Return a Home Assistant that is connected with that broker."""
    with HomeAssistant(tmp_path_factory.mktemp("homeassistant")) as ha:
        logs.watch(ha.process)
        ha.add_mqtt(broker)
        yield ha


@pytest.fixture(scope="module")
def paired(
    tmp_path_factory: pytest.TempPathFactory,
    ha: HomeAssistant,
    bus: Bus,
    broker: OtherBroker,
    logs: Logs,
) -> Iterator[Host]:
    """Return a host that was added by the code that it shows."""
    settings = {"collectors": QUICK, "name": "office-pc", "backlog": {"write_interval": 1}}
    host = Host(ha, bus, Agent(tmp_path_factory.mktemp("host"), broker, settings=settings))
    logs.watch(host.agent.process)
    host.new_id()
    host.start()
    flow = host.wait_until_offered(PATIENCE)
    code = host.agent.pair()
    result = ha.confirm(flow["flow_id"], {"code": code.digits})
    assert result["type"] == "create_entry", f"adding it came to {result}"
    code.process.wait(PATIENCE)
    host.wait_for_status("online", PATIENCE)
    yield host
    host.agent.stop()


@pytest.fixture
def proxy(broker: OtherBroker, tmp_path: Path) -> Iterator[Nginx]:
    """Return a web proxy in front of that broker."""
    if not (program := system.find("nginx")):
        pytest.skip(f"{system.install_command(['nginx'])!r} brings it")
    path = broker.websocket_path
    proxy = Nginx(program, tmp_path, broker.websocket_port, upstream_path=path)
    proxy.start()
    yield proxy
    proxy.stop()


def test_a_paired_host_reports_and_obeys(paired: Host, ha: HomeAssistant) -> None:
    paired.wait_for_fresh_values(since=time.monotonic())

    # Raises unless the host has signed that it was done.
    ha.call_service("pilot", "refresh", device_id=paired.device["id"])

    # The broker may tell others later than the host.
    paired.bus.wait_for(paired.topic("command/readings:refresh"))


def test_a_killed_host_is_lost_and_comes_back(paired: Host) -> None:
    paired.agent.kill()
    paired.wait_for_status("lost", PATIENCE)

    started = time.monotonic()
    paired.agent.start()

    paired.wait_for_status("online", PATIENCE)
    paired.wait_for_fresh_values(since=started)


def test_a_restarted_home_assistant_finds_hosts_and_hears_what_it_missed(
    paired: Host, make_host: MakeHost, ha: HomeAssistant, bus: Bus
) -> None:
    new = make_host("new-pc").start()
    new.wait_until_offered(PATIENCE)
    stopped = time.monotonic()

    ha.restart()

    new.wait_until_offered(PATIENCE)
    paired.wait_for_status("online", PATIENCE)
    chunk = bus.wait_for(paired.topic("backlog"), since=stopped, timeout=PATIENCE).body["chunk"]
    bus.wait_for(
        paired.topic("acknowledge"),
        lambda message: message.body["chunk"] == chunk,
        since=stopped,
        # A chunk that came before the announce is repeated after 5, 10 and 30 seconds.
        timeout=PATIENCE,
    )
    ha.call_service("pilot", "refresh", device_id=paired.device["id"])


# The last one: Home Assistant's address of the broker is the proxy's from then on.
def test_home_assistant_comes_by_websocket_through_a_proxy(
    paired: Host, broker: OtherBroker, proxy: Nginx, ha: HomeAssistant
) -> None:
    ha.add_mqtt(broker, (proxy.port, PATH))

    paired.wait_for_status("online", PATIENCE)
    ha.call_service("pilot", "refresh", device_id=paired.device["id"])
    proxy.stop()
    paired.wait_for_status("no_broker", PATIENCE)
