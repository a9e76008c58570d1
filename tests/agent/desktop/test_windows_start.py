"""How the session helper is started on Windows, and kept running."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from companion_agent.service import session_start
from companion_agent.session_helper import keeper, windows_start
from companion_agent.winapi import folders
from support.windows_api import FakeWindows
from support.windows_services import FakeRunKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PYTHON = r"C:\Program Files\Pilot\python.exe"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    """A Windows that knows jobs."""
    return FakeWindows(
        {
            "kernel32.CreateJobObjectW": lambda *_: 0x900,
            "kernel32.SetInformationJobObject": lambda *_: 1,
            "kernel32.AssignProcessToJobObject": lambda *_: 1,
            "kernel32.CloseHandle": lambda _: 1,
        }
    ).install(monkeypatch)


def ends_with(*codes: int, folder: Path) -> list[str]:
    """Return a command that ends with one code after the other."""
    counted = folder / "starts"
    program = (
        "import pathlib, sys\n"
        f"path = pathlib.Path({str(counted)!r})\n"
        "starts = len(path.read_text()) if path.exists() else 0\n"
        "path.write_text('x' * (starts + 1))\n"
        f"sys.exit({list(codes)}[starts])"
    )
    return [sys.executable, "-c", program]


def test_a_helper_that_fails_is_started_again_ever_later(jobs: FakeWindows, tmp_path: Path) -> None:
    waits: list[float] = []

    code = keeper.keep(
        ends_with(1, -9, 1, 0, folder=tmp_path), frozenset({0, 3}), waits.append, lambda: 0.0
    )

    assert code == 0
    assert waits == [1, 2, 4]
    taken = [call for call in jobs.calls if call[0] == "AssignProcessToJobObject"]
    assert len(taken) == 4


def test_a_helper_that_worked_for_long_is_started_again_soon(
    jobs: FakeWindows, tmp_path: Path
) -> None:
    waits: list[float] = []
    seconds = iter(range(0, 10_000, 100))

    keeper.keep(
        ends_with(1, 1, 1, 3, folder=tmp_path),
        frozenset({0, 3}),
        waits.append,
        lambda: float(next(seconds)),
    )

    assert waits == [1, 1, 1]


@pytest.fixture
def no_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before


@pytest.mark.usefixtures("no_logging")
def test_without_a_console_it_logs_into_the_users_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "known", lambda _: tmp_path)
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr("companion_agent.session_helper.runtime.run", lambda: 3)
    # pytest's own, which would be taken for one that is set up already.
    logging.getLogger().handlers.clear()

    assert windows_start.main(once=True) == 3
    logging.getLogger("companion_agent.session_helper").warning("déjà vu")

    assert "déjà vu" in (tmp_path / "Pilot" / "session.log").read_text("utf-8")


@pytest.mark.usefixtures("no_logging")
def test_it_works_where_nothing_can_be_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Path:
        raise OSError("no such folder")

    kept: list[tuple[Any, ...]] = []
    monkeypatch.setattr(folders, "known", fail)
    monkeypatch.setattr(sys, "orig_argv", ["pythonw", "-P", "-m", "companion_agent", "session"])
    monkeypatch.setattr(keeper, "keep", lambda *given: kept.append(given) or 0)

    assert windows_start.main(once=False) == 0

    assert kept == [
        ([sys.executable, "-P", "-m", "companion_agent", "session", "--once"], frozenset({0, 3}))
    ]


# --- The `Run` key ---------------------------------------------------------------------------


@pytest.fixture
def run_key(monkeypatch: pytest.MonkeyPatch) -> FakeRunKey:
    return FakeRunKey().install(monkeypatch)


def test_each_log_in_starts_it_without_a_console(run_key: FakeRunKey) -> None:
    line = session_start.command([PYTHON, "-P", "-m", "companion_agent"])

    assert line == r'"C:\Program Files\Pilot\pythonw.exe" -P -m companion_agent session'
    assert session_start.register(line)
    assert not session_start.register(line)
    assert session_start.registered() == line


def test_it_is_taken_away(run_key: FakeRunKey) -> None:
    session_start.register("pythonw")

    assert session_start.unregister()
    assert not session_start.unregister()
    assert session_start.registered() == ""


class FakeProcess:
    """A process of the machine."""

    def __init__(self, *line: str, hidden: bool = False) -> None:
        self._line = line
        self._hidden = hidden
        self.ended: list[FakeProcess] | None = None

    def cmdline(self) -> list[str]:
        if self._hidden:
            raise OSError
        return list(self._line)

    def terminate(self) -> None:
        assert self.ended is not None
        self.ended.append(self)


def test_helpers_of_this_installation_are_ended_and_what_keeps_them_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ("-m", "companion_agent", "session")
    monkeypatch.setattr(sys, "executable", PYTHON)
    helper = FakeProcess(PYTHON, *module, "--once")
    started = "from companion_agent.cli import main; raise SystemExit(main())"
    kept = FakeProcess(r"C:\Program Files\Pilot\pythonw.exe", "-P", "-c", started, "session")
    others = [
        FakeProcess(r"D:\other\pythonw.exe", *module),
        FakeProcess(PYTHON, "-m", "companion_agent", "run"),
        FakeProcess(hidden=True),
        FakeProcess(),
    ]
    ended: list[FakeProcess] = []
    for process in (helper, kept, *others):
        process.ended = ended
    monkeypatch.setattr(psutil, "process_iter", lambda: iter([helper, *others, kept]))
    monkeypatch.setattr(psutil, "wait_procs", lambda *_: None)

    assert session_start.end_running() == 2
    assert ended == [kept, helper]
