"""A night that is played in a minute: its clock, its warmth, and who lives by them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
import sys
import time
from typing import TYPE_CHECKING, Any

from harness.settings import COLLECTORS, KEEP_ALIVE, WITHOUT_PACKAGE_MANAGERS
from stack.agent import Agent, agent_command
from stack.homeassistant import HomeAssistant
from stack.paths import ROOT
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stack.broker import Broker

_LIBRARY = "faketime/libfaketimeMT.so.1"
_PROGRAM = Path(__file__).with_name("in_a_room.py")
_LATE_RECORDER = Path(__file__).with_name("late_recorder")
_MEASURED = "measured"


def faketime() -> Path | None:
    """Return the library that moves a process's clock, where it is installed."""
    return next(iter(Path("/usr/lib").glob(f"*/{_LIBRARY}")), None)


class Night:
    """What the clock shows and how warm it is, for every process that looks.

    Args:
        folder: Where that is written.
        start: When the outage begins, seconds since 1970.
    """

    def __init__(self, folder: Path, start: float) -> None:
        self.folder = folder
        self.start = start
        self.library = faketime()
        folder.mkdir()
        self.at(start)
        self.warm(20)

    def at(self, moment: float) -> None:
        """Let it be this late."""
        ahead = moment - time.time()
        self._write("faketime", f"{ahead:+.3f}")
        self._write("clock", f"{ahead:.3f}")

    def warm(self, celsius: float) -> None:
        """Let it be so warm."""
        self._celsius = celsius
        self._write("celsius", str(celsius))

    def home(self, folder: Path) -> LateHomeAssistant:
        """Return a Home Assistant whose clock is that of the night; timeouts are not moved."""
        hass = str(Path(sys.executable).parent / "hass")
        return LateHomeAssistant(
            folder,
            integrations=(ROOT / "custom_components" / "pilot", _LATE_RECORDER),
            configuration={_LATE_RECORDER.name: {}},
            hass=(
                "env",
                f"LD_PRELOAD={self.library}",
                f"FAKETIME_TIMESTAMP_FILE={self.folder / 'faketime'}",
                # Without one it reads the file at each look at the clock, and starts for minutes.
                "FAKETIME_CACHE_DURATION=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
                # Or no compiled module would be younger than its source.
                "NO_FAKE_STAT=1",
                hass,
            ),
        )

    def agent(
        self,
        folder: Path,
        broker: Broker,
        *,
        prefix: Sequence[str] = (),
        host: str | None = None,
        **settings: Any,
    ) -> Agent:
        """Return an agent with a sensor, whose clock is that of the night."""
        python = str(Path(agent_command()[0]).parent / "python")
        usual: Mapping[str, Any] = {
            "broker": {"keepalive": KEEP_ALIVE},
            "collectors": {
                **{name: {"enabled": False} for name in COLLECTORS},
                **WITHOUT_PACKAGE_MANAGERS,
                "i2c": {"interval": 1},
            },
            "i2c": {"sensors": [{"type": "aht20"}]},
        }
        return Agent(
            folder,
            broker,
            settings={**usual, **settings},
            host=host,
            prefix=(*prefix, python, str(_PROGRAM), str(self.folder), str(folder / _MEASURED)),
        )

    def wait_until_measured(self, *agents: Agent) -> None:
        """Wait until agents have measured how warm it is now, and know by what clock they did.

        A sensor's next measurement begins when the agent has taken the one before: the second one
        from now on proves that the first is dated.
        """
        before = {agent: len(_measured(agent)) for agent in agents}
        for agent in agents:
            wait_for(
                partial(self._knows, agent, before[agent]),
                f"two measurements of {agent.folder.name}",
                process=agent.process,
            )

    def _knows(self, agent: Agent, before: int) -> bool:
        return _measured(agent)[before:].count(self._celsius) >= 2

    def _write(self, name: str, text: str) -> None:
        """Replace a file as a whole: it is read at any time."""
        fresh = self.folder / f"{name}.new"
        fresh.write_text(f"{text}\n", encoding="ascii")
        fresh.replace(self.folder / name)


def _measured(agent: Agent) -> list[float]:
    """Return what an agent's sensor has found, one item for each measurement."""
    try:
        lines = (agent.folder / _MEASURED).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    return [float(line) for line in lines]


class LateHomeAssistant(HomeAssistant):
    """One whose clock is moved, so that no login holds for long."""

    def _log_in(self) -> None:
        self._expires = 0.0
        super()._log_in()

    def compile_at_next_start(self) -> None:
        """Leave all statistics to the next start, however long the night is played."""
        self.call_service(_LATE_RECORDER.name, "compile_at_next_start")

    def now(self) -> float:
        """Return what its clock shows."""
        shown = self.post("template", {"template": "{{ now().timestamp() }}"})
        return float(shown)

    def wait_until(self, moment: float) -> None:
        """Wait until its clock, which follows within a second or two, shows a moment."""
        wait_for(lambda: self.now() >= moment, "that time of the night", process=self.process)


def hours(ha: HomeAssistant, entity_id: str, start: float) -> dict[int, tuple[float, ...]]:
    """Return a sensor's hours as the recorder has them, by hours after the start."""
    found = ha.ws(
        "recorder/statistics_during_period",
        start_time=datetime.fromtimestamp(start, UTC).isoformat(),
        statistic_ids=[entity_id],
        period="hour",
        types=["mean", "min", "max"],
    )
    return {
        int(row["start"] / 1000 - start) // 3600: (row["mean"], row["min"], row["max"])
        for row in found.get(entity_id, [])
    }


def states(ha: HomeAssistant, entity_id: str, start: float) -> list[tuple[float, str]]:
    """Return what the recorder has of an entity: when it changed, seconds since 1970, and to what.

    It shows why statistics are others than they should be.
    """
    found = ha.ws(
        "history/history_during_period",
        start_time=datetime.fromtimestamp(start, UTC).isoformat(),
        entity_ids=[entity_id],
        minimal_response=False,
    )
    return [(state["lu"], state["s"]) for state in found.get(entity_id, [])]
