"""The backlog's file: SQLite, one transaction at a time, safe against power loss.

Everything here may block, and runs in a worker. Only this module knows SQLite; it is imported
when there is something to keep.
"""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from itertools import takewhile
import json
import logging
import math
import secrets
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.buffer.task import CHUNK_BYTES, Chunk, Report
from companion_agent.clock import (
    EARLIEST,
    JUMP,
    Moment,
    corrected,
)
from companion_agent.config.buffer import FILE
from companion_agent.storage import files
from companion_agent.storage.plain import open_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from companion_agent.buffer.task import Task
    from companion_agent.config.buffer import BacklogConfig

_LOGGER = logging.getLogger(__name__)

# Small enough that a chunk that is lost is no loss, large enough that a night is a few hundred.
CHUNK_POINTS = 1000
CHUNK_KEYS = 200
# Damaged files that are kept. A disk that damages more of them is not worth writing to.
MOST_DAMAGED = 3
# Every how many rows the oldest are looked at, and how much goes at once when there is no room.
_STEP = 500
# Seconds that the machine has to be up before the ages of what was read before that are believed.
_CLOCK_IS_SET = 3600.0
_PORTION = 20

_VERSION = 1
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE boots (id INTEGER PRIMARY KEY, boot TEXT NOT NULL UNIQUE, offset REAL NOT NULL);
CREATE TABLE points (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    wall REAL NOT NULL,
    since_boot REAL NOT NULL,
    sure INTEGER NOT NULL,
    value REAL
);
CREATE TABLE chunks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    after INTEGER NOT NULL,
    until INTEGER NOT NULL
);
CREATE TABLE acknowledged (
    chunk INTEGER NOT NULL, reader TEXT NOT NULL, PRIMARY KEY (chunk, reader)
) WITHOUT ROWID;
"""
_POINTS = (
    "SELECT points.id, keys.key, points.boot, points.wall, points.since_boot, points.sure,"
    " points.value FROM points JOIN keys ON keys.id = points.key"
)
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class StoreError(Exception):
    """The file cannot be used now; the text names it and says why."""


class Contents(NamedTuple):
    """What is in a backlog: its rows, the oldest of them (seconds since 1970), bytes on disk."""

    rows: int
    oldest: float | None
    size: int


class Store:
    """Keeps points until every reader that shall have them has acknowledged them.

    One thread at a time.

    Args:
        folder: The state folder.
        config: How long and how much is kept.
        run: Names this start of the agent.
    """

    def __init__(self, folder: Path, config: BacklogConfig, run: str) -> None:
        self._path = folder / FILE
        self._config = config
        self._run = run
        self._db: sqlite3.Connection | None = None
        self._keys: dict[str, int] = {}

    def work(self, task: Task) -> Report:
        """Do everything of a task, or nothing of it.

        Raises:
            StoreError: It was nothing.
        """
        try:
            try:
                return self._work(task)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._set_aside(error)
                return self._work(task)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StoreError(f"{self._path}: {_describe(error)}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._keys.clear()
        db, self._db = self._db, None
        if db:
            with suppress(sqlite3.Error):
                db.close()

    # --- One transaction -----------------------------------------------------------------

    def _work(self, task: Task) -> Report:
        report = Report()
        db = self._db or self._open()
        with _transaction(db):
            boot = self._note_clock(db, task, report)
            self._insert(db, task, boot)
            self._acknowledge(db, task)
            self._drop_old(db, task, boot, report)
            self._make_room(db, report)
            if report.too_old or report.timeless or report.too_many:
                self._drop_empty_chunks(db)
            report.away = self._note_facts(db, task)
            if task.deliver:
                self._draw(db, task, boot, report)
            report.empty = not (
                task.recording
                or report.away
                or db.execute("SELECT EXISTS (SELECT 1 FROM points)").fetchone()[0]
            )
        if report.empty:
            self._remove()
        return report

    def _note_clock(self, db: sqlite3.Connection, task: Task, report: Report) -> int:
        """Keep the clocks' offset; find out whether the wall clock was set."""
        offset = task.moment.offset
        known = db.execute("SELECT id, offset FROM boots WHERE boot = ?", [task.boot]).fetchone()
        if known is None:
            row = db.execute("INSERT INTO boots (boot, offset) VALUES (?, ?)", [task.boot, offset])
            return _id_of(row)
        boot: int = known[0]
        if abs(offset - known[1]) <= JUMP:
            return boot
        db.execute("UPDATE boots SET offset = ? WHERE id = ?", [offset, boot])
        unsure = "SELECT EXISTS (SELECT 1 FROM points WHERE boot = ? AND NOT sure)"
        if db.execute(unsure, [boot]).fetchone()[0]:
            report.moved = offset - known[1]
            self._rename_chunks(db)
        return boot

    def _rename_chunks(self, db: sqlite3.Connection) -> None:
        """Make new chunks of those not acknowledged yet: their times have changed.

        One whose acknowledgement is still under way would count as delivered otherwise.
        """
        rows = "SELECT number FROM chunks WHERE number NOT IN (SELECT chunk FROM acknowledged)"
        fresh = [(secrets.token_hex(8), number) for (number,) in db.execute(rows).fetchall()]
        db.executemany("UPDATE chunks SET id = ? WHERE number = ?", fresh)

    def _insert(self, db: sqlite3.Connection, task: Task, boot: int) -> None:
        db.executemany(
            "INSERT INTO points (key, boot, wall, since_boot, sure, value)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    self._key(db, point.key),
                    boot,
                    round(point.said.wall, 3),
                    round(point.said.boot, 3),
                    point.said.sure,
                    point.value,
                )
                for point in task.points
            ],
        )

    def _key(self, db: sqlite3.Connection, key: str) -> int:
        if key not in self._keys:
            found = db.execute("SELECT id FROM keys WHERE key = ?", [key]).fetchone()
            if found is None:
                found = [_id_of(db.execute("INSERT INTO keys (key) VALUES (?)", [key]))]
            self._keys[key] = found[0]
        return self._keys[key]

    def _acknowledge(self, db: sqlite3.Connection, task: Task) -> None:
        db.executemany(
            "INSERT OR IGNORE INTO acknowledged (chunk, reader)"
            " SELECT number, ? FROM chunks WHERE id = ?",
            task.acknowledged,
        )
        marks = ", ".join("?" * len(task.readers))
        done = db.execute(
            "SELECT number, after, until FROM chunks WHERE (SELECT count(*) FROM acknowledged"  # noqa: S608  (question marks)
            f" WHERE chunk = number AND reader IN ({marks})) = ?",
            [*task.readers, len(task.readers)],
        ).fetchall()
        for number, after, until in done:
            db.execute("DELETE FROM points WHERE id > ? AND id <= ?", [after, until])
            db.execute("DELETE FROM acknowledged WHERE chunk = ?", [number])
            db.execute("DELETE FROM chunks WHERE number = ?", [number])

    def _drop_old(self, db: sqlite3.Connection, task: Task, boot: int, report: Report) -> None:
        offsets = dict(db.execute("SELECT id, offset FROM boots"))
        # A computer may boot with a clock that is years ahead, which a time server sets soon.
        settled = task.moment.boot >= _CLOCK_IS_SET
        limit = task.moment.wall - self._config.max_age if settled else -math.inf
        limit_of_boot = task.moment.boot - self._config.max_age
        while True:
            rows = _select(db, "ORDER BY points.id LIMIT ?", [_STEP])
            # Of this boot the age is known, whatever the wall clock says.
            old = list(
                takewhile(
                    lambda row: (
                        row.since_boot < limit_of_boot
                        if row.boot == boot
                        else row.when(offsets) < limit
                    ),
                    rows,
                )
            )
            if old:
                db.execute("DELETE FROM points WHERE id <= ?", [old[-1].id])
                timeless = sum(row.when(offsets) < EARLIEST for row in old)
                report.timeless += timeless
                report.too_old += len(old) - timeless
            if len(old) < _STEP:
                return

    def _make_room(self, db: sqlite3.Connection, report: Report) -> None:
        while self._used(db) > self._config.max_size:
            first, last = db.execute("SELECT min(id), max(id) FROM points").fetchone()
            if first is None:
                return
            until = first + (last - first) // _PORTION
            report.too_many += db.execute("DELETE FROM points WHERE id <= ?", [until]).rowcount

    @staticmethod
    def _drop_empty_chunks(db: sqlite3.Connection) -> None:
        db.execute(
            "DELETE FROM chunks WHERE NOT EXISTS"
            " (SELECT 1 FROM points WHERE points.id > after AND points.id <= until)"
        )
        db.execute("DELETE FROM acknowledged WHERE chunk NOT IN (SELECT number FROM chunks)")

    @staticmethod
    def _used(db: sqlite3.Connection) -> int:
        pages, free, size = (
            int(db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _note_facts(self, db: sqlite3.Connection, task: Task) -> bool:
        """Keep what the next start has to know; return whether Home Assistant is away."""
        away = task.away
        if away is None:
            known = db.execute("SELECT value FROM facts WHERE name = 'away'").fetchone()
            away = bool(known and known[0])
        facts = {
            "away": "1" if away else "",
            "recording": self._run if task.recording else "",
            "boot": task.boot,
            "wall": repr(round(task.moment.wall, 3)),
            "since_boot": repr(round(task.moment.boot, 3)),
        }
        db.executemany("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", facts.items())
        return away

    # --- Chunks --------------------------------------------------------------------------

    def _draw(self, db: sqlite3.Connection, task: Task, boot: int, report: Report) -> None:
        """Find every reader's next chunk; make a new one where there is none."""
        self._drop_large_chunks(db, task)
        loaded: dict[int, Chunk] = {}
        fresh: int | None = None
        for reader in task.readers:
            found = db.execute(
                "SELECT number FROM chunks WHERE NOT EXISTS (SELECT 1 FROM acknowledged"
                " WHERE chunk = number AND reader = ?) ORDER BY number LIMIT 1",
                [reader],
            ).fetchone()
            if found is None:
                fresh = fresh or self._draw_fresh(db, task, boot, report)
                number = fresh
            else:
                number = found[0]
            if number is None:
                continue
            if number not in loaded:
                loaded[number] = self._load(db, number)
            report.chunks[reader] = loaded[number]

    def _drop_large_chunks(self, db: sqlite3.Connection, task: Task) -> None:
        """Forget chunks that are too large for the broker of now, and draw their points anew.

        All behind the first of them go too, since new ones come last: a reader that has
        acknowledged one of those hears its points once more.
        """
        if task.chunk_bytes >= CHUNK_BYTES:
            return
        for number, after, until in db.execute(
            "SELECT number, after, until FROM chunks ORDER BY number"
        ).fetchall():
            if until - after > 1 and _size_of(self._load(db, number)) > task.chunk_bytes:
                db.execute("DELETE FROM chunks WHERE number >= ?", [number])
                db.execute("DELETE FROM acknowledged WHERE chunk >= ?", [number])
                return

    def _draw_fresh(
        self, db: sqlite3.Connection, task: Task, boot: int, report: Report
    ) -> int | None:
        """Make a chunk of the oldest points that are in none; `None` when there are none."""
        offsets = dict(db.execute("SELECT id, offset FROM boots"))
        after = db.execute("SELECT coalesce(max(until), 0) FROM chunks").fetchone()[0]
        until = after
        size = 0
        keys: set[str] = set()
        rows = _select(db, "WHERE points.id > ? ORDER BY points.id LIMIT ?", [after, CHUNK_POINTS])
        for row in rows:
            when = row.when(offsets)
            if when < EARLIEST:
                if row.boot == boot:
                    report.held = True
                    break
                db.execute("DELETE FROM points WHERE id = ?", [row.id])
                report.timeless += 1
                continue
            size += _size_of_point(when, row.value)
            if row.key not in keys:
                size += _size_of_key(row.key)
                keys.add(row.key)
            # One point at least, or it would never go on.
            if until > after and (len(keys) > CHUNK_KEYS or size > task.chunk_bytes):
                break
            until = row.id
        if until > after:
            drawn = "INSERT INTO chunks (id, after, until) VALUES (?, ?, ?)"
            return _id_of(db.execute(drawn, [secrets.token_hex(8), after, until]))
        if rows and not report.held:
            # All of them were timeless.
            return self._draw_fresh(db, task, boot, report)
        return None

    def _load(self, db: sqlite3.Connection, number: int) -> Chunk:
        offsets = dict(db.execute("SELECT id, offset FROM boots"))
        name, after, until = db.execute(
            "SELECT id, after, until FROM chunks WHERE number = ?", [number]
        ).fetchone()
        found: dict[str, dict[float, float | None]] = {}
        within = "WHERE points.id > ? AND points.id <= ? ORDER BY points.id"
        for row in _select(db, within, [after, until]):
            found.setdefault(row.key, {})[row.when(offsets)] = row.value
        more = db.execute("SELECT EXISTS (SELECT 1 FROM points WHERE id > ?)", [until]).fetchone()
        who = db.execute("SELECT reader FROM acknowledged WHERE chunk = ?", [number])
        return Chunk(
            name,
            {key: sorted(points.items()) for key, points in found.items()},
            more=bool(more[0]),
            acknowledged=frozenset(reader for (reader,) in who),
        )

    # --- The file ------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            # SQLite would leave it to the umask who may read it, and copies that to its journal.
            files.create_private(self._path)
        # SQLite would wait for what a pipe brings.
        open_plain(self._path).close()
        db = self._db = sqlite3.connect(
            self._path, timeout=5, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA cache_size = -512")
        # One sync for each transaction, and none can be half on the disk.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 256")
        db.execute("PRAGMA journal_size_limit = 1048576")
        self._check(db)
        with _transaction(db):
            self._close_earlier_run(db)
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with _transaction(db):
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {_VERSION}")
            return
        if version != _VERSION:
            raise _NotOursError(f"it was written by another version ({version})")
        if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _NotOursError(str(found).replace("\n", " "))

    def _close_earlier_run(self, db: sqlite3.Connection) -> None:
        """Let no value hold on beyond the end of an agent that was killed while it recorded."""
        facts = dict(db.execute("SELECT name, value FROM facts"))
        if facts.get("recording", "") in ("", self._run):
            return
        boot = db.execute("SELECT id FROM boots WHERE boot = ?", [facts["boot"]]).fetchone()[0]
        last = "SELECT key, value FROM points WHERE id IN (SELECT max(id) FROM points GROUP BY key)"
        end = [boot, float(facts["wall"]), float(facts["since_boot"])]
        db.executemany(
            "INSERT INTO points (key, boot, wall, since_boot, sure, value)"
            " VALUES (?, ?, ?, ?, 0, NULL)",
            [(key, *end) for key, value in db.execute(last).fetchall() if value is not None],
        )
        db.execute("UPDATE facts SET value = '' WHERE name = 'recording'")

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Move a file away that cannot be read, so that a new one can take its place."""
        self.close()
        aside = next((path for path in damaged_files(self._path.parent) if not path.exists()), None)
        if aside is None:
            raise sqlite3.OperationalError(
                f"{error}; {MOST_DAMAGED} damaged files lie beside it already, is the disk broken?"
            ) from error
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                files.move(_beside(self._path, end), _beside(aside, end))
        _LOGGER.error(
            "The backlog %s is damaged (%s). It was moved to %s; what was in it is not delivered",
            self._path,
            error,
            aside,
        )

    def _remove(self) -> None:
        self.close()
        for end in ("-wal", "-shm", ""):
            # Another process may have it open; an empty file does no harm.
            with suppress(OSError):
                _beside(self._path, end).unlink()


class _NotOursError(sqlite3.DatabaseError):
    """The file is none that this version can use."""

    sqlite_errorcode = sqlite3.SQLITE_NOTADB


# --- Looking from outside --------------------------------------------------------------------


def damaged_files(folder: Path) -> list[Path]:
    """Name the places for damaged files, whether or not they are there."""
    first = folder / f"{FILE}.damaged"
    return [first, *(_beside(first, f"-{number}") for number in range(2, MOST_DAMAGED + 1))]


def look(folder: Path) -> Contents:
    """Tell how the backlog stands, and change nothing.

    Raises:
        StoreError: It cannot be read.
    """
    path = folder / FILE
    try:
        open_plain(path).close()
        size = sum(
            _beside(path, end).stat().st_size for end in ("", "-wal") if _beside(path, end).exists()
        )
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            offsets = dict(db.execute("SELECT id, offset FROM boots"))
            rows = db.execute("SELECT count(*) FROM points").fetchone()[0]
            first = _select(db, "ORDER BY points.id LIMIT ?", [1])
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {_describe(error)}") from error
    return Contents(rows, first[0].when(offsets) if first else None, size)


# --- Small things ----------------------------------------------------------------------------


class _Row(NamedTuple):
    """One row of the points."""

    id: int
    key: str
    boot: int
    wall: float
    since_boot: float
    sure: int
    value: float | None

    def when(self, offsets: Mapping[int, float]) -> float:
        """Return when it was read, as far as is known now: seconds since 1970 UTC."""
        said = Moment(self.wall, self.since_boot, bool(self.sure))
        return round(corrected(said, offsets[self.boot]), 3)


def _select(db: sqlite3.Connection, which: str, values: Sequence[int]) -> list[_Row]:
    return [_Row._make(row) for row in db.execute(f"{_POINTS} {which}", values)]


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself: a full disk.
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _size_of(chunk: Chunk) -> int:
    return sum(
        _size_of_key(key) + sum(_size_of_point(*point) for point in points)
        for key, points in chunk.values.items()
    )


def _size_of_key(key: str) -> int:
    return len(key) + 8


def _size_of_point(when: float, value: float | None) -> int:
    return len(json.dumps([when, value])) + 1


def _id_of(inserted: sqlite3.Cursor) -> int:
    assert inserted.lastrowid is not None
    return inserted.lastrowid


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _is_damage(error: sqlite3.Error) -> bool:
    # The extended codes have the plain one in their low byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _describe(error: sqlite3.Error | OSError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
