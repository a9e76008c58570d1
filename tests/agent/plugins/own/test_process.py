"""Programs that hang, flood, fork and fail."""

from __future__ import annotations

import os
from pathlib import Path
import pwd
import signal
import sys
import threading
import time

import pytest

from companion_agent.plugins.own.process import MAX_KEPT, Processes
from companion_agent.plugins.own.program import Outcome, Program, ProgramError

# Longer than any test takes on a loaded machine, and shorter than its limit.
LONG = 60.0


@pytest.fixture
def processes() -> Processes:
    return Processes()


def shell(script: str, *arguments: str) -> Program:
    return Program(("/bin/sh", "-c", script, "sh", *arguments))


def gone(pid: int) -> bool:
    """Tell whether a process has ended, waited for or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while not gone(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


def test_it_says_what_it_prints(processes: Processes) -> None:
    outcome = processes.run(shell("echo out; echo complaint >&2"), LONG)

    assert outcome == Outcome(0, "out\n", "complaint\n", truncated=False)
    assert not outcome.failure


def test_one_that_fails_says_why(processes: Processes) -> None:
    outcome = processes.run(shell("echo first >&2; echo no room left >&2; exit 3"), LONG)

    assert outcome.failure == "it ended with 3: no room left"


def test_one_that_is_killed_says_by_what(processes: Processes) -> None:
    assert processes.run(shell("kill -SEGV $$"), LONG).failure == "it was killed by SIGSEGV"


@pytest.mark.skipif(sys.platform != "linux", reason="real-time signals are numbered by the system")
def test_a_signal_without_a_name_has_its_number(processes: Processes) -> None:
    assert processes.run(shell("kill -37 $$"), LONG).failure == "it was killed by signal 37"


def test_one_that_hangs_is_ended_with_all_that_it_has_forked(
    processes: Processes, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    # The shell does not listen to SIGTERM, which is the harder case.
    script = 'trap "" TERM; sleep 300 & echo $$ $! > "$1.new"; mv "$1.new" "$1"; wait'
    program = shell(script, str(pids))

    with pytest.raises(ProgramError, match=r"it did not end within 2 s, and was ended"):
        processes.run(program, 2)

    for pid in pids.read_text().split():
        wait_until_gone(int(pid))


def test_what_it_leaves_behind_ends_with_it(processes: Processes) -> None:
    outcome = processes.run(shell("sleep 300 & echo $!"), LONG)

    wait_until_gone(int(outcome.output))


def test_what_has_left_its_group_keeps_nothing_waiting(
    processes: Processes, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    # It keeps the pipe open.
    script = """setsid sh -c 'echo $$ > "$1"; exec sleep 300' sh "$1" &
        while [ ! -s "$1" ]; do sleep 0.05; done"""

    outcome = processes.run(shell(script, str(left)), LONG)

    os.kill(int(left.read_text()), signal.SIGKILL)
    assert not outcome.failure


def test_one_that_floods_is_cut_and_ended(processes: Processes) -> None:
    with pytest.raises(ProgramError, match="did not end within 1 s"):
        processes.run(Program(("yes",)), 1)


def test_a_long_output_is_cut_and_the_program_ends_well(processes: Processes) -> None:
    outcome = processes.run(shell("yes 0123456 | head -c 1000000; echo end >&2"), LONG)

    assert (len(outcome.output), outcome.truncated) == (MAX_KEPT, True)
    assert (outcome.code, outcome.complaint) == (0, "end\n")


def test_what_turns_a_terminal_is_left_out(processes: Processes) -> None:
    outcome = processes.run(shell(r"printf '\033[31mred\033[0m\t\377\000ok\r\n'"), LONG)

    assert outcome.output == "[31mred[0m\t\N{REPLACEMENT CHARACTER}ok\n"


def test_it_has_no_variable_of_the_agent(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOT_BROKER__PASSWORD", "secret")
    program = Program(("env",), environment={"MODE": "fast"})

    printed = dict(line.split("=", 1) for line in processes.run(program, LONG).output.splitlines())

    assert printed.keys() == {"PATH", "LANG", "HOME", "USER", "LOGNAME", "MODE"}
    assert printed["MODE"] == "fast"


def test_it_reads_no_input_and_runs_where_it_is_told(processes: Processes, tmp_path: Path) -> None:
    outcome = processes.run(Program(("sh", "-c", "cat; pwd"), folder=tmp_path), LONG)

    assert outcome.output == f"{tmp_path}\n"


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("/no/such/program",), "/no/such/program cannot be started: No such file or directory"),
        (("/etc/passwd",), "/etc/passwd cannot be started: Permission denied"),
    ],
)
def test_one_that_cannot_be_started_says_why(
    processes: Processes, argv: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ProgramError, match=reason):
        processes.run(Program(argv), LONG)


def test_a_missing_program_is_named(processes: Processes) -> None:
    missing = processes.missing(Program(("no-such-program",)))

    assert missing
    assert (missing.reason, "no-such-program" in missing.fix) == ("program", True)
    assert processes.missing(Program(("sh",))) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a program as another user")
def test_root_starts_it_as_another_user(processes: Processes) -> None:
    outcome = processes.run(Program(("sh", "-c", "id -un; id -Gn; echo $HOME"), "nobody"), LONG)

    name, groups, home = outcome.output.splitlines()
    assert (name, home) == ("nobody", pwd.getpwnam("nobody").pw_dir)
    assert "root" not in groups.split()


def test_another_user_is_missing_where_the_agent_is_not_root(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("daemon").pw_uid)

    missing = processes.missing(Program(("sh",), "nobody"))

    assert missing
    assert missing.reason == "user"
    assert "daemon" in missing.fix


def test_closing_ends_what_runs_and_starts_nothing_more(
    processes: Processes, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    outcomes: list[Outcome] = []
    program = shell('echo > "$1"; exec sleep 300', str(begun))
    thread = threading.Thread(target=lambda: outcomes.append(processes.run(program, LONG)))
    thread.start()
    deadline = time.monotonic() + 20
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)

    processes.close()

    thread.join(20)
    assert [outcome.failure for outcome in outcomes] == ["it was killed by SIGKILL"]
    with pytest.raises(ProgramError, match="the agent ends"):
        processes.run(program, LONG)


def test_nothing_stays_open(processes: Processes) -> None:
    before = set(Path("/proc/self/fd").iterdir())

    processes.run(shell("exit 1"), LONG)

    # What other tests left may be closed meanwhile.
    assert set(Path("/proc/self/fd").iterdir()) <= before
