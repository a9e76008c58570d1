"""``scripts/test``: every check of the project, step by step, with a summary."""

from __future__ import annotations

from dataclasses import dataclass, field
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from . import ansible, system, toolchain
from .console import StackError, fail, paint
from .paths import ROOT, cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NO_TESTS_COLLECTED = 5
_AGENT_FLOOR = 90
_INTEGRATION_FLOOR = 95

# Real brokers, hosts and browsers share two cores with whatever else runs there: a limit that is
# missed once is weather, twice is a failure. The report names what was tried again.
_AGAIN = ("--reruns=1", "--reruns-delay=1", "-r", "R")

HELP = """\
usage: scripts/test [STEP ...] [PYTEST-ARGUMENT ...]

Without a step everything runs that CI runs. Steps:
  lint          ruff (rules and format), shellcheck, ansible-lint
  types         mypy --strict
  agent         unit tests of the agent, on Python 3.11 and 3.14
  integration   unit tests of the integration, in Home Assistant 2026.10.4
  cards         types and unit tests of the cards, in Node.js
  unit          agent, integration and cards
  systemd       the agent on hosts that really boot and shut down
  e2e           a real Home Assistant 2026.11.0, Mosquitto and Chromium

Everything else goes to pytest, in each step that runs it:
  scripts/test -k availability
  scripts/test agent -x --pdb
  scripts/test tests/integration/test_config_flow.py::test_mqtt_discovery

What is missing is installed below ~/.cache/pilot ($PILOT_CACHE), and as root on
Debian with apt.
"""


@dataclass
class Counts:
    """Results of tests."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
        )

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {self.skipped} skipped" if self.skipped else text

    @property
    def total(self) -> int:
        """How many there were."""
        return self.passed + self.failed + self.skipped


@dataclass
class Outcome:
    """What became of a step."""

    ok: bool
    counts: Counts | None = None
    note: str = ""
    seconds: float = 0


@dataclass(frozen=True)
class Step:
    """One line of the summary."""

    name: str
    groups: tuple[str, ...]
    title: str
    run: Callable[[Options], Outcome]
    tests: str | None = None
    """The folder of its tests, for steps that run pytest."""


@dataclass
class Options:
    """What the command line asks for."""

    steps: list[str] = field(default_factory=list)
    pytest: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def everything(self) -> bool:
        """Whether no test was left out, so that coverage means something."""
        return not self.paths and not self.pytest


# -- the steps -------------------------------------------------------------------


def _lint(_: Options) -> Outcome:
    folder = toolchain.environment("lint") / "bin"
    checks = [
        ("ruff check", [str(folder / "ruff"), "check", "."]),
        ("ruff format", [str(folder / "ruff"), "format", "--check", "."]),
        ("shellcheck", [str(folder / "shellcheck"), *_shell_scripts()]),
    ]
    first = _all_of(checks, limit=300)
    command = [ansible.program("ansible-lint"), "--offline", "--project-dir", "."]
    second = _all_of(
        [("ansible-lint", command)], limit=300, cwd=ansible.COLLECTION, **ansible.env()
    )
    notes = [one.note for one in (first, second) if one.note]
    return Outcome(ok=first.ok and second.ok, note=", ".join(notes))


def _shell_scripts() -> list[str]:
    """Return every shell script of the checkout, by its first line."""
    scripts = []
    for path in _files():
        try:
            with path.open("rb") as file:
                first = file.readline(80)
        except OSError:  # Listed, but removed from the work tree.
            continue
        if first.startswith(b"#!") and first.split()[-1] in {b"/bin/sh", b"bash", b"/bin/bash"}:
            scripts.append(str(path.relative_to(ROOT)))
    return scripts


def _files() -> list[Path]:
    """Return the files of the checkout, or of an archive of one."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name != ".git"]
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def _types(_: Options) -> Outcome:
    mypy = str(toolchain.environment("lint") / "bin" / "mypy")

    def check(environment: str, *arguments: str) -> tuple[str, list[str]]:
        # A cache of its own for every build: mypy remembers which libraries were missing.
        cache = cache_dir() / "mypy" / toolchain.environment(environment).resolve().name
        command = [mypy, "--strict", "--cache-dir", str(cache)]
        python = str(toolchain.python_of(environment))
        return f"mypy {arguments[-1]}", [*command, "--python-executable", python, *arguments]

    checks = [
        check("agent-3.11", "-p", "companion_agent"),
        # Where these modules exist, mypy sees what the other system's interpreter would.
        check("agent-3.11", "--platform=win32", "-p", "companion_agent"),
        check("integration", "-p", "custom_components.pilot"),
        check("homeassistant", "-p", "stack"),
    ]
    existing = {
        "companion_agent": ROOT / "companion_agent",
        "custom_components.pilot": ROOT / "custom_components" / "pilot",
        "stack": ROOT / "scripts" / "stack",
    }
    return _all_of(
        [check for check in checks if existing[check[1][-1]].exists()],
        limit=900,
        MYPYPATH=os.pathsep.join((str(ROOT), str(ROOT / "scripts"))),
    )


def _agent(version: str, *, coverage: bool) -> Callable[[Options], Outcome]:
    def run(options: Options) -> Outcome:
        # Elsewhere the tests that need these say so and skip.
        if system.can_apt_install():
            system.require("mosquitto", "dbus-daemon", "dbusmock")
        flags = ["--timeout=120", *_AGAIN]
        if coverage and options.everything:
            flags += _coverage("companion_agent", _AGENT_FLOOR)
        return _pytest(f"agent-{version}", "tests/agent", flags, options, limit=1200)

    return run


def _integration(options: Options) -> Outcome:
    # Elsewhere the tests that need these say so and skip.
    if system.can_apt_install():
        system.require("postgresql", "mariadb")
    flags = ["--timeout=120", "-o", "asyncio_mode=auto", *_AGAIN]
    if options.everything:
        flags += _coverage("custom_components.pilot", _INTEGRATION_FLOOR)
    return _pytest("integration", "tests/integration", flags, options, limit=1200)


def _cards(_: Options) -> Outcome:
    node = toolchain.node()
    tests = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/cards").glob("*.mjs"))
    # Home Assistant serves the modules as they are: no package says what they are.
    quiet = "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"
    checks = [
        ("tsc", [node, str(toolchain.tsc()), "--project", "tests/cards/tsconfig.json"]),
        ("node --test", [node, quiet, "--test", "--test-reporter=dot", *tests]),
    ]
    return _all_of(checks, limit=300)


def _e2e(options: Options) -> Outcome:
    system.require("mosquitto", "chromium", "ip")
    # Elsewhere the test that needs it says so and skips.
    if system.can_apt_install():
        system.require("faketime")
    return _pytest(
        "homeassistant",
        "tests/e2e",
        [*_AGAIN],
        options,
        limit=2400,
        PYTHONPATH=str(ROOT / "scripts"),
    )


def _systemd(options: Options) -> Outcome:
    if system.can_apt_install():
        system.require("mosquitto", "systemd-nspawn", "debootstrap", "ssh")
        system.require("rpmbuild", "lintian", "rpmlint")
    return _pytest("agent-3.11", "tests/systemd", [*_AGAIN], options, limit=2400)


STEPS = (
    Step("lint", (), "rules and format of the code", _lint),
    Step("types", (), "mypy --strict", _types),
    Step(
        "agent-3.11", ("agent", "unit"), "unit tests of the agent, Python 3.11",
        _agent("3.11", coverage=False), "tests/agent",
    ),
    Step(
        "agent-3.14", ("agent", "unit"), "unit tests of the agent, Python 3.14",
        _agent("3.14", coverage=True), "tests/agent",
    ),
    Step(
        "integration", ("unit",), "unit tests of the integration, Home Assistant 2026.10.4",
        _integration, "tests/integration",
    ),
    Step("cards", ("unit",), "types and unit tests of the cards, Node.js", _cards),
    Step(
        "systemd", ("hosts",), "the agent on hosts that really boot", _systemd, "tests/systemd",
    ),
    Step(
        "e2e", (), "end-to-end tests, Home Assistant 2026.11.0", _e2e, "tests/e2e",
    ),
)  # fmt: skip


# -- running them ------------------------------------------------------------------


def _coverage(package: str, floor: int) -> list[str]:
    return [f"--cov={package}", f"--cov-fail-under={floor}", "--cov-report=term-missing"]


def _pytest(
    environment: str,
    folder: str,
    flags: Sequence[str],
    options: Options,
    *,
    limit: float,
    **env: str,
) -> Outcome:
    if not (ROOT / folder).exists():
        return Outcome(ok=True, counts=Counts(), note=f"there is no {folder}")
    paths = [path for path in options.paths if path.startswith(folder)] or [folder]
    python = str(toolchain.python_of(environment))
    with tempfile.TemporaryDirectory(prefix="pilot-test-") as scratch:
        report = Path(scratch) / "junit.xml"
        # Beside the reports of the other steps, not over them.
        env["COVERAGE_FILE"] = str(Path(scratch) / "coverage")
        command = [python, "-m", "pytest", *flags, f"--junitxml={report}", *options.pytest, *paths]
        code = _call(command, limit=limit, cwd=ROOT, **env)
        counts = _read_report(report)
    if code == _NO_TESTS_COLLECTED:
        return Outcome(ok=True, counts=counts, note="no test was asked for")
    notes = {124: f"took longer than {limit:.0f} s", 2: "interrupted, or not collected"}
    note = notes.get(code, f"pytest died of signal {-code}" if code < 0 else "")
    if code and not counts.failed and not note:
        note = "see above: coverage, or pytest itself"
    return Outcome(ok=code == 0, counts=counts, note=note)


def _read_report(report: Path) -> Counts:
    """Sum up the test suites of a JUnit report."""
    counts = Counts()
    try:
        suites = ET.parse(report).iter("testsuite")
    except (OSError, ET.ParseError):
        return counts
    for suite in suites:
        tests, failures, errors, skipped = (
            int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")
        )
        # A test whose teardown fails counts in both, so this is never below zero.
        passed = max(0, tests - failures - errors - skipped)
        counts += Counts(passed, failures + errors, skipped)
    return counts


def _all_of(
    checks: Sequence[tuple[str, list[str]]], *, limit: float, cwd: Path = ROOT, **env: str
) -> Outcome:
    """Run commands, all of them, whatever becomes of the first."""
    failed = []
    for name, command in checks:
        print(f"{paint('$', '36')} {name}", flush=True)
        if _call(command, limit=limit, cwd=cwd, **env):
            failed.append(name)
    return Outcome(ok=not failed, note=", ".join(failed))


def _call(command: Sequence[str], *, limit: float, cwd: Path = ROOT, **env: str) -> int:
    """Run a command in a process group of its own, which is ended as a whole."""
    with subprocess.Popen(
        command, cwd=cwd, env=toolchain.clean_env(**env), process_group=0
    ) as process:
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            fail(StackError(f"not done after {limit:.0f} s: {command[0]}"))
            _end_group(process)
            return 124
        except BaseException:
            _end_group(process)
            raise


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask for an orderly end first: tests have processes and networks to clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(20)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def parse(arguments: Sequence[str]) -> Options:
    """Sort the command line into steps, paths of tests and the rest for pytest."""
    names = {step.name for step in STEPS} | {group for step in STEPS for group in step.groups}
    options = Options()
    takes_value = False
    for argument in arguments:
        path = ROOT / argument.split("::")[0]
        if not takes_value and not options.pytest and argument in names:
            options.steps.append(argument)
        elif not takes_value and argument.startswith("tests/") and path.exists():
            options.paths.append(argument)
        else:
            options.pytest.append(argument)
        # The word after one of these belongs to it, whatever it looks like.
        takes_value = argument in {"-k", "-m", "-o", "-p", "-n", "-W", "--deselect", "--ignore"}
    return options


def _selected(options: Options) -> list[Step]:
    if options.steps:
        wanted = set(options.steps)
        return [step for step in STEPS if wanted & {step.name, *step.groups}]
    if options.paths:
        return [
            step
            for step in STEPS
            if step.tests and any(path.startswith(step.tests) for path in options.paths)
        ]
    if options.pytest:  # Such as -k: lint has no use for it.
        return [step for step in STEPS if step.tests]
    return list(STEPS)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _run(step: Step, options: Options) -> Outcome:
    print(f"\n{paint('══', '36')} {paint(step.name, '1')} · {step.title}", flush=True)
    start = time.monotonic()
    try:
        outcome = step.run(options)
    except StackError as error:
        fail(error)
        outcome = Outcome(ok=False, note=error.message.splitlines()[0])
    outcome.seconds = time.monotonic() - start
    result = paint("passed", "32") if outcome.ok else paint("FAILED", "31")
    print(f"{paint('──', '36')} {step.name} {result} in {_duration(outcome.seconds)}", flush=True)
    return outcome


def run(options: Options) -> int:
    """Run the steps and return the exit code."""
    outcomes: list[tuple[Step, Outcome]] = []
    interrupted = False
    for step in _selected(options):
        try:
            outcomes.append((step, _run(step, options)))
        except KeyboardInterrupt:
            outcomes.append((step, Outcome(ok=False, note="interrupted")))
            interrupted = True
            break
    total = sum((o.counts for _, o in outcomes if o.counts), Counts())
    print(f"\n{paint('══', '36')} {paint('summary', '1')}")
    for step, outcome in outcomes:
        mark = paint("✓", "32") if outcome.ok else paint("✗", "31")
        counts = str(outcome.counts) if outcome.counts is not None else ""
        parts = "  ".join(part for part in (counts, outcome.note) if part)
        print(f"{mark} {step.name:<12} {_duration(outcome.seconds):>12}  {parts}".rstrip())
    print(f"  {'together':<12} {_duration(sum(o.seconds for _, o in outcomes)):>12}")
    ok = bool(outcomes) and all(outcome.ok for _, outcome in outcomes)
    if ok and any(step.tests for step, _ in outcomes) and not total.total:
        fail(StackError("no test was found"))
        ok = False
    print(total, flush=True)
    if interrupted:
        return 130
    return 0 if ok else 1


def main() -> int:
    """Run as a program."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    # Ended by a CI runner: clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    return run(parse(arguments))


if __name__ == "__main__":
    sys.exit(main())
