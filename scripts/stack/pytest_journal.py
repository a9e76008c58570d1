"""A pytest plug-in that notes how far a run is, what was retried and where the time goes.

``scripts/test`` loads it into every step that runs pytest: ``-p stack.pytest_journal``.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
import time
from typing import TYPE_CHECKING, Any

import pytest

from .results import Cost, Failure, Journal

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plug-in's options."""
    group = parser.getgroup("journal")
    group.addoption("--journal", type=Path, help="write retries and times there")
    group.addoption("--journal-progress", type=Path, help="write how far the run is there")
    group.addoption(
        "--retry-real",
        action="store_true",
        help="try tests again, once, that are marked `real` and fail",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to take notes."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(_WorkerNotes(config), "journal-notes")
    elif config.getoption("--journal"):
        config.pluginmanager.register(_Notes(config), "journal-notes")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have tests that depend on more than this process tried again; no others."""
    if config.getoption("--retry-real"):
        for item in items:
            if item.get_closest_marker("real"):
                item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=1))


class _FixtureTimes:
    """What setting up fixtures took, by name: how often, and seconds together."""

    def __init__(self) -> None:
        self._fixtures: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        start = time.perf_counter()
        try:
            return (yield)
        finally:
            took = self._fixtures[f"{fixturedef.argname} ({fixturedef.scope})"]
            took[0] += 1
            took[1] += time.perf_counter() - start

    def add(self, fixtures: dict[str, list[float]]) -> None:
        for name, (times, seconds) in fixtures.items():
            took = self._fixtures[name]
            took[0] += times
            took[1] += seconds


class _WorkerNotes(_FixtureTimes):
    """In a worker of pytest-xdist: everything else is known to the process that started it."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__()
        self._config: Any = config

    def pytest_sessionfinish(self) -> None:
        self._config.workeroutput["journal-fixtures"] = dict(self._fixtures)


class _Notes(_FixtureTimes):
    """In the process that reports."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__()
        self._path: Path = config.getoption("--journal")
        self._progress: Path | None = config.getoption("--journal-progress")
        self._retries: list[Failure] = []
        self._failures: list[Failure] = []
        self._tests: dict[str, float] = defaultdict(float)
        self._done = 0
        self._total = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._total = len(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        self.add(getattr(node, "workeroutput", {}).get("journal-fixtures", {}))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._tests[report.nodeid] += report.duration
        # The outcome that pytest-rerunfailures adds.
        if str(report.outcome) == "rerun":
            self._retries.append(Failure(report.nodeid, _error(report)))
        elif report.failed:
            self._failures.append(Failure(report.nodeid, _error(report)))
        if report.when == "teardown":
            self._done += 1
            self._tell()

    def pytest_sessionfinish(self) -> None:
        Journal(
            self._retries,
            self._failures,
            [Cost(name, seconds) for name, seconds in self._tests.items()],
            [Cost(name, seconds, int(n)) for name, (n, seconds) in self._fixtures.items()],
        ).write(self._path)

    def _tell(self) -> None:
        if self._progress:
            text = f"{self._done}/{self._total}"
            if self._failures:
                text += f", {len(self._failures)} failed"
            self._progress.write_text(text, encoding="utf-8")


def _error(report: pytest.TestReport) -> str:
    """Return the first line of what failed."""
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else report.longreprtext).strip().splitlines()
    return str(lines[0]) if lines else ""
