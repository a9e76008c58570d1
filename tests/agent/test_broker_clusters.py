"""An agent at two brokers of a cluster of three, of which one loses its power."""

from __future__ import annotations

from collections import Counter
from itertools import count
import json
import time
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import MQTTProtocolVersion
import pytest

from companion_agent.config.buffer import FILE, BacklogConfig
from companion_agent.config.settings import Broker, Config
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.protocol.topics import Separator
from companion_agent.security.key_store import Controller, TrustStore
from stack.other_brokers import Cluster, Nats, RabbitMq
from support.agent_host import FakeCollector
from support.agent_mqtt import FakeHomeAssistant
from support.agent_security import BASE, TOPICS, FakeController
from support.event_loop import wait_until
from support.paired_agent import PairedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from companion_agent.models import Value

PATIENCE = 120.0
"""Seconds. How long it takes says docs/brokers.md; a busy machine takes longer."""
AGAIN = 2.0
"""Seconds after which a user who had no answer asks once more."""
KEY = "power.shutdown"


class Counting(FakeCollector):
    """Reads a number that was never read before."""

    def __init__(self) -> None:
        super().__init__("count", number=0)

    def collect(self) -> Mapping[str, Value]:
        return {"number": self._next()}

    def _next(self) -> int:
        self.reads += 1
        return self.reads


class TakingHomeAssistant(FakeHomeAssistant):
    """A Home Assistant that takes every chunk of the backlog, and says so."""

    def __init__(self, port: int, home: FakeController) -> None:
        self._home = home
        self._taken = 0
        self.chunks: dict[str, list[tuple[float, int]]] = {}
        super().__init__(port, protocol=MQTTProtocolVersion.MQTTv311, listen="pilot/#")

    def take(self) -> None:
        """Acknowledge every chunk that has come since the last time."""
        # One that comes again was acknowledged where nothing heard it.
        messages = self.heard(TOPICS.backlog)[self._taken :]
        self._taken += len(messages)
        for message in messages:
            body = self._home.read(TOPICS.backlog, message.payload.decode())
            points = body["values"].get("count.number", [])
            self.chunks[body["chunk"]] = [(at, value) for at, value in points if value is not None]
            content = dump({"chunk": body["chunk"], "controller": self._home.id})
            keys = {self._home.key_id: self._home.keys.command}
            self.publish(TOPICS.acknowledge, seal(TOPICS.acknowledge, content, keys))

    def live(self) -> set[int]:
        """Return the numbers that states have told."""
        return {message.json["values"]["number"] for message in self.heard(f"{BASE}/state/count")}

    def kept(self) -> Counter[tuple[float, int]]:
        """Return how often each point came in the chunks of the backlog."""
        return Counter(point for chunk in self.chunks.values() for point in chunk)

    def lacks(self, until: int) -> set[int]:
        """Return the numbers before one that came neither in a state nor in the backlog."""
        live = self.live()
        return set(range(min(live), until)) - live - {number for _, number in self.kept()}


@pytest.fixture(params=[Nats, RabbitMq])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    if why_not := request.param.why_not():
        pytest.skip(why_not)
    with Cluster(request.param, tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def home_assistant(server: Cluster) -> Iterator[TakingHomeAssistant]:
    client = TakingHomeAssistant(server.nodes[-1].port, FakeController())
    yield client
    client.close()


@pytest.fixture
def agent(
    tmp_path: Path, server: Cluster, home_assistant: TakingHomeAssistant
) -> Iterator[PairedAgent]:
    home = FakeController()
    folder = tmp_path / "state"
    folder.mkdir()
    TrustStore(folder).save([Controller(home.id, home.name, home.secret, 0)])
    # Not the last one, which Home Assistant needs: a busy machine may have the agent try others.
    brokers = tuple(Broker(node.host, node.port) for node in server.nodes[:-1])
    config = Config(brokers, folder, backlog=BacklogConfig(write_interval=1))
    sources = [CollectorRunner(Counting(), 0.2)]
    running = PairedAgent(folder, home_assistant, config, sources=sources)
    running.availability(b"online")
    running.wait_until_it_listens()
    yield running
    running.stop()


class User:
    """Commands the host until it obeys: anew when it has not answered, as a person does."""

    def __init__(self, agent: PairedAgent, home_assistant: TakingHomeAssistant) -> None:
        self._agent = agent
        self._home_assistant = home_assistant
        # Each command has an argument of its own, by which one that is done twice is seen.
        self._delays = count()

    def command(self) -> dict[str, Any]:
        """Return the result of the first command that had one."""
        agent, home_assistant = self._agent, self._home_assistant
        asks, answers = (of(KEY, Separator.COLON) for of in (TOPICS.command, TOPICS.result))
        asked: list[bytes] = []
        last = 0.0

        def result() -> bytes | None:
            nonlocal last
            home_assistant.take()
            if time.monotonic() - last >= AGAIN:
                args = {"delay": next(self._delays)}
                payload = agent.command(KEY, args, separator=Separator.COLON)
                asked.append(json.loads(json.loads(payload)["body"])["id"].encode())
                home_assistant.publish(asks, payload, qos=0)
                last = time.monotonic()
            heard = (message.payload for message in home_assistant.heard(answers))
            return next((one for one in heard if any(request in one for request in asked)), None)

        return agent.home.read(answers, wait_until(result, PATIENCE).decode())


def test_a_node_that_dies_costs_nothing(
    agent: PairedAgent,
    server: Cluster,
    home_assistant: TakingHomeAssistant,
) -> None:
    user = User(agent, home_assistant)
    assert user.command()["status"] == "done"
    wait_until(lambda: len(home_assistant.live()) > 10)
    [used] = [node for node in server.nodes if node.port == agent.agent._transport.broker.port]

    used.kill()

    assert user.command()["status"] == "done"
    known = max(home_assistant.live())
    # What is not in the file yet is no less on its way.
    wait_until(lambda: home_assistant.take() or not home_assistant.lacks(known), PATIENCE)
    wait_until(lambda: home_assistant.take() or not (agent.folder / FILE).exists(), PATIENCE)
    wait_until(lambda: max(home_assistant.live()) > known)
    delays = [args["delay"] for _, args in agent.power.done]
    assert len(delays) == len(set(delays)) >= 2
    assert [point for point, times in home_assistant.kept().items() if times > 1] == []
