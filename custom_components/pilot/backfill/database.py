"""The file in which backlogs wait: an SQLite database. Runs in the executor, one call at a time.

A chunk, or what is left after an import, is one transaction of the rows that it changes,
however much waits besides. Once it is committed it is there after a power cut, too.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
import sqlite3
from typing import Any, Final

from homeassistant.exceptions import UnsupportedStorageVersionError
from homeassistant.helpers.json import json_dumps
from homeassistant.util.json import json_loads_object

from ..protocol.backlog import Point
from .store import HostBacklog, Kept, host_of, point_of, reading_of

VERSION: Final = 1
"""What a reader of another one cannot read. Fields of `data` may be added without a new one."""

_SCHEMA: Final = (
    "CREATE TABLE host (id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE reading (
        host TEXT, key TEXT, data TEXT NOT NULL, PRIMARY KEY (host, key)
    ) WITHOUT ROWID""",
    """CREATE TABLE point (
        host TEXT, key TEXT, at REAL, value REAL, PRIMARY KEY (host, key, at)
    ) WITHOUT ROWID""",
    f"PRAGMA user_version = {VERSION}",
)


class BacklogDatabase:
    """What waits of all hosts."""

    def __init__(self, path: Path) -> None:
        """Open nothing yet: where no host was ever cut off there is no file."""
        self.path = path
        self._written: dict[str, HostBacklog] = {}

    def load(self) -> dict[str, HostBacklog]:
        """Return what waits.

        Raises:
            UnsupportedStorageVersionError: A newer version of Pilot wrote it.
            sqlite3.Error: The file cannot be read, or one of `storage.ODD`.
        """
        hosts: dict[str, HostBacklog] = {}
        if self.path.exists():
            if not self.path.is_file():
                raise ValueError("it is no plain file")
            with closing(sqlite3.connect(self.path)) as db:
                version = _version(db)
                if version > VERSION:
                    raise UnsupportedStorageVersionError(self.path.name, version, VERSION)
                if version:
                    hosts = _read(db)
        self._written = {host_id: host.copy() for host_id, host in hosts.items()}
        return hosts

    def write(self, hosts: Mapping[str, HostBacklog]) -> None:
        """Write what differs from what was written last.

        Args:
            hosts: All of them. They must not change while this runs.

        Raises:
            OSError: There can be no such file.
            sqlite3.Error: It cannot be written; what is in it is what it was.
        """
        changed = [
            (host_id, self._written.get(host_id), host)
            for host_id, host in hosts.items()
            if not _is_same(self._written.get(host_id), host)
        ]
        gone = self._written.keys() - hosts.keys()
        if not changed and not gone:
            return
        self.path.parent.mkdir(exist_ok=True)
        with self._transaction() as db:
            for host_id in gone:
                for statement in (
                    "DELETE FROM host WHERE id = ?",
                    "DELETE FROM reading WHERE host = ?",
                    "DELETE FROM point WHERE host = ?",
                ):
                    db.execute(statement, (host_id,))
            for host_id, was, host in changed:
                _write_host(db, host_id, was, host)
        self._written = dict(hosts)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit at the end; what is closed before is rolled back."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            # Give back to the disk what is imported.
            db.execute("PRAGMA auto_vacuum = FULL")
            # Beyond FULL the directory is flushed, too: a power cut just after the commit would
            # bring the journal back, and with it take back the chunk that was acknowledged.
            db.execute("PRAGMA synchronous = EXTRA")
            db.execute("BEGIN IMMEDIATE")
            if not _version(db):
                for statement in _SCHEMA:
                    db.execute(statement)
            yield db
            db.execute("COMMIT")


def _is_same(was: HostBacklog | None, host: HostBacklog) -> bool:
    return (
        was is not None
        and _data_of(was) == _data_of(host)
        and was.readings.keys() == host.readings.keys()
        # Readings are replaced, never changed.
        and all(was.readings[key] is kept for key, kept in host.readings.items())
    )


def _data_of(host: HostBacklog) -> dict[str, Any]:
    return {
        "chunks": host.chunks,
        "open_to": host.open_to,
        "taken_at": host.taken_at,
        "heard": host.heard,
    }


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _read(db: sqlite3.Connection) -> dict[str, HostBacklog]:
    hosts: dict[str, HostBacklog] = {}
    for host_id, text in db.execute("SELECT id, data FROM host"):
        hosts[host_id] = host_of(json_loads_object(text))
    points: dict[tuple[str, str], list[Point]] = {}
    for host_id, key, at, value in db.execute("SELECT * FROM point ORDER BY host, key, at"):
        points.setdefault((host_id, key), []).append(point_of(at, value))
    for host_id, key, text in db.execute("SELECT host, key, data FROM reading"):
        fields: dict[str, Any] = json_loads_object(text)
        hosts[host_id].readings[key] = reading_of(fields, points.get((host_id, key), ()))
    return hosts


def _write_host(
    db: sqlite3.Connection, host_id: str, was: HostBacklog | None, host: HostBacklog
) -> None:
    before = {} if was is None else was.readings
    data = json_dumps(_data_of(host))
    db.execute("INSERT OR REPLACE INTO host VALUES (?, ?)", (host_id, data))
    for key in before.keys() - host.readings.keys():
        db.execute("DELETE FROM reading WHERE host = ? AND key = ?", (host_id, key))
        db.execute("DELETE FROM point WHERE host = ? AND key = ?", (host_id, key))
    for key, kept in host.readings.items():
        if (old := before.get(key)) is not kept:
            _write_reading(db, host_id, key, () if old is None else old.points, kept)


def _write_reading(
    db: sqlite3.Connection, host_id: str, key: str, before: tuple[Point, ...], kept: Kept
) -> None:
    data = {
        "unit": kept.unit,
        "todo_from": kept.todo_from,
        "holds": sorted(kept.holds),
        "gone": kept.gone,
        "bases": [(hour, base and tuple(base)) for hour, base in kept.bases.items()],
        "unknown_since": kept.unknown_since,
    }
    db.execute("INSERT OR REPLACE INTO reading VALUES (?, ?, ?)", (host_id, key, json_dumps(data)))
    old, new = set(before), set(kept.points)
    db.executemany(
        "DELETE FROM point WHERE host = ? AND key = ? AND at = ?",
        ((host_id, key, point.at) for point in old - new),
    )
    db.executemany(
        "INSERT INTO point VALUES (?, ?, ?, ?)",
        ((host_id, key, point.at, point.value) for point in new - old),
    )
