"""Home Assistant and a host on three nodes of a broker, each connected to another one."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
import time
from typing import TYPE_CHECKING

from harness.balancer import Balancer
from harness.bus import Bus
from harness.host import Host
from harness.settings import QUICK
import pytest

from companion_agent.config.buffer import FILE
from stack.agent import Agent
from stack.console import StackError
from stack.homeassistant import HomeAssistant
from stack.other_brokers import Cluster, Nats, OtherBroker, RabbitMq
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.logs import Logs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.proves("readings.refresh"),
    pytest.mark.timeout(900),  # Each starts three brokers and a Home Assistant.
]

PATIENCE = 180
"""Seconds. How long it takes says docs/brokers.md; a busy machine takes longer."""
SOON = 60
"""Seconds in which a host that is asked for answers, on a busy machine."""
KEY = "cpu.percent"


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path, logs: Logs) -> Iterator[Cluster]:
    kind: type[OtherBroker] = request.param
    if why_not := kind.why_not():
        pytest.skip(why_not)
    with Cluster(kind, tmp_path / "cluster") as cluster:
        for node in cluster.nodes:
            logs.watch(node.process)
        yield cluster


@pytest.fixture
def bus(cluster: Cluster) -> Iterator[Bus]:
    """Return a plain client of a node that no one else uses."""
    with Bus(cluster.nodes[1]) as bus:
        yield bus


@pytest.fixture
def ha(tmp_path: Path, cluster: Cluster, logs: Logs) -> Iterator[HomeAssistant]:
    """Return a Home Assistant that is connected to the first node, as long as that is there."""
    with (
        Balancer(cluster.nodes) as balancer,
        HomeAssistant(tmp_path / "homeassistant") as ha,
    ):
        logs.watch(ha.process)
        ha.add_mqtt(balancer)
        yield ha


@pytest.fixture
def paired(
    tmp_path: Path, ha: HomeAssistant, bus: Bus, cluster: Cluster, logs: Logs
) -> Iterator[Host]:
    """Return a host that was added by the code that it shows, on the last node."""
    settings = {
        "broker": [{"host": node.host, "port": node.port} for node in reversed(cluster.nodes)],
        "collectors": QUICK,
        "name": "office-pc",
        "backlog": {"write_interval": 1},
    }
    host = Host(ha, bus, Agent(tmp_path / "host", None, settings=settings))
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


def command(host: Host) -> bool:
    """Have the host read everything; tell whether it has signed that it did."""
    with suppress(StackError):
        host.ha.call_service("pilot", "refresh", device_id=host.device["id"])
        return True
    return False


@pytest.mark.parametrize("cluster", [RabbitMq], indirect=True)
def test_a_host_is_heard_though_its_node_alone_keeps_what_it_said(paired: Host) -> None:
    """The next search of all is up to ten minutes away."""
    entry = paired.entry["entry_id"]

    paired.ha.reload_entry(entry)

    paired.wait_for_status("unknown")
    paired.wait_for_status("online", SOON)


@pytest.mark.parametrize("cluster", [Nats], indirect=True)
def test_home_assistant_outlives_its_node_and_misses_nothing(
    paired: Host, cluster: Cluster, bus: Bus
) -> None:
    """Nothing tells the host that Home Assistant does not hear it: the will died with the node."""
    kept = paired.agent.folder / "state" / FILE
    assert command(paired)
    paired.wait_for_fresh_values(since=time.monotonic())

    cluster.nodes[0].kill()

    paired.wait_for_status("no_broker", PATIENCE)
    deaf = time.monotonic()
    wait_for(lambda: command(paired), "a command that is obeyed", timeout=PATIENCE)
    paired.wait_for_status("online", PATIENCE)
    paired.wait_for_fresh_values(since=time.monotonic(), timeout=PATIENCE)
    first = bus.wait_for(paired.topic("backlog"), since=deaf, timeout=PATIENCE)
    wait_for(lambda: not kept.exists(), "delivered backlog", timeout=PATIENCE)
    unheard = {
        message.json["collectors"]["cpu"]["values"]["percent"]
        for message in bus.heard(paired.topic("state"), deaf)
        if message.at <= first.at
    }
    # A chunk that was not acknowledged in time comes once more.
    bodies = [message.body for message in bus.heard(paired.topic("backlog"), deaf)]
    chunks = {body["chunk"]: body["values"].get(KEY, []) for body in bodies}
    delivered = Counter((when, value) for points in chunks.values() for when, value in points)
    assert unheard
    assert unheard - {value for _, value in delivered} == set()
    assert [point for point, times in delivered.items() if times > 1] == []
