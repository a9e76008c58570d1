"""Steps side by side: which run together, and what becomes of one that dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stack import scheduler
from stack.results import Outcome
from stack.scheduler import SideBySide
from stack.steps import COMPUTES, USUAL_STEPS, Options, Step

if TYPE_CHECKING:
    from pathlib import Path

# Takes the place of the program that performs a step.
PROGRAM = """
import json, os, sys, time
name, result, options = sys.argv[1:]
with open("journal", "a") as journal:
    print("start", name, file=journal)
limit = time.monotonic() + 30
while open("journal").read().count("start") < int(os.environ.get("STARTED_WITH_IT", 1)):
    assert time.monotonic() < limit
    time.sleep(0.02)
time.sleep(0.3)
with open("journal", "a") as journal:
    print("end", name, file=journal)
if name == "dies":
    sys.exit("no disk")
print("output of", name)
journal = {"retries": [], "failures": [], "tests": [], "fixtures": []}
workers = json.loads(options)["workers"]
outcome = {"ok": name != "fails", "counts": None, "commands": [], "journal": journal}
with open(result, "w") as file:
    json.dump(outcome | {"note": f"{workers} workers"}, file)
"""


def step(name: str, *, load: float = 1, minutes: float = 1, **more: Any) -> Step:
    return Step(name, (), name, lambda _: Outcome(ok=True), load, minutes, **more)


def together(journal: str) -> int:
    """Return how many steps ran at once, at most."""
    running = most = 0
    for line in journal.splitlines():
        running += 1 if line.startswith("start") else -1
        most = max(most, running)
    return most


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which the played steps run and write their journal."""
    package = tmp_path / "stack"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "run_step.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scheduler, "_LOOK_EVERY", 0.02)
    return tmp_path


def run(*steps: Step, cores: int = 2) -> dict[str, Outcome]:
    ended: dict[str, Outcome] = {}
    whole = SideBySide(steps, Options(), cores).run(
        lambda step, outcome: ended.__setitem__(step.name, outcome)
    )
    assert whole
    return ended


def test_no_more_load_runs_than_there_are_processors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine one could be over before the other has started.
    monkeypatch.setenv("STARTED_WITH_IT", "2")

    ended = run(*(step(name) for name in "abcd"), cores=2)

    assert set(ended) == set("abcd")
    assert together((folder / "journal").read_text()) == 2


def test_what_waits_leaves_room_for_one_step_that_computes() -> None:
    last, *first = sorted((step for step in USUAL_STEPS if step.waits), key=lambda one: one.minutes)
    together = sum(step.load for step in first)

    assert together + COMPUTES <= 2 < together + 2 * COMPUTES
    # The shortest comes when they are done: its programs have limits too.
    assert last.load + COMPUTES <= 2 < together + last.load


def test_a_step_with_more_load_than_the_machine_has_runs_alone(folder: Path) -> None:
    run(step("large", load=3, minutes=9), step("small"), cores=2)

    assert (folder / "journal").read_text().split() == [
        "start", "large", "end", "large", "start", "small", "end", "small",
    ]  # fmt: skip


def test_the_longest_starts_first(folder: Path) -> None:
    run(step("short", minutes=1), step("long", minutes=5), step("middle", minutes=2), cores=1)

    starts = [line for line in (folder / "journal").read_text().splitlines() if "start" in line]
    assert starts == ["start long", "start middle", "start short"]


@pytest.mark.usefixtures("folder")
def test_the_output_is_shown_as_a_whole(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run(step("a"), step("b"))

    assert sorted(capfdbinary.readouterr().out.splitlines()) == [b"output of a", b"output of b"]


@pytest.mark.usefixtures("folder")
def test_a_step_that_dies_is_a_failed_one_and_the_others_go_on() -> None:
    ended = run(step("dies"), step("fails"), step("works"))

    assert {name: outcome.ok for name, outcome in ended.items()} == {
        "dies": False,
        "fails": False,
        "works": True,
    }
    assert ended["dies"].note == "ended with 1 and no result"


@pytest.mark.usefixtures("folder")
def test_steps_that_wait_have_two_workers_at_least() -> None:
    ended = run(step("waits", waits=True), step("both", processes=2), step("computes"), cores=2)

    assert {name: outcome.note for name, outcome in ended.items()} == {
        "waits": "2 workers",
        "both": "2 workers",
        "computes": "1 workers",
    }
