"""Which release runs, and what is left again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import errno
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.updates.release import ArtifactError
from companion_agent.updates.store import (
    BASE,
    ENDS,
    Failure,
    Releases,
    State,
)

if TYPE_CHECKING:
    from pathlib import Path

    from stack.releases import Maker
    from support.clock import ManualClock

Keys = Mapping[str, bytes]
OLD = "0.1.0"


@pytest.fixture
def keep(maker: Maker, releases: Releases) -> Callable[..., None]:
    """Keep releases, as if they had been fetched."""

    def keep(*versions: str) -> None:
        for version in versions:
            wheel = maker.make(version)
            with releases.receive(1) as folder:
                for path in (wheel, wheel.with_name(f"{wheel.name}.json")):
                    shutil.copy(path, folder)
                releases.keep(folder, version)

    return keep


@pytest.fixture
def run(releases: Releases, keys: Keys) -> Callable[..., str]:
    """Start the agent, and return the version that runs."""

    def run(base: str = OLD) -> str:
        release = releases.pick(base, keys)
        return release.version if release else BASE

    return run


Run = Callable[..., str]
Keep = Callable[..., None]


def test_without_a_release_the_base_runs(run: Run) -> None:
    assert run() == BASE


def test_a_release_that_comes_online_stays(run: Run, keep: Keep, releases: Releases) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    assert run() == "1.0.0"
    releases.confirm("1.0.0", OLD)

    assert run() == "1.0.0"
    assert releases.pick(OLD, {}) is None  # whose key is not trusted any more


def test_one_that_ends_twice_is_left(run: Run, keep: Keep, releases: Releases) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)

    assert [run(), run(), run(), run()] == ["1.0.0", "1.0.0", BASE, BASE]
    failed = Failure("1.0.0", "it ended 2 times before it was online")
    assert releases.state() == State(base=OLD, failed=failed, left=["1.0.0"])


def test_one_that_had_its_time_is_left(
    run: Run, keep: Keep, releases: Releases, still_clock: ManualClock
) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.confirm("1.0.0", OLD)
    keep("1.1.0")
    releases.begin("1.1.0", OLD, 120)
    assert run() == "1.1.0"
    still_clock.advance(120)

    assert run() == "1.0.0"
    assert releases.state().failed == Failure("1.1.0", "it was not online within 120 s")


def test_one_that_ends_soon_after_it_was_online_is_left(
    run: Run, keep: Keep, releases: Releases
) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.was_online("1.0.0")

    assert run() == BASE
    assert releases.state().failed == Failure("1.0.0", "it ended soon after it was online")


def test_its_probation_begins_anew_with_the_machine(
    run: Run, keep: Keep, releases: Releases
) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.was_online("1.0.0")
    releases.boot = "the next boot"

    assert run() == "1.0.0"
    assert not releases.state().online


def test_one_that_was_asked_to_end_is_tried_again(
    run: Run, keep: Keep, releases: Releases, still_clock: ManualClock
) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    for _ in range(3):
        assert run() == "1.0.0"
        releases.was_online("1.0.0")
        still_clock.advance(500)
        releases.pause("1.0.0")

    assert run() == "1.0.0"


def passed(keep: Keep, run: Run, releases: Releases, *versions: str) -> None:
    """Have releases pass their trials, one after the other."""
    for version in versions:
        keep(version)
        releases.begin(version, OLD, 120)
        assert run() == version
        releases.confirm(version, OLD)


def test_one_that_does_not_start_any_more_is_left(run: Run, keep: Keep, releases: Releases) -> None:
    """It has passed its trial, and cannot read what it has written itself, say."""
    passed(keep, run, releases, "1.0.0", "1.1.0")

    started = [run() for _ in range(ENDS + 1)]

    assert started == ENDS * ["1.1.0"] + ["1.0.0"]
    failed = Failure("1.1.0", "it ended 4 times soon after its start")
    assert (releases.state().failed, releases.state().left) == (failed, ["1.1.0"])
    # The one before is not blamed for it, and not spared either.
    assert [run() for _ in range(ENDS)] == [*((ENDS - 1) * ["1.0.0"]), BASE]
    assert releases.state().left == ["1.1.0", "1.0.0"]


def test_one_that_runs_may_be_started_as_often_as_its_user_likes(
    run: Run, keep: Keep, releases: Releases
) -> None:
    passed(keep, run, releases, "1.0.0")

    for _ in range(3 * ENDS):
        assert run() == "1.0.0"
        releases.runs("1.0.0")


def test_power_cuts_soon_after_a_start_are_no_fault_of_a_release(
    run: Run, keep: Keep, releases: Releases
) -> None:
    passed(keep, run, releases, "1.0.0")

    for boot in range(3 * ENDS):
        releases.boot = f"boot {boot}"
        assert run() == "1.0.0"


def test_starts_of_one_that_does_not_know_that_they_count_do_not(
    run: Run, keep: Keep, releases: Releases
) -> None:
    keep("0.0.9")
    releases.begin("0.0.9", OLD, 120)
    run()
    releases.confirm("0.0.9", OLD)

    assert {run() for _ in range(3 * ENDS)} == {"0.0.9"}


def test_a_full_disk_keeps_no_release_that_works_from_its_start(
    run: Run, keep: Keep, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed(keep, run, releases, "1.0.0")
    monkeypatch.setattr("companion_agent.updates.store.files.write_json", no_space)

    assert {run() for _ in range(3 * ENDS)} == {"1.0.0"}


def test_a_good_one_after_two_bad_ones_is_kept(run: Run, keep: Keep, releases: Releases) -> None:
    keep("1.0.0", "1.1.0", "1.2.0")
    for bad in ("1.0.0", "1.1.0"):
        releases.begin(bad, OLD, 120)
        assert [run(), run(), run()] == [bad, bad, BASE]
    releases.begin("1.2.0", OLD, 120)
    run()
    releases.confirm("1.2.0", OLD)

    assert run() == "1.2.0"
    assert releases.state().failed is None


def no_space(*_: object) -> None:
    """Fail as on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_was_left_once_is_remembered_until_it_works(
    run: Run, keep: Keep, releases: Releases
) -> None:
    for version in ("1.0.0", "1.1.0"):
        keep(version)
        releases.begin(version, OLD, 120)
        run()
        releases.fail(version, "it hangs")
    assert releases.state().left == ["1.0.0", "1.1.0"]

    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.confirm("1.0.0", OLD)

    assert releases.state().left == ["1.1.0"]


def test_the_way_back_does_not_lead_to_one_that_was_left(
    run: Run, keep: Keep, releases: Releases
) -> None:
    for version in ("1.0.0", "1.1.0"):
        keep(version)
        releases.begin(version, OLD, 120)
        run()
        releases.confirm(version, OLD)
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.fail("1.0.0", "it hangs")

    assert releases.state().previous == BASE


def test_its_time_begins_anew_with_the_machine(
    run: Run, keep: Keep, releases: Releases, still_clock: ManualClock
) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    still_clock.advance(500)
    releases.boot = "the next boot"

    assert run() == "1.0.0"


def test_what_was_left_is_not_confirmed_afterwards(
    run: Run, keep: Keep, releases: Releases
) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    assert releases.fail("1.0.0", "it hangs")
    assert not releases.fail("1.0.0", "it hangs")
    releases.confirm("1.0.0", OLD)

    assert run() == BASE
    assert releases.state().failed == Failure("1.0.0", "it hangs")


def test_a_newer_base_wins(run: Run, keep: Keep, releases: Releases) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.confirm("1.0.0", OLD)

    assert run("0.9.0") == "1.0.0"
    assert run("1.0.0") == BASE
    assert run("1.0.0") == BASE


def test_an_older_release_runs_when_it_was_asked_for(
    run: Run, keep: Keep, releases: Releases
) -> None:
    keep("0.5.0")
    releases.begin("0.5.0", "0.9.0", 120)

    assert run("0.9.0") == "0.5.0"
    assert run("0.9.1") == BASE


def test_the_way_back(run: Run, keep: Keep, releases: Releases) -> None:
    for version in ("1.0.0", "1.1.0"):
        keep(version)
        releases.begin(version, OLD, 120)
        run()
        releases.confirm(version, OLD)
    assert releases.state().previous == "1.0.0"
    releases.begin(BASE, OLD, 120)

    assert run() == BASE
    assert releases.state().previous == "1.1.0"


@pytest.mark.parametrize("damage", ["byte", "signature", "wheel", "folder"])
def test_a_damaged_release_is_left_for_the_one_before(
    damage: str, run: Run, keep: Keep, releases: Releases
) -> None:
    for version in ("1.0.0", "1.1.0"):
        keep(version)
        releases.begin(version, OLD, 120)
        run()
        releases.confirm(version, OLD)
    folder = releases.folder / "1.1.0"
    wheel = folder / "pilot_agent-1.1.0-py3-none-any.whl"
    if damage == "byte":
        content = bytearray(wheel.read_bytes())
        content[500] ^= 1
        wheel.write_bytes(content)
    elif damage == "signature":
        wheel.with_name(f"{wheel.name}.json").write_text("{}")
    elif damage == "wheel":
        wheel.unlink()
    else:
        shutil.rmtree(folder)

    assert run() == "1.0.0"
    failed = releases.state().failed
    assert failed
    assert failed.version == "1.1.0"


def test_a_failure_is_remembered_until_a_later_version_works(
    run: Run, keep: Keep, releases: Releases
) -> None:
    keep("1.0.0", "1.1.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.fail("1.0.0", "it hangs")
    releases.forget_failure(OLD)
    assert releases.state().failed
    releases.begin("1.1.0", OLD, 120)
    run()
    releases.confirm("1.1.0", OLD)

    assert releases.state().failed is None
    assert sorted(path.name for path in releases.folder.iterdir() if path.is_dir()) == ["1.1.0"]


def test_a_newer_base_makes_up_for_a_failure(run: Run, keep: Keep, releases: Releases) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.fail("1.0.0", "it hangs")
    releases.forget_failure("1.0.1")

    assert releases.state().failed is None


def test_another_try_forgets_the_failure(keep: Keep, run: Run, releases: Releases) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    releases.fail("1.0.0", "it hangs")
    releases.begin("1.0.0", OLD, 120)

    assert releases.state().failed is None
    assert run() == "1.0.0"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"current": "../..", "previous": "", "base": ""}',
        *(
            '{"current": "", "previous": "", "base": "0.1.0", "trial": ' + trial + "}"
            for trial in (
                "1",
                "[1]",
                '{"version": "1.0.0"}',
                '{"version": "", "limit": 120, "boot": "", "until": 0, "starts": 0}',
                '{"version": "../1", "limit": 120, "boot": "", "until": 0, "starts": 0}',
                '{"version": "1.0.0", "limit": Infinity, "boot": "", "until": 0, "starts": 0}',
                '{"version": "1.0.0", "limit": 120, "boot": "", "until": NaN, "starts": 0}',
                '{"version": "1.0.0", "limit": 120, "boot": "", "until": 0, "starts": Infinity}',
            )
        ),
    ],
    ids=lambda content: content[:100],
)
def test_a_damaged_decision_means_the_base(
    content: str, run: Run, keep: Keep, releases: Releases
) -> None:
    keep("1.0.0")
    (releases.folder / "state.json").write_text(content)

    assert run() == BASE


def test_a_decision_of_a_later_version_is_understood(
    run: Run, keep: Keep, releases: Releases
) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    path = releases.folder / "state.json"
    later = json.loads(path.read_text())
    later["trial"]["of_tomorrow"] = later["of_tomorrow"] = 1
    path.write_text(json.dumps(later))

    assert run() == "1.0.0"


def test_a_trial_whose_end_is_damaged_ends(
    run: Run, keep: Keep, releases: Releases, still_clock: ManualClock
) -> None:
    keep("1.0.0")
    releases.begin("1.0.0", OLD, 120)
    run()
    with releases.change() as state:
        assert state.trial
        state.trial.until, state.trial.starts = 1e300, 0
    run()
    still_clock.advance(120)

    assert run() == BASE


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files, and no lock")
def test_pipes_in_the_place_of_files_block_nothing(run: Run, releases: Releases) -> None:
    releases.folder.mkdir(parents=True)
    os.mkfifo(releases.folder / "lock")
    os.mkfifo(releases.folder / "state.json")

    assert run() == BASE


@pytest.mark.skipif(sys.platform == "win32", reason="there is no lock")
def test_a_lock_that_is_held_is_not_waited_for_forever(
    run: Run, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.updates.store._LOCK_LIMIT", 0.1)
    with releases.change(), pytest.raises(BlockingIOError):
        run()


# --- Keeping ---------------------------------------------------------------------------------


def test_what_is_half_there_is_cleared_away(keep: Keep, releases: Releases) -> None:
    keep("1.0.0")
    half = releases.folder / ".new-0123"
    half.mkdir()
    (half / "pilot_agent-1.1.0-py3-none-any.whl").write_bytes(b"half")
    keep("1.1.0")

    assert sorted(path.name for path in releases.folder.iterdir()) == ["1.0.0", "1.1.0"]


def test_a_release_is_replaced_as_a_whole(keep: Keep, releases: Releases, keys: Keys) -> None:
    keep("1.0.0")
    (releases.folder / "1.0.0" / "pilot_agent-1.0.0-py3-none-any.whl").write_bytes(b"damaged")
    keep("1.0.0")

    assert releases.check("1.0.0", keys).version == "1.0.0"


def test_without_space_nothing_is_begun(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)

    with pytest.raises(ArtifactError, match="1000 bytes left, and 2000 are needed"):
        releases.receive(1000).__enter__()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "cannot be written" in Releases(tmp_path / "file" / "releases").why_not()
