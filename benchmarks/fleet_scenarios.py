"""Part (e): a whole fleet on one real Home Assistant, with recorder and open dashboards.

It runs in the environment that has Home Assistant: ``python -m benchmarks.fleet_scenarios
FOLDER HOSTS WINDOW CHURN MINUTES SHOWN`` prints its tables as a line of JSON, anew after each
scenario. ``benchmarks/run --only e`` does that.
"""

from __future__ import annotations

import base64
import contextlib
from dataclasses import asdict
import json
from pathlib import Path
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.publish

from custom_components.pilot.sensor import DESCRIPTIONS
from stack import toolchain
from stack.console import StackError, fail, say
from stack.homeassistant import HomeAssistant
from stack.paths import ROOT

from .broker import StockMosquitto
from .browser import Browser
from .fleet import SENSORS
from .report import Table
from .workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INTERVAL = 10.0
_ROOM = 60.0
"""Seconds that have to be left for a scenario to begin."""
_OFF = 2.0
"""Seconds that hosts are off before they join again."""
_AT_REST = 20.0
"""Seconds between two scenarios, in which what is behind is caught up with."""
_CONVERTED = frozenset({"B", "B/s", "MHz"})
"""Units in which sensors do not show what was read: of these is only asked that there is one."""
_BATCH = 20
"""Hosts whose values are compared within one event."""
_BROWSERS = {"a dashboard": 0.0001, "a slow dashboard": 0.0005}
"""Seconds that they take to draw a state."""


class House:
    """The broker, Home Assistant, the dashboards and the fleet.

    Args:
        folder: For all that is written.
        hosts: How many there are.
        window: Seconds that they are watched at rest.
        churn: Days on which hosts leave and join, where there is time for them.
        minutes: That all scenarios may take.
        shown: Which sensors are enabled: `all`, or `usual`, those that Pilot enables by itself.
        report: Is called whenever the tables have something new.
    """

    def __init__(
        self,
        folder: Path,
        hosts: int,
        window: float,
        churn: int,
        minutes: float,
        shown: str,
        report: Callable[[Sequence[Table]], None],
    ) -> None:
        self._report = report
        self._ends = time.monotonic() + minutes * 60
        self._minutes = minutes
        self._hosts = hosts
        self._window = window
        self._churn = churn
        self._shown = frozenset(
            sensor.key
            for sensor in SENSORS
            if shown == "all" or DESCRIPTIONS[sensor.kind].entity_registry_enabled_default
        )
        self._sensors = hosts * len(self._shown)
        self._key = base64.b64encode(secrets.token_bytes(32)).decode()
        # What is queued for a client that is busy setting up must not be thrown away.
        self._broker = StockMosquitto(folder / "broker", settings=["max_queued_messages 0"])
        self._home_assistant = HomeAssistant(
            folder / "home-assistant",
            integrations=(
                ROOT / "custom_components" / "pilot",
                ROOT / "benchmarks" / "loop_probe",
            ),
            configuration={
                "loop_probe": {"enable_all": shown == "all"},
                "recorder": None,
                "logger": {"default": "warning"},
            },
        )
        self._browsers = [Browser(self._home_assistant, pace) for pace in _BROWSERS.values()]
        command = [str(toolchain.python_of("agent-3.11")), "-m", "benchmarks.simulated_fleet"]
        self._fleet = Worker("the fleet", command, folder / "fleet.log")
        self._counts: dict[str, list[int]] = {}
        self._memory_before = 0.0
        self.scenarios = Table(
            f"A fleet of {hosts:,} hosts, {self._sensors:,} sensors enabled",
            (
                "scenario",
                "until right, s",
                "loop's processor time, s",
                "longest silence, ms",
                "of processor time, ms",
                "without garbage collection, ms",
                "recorder queue",
                "dashboards disconnected",
                "memory, MiB",
            ),
        )
        self.rest = Table("At rest", ("measure", "value"))

    def run(self) -> None:
        """Go through all scenarios."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._broker)
            self._trust_fleet()
            stack.enter_context(self._home_assistant)
            self._home_assistant.add_mqtt(self._broker)
            stack.enter_context(self._fleet)
            for browser in self._browsers:
                browser.open()
                stack.callback(browser.close)
            time.sleep(_AT_REST)
            self._memory_before = self._memory()
            self._describe()
            self._scenario("first set-up", self._power_on)
            self._resting()
            self._scenario("Home Assistant's restart", self._restart, is_start=True)
            self._scenario("the broker's restart", self._restart_broker)
            self._scenario("power cut: all unavailable", self._power_cut, expected=0)
            self._scenario("power returns", self._power_on)
            self._scenario("Home Assistant's birth message", self._birth)
            for number in range(self._churn):
                self._scenario(
                    f"leaves and joins, day {number + 1}", lambda n=number: self._turn(n)
                )

    @property
    def tables(self) -> Sequence[Table]:
        """What was measured so far."""
        return self.scenarios, self.rest

    def _describe(self) -> None:
        self.scenarios.notes += [
            f"hosts report every {_INTERVAL:.0f} s; all are paired by the fleet key, and sign",
            (
                "until right: from the event that the scenario is named after until every sensor "
                "shows what its host reports; a restart of Home Assistant also begins with its "
                "process, of which some seconds are Python's and Home Assistant's own"
            ),
            (
                "of processor time: the most that the loop used between two heartbeats, which on a "
                "quiet machine is the longest silence; and the most without Python's collections "
                "of garbage, which take longer the more there is in Home Assistant"
            ),
            f"memory: unshared, {self._memory_before:.0f} MiB before the first host",
            f"{len(_BROWSERS)} dashboards: "
            + ", ".join(
                f"{name} draws {1 / pace:,.0f} states a second" for name, pace in _BROWSERS.items()
            ),
        ]

    # --- Scenarios ---------------------------------------------------------------------------

    def _power_on(self) -> None:
        self._fleet.ask(
            "start",
            port=self._broker.port,
            key=self._key,
            hosts=self._hosts,
            interval=_INTERVAL,
            counts=self._counts,
        )

    def _power_cut(self) -> None:
        self._counts = self._fleet.ask("counts")["counts"]
        self._fleet.kill()
        self._fleet.launch()

    def _restart(self) -> None:
        for browser in self._browsers:
            browser.expect_restart(expected=True)
        self._fleet.ask("change", every=1)
        self._home_assistant.stop()
        self._home_assistant.start()
        for browser in self._browsers:
            browser.expect_restart(expected=False)

    def _restart_broker(self) -> None:
        self._broker.stop()
        self._fleet.ask("change", every=1)
        self._broker.start()

    def _birth(self) -> None:
        # Everything is said again: what it costs is the question, all values are right before.
        paho.mqtt.publish.single(
            "homeassistant/status", "online", hostname=self._broker.host, port=self._broker.port
        )
        time.sleep(2 * _INTERVAL)

    def _turn(self, number: int) -> None:
        """Have a twentieth of the hosts leave for good and join again, a fifth go off and on."""
        names = list(self._fleet.ask("values")["values"])
        leaving, sleeping = names[number::20], names[number + 1 :: 5]
        sleeping = [name for name in sleeping if name not in leaving]
        self._fleet.ask("switch_off", hosts=sleeping + leaving)
        entries = {entry["title"]: entry["entry_id"] for entry in self._home_assistant.entries()}
        for name in leaving:
            self._home_assistant.remove_entry(entries[name])
        # Discovery offers no host whose entry the user has removed, until it is wanted again.
        self._home_assistant.ws("loop_probe/welcome", hosts=leaving)
        time.sleep(_OFF)
        self._fleet.ask("switch_on", hosts=sleeping + leaving)

    def _resting(self) -> None:
        if self._left < self._window + _ROOM:
            self.rest.notes.append(f"left out after {self._minutes:.0f} minutes")
            return
        say("at rest, a quarter of the values changes")
        self._fleet.ask("keep_changing", every=4)
        time.sleep(_AT_REST)
        begin = self._read(reset=True)
        time.sleep(self._window)
        end = self._read()
        self._fleet.ask("keep_changing", every=0)
        wall = end["now"] - begin["now"]
        share = (end["loop_cpu"] - begin["loop_cpu"]) / wall
        whole = (end["process_cpu"] - begin["process_cpu"]) / wall
        self.rest.rows += [
            ("event loop, share of a core, %", round(share * 100, 2)),
            ("whole process with the recorder, share of a core, %", round(whole * 100, 2)),
            ("longest silence of the loop, ms", round(end["longest"] * 1000)),
            ("of processor time, ms", round(end["longest_cpu"] * 1000)),
            ("without garbage collection, ms", round(end["longest_own_cpu"] * 1000)),
            ("recorder queue", end["backlog"]),
        ]
        self.rest.notes += [
            f"{wall:.0f} s, an interval of {_INTERVAL:.0f} s, a quarter of the values changes",
            *self._where(end),
        ]
        for measure, value in self.rest.rows:
            say(f"{measure}: {value}")
        self._report(self.tables)
        # The last report that was changed is shown before something else happens.
        time.sleep(_INTERVAL)

    # --- Measuring ---------------------------------------------------------------------------

    def _scenario(
        self,
        name: str,
        happen: Callable[[], None],
        *,
        expected: int | None = None,
        is_start: bool = False,
    ) -> None:
        if self._left < _ROOM:
            self.scenarios.notes.append(f"{name}: left out after {self._minutes:.0f} minutes")
            return
        say(name)
        wanted = self._sensors if expected is None else expected
        gone = self._disconnected()
        begin = self._read(reset=True)
        happen()
        end = self._wait(wanted)
        is_right = end["with_value"] == wanted
        # The longest silence of what follows by itself belongs to it as well.
        time.sleep(_INTERVAL)
        later = self._read()
        if is_start:
            took = end["reached"] - end["began"]
            cpu = end["reached_cpu"]
            whole = end["reached"] - end["created"]
            self.scenarios.notes.append(
                f"{name}: {whole:.1f} s from the start of its process, {took:.1f} s from the "
                "set-up of integrations; the processor time is all that its loop used"
            )
        else:
            took, cpu = end["reached"] - begin["now"], end["reached_cpu"] - begin["loop_cpu"]
        self.scenarios.add(
            (
                name,
                round(max(took, 0.0), 1) if is_right else None,
                round(max(cpu, 0.0), 1),
                round(later["longest"] * 1000),
                round(later["longest_cpu"] * 1000),
                round(later["longest_own_cpu"] * 1000),
                later["backlog"],
                self._disconnected() - gone,
                round(self._memory()),
            )
        )
        self.scenarios.notes += [f"{name}, {line}" for line in self._where(later)]
        self._report(self.tables)
        if not is_right:
            raise StackError(
                f"{name}: {end['with_value']:,} sensors have a value, and not {wanted:,}"
            )
        if wanted:
            self._compare()
        time.sleep(_AT_REST - _INTERVAL)

    @property
    def _left(self) -> float:
        """Seconds until all is to be measured."""
        return self._ends - time.monotonic()

    def _wait(self, wanted: int) -> dict[str, Any]:
        """Return what was measured when so many sensors had a value, or when time was up."""
        while True:
            answer = self._read()
            if answer["with_value"] == wanted or self._left < 0:
                return answer
            time.sleep(0.5)

    def _compare(self) -> None:
        """Raise an error unless every sensor shows what its host reported last."""
        values = self._fleet.ask("values")["values"]
        hosts = list(values)
        with self._home_assistant.websocket() as websocket:
            for first in range(0, len(hosts), _BATCH):
                shown = {
                    f"{host}_{sensor.key}": value
                    for host in hosts[first : first + _BATCH]
                    for sensor, value in zip(SENSORS, values[host], strict=True)
                    if sensor.key in self._shown and sensor.unit not in _CONVERTED
                }
                wrong = websocket.call("loop_probe/compare", values=shown)["wrong"]
                if wrong:
                    raise StackError(
                        f"{len(wrong)} sensors are wrong: {dict(list(wrong.items())[:3])}"
                    )

    def _read(self, *, reset: bool = False) -> dict[str, Any]:
        answer: dict[str, Any] = self._home_assistant.ws("loop_probe/read", reset=reset)
        return answer

    def _memory(self) -> float:
        return float(self._home_assistant.ws("loop_probe/memory")["uss"]) / 1024 / 1024

    def _disconnected(self) -> int:
        return sum(browser.disconnected for browser in self._browsers)

    def _where(self, answer: dict[str, Any]) -> Sequence[str]:
        """Return what the loop was seen to do in its longest silence."""
        return [f"silent {line}" for line in answer["stacks"][:2]]

    def _trust_fleet(self) -> None:
        """Give Home Assistant the key of the fleet, as its dialog would."""
        storage = self._home_assistant.folder / ".storage"
        storage.mkdir(parents=True)
        data = {"controller": secrets.token_hex(8), "fleet": self._key, "hosts": {}}
        content = {"version": 1, "minor_version": 1, "key": "pilot.trust", "data": data}
        (storage / "pilot.trust").write_text(json.dumps(content), encoding="utf-8")


def _print(tables: Sequence[Table]) -> None:
    print(json.dumps([asdict(table) for table in tables]), flush=True)


def main() -> int:
    """Run as a program."""
    folder, hosts, window, churn, minutes, shown = sys.argv[1:]
    house = House(
        Path(folder), int(hosts), float(window), int(churn), float(minutes), shown, _print
    )
    try:
        house.run()
    except StackError as error:
        fail(error)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        _print(house.tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
