"""Part (b): what a hundred hosts cost Home Assistant's event loop."""

from __future__ import annotations

from collections import defaultdict
import contextlib
import itertools
import math
import statistics
import time
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from stack.console import say

from . import fleet
from .broker import StockMosquitto
from .fleet import SENSORS, Dialect, Fleet, Message
from .listener import Listener
from .report import Table, ratio
from .workers import HomeAssistant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATTERNS = {"all 40 change": 1, "10 of 40": 4, "none": 0}
"""What changes in an update, and every which value that is."""

_PACES = {"back to back": 0.0, "one by one": 0.015}
"""Seconds between two hosts.

Back to back the loop is warm and few wake-ups are shared by all updates: what the handling
itself costs. One by one each update wakes the loop by itself, as real hosts do, and the
processor's caches have forgotten it.
"""
_SETTLE = 0.4
_RESTING = 0.005
"""Seconds of processor time in that time, below which the loop is at rest."""
_SHARED = "shared-json"
_PILOT = "pilot"
_TIMEOUT = 180


class Variant:
    """One way to tell Home Assistant, with a broker and a Home Assistant of its own."""

    def __init__(self, dialect: Dialect, folder: Path, hosts: int) -> None:
        self.name = dialect.name
        self.dialect = dialect
        self.fleet = Fleet(hosts)
        self.sensors = hosts * len(SENSORS)
        # What is queued for a client that is busy setting up must not be thrown away.
        self.broker = StockMosquitto(
            folder / f"{dialect.name}-broker", settings=["max_queued_messages 0"]
        )
        self.home_assistant = HomeAssistant(
            folder / dialect.name, self.broker, f"discovery-{dialect.name}"
        )
        self.domain = "pilot" if isinstance(dialect, fleet.Pilot) else "mqtt"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="fleet")
        self.set_up: dict[str, tuple[float, float]] = {}
        self.memory: dict[str, float] = {}
        self.updates: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.idle: list[float] = []
        self.doubts: list[str] = []

    def prepare(self, stack: contextlib.ExitStack) -> None:
        """Start broker and Home Assistant, and wait until both have come to rest."""
        stack.enter_context(self.broker)
        with Listener(self.broker) as listener:
            stack.enter_context(self.home_assistant)
            self.home_assistant.ask("start")
            if self.domain == "pilot":
                self.home_assistant.ask("offer", hosts=len(self.fleet.hosts))
            # The birth message ends the time in which subscriptions are held back.
            listener.wait(lambda heard: heard.topic == "homeassistant/status", 60)
        self._client.connect(self.broker.host, self.broker.port)
        self._client.loop_start()
        stack.callback(self._client.loop_stop)
        stack.callback(self._client.disconnect)

    def first_set_up(self) -> None:
        """Make all hosts known, and measure until every sensor has a value."""
        before = self._memory()
        begin = self.home_assistant.ask("mark")
        for host in self.fleet.hosts:
            self._publish(self.dialect.introduce(host))
            self._publish(self.dialect.update(host, self.fleet.values(host)))
        self._note("first set-up", begin["wall"], begin["cpu"])
        time.sleep(3)
        self.memory["after set-up"] = (self._memory() - before) / self.sensors
        self._memory_before = before

    def reload(self) -> None:
        """Reload the integration's entries, and measure until every sensor has a value again."""
        begin = self.home_assistant.ask("reload", domain=self.domain)
        self._note("reload", begin["wall"], begin["cpu"])

    def restart(self) -> None:
        """Start Home Assistant again: the hosts are known, the broker has their messages."""
        self.home_assistant.relaunch()
        begin = self.home_assistant.ask("start")
        self._note("restart", begin["begun"], begin["cpu"])

    def round(self, pace: str, pattern: str) -> None:
        """Send one update of every host, and measure what it costs."""
        every = _PATTERNS[pattern]
        self.fleet.change(every)
        begin = self.home_assistant.ask("mark")
        due = time.monotonic()
        for host in self.fleet.hosts:
            self._publish(self.dialect.update(host, self.fleet.values(host)))
            due += _PACES[pace]
            time.sleep(max(0.0, due - time.monotonic()))
        spent = self._settled() - begin["cpu"]
        self.updates[pace, pattern].append(spent * 1000 / len(self.fleet.hosts))
        counted = self.home_assistant.ask("changed", since=begin["time"])
        wanted = len(range(0, len(SENSORS), every)) * len(self.fleet.hosts) if every else 0
        if counted["changed"] != wanted:
            self.doubts.append(
                f"{self.name}, {pace}, {pattern}: {counted['changed']} of {wanted} changed"
            )

    def rest(self, seconds: float) -> None:
        """Measure what the loop does when nothing comes."""
        begin = self.home_assistant.ask("mark")
        time.sleep(seconds)
        self.idle.append((self.home_assistant.ask("mark")["cpu"] - begin["cpu"]) * 1000 / seconds)

    def finish(self) -> None:
        """Measure the memory after all these updates."""
        self.memory["after the updates"] = (self._memory() - self._memory_before) / self.sensors

    def _settled(self) -> float:
        """Wait until the loop has nothing left to do, and return its processor time."""
        before, cpu = -math.inf, float(self.home_assistant.ask("mark")["cpu"])
        while cpu - before > _RESTING:
            time.sleep(_SETTLE)
            before, cpu = cpu, float(self.home_assistant.ask("mark")["cpu"])
        return cpu

    def _memory(self) -> float:
        return float(self.home_assistant.ask("memory")["uss"]) / 1024

    def _note(self, what: str, wall: float, cpu: float) -> None:
        end = self.home_assistant.ask("expect", sensors=self.sensors, within=_TIMEOUT)
        self.set_up[what] = (end["wall"] - wall, end["cpu"] - cpu)

    def _publish(self, messages: Sequence[Message]) -> None:
        for topic, payload in messages:
            self._client.publish(topic, payload, retain=True)


def run(folder: Path, tables: list[Table], *, hosts: int, rounds: int) -> None:
    """Measure all variants side by side.

    Args:
        folder: For their files.
        tables: Has what was measured of all of them, also after an interruption.
        hosts: How many there are.
        rounds: Of updates from all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        variants = [
            Variant(dialect, folder, hosts)
            for dialect in (
                fleet.TopicPerSensor("topic-per-sensor"),
                fleet.SharedJson(_SHARED),
                fleet.Pilot(_PILOT),
            )
        ]
        try:
            for variant in variants:
                say(f"{variant.name}: setting up {variant.sensors:,} sensors")
                variant.prepare(stack)
                variant.first_set_up()
            for number in range(rounds):
                say(f"updates, round {number + 1} of {rounds}")
                # In turns, each time another one first: what slows the machine down hits all.
                first = number % len(variants)
                for variant in variants[first:] + variants[:first]:
                    for pace, pattern in itertools.product(_PACES, _PATTERNS):
                        variant.round(pace, pattern)
                    variant.rest(2)
            for variant in variants:
                say(f"{variant.name}: memory, reload, restart")
                variant.finish()
                variant.reload()
                variant.restart()
        finally:
            if (table := _table(variants, hosts)).rows:
                tables.append(table)


def _table(variants: Sequence[Variant], hosts: int) -> Table:
    """Return what was measured of all variants."""
    names = [variant.name for variant in variants]
    table = Table(
        f"Home Assistant's event loop: {hosts} hosts, {variants[0].sensors:,} sensors",
        ("measure", *names, f"{_PILOT} / {_SHARED}"),
    )

    def add(what: str, values: Sequence[float | None], digits: int) -> None:
        known = dict(zip(names, values, strict=True))
        if None in values:
            return  # The run was cut off before.
        rounded = [round(value, digits) for value in values if value is not None]
        table.rows.append([what, *rounded, ratio(known[_PILOT], known[_SHARED])])

    for pace, pattern in itertools.product(_PACES, _PATTERNS):
        values = [_median(variant.updates[pace, pattern]) for variant in variants]
        add(f"update, {pace}, {pattern}: ms", values, 3)
    for what in variants[0].set_up:
        times = [variant.set_up.get(what, (None, None)) for variant in variants]
        add(f"{what}: s", [wall for wall, _ in times], 2)
        add(f"{what}: s of processor time", [cpu for _, cpu in times], 2)
    for what in variants[0].memory:
        memory = [variant.memory.get(what) for variant in variants]
        add(f"memory {what}: KiB per sensor", memory, 1)
    add("at rest: ms per second", [_median(variant.idle) for variant in variants], 2)
    rounds = min(len(variant.idle) for variant in variants)
    apart = _PACES["one by one"] * 1000
    table.notes += [
        (
            "processor time of the loop's thread, from the bytes on its socket to the last "
            f"callback: the median of {rounds} rounds in turns, each of an update from every "
            f"host, over Mosquitto on loopback; one by one: every {apart:.0f} ms"
        ),
        "pilot: all 9 collectors are due and travel in one message",
        *(doubt for variant in variants for doubt in variant.doubts),
    ]
    return table


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
