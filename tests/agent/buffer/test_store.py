"""The file itself: power cuts, broken cards, full disks."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.buffer.record import Point
from companion_agent.buffer.store import (
    Store,
    StoreError,
    damaged_files,
    look,
)
from companion_agent.buffer.task import Task
from companion_agent.clock import Moment
from companion_agent.config.buffer import FILE, BacklogConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1793952000.0
READER = "4f1d2c3b5a697887"


def task(first: int = 0, count: int = 10, **changes: object) -> Task:
    points = [
        Point("cpu.percent", Moment(NOW + step, 1000.0 + step), float(step))
        for step in range(first, first + count)
    ]
    settings = {"recording": True, "deliver": True, "points": points} | changes
    return Task(Moment(NOW + first + count, 1000.0 + first + count), "boot", (READER,), **settings)  # type: ignore[arg-type]


def open_store(folder: Path, run: str = "run") -> Store:
    return Store(folder, BacklogConfig(), run)


def fetch(store: Store) -> list[float | None]:
    """Acknowledge everything, and return the values that came."""
    values: list[float | None] = []
    acknowledged: list[tuple[str, str]] = []
    while True:
        report = store.work(task(100_000, 0, recording=False, acknowledged=acknowledged))
        if not report.chunks:
            return values
        chunk = report.chunks[READER]
        values += [value for _, value in chunk.values["cpu.percent"]]
        acknowledged = [(READER, chunk.id)]


# --- Power cuts ------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from {module} import open_store, task
store = open_store(Path(sys.argv[1]))
step = 0
while True:
    store.work(task(step, 50))
    step += 50
    print(step, flush=True)
"""


@pytest.mark.parametrize("writes", [1, 2, 7, 25])
def test_a_process_that_is_killed_while_it_writes_loses_nothing_it_had_written(
    tmp_path: Path, writes: int
) -> None:
    program = WRITER.format(module=__name__)
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert writer.stdout
    for _ in range(writes):
        written = int(writer.stdout.readline())
    writer.kill()
    for line in writer.stdout:
        written = int(line)
    writer.wait(20)

    with sqlite3.connect(tmp_path / FILE) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()

    # The same run, so that nothing is added at its end.
    values = fetch(open_store(tmp_path))
    assert values[:written] == [float(step) for step in range(written)]
    # One more may have been written and not been said.
    assert len(values) in (written, written + 50)


def test_every_write_is_on_the_disk_when_it_is_done(tmp_path: Path) -> None:
    """What only a power cut would show, which no test can make."""
    store = open_store(tmp_path)
    store.work(task())

    assert store._db
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_values_of_a_killed_agent_end_with_its_last_write(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.work(task(deliver=False))
    store.close()

    report = open_store(tmp_path, "next run").work(task(20, 0))

    assert report.chunks[READER].values["cpu.percent"][-1] == (NOW + 10, None)


def test_a_chunk_is_the_same_after_a_power_cut(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    before = store.work(task(recording=False)).chunks[READER]
    store.close()

    after = open_store(tmp_path, "next run").work(task(10, 5)).chunks[READER]

    assert (after.id, after.values) == (before.id, before.values)
    assert after.more
    assert not before.more


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are not Windows'")
def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    before = os.umask(0)
    try:
        store.work(task())
    finally:
        os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_when_all_is_delivered_nothing_is_left(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.work(task())

    fetch(store)

    assert [*tmp_path.iterdir()] == []


# --- Broken cards ----------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with some hundred points."""
    store = open_store(tmp_path)
    store.work(task(0, 500))
    store.close()
    return tmp_path / FILE


def break_by(kind: str, path: Path) -> None:
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "cut to a few bytes":
        path.write_bytes(content[:50])
    elif kind == "overwritten":
        path.write_bytes(b"\xff" * len(content))
    elif kind == "overwritten inside":
        path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    else:
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()


@pytest.mark.parametrize(
    "kind",
    ["truncated", "cut to a few bytes", "overwritten", "overwritten inside", "of the future"],
)
def test_a_damaged_file_is_set_aside_and_not_deleted(
    kept: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    break_by(kind, kept)
    content = kept.read_bytes()
    store = open_store(kept.parent)

    report = store.work(task(1000, 5))

    [aside] = [path for path in damaged_files(kept.parent) if path.exists()]
    if kind != "of the future":  # that one is whole, and opening it may have tidied it up
        assert aside.read_bytes() == content
    assert f"The backlog {kept} is damaged" in caplog.text
    assert str(aside) in caplog.text
    assert len(report.chunks[READER].values["cpu.percent"]) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps an open file where it is")
def test_a_file_that_breaks_while_it_is_open_is_set_aside(kept: Path) -> None:
    store = open_store(kept.parent)
    store.work(task(1000, 5))
    kept.with_name(f"{FILE}-wal").unlink()
    kept.write_bytes(b"\xff" * 8192)
    store.close()

    report = store.work(task(2000, 5))

    assert report.chunks[READER].values["cpu.percent"][0] == (NOW + 2000, 2000.0)


def test_a_disk_that_breaks_every_file_gets_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        (tmp_path / FILE).write_bytes(b"\xff" * 8192)
        store = open_store(tmp_path)
        store.work(task())
        store.close()
    (tmp_path / FILE).write_bytes(b"\xff" * 8192)

    with pytest.raises(StoreError, match="3 damaged files lie beside it already"):
        open_store(tmp_path).work(task())

    assert len([path for path in damaged_files(tmp_path) if path.exists()]) == 3


# --- Full disks ------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if sys.platform == "win32":
        pytest.skip("a small disk is mounted by Unix")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(store: Store) -> tuple[int, str]:
    """Write until it does not work any more; return how much did, and why no more."""
    written = 0
    try:
        while True:
            store.work(task(written, 500))
            written += 500
    except StoreError as error:
        return written, str(error)


def test_a_full_disk_loses_nothing_that_was_written(small_disk: Path) -> None:
    written, trouble = fill(open_store(small_disk))

    assert written > 1000
    assert "full" in trouble or "I/O error" in trouble
    assert not any(path.exists() for path in damaged_files(small_disk))
    # Nothing can be written, but what is there is whole.
    assert look(small_disk).rows == written


def test_when_there_is_room_again_it_goes_on(small_disk: Path) -> None:
    other = small_disk / "other"
    other.write_bytes(bytes(700 * 1024))
    store = open_store(small_disk)
    written, _ = fill(store)

    other.unlink()
    store.work(task(written, 500))

    assert len(fetch(store)) == written + 500


# --- From outside ----------------------------------------------------------------------------


def test_how_it_stands(kept: Path) -> None:
    store = open_store(kept.parent)
    store.work(task(1000, 5))

    seen = look(kept.parent)

    assert (seen.rows, seen.oldest) == (505, NOW)
    assert seen.size > 8192
    store.close()


def test_a_damaged_one_is_only_looked_at(kept: Path) -> None:
    kept.write_bytes(b"\xff" * 8192)

    with pytest.raises(StoreError, match="not a database"):
        look(kept.parent)

    assert kept.read_bytes() == b"\xff" * 8192


def test_values_are_what_they_were(tmp_path: Path) -> None:
    values = [0.1, -4, 1e14, 0, None, 123456789012345.0]
    points = [
        Point("cpu.percent", Moment(NOW + step, 1000 + step), value)
        for step, value in enumerate(values)
    ]

    report = open_store(tmp_path).work(task(0, 0, points=points))

    said = json.loads(json.dumps(report.chunks[READER].values))
    assert said["cpu.percent"] == [[NOW + step, value] for step, value in enumerate(values)]


# --- Brokers that take small packets ---------------------------------------------------------


def test_chunks_are_as_small_as_the_broker_wants_them(tmp_path: Path) -> None:
    store = open_store(tmp_path)

    report = store.work(task(0, 500, chunk_bytes=1000))
    chunk = report.chunks[READER]

    assert 10 < len(chunk.values["cpu.percent"]) < 60
    assert chunk.more


def test_a_chunk_drawn_for_another_broker_is_drawn_anew(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    large = store.work(task(0, 500)).chunks[READER]

    small = store.work(task(500, 0, chunk_bytes=1000)).chunks[READER]
    again = store.work(task(500, 0, chunk_bytes=1000)).chunks[READER]

    assert len(large.values["cpu.percent"]) == 500
    assert len(small.values["cpu.percent"]) < 60
    assert again == small
    assert fetch(store) == [float(step) for step in range(500)]


def test_one_point_goes_however_little_the_broker_takes(tmp_path: Path) -> None:
    store = open_store(tmp_path)

    chunk = store.work(task(0, 3, chunk_bytes=1)).chunks[READER]

    assert len(chunk.values["cpu.percent"]) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)

    with pytest.raises(StoreError, match="it is not a plain file"):
        look(tmp_path)
    with pytest.raises(StoreError, match="it is not a plain file"):
        open_store(tmp_path).work(task(0, 1))
