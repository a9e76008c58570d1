"""PostgreSQL and MariaDB servers of a test's own."""

from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 60
# Where Debian has the programs of PostgreSQL, newest version first.
_FOLDERS = (
    *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    os.environ.get("PATH", os.defpath),
    "/usr/sbin",
    "/usr/libexec",
)


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=os.pathsep.join(_FOLDERS))
    if found is None:
        pytest.skip(f"{name} is not installed (on Debian: apt install {package})")
    return found


def _user(name: str) -> str | None:
    """Return who runs a server: not root, which databases refuse to be."""
    if os.geteuid() != 0:
        return None
    if not Path(os.devnull).stat().st_mode & stat.S_IWOTH:
        pytest.skip(f"only root may write to {os.devnull} here: chmod 666 {os.devnull}")
    return name


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL, and give the address of its database."""
    pytest.importorskip("psycopg2")
    initdb, server = _program("initdb", "postgresql"), _program("postgres", "postgresql")
    user = _user("postgres")
    with _folder(user) as folder:
        data = str(folder / "data")
        _run(
            [initdb, "-D", data, "-U", "pilot", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"],
            folder,
            user,
        )
        command = [server, "-D", data, "-k", str(folder), "-c", "listen_addresses=", "-F"]
        with _server(command, folder, user):
            url = f"postgresql://pilot@/postgres?host={folder}"
            _wait(url, folder)
            yield url


@contextmanager
def mariadb() -> Iterator[str]:
    """Run a MariaDB, and give the address of its database."""
    pytest.importorskip("pymysql")
    install = _program("mariadb-install-db", "mariadb-server")
    server = _program("mariadbd", "mariadb-server")
    user = _user("mysql")
    with _folder(user) as folder:
        data, port = folder / "data", _free_port()
        _run(
            [
                install,
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            folder,
            user,
        )
        command = [
            server,
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={folder / 'socket'}",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--pid-file={folder / 'pid'}",
        ]
        with _server(command, folder, user):
            address = f"mysql+pymysql://root@127.0.0.1:{port}/{{}}?charset=utf8mb4"
            _wait(address.format("mysql"), folder)
            engine = sqlalchemy.create_engine(address.format("mysql"))
            with engine.begin() as connection:
                connection.execute(
                    sqlalchemy.text(
                        "CREATE DATABASE pilot CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
                    )
                )
            engine.dispose()
            yield address.format("pilot")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _folder(user: str | None) -> Iterator[Path]:
    """Make a folder that the server may enter, which it may not with those of the tests."""
    folder = Path(tempfile.mkdtemp(prefix="pilot-db-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: Sequence[str], folder: Path, user: str | None) -> None:
    done = subprocess.run(
        command, cwd=folder, user=user, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[0]}:\n{done.stdout}{done.stderr}"


@contextmanager
def _server(command: Sequence[str], folder: Path, user: str | None) -> Iterator[None]:
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, cwd=folder, user=user, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        ) as process,
    ):
        try:
            yield
        finally:
            # There is nothing worth keeping.
            process.kill()


def _wait(url: str, folder: Path) -> None:
    """Wait until a server answers."""
    engine = sqlalchemy.create_engine(url)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            engine.connect().close()
        except OperationalError as err:
            if time.monotonic() > deadline:
                log = (folder / "log").read_text(errors="replace")
                pytest.fail(f"no answer: {err}\n{log}")
            time.sleep(0.1)
        else:
            engine.dispose()
            return
