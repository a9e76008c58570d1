"""Whatever happens in whatever order: nothing that was written is lost, doubled or turned round."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
import tempfile

from hypothesis import HealthCheck, Phase, given, settings, strategies as st
import pytest

from companion_agent.mqtt.publisher import Standing

from .played import COTTAGE, HOME, Home, Scene

KEYS = ("a", "b", "c")


class House:
    """A host, its broker and the Home Assistants that it is paired with.

    Args:
        folder: The state folder.
        controllers: The ids of the Home Assistants; none for a host that is not paired.
        chance: Draws values, and what arrives.
    """

    def __init__(self, folder: Path, controllers: tuple[str, ...], chance: Random) -> None:
        self.scene = Scene(folder, controllers=controllers)
        self.homes = [Home(controller) for controller in controllers or (HOME,)]
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
        unheard = self.scene.standing is Standing.UNHEARD or self.away
        if unheard and value != before:
            self.unwritten.append((f"cpu.{key}", self.scene.times.wall, value))
        self.scene.read(**self.values)

    def write(self) -> None:
        self.scene.pass_time(60)
        self.written()

    def lose(self) -> None:
        self.scene.lose()

    def connect(self) -> None:
        # What is only in memory is dropped when the first connection comes within ten seconds.
        self.scene.pass_time(20)
        self.scene.connect()

    def home_assistant_goes(self) -> None:
        if self.scene.standing is Standing.HEARD:
            self.away = True
            self.scene.say_birth(b"offline")

    def home_assistant_comes(self) -> None:
        if self.scene.standing is Standing.HEARD:
            self.away = False
            self.scene.say_birth(b"online")

    def hear(self) -> None:
        """A Home Assistant hears what was sent, or not; its answer arrives, or not."""
        said, self.scene.broker.said = self.scene.broker.said, []
        for message in [] if self.away else said:
            for home in self.homes:
                if self.chance.random() < 0.7:
                    chunk = home.take(message.payload)
                    if self.chance.random() < 0.7:
                        self.scene.acknowledge(chunk, home.id)

    def acknowledge_anything(self) -> None:
        self.scene.acknowledge(f"{self.chance.getrandbits(64):016x}", self.homes[0].id)

    def kill(self) -> None:
        self._lose_memory()
        self.scene.start(self.scene.standing)

    def power_cut(self) -> None:
        self._lose_memory()
        times = self.scene.times
        times.wall += 600
        times.boot, times.boot_id = 10.0, f"boot {self.scene.starts}"
        self.scene.start()

    def stop(self) -> None:
        self.scene.stop()
        self.written()
        self.values.clear()
        self.scene.start(self.scene.standing)

    def _lose_memory(self) -> None:
        self.scene.kill()
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
        """Everybody is there at last, and listens: all that was wanted is there, and gone here."""
        self.write()
        self.connect()
        self.scene.say_birth(b"online")
        for _ in range(3):
            self.scene.fetch(*self.homes)
            self.scene.pass_time(60)
        for home in self.homes:
            got = {(key, *point) for key, points in home.values.items() for point in points}
            assert set(self.wanted) <= got, set(self.wanted) - got
        assert not self.scene.path.exists()


OFTEN = ["read"] * 8 + ["write"] * 4 + ["hear"] * 4 + ["lose", "lose", "connect", "connect"]
SELDOM = ["home_assistant_goes", "home_assistant_comes", "acknowledge_anything"]
SELDOM += ["kill", "power_cut", "stop"]


@pytest.fixture(autouse=True)
def chunks_of_a_few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("companion_agent.buffer.store.CHUNK_POINTS", 3)


@settings(max_examples=60, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    controllers=st.sampled_from([(), (HOME,), (HOME, COTTAGE)]),
    happenings=st.lists(st.sampled_from(OFTEN + SELDOM), min_size=30, max_size=60),
    seed=st.integers(0, 2**32),
)
def test_whatever_happens_nothing_is_lost(
    controllers: tuple[str, ...], happenings: list[str], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder) / "state", controllers, Random(seed))
        for happening in happenings:
            getattr(house, happening)()
            house.check_order()
        house.settle()
        house.scene.kill()
