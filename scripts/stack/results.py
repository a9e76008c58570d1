"""What became of the steps of ``scripts/test``, as they hand it to each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
import json
from typing import TYPE_CHECKING, Any, Self
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from pathlib import Path

_XFAIL = "pytest.xfail"


@dataclass
class Counts:
    """Results of tests."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    xfailed: int = 0
    """Failed as their marker says they do."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.xfailed + other.xfailed,
        )

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        for number, name in ((self.skipped, "skipped"), (self.xfailed, "expected to fail")):
            if number:
                text += f", {number} {name}"
        return text

    @property
    def total(self) -> int:
        """How many there were."""
        return self.passed + self.failed + self.skipped + self.xfailed

    @classmethod
    def of_report(cls, report: Path) -> Counts:
        """Sum up the test suites of a JUnit report; zeros where there is none."""
        counts = cls()
        try:
            suites = list(ET.parse(report).iter("testsuite"))
        except (OSError, ET.ParseError):
            return counts
        for suite in suites:
            tests, failures, errors, skipped = (
                int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")
            )
            # A test whose teardown fails counts in both, so this is never below zero.
            passed = max(0, tests - failures - errors - skipped)
            # The report counts both as skipped, and names them apart.
            xfailed = sum(one.get("type") == _XFAIL for one in suite.iter("skipped"))
            counts += cls(passed, failures + errors, skipped - xfailed, xfailed)
        return counts


@dataclass
class Failure:
    """A test that failed."""

    test: str
    error: str
    """The first line of what failed."""


@dataclass
class Cost:
    """What something took, in seconds, and how often it was done."""

    name: str
    seconds: float
    times: int = 1


@dataclass
class Journal:
    """What :mod:`stack.pytest_journal` notes of a run of pytest."""

    retries: list[Failure] = field(default_factory=list)
    """Of tests that were tried again."""
    failures: list[Failure] = field(default_factory=list)
    tests: list[Cost] = field(default_factory=list)
    fixtures: list[Cost] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote; an empty one where pytest wrote none."""
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return cls()

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """Make it of what JSON has."""
        return cls(
            [Failure(**one) for one in raw["retries"]],
            [Failure(**one) for one in raw["failures"]],
            [Cost(**one) for one in raw["tests"]],
            [Cost(**one) for one in raw["fixtures"]],
        )


@dataclass
class Outcome:
    """What became of a step."""

    ok: bool
    counts: Counts | None = None
    note: str = ""
    seconds: float = 0
    cpu_seconds: float = 0
    """Of all its processes, as far as they were waited for."""
    commands: list[Cost] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal)

    def __add__(self, other: Outcome) -> Outcome:
        """Sum up two parts of a step."""
        return Outcome(
            ok=self.ok and other.ok,
            counts=(self.counts or Counts()) + (other.counts or Counts()),
            note=", ".join(one.note for one in (self, other) if one.note),
            commands=self.commands + other.commands,
            journal=Journal(
                *(
                    getattr(self.journal, one.name) + getattr(other.journal, one.name)
                    for one in fields(Journal)
                )
            ),
        )

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read what :meth:`write` wrote; ``None`` where the step did not come to that."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        raw["counts"] = Counts(**raw["counts"]) if raw["counts"] else None
        raw["commands"] = [Cost(**one) for one in raw["commands"]]
        raw["journal"] = Journal.of(raw["journal"])
        return cls(**raw)
