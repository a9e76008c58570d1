"""What each step of ``scripts/test`` does."""

from __future__ import annotations

from collections import Counter
import contextlib
from dataclasses import dataclass, field, replace
import os
from pathlib import Path
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from typing import IO, TYPE_CHECKING, Any

from . import ansible, guest, nspawn, system, toolchain, wine
from .console import StackError, fail, paint
from .paths import ROOT, cache_dir
from .results import Cost, Counts, Journal, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

INTERRUPTED = "interrupted"
"""The note of a step that a user or a CI runner has ended."""

_NO_TESTS_COLLECTED = 5
_AGENT_FLOOR = 90
_INTEGRATION_FLOOR = 95

_IMPORT_CONTRACTS = "importlinter"
"""The table of ``pyproject.toml`` that says which package may import which."""
_SYNC_PROTOCOL = ROOT / "scripts" / "sync-protocol"
"""Compares the two copies of the protocol, where there are two."""

# Real hosts, brokers and browsers share two cores with whatever else runs there: a limit that is
# missed once is weather, twice is a failure. The summary names what was tried again. Tests of
# pure code are never tried again.
_AGAIN = ("--reruns=1", "--reruns-delay=1")
# What a first try failed by is a defect as well.
_RETRY_REAL = ("--retry-real", "--rerun-show-tracebacks")
_ANY_WORKER = ("--dist=worksteal",)
# Tests have limits of their own. This one ends a step that hangs as a whole, and must not end one
# that only waits for its share of a busy machine.
_LIMIT = 3600.0

# Others may have a processor when no step that waits, with limits, needs it. Beside one of its
# processes, this leaves a tenth of the processor to what computes.
NICE = 10

COMPUTES = 0.9
"""The load of a step that waits for little; one fits beside those that wait."""

# Arithmetic and text on values and trees that the tests bring: what holds on Python 3.14 holds on
# 3.11. Documents are the same on both. And what others try on 3.11: updates and logind, on the
# hosts of `systemd` with Debian 12's own; calls of Windows, in `windows`.
# docs/development.md, "Two Pythons", says what has to run on both.
_ON_ONE_PYTHON = (
    "tests/agent/buffer/test_properties.py",
    "tests/agent/cli/migrate",
    "tests/agent/plugins",
    "tests/agent/power/test_control.py",
    "tests/agent/power/test_logind_watch.py",
    "tests/agent/power/test_windows_control.py",
    "tests/agent/power/test_windows_watch.py",
    "tests/agent/protocol/test_docs.py",
    "tests/agent/test_broker_clusters.py",
    "tests/agent/test_brokers.py",
    "tests/agent/test_worked_examples.py",
    "tests/agent/updates/test_launcher.py",
    "tests/agent/winapi",
)
# The tests of the agent that run on Windows; the job for a real one reads it as well.
_ON_WINDOWS = "@tests/windows/agent_tests.txt"
# Searches for inputs that break a reader: their examples run on both, the search on one.
_EXAMPLES_ALONE = ("-m", "not hypothesis")


@dataclass
class Options:
    """What the command line asks for."""

    steps: list[str] = field(default_factory=list)
    pytest: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    times: bool = False
    """Show where the time went."""
    quick: bool = False
    """Leave out checks that take more than some seconds."""
    serial: bool = False
    """Run one step after the other."""
    repeat: int = 0
    """How often to run each test, without trying again; 0 for an ordinary run."""
    workers: int = 1
    """How many processes a step may spread its tests over."""
    colour: bool = False
    """Whether the output will be shown on a terminal."""
    progress: str | None = None
    """Where pytest writes how far it is."""

    @property
    def everything(self) -> bool:
        """Whether no test was left out, so that coverage means something."""
        return not self.paths and not self.pytest and not self.repeat

    @property
    def interactive(self) -> bool:
        """Whether pytest will talk with the user."""
        return bool({"--pdb", "--trace"} & set(self.pytest))


@dataclass(frozen=True)
class Step:
    """One line of the summary."""

    name: str
    groups: tuple[str, ...]
    title: str
    run: Callable[[Options], Outcome]
    load: float
    """How many processors it keeps busy, on average; ``--times`` has what it takes of them."""
    minutes: float
    """About how long it takes by itself, on two processors."""
    tests: str | None = None
    """The folder of its tests, for steps that run pytest."""
    waits: bool = False
    """Whether it mostly waits for real programs, and with limits: these get a processor first."""
    asked_for: bool = False
    """Whether it runs only when it is named: it repeats another one on other versions."""
    processes: int = 1
    """How many processes its tests are spread over at least, where some of them wait."""

    def workers(self, steps: int, processors: int) -> int:
        """Return how many processes to spread its tests over, when so many steps run."""
        return max(2 if self.waits else self.processes, processors // steps)


# -- the steps -------------------------------------------------------------------


def _lint(options: Options) -> Outcome:
    folder = toolchain.environment("lint") / "bin"
    checks = [
        ("ruff check", [str(folder / "ruff"), "check", "."]),
        ("ruff format", [str(folder / "ruff"), "format", "--check", "."]),
        ("shellcheck", [str(folder / "shellcheck"), *_shell_scripts()]),
    ]
    if _IMPORT_CONTRACTS in _pyproject().get("tool", {}):
        checks.append(("import-linter", [str(folder / "lint-imports"), "--no-cache"]))
    if _SYNC_PROTOCOL.exists():
        checks.append(("protocol", [str(_SYNC_PROTOCOL), "--check"]))
    checks.append(("version before", [str(ROOT / "scripts" / "pin-previous"), "--check"]))
    first = _all_of(checks, limit=300, PYTHONPATH=str(ROOT))
    if options.quick:
        return first
    command = [ansible.program("ansible-lint"), "--offline", "--project-dir", "."]
    second = _all_of(
        [("ansible-lint", command)], limit=300, cwd=ansible.COLLECTION, **ansible.env()
    )
    return Outcome(
        ok=first.ok and second.ok,
        note=", ".join(one.note for one in (first, second) if one.note),
        commands=first.commands + second.commands,
    )


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


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
            system.require("mosquitto", "dbus-daemon", "dbusmock", "dunst", "pulseaudio", "mpv")
            system.require("nats-server", "nginx", "nut", "pipewire", "rabbitmq", "Xvfb")
            system.require("umockdev", "power-profiles-daemon", "packagekit")
        flags = ["--timeout=300", *_ANY_WORKER]
        if options.everything and coverage:
            flags += _coverage("companion_agent", _AGENT_FLOOR)
        elif options.everything and f"agent-{version}" not in options.steps:
            flags += [f"--ignore={path}" for path in _ON_ONE_PYTHON]
            flags += _EXAMPLES_ALONE
        return _pytest(f"agent-{version}", "tests/agent", flags, options)

    return run


def _integration(options: Options) -> Outcome:
    # Elsewhere the tests that need these say so and skip.
    if system.can_apt_install():
        system.require("postgresql", "mariadb")
    flags = ["--timeout=300", "-o", "asyncio_mode=auto", *_ANY_WORKER]
    if options.everything:
        flags += _coverage("custom_components.pilot", _INTEGRATION_FLOOR)
    return _pytest("integration", "tests/integration", flags, options)


def _scripts(options: Options) -> Outcome:
    return _pytest("agent-3.11", "tests/scripts", ["--timeout=120"], options)


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
    # Elsewhere the tests that need these say so and skip.
    if system.can_apt_install():
        system.require("dbus-send", "faketime", "nats-server", "nginx", "rabbitmq")
    # What wants the same browser stays together.
    flags = [*_AGAIN, "--dist=loadgroup"]
    return _pytest("homeassistant", "tests/e2e", flags, options)


def _systemd(options: Options) -> Outcome:
    if system.can_apt_install():
        system.require("mosquitto", "systemd-nspawn", "debootstrap", "ssh")
        system.require("rpmbuild", "lintian", "rpmlint")
    if not nspawn.why_not():
        # Downloaded here, no test has to do it within its limit.
        for suite in nspawn.SUITES:
            nspawn.base_root(suite)
            nspawn.compile_agent(suite)
        for suite in nspawn.LARGE_DESKTOPS:
            nspawn.large_desktops(suite)
    return _pytest("agent-3.11", "tests/systemd", [*_AGAIN, *_ANY_WORKER], options)


def _windows(options: Options) -> Outcome:
    if system.can_apt_install():
        system.require("gstreamer", "makensis", "mosquitto", "osslsigncode", "pulseaudio")
        system.require("wine", "Xvfb")
    reason = wine.why_not()
    if not reason:
        # Made here, no test has to do it within its limit.
        wine.python_folder()
        wine.template()
        wine.compile_agent()
    flags = [*_AGAIN, *_ANY_WORKER]
    if reason or options.paths or options.repeat:
        return _pytest("agent-3.11", "tests/windows", flags, options)
    # It computes, while the others have limits and wait: they get a processor first.
    command = ["nice", "-n", str(NICE), sys.executable, "-m", "stack.run_in_wine", "python"]
    command += ["-m", "pytest", "-p", "stack.pytest_journal", *_RETRY_REAL, "--timeout=300"]
    # Its caches are Linux' own.
    command += [*_EXAMPLES_ALONE, "-p", "no:cacheprovider"]
    if options.interactive:
        first = _pytest("agent-3.11", "tests/windows", flags, options)
        return first + _pytest_once(command, [_ON_WINDOWS], options)
    with (
        tempfile.TemporaryFile() as output,
        _pytest_started(command, [_ON_WINDOWS], options, output=output) as outcome,
    ):
        first = _pytest("agent-3.11", "tests/windows", flags, options)
        second = outcome()
        print(f"\n{paint('$', '36')} tests/agent with CPython for Windows", flush=True)
        output.seek(0)
        shutil.copyfileobj(output, sys.stdout.buffer)
    return first + second


def _windows_newer(options: Options) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="pilot-wine-") as folder,
        wine.debian_13(Path(folder)),
    ):
        return _windows(options)


def _hardware(options: Options) -> Outcome:
    if system.can_apt_install():
        system.require("qemu", "mke2fs")
    if not guest.why_not():
        # Made here, no test has to do it within its limit.
        guest.image()
    # One process, one boot.
    return _pytest("agent-3.11", "tests/hardware", [*_AGAIN], replace(options, workers=1))


STEPS = (
    Step("lint", (), "rules and format of the code", _lint, load=COMPUTES, minutes=0.4),
    Step("types", (), "mypy --strict", _types, load=COMPUTES, minutes=0.8),
    Step(
        "agent-3.11", ("agent", "unit"), "unit tests of the agent, Python 3.11",
        # Longer than the next one, which has two processes: what is left at the end is for both.
        _agent("3.11", coverage=False), load=COMPUTES, minutes=9, tests="tests/agent",
    ),
    Step(
        "agent-3.14", ("agent", "unit"), "unit tests of the agent, Python 3.14",
        # Some of its tests wait for brokers, buses and desktops, and it is the last step to end.
        _agent("3.14", coverage=True), load=COMPUTES, minutes=8, tests="tests/agent", processes=2,
    ),
    Step(
        "integration", ("unit",), "unit tests of the integration, Home Assistant 2026.10.4",
        _integration, load=COMPUTES, minutes=10, tests="tests/integration",
    ),
    Step(
        "scripts", ("unit",), "unit tests of the scripts, Python 3.11",
        _scripts, load=COMPUTES, minutes=0.3, tests="tests/scripts",
    ),
    Step(
        "cards", ("unit",), "types and unit tests of the cards, Node.js",
        _cards, load=COMPUTES, minutes=0.3,
    ),
    Step(
        "systemd", ("hosts",), "the agent on hosts that really boot",
        _systemd, load=0.5, minutes=25, tests="tests/systemd", waits=True,
    ),
    Step(
        "windows", (), "the agent on Windows PCs, in Wine",
        # More than fits beside the other two that wait: its PCs have limits too.
        _windows, load=1.1, minutes=9, tests="tests/windows", waits=True,
    ),
    Step(
        "windows-newer", (), "the same on Debian 13's Wine 10, with CPython 3.13",
        _windows_newer, load=1.1, minutes=9, tests="tests/windows", waits=True, asked_for=True,
    ),
    Step(
        "hardware", (), "the agent on a machine with hardware, in QEMU",
        _hardware, load=COMPUTES, minutes=3.5, tests="tests/hardware",
    ),
    Step(
        "e2e", (), "end-to-end tests, Home Assistant 2026.11.0",
        _e2e, load=0.6, minutes=25, tests="tests/e2e", waits=True,
    ),
)  # fmt: skip

USUAL_STEPS = tuple(step for step in STEPS if not step.asked_for)
"""What runs where no step is named."""


# -- running them ------------------------------------------------------------------


def perform(step: Step, options: Options) -> Outcome:
    """Run a step in this process; what goes wrong is part of the outcome."""
    print(f"\n{paint('══', '36')} {paint(step.name, '1')} · {step.title}", flush=True)
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        outcome = step.run(options)
    except StackError as error:
        fail(error)
        outcome = Outcome(ok=False, note=error.message.splitlines()[0])
    except KeyboardInterrupt:
        outcome = Outcome(ok=False, note=INTERRUPTED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome.seconds = time.monotonic() - start
    outcome.cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result = paint("passed", "32") if outcome.ok else paint("FAILED", "31")
    print(f"{paint('──', '36')} {step.name} {result} in {duration(outcome.seconds)}", flush=True)
    return outcome


def duration(seconds: float) -> str:
    """Return a time as it is read."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _coverage(package: str, floor: int) -> list[str]:
    return [f"--cov={package}", f"--cov-fail-under={floor}", "--cov-report=term-missing"]


def _pytest(
    environment: str,
    folder: str,
    flags: Sequence[str],
    options: Options,
) -> Outcome:
    if not (ROOT / folder).exists():
        return Outcome(ok=True, counts=Counts(), note=f"there is no {folder}")
    paths = [path for path in options.paths if path.startswith(folder)] or [folder]
    command = [str(toolchain.python_of(environment)), "-m", "pytest", "-p", "stack.pytest_journal"]
    command += [*flags, *_distribution(options)]
    if options.colour:
        command.append("--color=yes")
    if options.repeat:
        return _repeat([*command, "--reruns=0"], paths, options)
    if options.progress:
        command.append(f"--journal-progress={options.progress}")
    return _pytest_once([*command, *_RETRY_REAL], paths, options)


def _distribution(options: Options) -> list[str]:
    """Spread a whole run over processes; for a few tests their start would cost more."""
    alone = options.workers == 1 or not options.everything
    return [] if alone else [f"-n{options.workers}"]


def _pytest_once(
    command: Sequence[str],
    paths: Sequence[str],
    options: Options,
    *,
    output: IO[bytes] | None = None,
) -> Outcome:
    with _pytest_started(command, paths, options, output=output) as outcome:
        return outcome()


@contextlib.contextmanager
def _pytest_started(
    command: Sequence[str],
    paths: Sequence[str],
    options: Options,
    *,
    output: IO[bytes] | None = None,
) -> Iterator[Callable[[], Outcome]]:
    """Run pytest beside what is done meanwhile; what is yielded waits for its outcome."""
    with tempfile.TemporaryDirectory(prefix="pilot-test-") as scratch:
        report, journal = Path(scratch) / "junit.xml", Path(scratch) / "journal.json"
        with _started(
            [
                *command, f"--junitxml={report}", f"--journal={journal}",
                *options.pytest, *paths,
            ],
            limit=_LIMIT,
            output=output,
            interactive=options.interactive,
            env={
                "PYTHONPATH": str(ROOT / "scripts"),
                # Beside the reports of the other steps, not over them.
                "COVERAGE_FILE": str(Path(scratch) / "coverage"),
            },
        ) as wait:  # fmt: skip
            yield lambda: _outcome(wait(), report, journal)


def _outcome(code: int, report: Path, journal: Path) -> Outcome:
    counts, noted = Counts.of_report(report), Journal.read(journal)
    if code == _NO_TESTS_COLLECTED:
        return Outcome(ok=True, counts=counts, note="no test was asked for", journal=noted)
    notes = {124: f"took longer than {_LIMIT:.0f} s", 2: "interrupted, or not collected"}
    note = notes.get(code, f"pytest died of signal {-code}" if code < 0 else "")
    if code and not counts.failed and not note:
        note = "see above: coverage, or pytest itself"
    return Outcome(ok=code == 0, counts=counts, note=note, journal=noted)


def _repeat(command: Sequence[str], paths: Sequence[str], options: Options) -> Outcome:
    """Run tests again and again, each time from the start; show the output of what failed."""
    runs: list[Outcome] = []
    for number in range(1, options.repeat + 1):
        with tempfile.TemporaryFile() as output:
            one = _pytest_once(command, paths, options, output=output)
            if not one.ok:
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout.buffer)
        runs.append(one)
        failed = sum(not run.ok for run in runs)
        result = paint("passed", "32") if one.ok else paint("FAILED", "31")
        print(f"{paint('──', '36')} run {number} {result}; {failed} of {number} failed", flush=True)
    often = Counter(one.test for run in runs for one in run.journal.failures)
    for test, times in often.most_common():
        print(f"  {times:4} of {len(runs)} times  {test}")
    return Outcome(
        ok=not failed,
        counts=sum((run.counts for run in runs if run.counts), Counts()),
        note=f"failed {failed} of {len(runs)} times",
    )


def _all_of(
    checks: Sequence[tuple[str, list[str]]], *, limit: float, cwd: Path = ROOT, **env: str
) -> Outcome:
    """Run commands, all of them, whatever becomes of the first."""
    failed, commands = [], []
    for name, command in checks:
        print(f"{paint('$', '36')} {name}", flush=True)
        start = time.monotonic()
        if _call(command, limit=limit, cwd=cwd, env=env):
            failed.append(name)
        commands.append(Cost(name, time.monotonic() - start))
    return Outcome(ok=not failed, note=", ".join(failed), commands=commands)


def _call(
    command: Sequence[str],
    *,
    limit: float,
    cwd: Path = ROOT,
    output: IO[bytes] | None = None,
    interactive: bool = False,
    env: Mapping[str, str] | None = None,
) -> int:
    """Run a command and return its exit code; 124 where it was not done in time."""
    with _started(
        command, limit=limit, cwd=cwd, output=output, interactive=interactive, env=env
    ) as wait:
        return wait()


@contextlib.contextmanager
def _started(
    command: Sequence[str],
    *,
    limit: float,
    cwd: Path = ROOT,
    output: IO[bytes] | None = None,
    interactive: bool = False,
    env: Mapping[str, str] | None = None,
) -> Iterator[Callable[[], int]]:
    """Run a command in a process group of its own, which is ended as a whole.

    What is yielded waits for its end, as `_call` does.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=toolchain.clean_env(**(env or {})),
        stdout=output,
        stderr=output,
        # In another group than the terminal's it could not read what the user types.
        process_group=None if interactive else 0,
    ) as process:

        def wait() -> int:
            try:
                return process.wait(None if interactive else limit)
            except subprocess.TimeoutExpired:
                fail(StackError(f"not done after {limit:.0f} s: {command[0]}"))
                end_group(process)
                return 124

        try:
            yield wait
        except BaseException:
            if interactive:
                process.terminate()
            else:
                end_group(process)
            raise


def end_group(process: subprocess.Popen[bytes], patience: float = 20) -> None:
    """Ask for an orderly end first: tests have processes and networks to clean up.

    Args:
        process: The leader of its process group.
        patience: Seconds between one signal and the next, harder one.

    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
