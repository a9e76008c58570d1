"""Watched programs as Home Assistant gets them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.config.loader import load
from companion_agent.errors import Unavailable
from companion_agent.matching import Matcher
from companion_agent.platforms.base import ProcessSample
from companion_agent.plugins.processes import plugin as plugin_module
from companion_agent.plugins.processes.plugin import ProcessesPlugin
from companion_agent.plugins.processes.settings import WatchedProcess, WatchedProcesses
from support.agent_host import FakePlatform
from support.clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.models import Value
    from support.agent_screen import MachineOf

pytestmark = pytest.mark.proves("processes.*")

CORES = os.cpu_count() or 1


class Busy(FakePlatform):
    """A system with the processes that a test decides about."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: dict[int, ProcessSample] = {}
        self.asked: list[int] = []

    def run(self, pid: int, name: str, *arguments: str, cpu_time: float = 0.0) -> None:
        def read() -> tuple[str, ...]:
            self.asked.append(pid)
            return arguments

        self.processes[pid] = ProcessSample((pid, 1.0), name, cpu_time, 1024, read)

    def process_samples(self) -> list[ProcessSample]:
        return list(self.processes.values())


@pytest.fixture
def system() -> Busy:
    return Busy()


def make(
    system: FakePlatform, clock: ManualClock | None = None, **programs: WatchedProcess
) -> ProcessesPlugin:
    return ProcessesPlugin(
        system,  # type: ignore[arg-type]
        None,
        WatchedProcesses(programs),
        clock or ManualClock(),
    )


def test_a_program_that_does_not_run_is_off_and_takes_nothing(system: Busy) -> None:
    plugin = make(system, firefox=WatchedProcess(name="Firefox"))

    values = plugin.collect()

    assert values["firefox.running"] is False
    assert (values["firefox.count"], values["firefox.memory"]) == (0, 0)
    assert {one.of for one in plugin.readings()} == {"Firefox"}


def test_processes_of_a_program_are_summed_up(system: Busy, still_clock: ManualClock) -> None:
    plugin = make(system, still_clock, firefox=WatchedProcess())
    system.run(1, "firefox", cpu_time=10)
    system.run(2, "firefox", cpu_time=5)
    system.run(3, "bash")
    assert plugin.collect()["firefox.cpu_percent"] is None
    still_clock.advance(10)
    system.run(1, "firefox", cpu_time=10.5)
    system.run(2, "firefox", cpu_time=5.5)

    values = plugin.collect()

    assert values == {
        "firefox.running": True,
        "firefox.count": 2,
        "firefox.memory": 2048,
        "firefox.cpu_percent": pytest.approx(10 / CORES),
    }


def test_another_process_of_the_same_number_has_not_used_its_time(
    system: Busy, still_clock: ManualClock
) -> None:
    plugin = make(system, still_clock, job=WatchedProcess())
    system.run(1, "job", cpu_time=100)
    plugin.collect()
    still_clock.advance(10)
    system.processes[1] = ProcessSample((1, 2.0), "job", 1.0, 0, tuple)

    assert plugin.collect()["job.cpu_percent"] == pytest.approx(10 / CORES)


@pytest.mark.parametrize(
    ("watched", "name", "arguments"),
    [
        (WatchedProcess("firefox*"), "firefox-esr", ()),
        # The kernel keeps 15 letters.
        (
            WatchedProcess("gnome-terminal-server"),
            "gnome-terminal-",
            ("/usr/libexec/gnome-terminal-server",),
        ),
        (WatchedProcess("chrome"), "chrome.exe", (r"C:\Program Files\chrome.exe",)),
        (WatchedProcess("Chrome.exe"), "chrome.exe", ()),
        (WatchedProcess("python3*", "-m backup"), "python3.11", ("python3", "-m", "backup")),
        (WatchedProcess(command_line="rsync .* /mnt"), "rsync", ("rsync", "-a", "/mnt")),
        (WatchedProcess(), "backup", ()),
    ],
)
def test_what_is_of_a_program(
    watched: WatchedProcess, name: str, arguments: tuple[str, ...]
) -> None:
    with Matcher(30) as matcher:
        assert watched.matches("backup", name, arguments, matcher)


@pytest.mark.parametrize(
    ("watched", "name", "arguments"),
    [
        (WatchedProcess("firefox"), "firefox-esr", ()),
        (WatchedProcess("python3", "-m backup"), "python3", ("python3", "-m", "other")),
        (WatchedProcess(), "other", ("other", "backup")),
    ],
)
def test_what_is_not(watched: WatchedProcess, name: str, arguments: tuple[str, ...]) -> None:
    with Matcher(30) as matcher:
        assert not watched.matches("backup", name, arguments, matcher)


@pytest.mark.timeout(60)
def test_a_command_line_of_another_user_holds_nothing_up(system: Busy) -> None:
    """Python's re takes quadratic time for this one, and nothing else runs meanwhile."""
    plugin = make(system, server=WatchedProcess("", r"-jar .*server"))
    system.run(1, "sh", "sh", *["-jar"] * 400_000)
    system.run(2, "java", "java", "-jar", "/srv/server.jar")

    assert plugin.collect()["server.count"] == 1


def test_a_search_that_would_never_end_takes_its_own_reading_only(
    system: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_module, "_MATCH_LIMIT", 0.2)
    plugin = make(
        system, evil=WatchedProcess("", r"(a+)+$"), server=WatchedProcess("", r"(?:-\w+ )+server")
    )
    system.run(1, "sh", "sh", "a" * 64 + "!")
    system.run(2, "java", "java", "-v", "server")

    values = plugin.collect()

    assert (values["server.count"], values["evil.running"]) == (1, None)
    assert "(a+)+$ takes longer than 0.2 s" in plugin.troubles()["evil"]
    # It is looked for again when that process is gone.
    del system.processes[1]
    assert plugin.collect()["evil.running"] is False
    assert plugin.troubles() == {}


def test_a_command_line_is_not_read_again_and_again(system: Busy) -> None:
    plugin = make(system, job=WatchedProcess("python3", "job"))
    # Between fork and exec it still is what it comes from.
    system.run(1, "python3", "python3", "shell")
    assert plugin.collect()["job.running"] is False
    system.run(1, "python3", "python3", "job")
    assert plugin.collect()["job.running"] is True
    plugin.collect()

    assert system.asked == [1, 1]
    system.run(1, "sleep", "sleep", "1")
    assert plugin.collect()["job.running"] is False


def test_without_a_program_there_is_nothing(system: Busy) -> None:
    with pytest.raises(Unavailable, match="no program is named"):
        make(system).probe()


def test_reads_proc(machine: MachineOf) -> None:
    host = machine("server")
    host.write("proc/7/stat", stat(7, "my (odd) name", "S", utime=150, stime=50, rss=10))
    host.write("proc/7/cmdline", b"/usr/bin/odd\0--flag\0")
    host.write("proc/8/stat", stat(8, "gone", "Z"))
    host.write("proc/9/stat", "9 (half")

    found = {one.id[0]: one for one in host.process_samples() if one.id[0] in {7, 8, 9}}

    assert set(found) == {7}
    assert found[7].name == "my (odd) name"
    assert found[7].cpu_time == 2
    assert found[7].memory == 10 * os.sysconf("SC_PAGESIZE")
    assert found[7].arguments() == ("/usr/bin/odd", "--flag")
    host.write("proc/7/cmdline", b"/usr/bin/odd\0" + b"x" * 2_000_000)
    assert len("".join(found[7].arguments())) < 4096


def test_what_hidepid_hides_is_not_taken_for_what_does_not_run(machine: MachineOf) -> None:
    host = machine("server")
    host.remove("proc/1")

    with pytest.raises(Unavailable, match="hidepid"):
        host.process_samples()
    with pytest.raises(Unavailable, match="hidepid"):
        host.processes()


def stat(pid: int, name: str, state: str, **fields: int) -> str:
    """Write a file as proc_pid_stat(5) has it."""
    numbers: dict[str, int] = {"utime": 0, "stime": 0, "rss": 0, **fields}
    before = "1 1 1 0 -1 4194304 0 0 0 0"
    between = "0 0 20 0 1 0 12345 1000"
    return (
        f"{pid} ({name}) {state} {before} {numbers['utime']} {numbers['stime']} {between} "
        f"{numbers['rss']} 0 0"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_psutil_reads_the_same() -> None:
    from companion_agent.platforms.linux.platform import LinuxPlatform
    from companion_agent.platforms.portable import PortablePlatform

    class Portable(PortablePlatform):
        def suspended_time(self) -> float | None:
            return None

    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            found: list[dict[str, Any]] = []
            for platform in (LinuxPlatform(), Portable()):
                (sample,) = [one for one in platform.process_samples() if one.id[0] == child.pid]
                values: dict[str, Value] = {"name": sample.name, "memory": sample.memory > 0}
                found.append({**values, "arguments": sample.arguments()})
        finally:
            child.kill()
    assert found[0] == found[1]
    assert found[0]["arguments"] == ("sleep", "60")


def test_the_local_file_names_them(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "broker: localhost\n"
        "processes:\n"
        "  firefox: {}\n"
        "  job: {program: python3, command_line: -m job}\n"
    )

    processes = load(path, {}).processes

    assert processes["job"] == WatchedProcess("python3", "-m job")
