"""A buffer, turned by hand: its broker, its clocks, and the Home Assistants that fetch it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from companion_agent.buffer.buffer import Buffer
from companion_agent.clock import Clocks
from companion_agent.config.buffer import FILE, BacklogConfig
from companion_agent.mqtt.publisher import Standing
from companion_agent.protocol.topics import Topics
from companion_agent.security.acknowledgements import Acknowledgement

from .agent_host import HOST, PREFIX
from .event_loop import PATIENCE, ManualEventLoop

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.models import Value
    from companion_agent.mqtt.connection import Message

NOW = 1793952000.0
BIRTH = "homeassistant/status"
HOME, COTTAGE = "4f1d2c3b5a697887", "0123456789abcdef"
SESSION = "5e551017aaaaaaaa"

Points = list[tuple[float, float | None]]


class ManualClocks:
    """The three clocks, which a test turns."""

    def __init__(self) -> None:
        self.wall = NOW
        self.boot = 5000.0
        self.monotonic = 100.0
        self.confirmed = False
        self.boot_id = "first boot"

    def clocks(self, session: str) -> Clocks:
        return Clocks(
            session,
            lambda: self.boot_id,
            lambda: self.confirmed,
            lambda: self.wall,
            lambda: self.boot,
        )


class FakeBroker:
    """A broker that is a list, and a Home Assistant that is believed at its word."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self.last_heard = 0.0
        self.ids: list[str] = []

    def room(self, _: str) -> float:
        return math.inf

    def publish(self, message: Message) -> bool:
        self.said.append(message)
        return True

    def seal(self, _: str, body: bytes) -> bytes:
        return body

    def read(self, topic: str, payload: bytes, *, retained: bool) -> Acknowledgement | None:
        assert topic == f"{PREFIX}/acknowledge"
        content = json.loads(payload)
        return Acknowledgement(content["chunk"], content["controller"] if self.ids else "")


class FakeConsumer:
    """A Home Assistant that takes every chunk once."""

    def __init__(self, controller: str = HOME) -> None:
        self.id = controller
        self.chunks: list[str] = []
        self.values: dict[str, Points] = {}

    def take(self, payload: bytes) -> str:
        chunk = json.loads(payload)
        if chunk["chunk"] not in self.chunks:
            self.chunks.append(chunk["chunk"])
            for key, points in chunk["values"].items():
                self.values.setdefault(key, []).extend(tuple(point) for point in points)
        return str(chunk["chunk"])


class FakeHost:
    """A buffer on a host that a test plays.

    Args:
        folder: The state folder.
        config: How long and how much is kept.
        controllers: Who is paired with the host.
        standing: Whether it is heard at its start.
        phase: Its place among many.
    """

    def __init__(
        self,
        folder: Path,
        config: BacklogConfig | None = None,
        controllers: tuple[str, ...] = (HOME,),
        standing: Standing = Standing.UNHEARD,
        phase: float = 0.0,
    ) -> None:
        self.phase = phase
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.config = config or BacklogConfig()
        self.times = ManualClocks()
        self.broker = FakeBroker()
        self.broker.ids = list(controllers)
        self.starts = 0
        self.dead = False  # connected, as far as the host knows
        self.start(standing)

    @property
    def path(self) -> Path:
        return self.folder / FILE

    # --- The host ------------------------------------------------------------------------

    def start(self, standing: Standing = Standing.UNHEARD) -> None:
        """Start the agent."""
        self.starts += 1
        session = f"{SESSION[:-2]}{self.starts:02d}"
        if self.starts > 1:
            self.loop.end()
        self.standing = standing
        self.loop = ManualEventLoop(lambda: self.times.monotonic)
        self.buffer = Buffer(
            self.config,
            self.folder,
            Topics("pilot/v2", HOST),
            session,
            self.broker,
            self.broker,
            self.broker,
            lambda: self.standing,
            self.times.clocks(session),
            lambda: self.times.monotonic,
            phase=self.phase,
        )
        self.loop.spawn(self.buffer.run())
        self.turn()

    def stop(self) -> None:
        """End the agent in an orderly way."""
        self.loop.cancel()
        self.loop.run_until_complete(self.buffer.close(PATIENCE))

    def kill(self) -> None:
        """End the agent without a word; what it was writing is written, or it is not."""
        if self.loop.is_closed():
            return
        self.loop.settle(lambda: self.buffer._writes)
        self.loop.end()
        self.buffer._worker.stop()
        if store := self.buffer._store:
            store.close()

    def turn(self) -> None:
        """Do what the event loop does until nothing is left to do."""
        self.loop.settle(lambda: self.buffer._writes)

    def pass_time(self, seconds: float, *, sleep: bool = False) -> None:
        self.times.wall += seconds
        self.times.boot += seconds
        if not sleep:
            self.times.monotonic += seconds
        if self.standing is Standing.HEARD and not self.dead:
            self.broker.last_heard = self.times.monotonic
        self.turn()

    def read(self, collector: str = "cpu", **values: Value) -> None:
        """Let a collector report, and ten seconds pass."""
        self.buffer.note(collector, self.times.wall, values)
        self.turn()
        self.pass_time(10)

    def stand(self, standing: Standing) -> None:
        self.standing = standing
        self.buffer.look_again()
        self.turn()

    def connect(self) -> None:
        self.dead = False
        self.broker.last_heard = self.times.monotonic
        self.stand(Standing.HEARD)

    def lose(self) -> None:
        self.stand(Standing.UNHEARD)

    # --- Home Assistant ------------------------------------------------------------------

    def say_birth(self, payload: bytes, *, retained: bool = False) -> None:
        self.buffer.hear_birth(BIRTH, payload, retained=retained)
        self.turn()

    def chunks(self) -> list[dict[str, Any]]:
        """Take what was sent."""
        said, self.broker.said = self.broker.said, []
        return [json.loads(message.payload) for message in said]

    def acknowledge(self, chunk: str, controller: str = HOME) -> None:
        payload = json.dumps({"chunk": chunk, "controller": controller}).encode()
        self.buffer.hear_acknowledgement(f"{PREFIX}/acknowledge", payload, retained=False)
        self.turn()

    def fetch(self, *consumers: FakeConsumer) -> None:
        """Let Home Assistants take and acknowledge until nothing comes any more."""
        while self.broker.said:
            said, self.broker.said = self.broker.said, []
            for message in said:
                for consumer in consumers:
                    self.acknowledge(consumer.take(message.payload), consumer.id)
