"""``scripts/test``: every check of the project, side by side, with a summary."""

from __future__ import annotations

from dataclasses import replace
import signal
import sys
import time
from typing import TYPE_CHECKING

from .console import StackError, fail, paint
from .paths import ROOT
from .results import Cost, Counts, Outcome
from .scheduler import SideBySide, processors
from .steps import INTERRUPTED, STEPS, USUAL_STEPS, Options, Step, duration, perform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHOWN = 15
"""How many of the slowest ``--times`` names."""

HELP = """\
usage: scripts/test [STEP ...] [--times] [--repeat N] [PYTEST-ARGUMENT ...]

Without a step everything runs that CI runs. Steps:
  lint          ruff (rules and format), shellcheck, import-linter, ansible-lint
  types         mypy --strict
  agent         unit tests of the agent: all on Python 3.14, on 3.11 what may differ there
  integration   unit tests of the integration, in Home Assistant 2026.10.4
  scripts       unit tests of what runs the steps
  cards         types and unit tests of the cards, in Node.js
  unit          agent, integration, scripts and cards
  systemd       the agent on hosts that really boot and shut down
  windows       the agent on Windows PCs, in Wine
  windows-newer the same with Wine 10 and CPython 3.13; runs only when it is named
  hardware      the agent on a machine with disks, a monitor and drivers, in QEMU
  e2e           a real Home Assistant 2026.11.0, Mosquitto and Chromium

Several steps run side by side, and each shows its output when it ends.
  --times       show where the time goes: steps, commands, tests, fixtures
  --repeat N    run the tests N times, each time from the start and without trying
                any again, and show how often they failed
  --quick       lint without ansible-lint, in seconds
  --serial      one step after the other, with the output as it comes

Everything else goes to pytest, in each step that runs it:
  scripts/test -k availability
  scripts/test agent-3.11 -x --pdb
  scripts/test tests/integration/test_config_flow.py::test_mqtt_discovery
  scripts/test --repeat 20 tests/e2e/test_recovery.py -k broker

What is missing is installed below ~/.cache/pilot ($PILOT_CACHE), and as root on
Debian with apt.
"""


def parse(arguments: Sequence[str]) -> Options:
    """Sort the command line into steps, paths of tests and the rest for pytest.

    Raises:
        StackError: ``--repeat`` has no number.

    """
    names = {step.name for step in STEPS} | {group for step in STEPS for group in step.groups}
    options = Options(colour=sys.stdout.isatty())
    takes_value = False
    words = iter(arguments)
    for word in words:
        path = ROOT / word.split("::")[0]
        if takes_value:
            options.pytest.append(word)
        elif word == "--times":
            options.times = True
        elif word == "--quick":
            options.quick = True
        elif word == "--serial":
            options.serial = True
        elif word == "--repeat":
            options.repeat = _number(next(words, ""))
        elif not options.pytest and word in names:
            options.steps.append(word)
        elif word.startswith("tests/") and path.exists():
            options.paths.append(word)
        else:
            options.pytest.append(word)
        # The word after one of these belongs to it, whatever it looks like.
        takes_value = not takes_value and word in {
            "-k", "-m", "-o", "-p", "-n", "-W", "--deselect", "--ignore"
        }  # fmt: skip
    return options


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise StackError("--repeat needs to know how often, such as --repeat 20")
    return int(text)


def _selected(options: Options) -> list[Step]:
    if options.steps:
        wanted = set(options.steps)
        return [step for step in STEPS if wanted & {step.name, *step.groups}]
    with_tests = [step for step in USUAL_STEPS if step.tests]
    if options.paths:
        return [
            step
            for step in with_tests
            if any(path.startswith(step.tests or "") for path in options.paths)
        ]
    # For what is meant for pytest, such as -k, the other steps have no use.
    return with_tests if options.pytest or options.repeat else list(USUAL_STEPS)


def run(options: Options) -> int:
    """Run the steps and return the exit code."""
    start = time.monotonic()
    steps = _selected(options)
    found: dict[Step, Outcome] = {}
    cores = processors()
    if len(steps) > 1 and not options.serial and not options.interactive:
        interrupted = not SideBySide(steps, options, cores).run(found.__setitem__)
    else:
        interrupted = False
        for step in steps:
            own = replace(options, workers=step.workers(1, cores))
            found[step] = perform(step, own)
            if found[step].note == INTERRUPTED:
                interrupted = True
                break
    outcomes = {step: found[step] for step in STEPS if step in found}
    if options.times:
        _show_times(outcomes)
    total = sum((o.counts for o in outcomes.values() if o.counts), Counts())
    _show_summary(outcomes, time.monotonic() - start)
    ok = bool(outcomes) and all(outcome.ok for outcome in outcomes.values())
    if ok and any(step.tests for step in outcomes) and not total.total:
        fail(StackError("no test was found"))
        ok = False
    print(total, flush=True)
    if interrupted:
        return 130
    return 0 if ok else 1


def _show_summary(outcomes: dict[Step, Outcome], seconds: float) -> None:
    print(f"\n{paint('══', '36')} {paint('summary', '1')}")
    for step, outcome in outcomes.items():
        mark = paint("✓", "32") if outcome.ok else paint("✗", "31")
        counts = str(outcome.counts) if outcome.counts is not None else ""
        parts = "  ".join(part for part in (counts, outcome.note) if part)
        print(f"{mark} {step.name:<12} {duration(outcome.seconds):>12}  {parts}".rstrip())
    print(f"  {'together':<12} {duration(seconds):>12}")
    retries = [(step, retry) for step, one in outcomes.items() for retry in one.journal.retries]
    if retries:
        print(f"\n{paint('══', '36')} {paint('tried again', '1')}")
        width = max(len(retry.test) for _, retry in retries)
        for step, retry in retries:
            print(f"  {step.name:<12} {retry.test:<{width}}  {retry.error}")
        print()


def _show_times(outcomes: dict[Step, Outcome]) -> None:
    print(f"\n{paint('══', '36')} {paint('times', '1')}")
    for step, outcome in outcomes.items():
        used = f"{duration(outcome.seconds)}, {duration(outcome.cpu_seconds)} of a processor"
        print(f"\n{paint(step.name, '1')}: {used}")
        _show_slowest("commands", outcome.commands)
        _show_slowest("fixtures, set up", outcome.journal.fixtures)
        _show_slowest("tests, with their fixtures", outcome.journal.tests)


def _show_slowest(title: str, costs: Iterable[Cost]) -> None:
    slowest = sorted(
        (cost for cost in costs if cost.seconds >= 0.05), key=lambda cost: -cost.seconds
    )[:_SHOWN]
    if slowest:
        print(f"  {title}")
    for cost in slowest:
        times = f", {cost.times} times" if cost.times > 1 else ""
        print(f"  {cost.seconds:8.1f} s  {cost.name}{times}")


def main() -> int:
    """Run as a program."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    # Explicitly: what a shell starts in the background ignores Ctrl-C otherwise. And ended by a
    # CI runner it cleans up as well.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        options = parse(arguments)
    except StackError as error:
        fail(error)
        return 2
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
