"""Readings of the owner: their sources, and what becomes of what cannot be read."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent import platforms
from companion_agent.announcement import describe_reading
from companion_agent.config import ConfigError, load
from companion_agent.errors import Unavailable
from companion_agent.platforms import time_limit
from companion_agent.plugins.own import readings
from companion_agent.plugins.own.reading_settings import OwnReadings
from companion_agent.plugins.own.readings import MAX_READ, OwnReadingsPlugin
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.worker import Result
from support.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from companion_agent.models import Value


def plugin_of(folder: Path, readings: str, clock: ManualClock | None = None) -> OwnReadingsPlugin:
    path = folder / "config.yaml"
    path.write_text(f"broker: localhost\nown_readings:\n{readings}\n", "utf-8")
    config = OwnReadings(load(path, {}).own_readings)
    return OwnReadingsPlugin(platforms.current(), config=config, clock=clock or ManualClock())


def read_file(folder: Path, text: str, how: str) -> tuple[Value, str]:
    """Read a file that holds a text; return the value, and why there is none."""
    (folder / "source").write_text(text, "utf-8")
    plugin = plugin_of(folder, f"  it: {{file: source, {how}}}")
    return plugin.collect()["it"], plugin.troubles().get("it", "")


@pytest.mark.parametrize(
    ("text", "how", "value"),
    [
        ("42\n", "", 42),
        ("-4.25", "unit: W", -4.25),
        ("load: 17 %", "pattern: 'load: ([0-9]+)'", 17),
        ("17 %", "pattern: '[0-9]+'", 17),
        ('{"a": {"b": [1, {"c": 2.5}]}}', 'json_path: "a.b[1].c"', 2.5),
        ('[{"state": "load 3"}]', "json_path: '[0].state', pattern: '[0-9]'", 3),
        ('{"up": true}', "json_path: up, type: boolean", True),
        ("inactive", "type: boolean", False),
        ("  two\nlines ", "type: text", "two lines"),
        ("x" * 300, "type: text", "x" * 255),
        ("1793952000", "type: timestamp", "2026-11-06T08:00:00+00:00"),
        ("2026-11-06T08:00:00+01:00", "type: timestamp", "2026-11-06T08:00:00+01:00"),
    ],
)
def test_a_text_becomes_the_value(tmp_path: Path, text: str, how: str, value: Value) -> None:
    assert read_file(tmp_path, text, how) == (value, "")


@pytest.mark.parametrize(
    ("text", "how", "reason"),
    [
        ("n/a", "", "'n/a' is no number"),
        ("", "", "'' is no number"),
        ("", "type: text", "it is empty"),
        ("maybe", "type: boolean", "'maybe' is neither on nor off"),
        ("soon", "type: timestamp", "'soon' is neither ISO 8601 nor seconds since 1970"),
        (
            "0001-01-01",
            "type: timestamp",
            "'0001-01-01' is neither ISO 8601 nor seconds since 1970",
        ),
        ("idle", "pattern: 'load: ([0-9]+)'", "load: ([0-9]+) is not found in 'idle'"),
        ("idle", "json_path: a", "'idle' is no JSON"),
        ('{"a": 1}', "json_path: a.b", "there is no a.b in it"),
        ('{"a": []}', "json_path: 'a[0]'", "there is no a[0] in it"),
        ('{"a": [1]}', "json_path: a", "a is no single value"),
        ('{"a": null}', "json_path: a", "a is no single value"),
    ],
)
def test_what_is_no_value_is_unknown_and_says_why(
    tmp_path: Path, text: str, how: str, reason: str
) -> None:
    assert read_file(tmp_path, text, how) == (None, reason)


def test_a_pattern_that_would_never_end_is_unknown_and_says_why(tmp_path: Path) -> None:
    value, why = read_file(tmp_path, "a" * 64 + "!", "pattern: '(a+)+$', time_limit: 0.2")

    assert value is None
    assert "(a+)+$ takes longer than 0.2 s with 65 characters" in why


def test_numbers_that_are_not_finite_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("nan")
    runner = CollectorRunner(plugin_of(tmp_path, "  it: {file: source}"), 60)

    runner.take(Result("own_readings", runner.job().run()))

    assert runner.values == {"it": None}


def test_one_that_fails_leaves_the_others(tmp_path: Path) -> None:
    plugin = plugin_of(
        tmp_path,
        """
  missing: {file: not-there}
  broken: {command: [sh, -c, "echo no such sensor >&2; exit 4"]}
  slow: {command: [sleep, 300], time_limit: 0.5}
  works: {command: [echo, 5]}
""",
    )

    values = plugin.collect()

    assert values == {"missing": None, "broken": None, "slow": None, "works": 5}
    assert plugin.troubles() == {
        "missing": f"{tmp_path}/not-there: No such file or directory",
        "broken": "it ended with 4: no such sensor",
        "slow": "it did not end within 0.5 s, and was ended",
    }


def test_a_file_that_hangs_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_is_back = threading.Event()
    read_plain = readings.read_plain

    def wait_for_it(path: Path, limit: int) -> bytes:
        if path.name == "on-a-share":
            server_is_back.wait(60)
        return read_plain(path, limit)

    monkeypatch.setattr(readings, "read_plain", wait_for_it)
    monkeypatch.setattr(time_limit, "PATIENCE", 0.5)
    (tmp_path / "here").write_text("5")
    plugin = plugin_of(tmp_path, "  there: {file: on-a-share}\n  works: {file: here}")

    values, troubles = plugin.collect(), plugin.troubles()
    server_is_back.set()

    assert values == {"there": None, "works": 5}
    assert troubles == {"there": f"{tmp_path}/on-a-share: it does not answer"}


def test_each_is_read_at_its_interval(tmp_path: Path) -> None:
    clock = ManualClock()
    source = "[sh, -c, 'echo >> NAME; wc -l < NAME']"
    plugin = plugin_of(
        tmp_path,
        f"  often: {{command: {source.replace('NAME', 'a')}, folder: {tmp_path}, interval: 10}}\n"
        f"  seldom: {{command: {source.replace('NAME', 'b')}, folder: {tmp_path}}}",
        clock,
    )

    assert plugin.pace(60) == 10
    for _ in range(7):
        values = plugin.collect()
        clock.advance(10)

    assert values == {"often": 7, "seldom": 2}


def test_they_are_announced_as_their_owner_says(tmp_path: Path) -> None:
    [reading] = plugin_of(
        tmp_path,
        "  solar-energy: {file: x, unit: kWh, device_class: energy, state_class: total_increasing}",
    ).readings()

    said = describe_reading("own_readings", reading)

    assert (said.key, said.name, said.unit) == ("own_readings.solar-energy", "Solar energy", "kWh")
    assert (said.device_class, said.state_class) == ("energy", "total_increasing")


def test_without_any_there_is_nothing() -> None:
    with pytest.raises(Unavailable, match="no reading is named"):
        OwnReadingsPlugin(platforms.current()).collect()


# --- Addresses -------------------------------------------------------------------------------


@contextmanager
def serving(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """Serve one answer; yield the address, and what is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_this_machine_is_asked(tmp_path: Path) -> None:
    with serving(200, b'{"power": 230.5}') as (address, asked):
        plugin = plugin_of(tmp_path, f"  it: {{url: '{address}/meter?unit=W', json_path: power}}")

        assert plugin.collect() == {"it": 230.5}

    assert asked == ["/meter?unit=W"]


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "answers 404 Not Found"), (302, "answers 302 Found")]
)
def test_another_answer_than_ok_is_none(tmp_path: Path, status: int, reason: str) -> None:
    with serving(status, b"1", Location="http://192.0.2.1/") as (address, _):
        plugin = plugin_of(tmp_path, f"  it: {{url: '{address}'}}")

        assert plugin.collect() == {"it": None}

    assert reason in plugin.troubles()["it"]


def test_only_the_beginning_of_an_answer_is_read(tmp_path: Path) -> None:
    with serving(200, b"7" + b" " * 2 * MAX_READ) as (address, _):
        assert plugin_of(tmp_path, f"  it: {{url: '{address}'}}").collect() == {"it": 7}


def test_an_answer_in_drops_keeps_no_other_waiting(tmp_path: Path, dripping: int) -> None:
    address = f"http://127.0.0.1:{dripping}"
    more = "  works: {command: [echo, 5]}"
    plugin = plugin_of(tmp_path, f"  it: {{url: '{address}', time_limit: 0.3}}\n{more}")

    assert plugin.collect() == {"it": None, "works": 5}
    assert plugin.troubles() == {"it": f"{address}: timed out"}


def test_nothing_that_answers_says_so(tmp_path: Path) -> None:
    with serving(200, b"") as (address, _):
        pass
    plugin = plugin_of(tmp_path, f"  it: {{url: '{address}'}}")

    assert plugin.collect() == {"it": None}
    assert plugin.troubles() == {"it": f"{address}: Connection refused"}


# --- Mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reading", "mistake"),
    [
        ("{unit: W}", "expected one source, command, file or url; it has none"),
        ("{file: a, url: 'http://localhost/'}", "it has file and url"),
        ("{url: 'http://192.0.2.1/'}", "192.0.2.1 is another machine"),
        ("{url: 'https://localhost/'}", "expected an http:// address of this machine"),
        ("{file: a, user: root}", "user: is known only of a command"),
        ("{file: a, type: text, unit: W}", "unit: is known only of a number"),
        ("{file: a, json_path: 'a..b'}", "expected names and places joined by dots"),
        ("{file: a, patern: x}", "is not known here; did you mean pattern?"),
        ("{file: a, state_class: totl}", "did you mean total?"),
    ],
)
def test_a_mistake_says_what_to_write(tmp_path: Path, reading: str, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plugin_of(tmp_path, f"  it: {reading}")

    found = [str(one) for one in caught.value.mistakes]
    assert any(mistake in one for one in found), found
    assert all(f"{tmp_path}/config.yaml:3: own_readings.it" in one for one in found)
