"""An agent at a broker, and a Home Assistant that it may be paired with."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from companion_agent.agent import Agent
from companion_agent.models import Counters
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.protocol.topics import Separator

from .agent_commands import FakePower
from .agent_host import HOST, AgentThread, FakeCollector, FakePlatform
from .agent_security import BASE, TOPICS, FakeController
from .event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from companion_agent.config.settings import Config

    from .agent_mqtt import FakeHomeAssistant

SESSION = "5e551017bbbbbbbb"


class PairedAgent:
    """An agent in a thread, and a Home Assistant that it may be paired with."""

    def __init__(
        self,
        folder: Path,
        home_assistant: FakeHomeAssistant,
        config: Config,
        session: str = SESSION,
        sources: Sequence[CollectorRunner] = (),
    ) -> None:
        self.folder = folder
        self.home_assistant = home_assistant
        self.home = FakeController(counter=int(time.time() * 1000))
        self.power = FakePower()
        self.session = session
        self.counts = Counters()
        self.agent = Agent(
            config,
            FakePlatform(),  # type: ignore[arg-type]
            [
                CollectorRunner(FakeCollector(), 3600),
                CollectorRunner(FakeCollector("session", locked=True), 3600),
                *sources,
            ],
            HOST,
            session,
            self.counts,
            groups=[self.power],
        )
        self.thread = AgentThread(self.agent, time.monotonic)

    def stop(self) -> None:
        self.thread.stop()

    def lose_connection(self) -> None:
        """Have its connection end without a word, and a new one be made."""
        restart = self.agent._transport.restart
        self.thread.loop.call_soon_threadsafe(restart, "the test ended it")

    def command(self, key: str, args: dict[str, Any] | None = None, **fields: Any) -> bytes:
        now = {"time": time.time(), "session": self.session}
        return self.home.command(key, args, **(now | fields))

    def call(
        self,
        key: str,
        args: dict[str, Any] | None = None,
        *,
        separator: Separator = Separator.DOT,
        **fields: Any,
    ) -> dict[str, Any]:
        """Send a command and return its result."""
        payload = self.command(key, args, separator=separator, **fields)
        self.home_assistant.publish(TOPICS.command(key, separator), payload)
        return self.result(key, json.loads(json.loads(payload)["body"])["id"], separator)

    def result(
        self, key: str, request: str, separator: Separator = Separator.DOT
    ) -> dict[str, Any]:
        topic = TOPICS.result(key, separator)
        heard = self.home_assistant.wait_for(topic.removeprefix(f"{BASE}/"), request.encode())
        return self.home.read(topic, heard.decode())

    def wait_until_it_listens(self) -> None:
        """Wait until it has connected anew after its keys changed."""
        publisher, transport = self.agent._publisher, self.agent._transport
        wait_until(lambda: not publisher._will_outdated and publisher.arrived and transport.settled)

    def availability(self, word: bytes = b"online", count: int = 1) -> dict[str, Any]:
        """Return what is said about being there, verified."""
        told = self.home_assistant.wait_for("availability", b'\\"' + word + b'\\"', count)
        return self.home.read(f"{BASE}/availability", told.decode())

    def announce(self, has: bytes, count: int = 1) -> dict[str, Any]:
        """Return the announce, verified if it is signed."""
        payload = self.home_assistant.wait_for("announce", has, count)
        content: dict[str, Any] = json.loads(payload)
        if "signatures" in content:
            return self.home.read(f"{BASE}/announce", payload.decode())
        return content
