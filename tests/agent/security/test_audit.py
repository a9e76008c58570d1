"""The record of commands."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.security.audit import AuditLog
from support.clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1793952000.25)


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_when_who_what_and_with_which_outcome(
    tmp_path: Path, clock: ManualClock
) -> None:
    log = AuditLog(tmp_path / "audit.log", clock, clock)
    log.write("command", controller="4f1d", name="Été", key="power.lock", args={}, status="done")
    assert read(tmp_path / "audit.log") == [
        {
            "time": "2026-11-06T08:00:00.250+00:00",
            "event": "command",
            "controller": "4f1d",
            "name": "Été",
            "key": "power.lock",
            "args": {},
            "status": "done",
        }
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are not Windows'")
def test_only_the_owner_may_read_it(tmp_path: Path, clock: ManualClock) -> None:
    AuditLog(tmp_path / "audit.log", clock, clock).write("paired")
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_it_is_rotated_by_size(tmp_path: Path, clock: ManualClock) -> None:
    log = AuditLog(tmp_path / "audit.log", clock, clock, max_size=1000, kept=2)
    for number in range(100):
        log.write("command", number=number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(file.stat().st_size <= 1000 for file in files)
    numbers = [line["number"] for file in reversed(files) for line in read(file)]
    assert numbers == list(range(100 - len(numbers), 100))


def test_arguments_do_not_bloat_it(tmp_path: Path, clock: ManualClock) -> None:
    log = AuditLog(tmp_path / "audit.log", clock, clock)
    log.write("command", args={"text": "x" * 10_000})
    assert (tmp_path / "audit.log").stat().st_size < 2000


def test_strangers_get_ten_lines_and_then_one_in_five_minutes_with_the_sum(
    tmp_path: Path, clock: ManualClock
) -> None:
    log = AuditLog(tmp_path / "audit.log", clock, clock)
    for _ in range(50):
        log.write_stranger("command", "malformed")
    assert len(read(tmp_path / "audit.log")) == 10
    clock.now += 300
    log.write_stranger("command", "retained")
    *_, suppressed, line = read(tmp_path / "audit.log")
    assert (suppressed["event"], suppressed["count"]) == ("suppressed", 40)
    assert suppressed["reasons"] == {"malformed": 40}
    assert line["reason"] == "retained"


@pytest.mark.skipif(sys.platform == "win32", reason="opening a file 18 000 times takes minutes")
def test_a_flood_of_a_month_does_not_push_a_command_out(tmp_path: Path, clock: ManualClock) -> None:
    log = AuditLog(tmp_path / "audit.log", clock, clock)
    log.write("command", key="power.shutdown")
    for _ in range(31 * 24 * 12):
        clock.now += 300
        log.write_stranger("command", "malformed", key="power.shutdown", claims="4f1d2c3b5a697887")
        log.write_stranger("command", "malformed", key="power.shutdown", claims="4f1d2c3b5a697887")
    oldest = max(tmp_path.iterdir())
    assert read(oldest)[0]["key"] == "power.shutdown"


def test_a_full_disk_is_said_once_and_stops_nothing(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(tmp_path / "missing" / "audit.log", clock, clock)
    log.write("command")
    log.write("command")
    assert len(caplog.records) == 1
    (tmp_path / "missing").mkdir()
    log.write("command")
    assert len(read(tmp_path / "missing" / "audit.log")) == 1
