"""In any order of events nothing that was written is lost, doubled or reordered."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
import tempfile

from hypothesis import HealthCheck, Phase, given, settings, strategies as st
import pytest

from companion_agent.mqtt.publisher import Standing
from support.agent_buffer import COTTAGE, HOME, FakeConsumer, FakeHost

KEYS = ("a", "b", "c")


class RandomHistory:
    """A host, its broker and the Home Assistants that it is paired with.

    Args:
        folder: The state folder.
        controllers: The ids of the Home Assistants; none for a host that is not paired.
        chance: Draws values, and what arrives.
    """

    def __init__(self, folder: Path, controllers: tuple[str, ...], chance: Random) -> None:
        self.host = FakeHost(folder, controllers=controllers)
        self.homes = [FakeConsumer(controller) for controller in controllers or (HOME,)]
        self.chance = chance
        self.values: dict[str, float | None] = {}
        # What has to arrive: read while it was not heard, and written.
        self.wanted: list[tuple[str, float, float | None]] = []
        self.unwritten: list[tuple[str, float, float | None]] = []
        self.away = False

    # --- What happens --------------------------------------------------------------------

    def read(self) -> None:
        key, value = self.chance.choice(KEYS), self.chance.choice([None, 1, 2, 3, 4, 5])
        before = self.values.get(key)
        self.values[key] = value
        unheard = self.host.standing is Standing.UNHEARD or self.away
        if unheard and value != before:
            self.unwritten.append((f"cpu.{key}", self.host.times.wall, value))
        self.host.read(**self.values)

    def write(self) -> None:
        self.host.pass_time(60)
        self.written()

    def lose(self) -> None:
        self.host.lose()

    def connect(self) -> None:
        # What is only in memory is dropped when the first connection comes within ten seconds.
        self.host.pass_time(20)
        self.host.connect()

    def home_assistant_goes(self) -> None:
        if self.host.standing is Standing.HEARD:
            self.away = True
            self.host.say_birth(b"offline")

    def home_assistant_comes(self) -> None:
        if self.host.standing is Standing.HEARD:
            self.away = False
            self.host.say_birth(b"online")

    def hear(self) -> None:
        """A Home Assistant hears what was sent, or not; its answer arrives, or not."""
        said, self.host.broker.said = self.host.broker.said, []
        for message in [] if self.away else said:
            for home in self.homes:
                if self.chance.random() < 0.7:
                    chunk = home.take(message.payload)
                    if self.chance.random() < 0.7:
                        self.host.acknowledge(chunk, home.id)

    def acknowledge_anything(self) -> None:
        self.host.acknowledge(f"{self.chance.getrandbits(64):016x}", self.homes[0].id)

    def kill(self) -> None:
        self._lose_memory()
        self.host.start(self.host.standing)

    def power_cut(self) -> None:
        self._lose_memory()
        times = self.host.times
        times.wall += 600
        times.boot, times.boot_id = 10.0, f"boot {self.host.starts}"
        self.host.start()

    def stop(self) -> None:
        self.host.stop()
        self.written()
        self.values.clear()
        self.host.start(self.host.standing)

    def _lose_memory(self) -> None:
        self.host.kill()
        self.unwritten.clear()
        self.values.clear()

    def written(self) -> None:
        self.wanted += self.unwritten
        self.unwritten.clear()

    # --- What has to hold ----------------------------------------------------------------

    def check_order(self) -> None:
        for home in self.homes:
            assert len(set(home.chunks)) == len(home.chunks)
        # One of several may hear first what was sent for another.
        if len(self.homes) == 1:
            for points in self.homes[0].values.values():
                assert all(one[0] <= other[0] for one, other in pairwise(points)), points

    def settle(self) -> None:
        """Connect all; what was wanted has arrived at each, and is no longer kept here."""
        self.write()
        self.connect()
        self.host.say_birth(b"online")
        for _ in range(3):
            self.host.fetch(*self.homes)
            self.host.pass_time(60)
        for home in self.homes:
            got = {(key, *point) for key, points in home.values.items() for point in points}
            assert set(self.wanted) <= got, set(self.wanted) - got
        assert not self.host.path.exists()


OFTEN = ["read"] * 8 + ["write"] * 4 + ["hear"] * 4 + ["lose", "lose", "connect", "connect"]
SELDOM = ["home_assistant_goes", "home_assistant_comes", "acknowledge_anything"]
SELDOM += ["kill", "power_cut", "stop"]


@pytest.fixture(autouse=True)
def chunks_of_a_few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("companion_agent.buffer.store.CHUNK_POINTS", 3)


@settings(max_examples=60, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    controllers=st.sampled_from([(), (HOME,), (HOME, COTTAGE)]),
    events=st.lists(st.sampled_from(OFTEN + SELDOM), min_size=30, max_size=60),
    seed=st.integers(0, 2**32),
)
def test_nothing_is_lost_in_any_order_of_events(
    controllers: tuple[str, ...], events: list[str], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = RandomHistory(Path(folder) / "state", controllers, Random(seed))
        for event in events:
            getattr(history, event)()
            history.check_order()
        history.settle()
        history.host.kill()
