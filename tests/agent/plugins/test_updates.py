"""Updates that wait, as Home Assistant gets them."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.platforms.linux import packages
from companion_agent.platforms.linux.files import Files
from companion_agent.platforms.linux.packages import PackageManagerError
from companion_agent.plugins.base import PluginContext
from companion_agent.plugins.updates.plugin import FIRST_LOOK, LOOK_AGAIN, UpdatesPlugin
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.agent_machines import FakeMachine
    from support.agent_screen import MachineOf
    from support.clock import ManualClock

pytestmark = pytest.mark.proves("updates.*")

# apt-get 2.6.1 of Debian 12, and 2.4 of Ubuntu 22.04.
APT = """\
Reading package lists...
Building dependency tree...
The following packages will be upgraded:
  base-files libc6 openssl
Inst base-files [12.4] (12.4+deb12u5 Debian:12.5/stable [amd64])
Conf base-files (12.4+deb12u5 Debian:12.5/stable [amd64])
Inst linux-image-6.1.0-18-amd64 (6.1.76-1 Debian:12.5/stable [amd64])
Inst libc6 [2.36-9+deb12u3] (2.36-9+deb12u4 Debian:12.5/stable, Debian-Security:12/stable-security \
[amd64]) [libc6:amd64 on libc-bin:amd64]
Inst openssl [3.0.2-0ubuntu1.14] (3.0.2-0ubuntu1.15 Ubuntu:22.04/jammy-updates, \
Ubuntu:22.04/jammy-security [amd64])
Conf libc6 (2.36-9+deb12u4 Debian:12.5/stable, Debian-Security:12/stable-security [amd64])
"""
# dnf 4.18 of Fedora 39.
DNF = """\

kernel.x86_64                     6.8.5-201.fc39             updates
openssl-libs.x86_64               1:3.1.1-4.fc39             updates
Obsoleting Packages
iptables-legacy.x86_64            1.8.9-6.fc39               updates
    iptables-legacy.x86_64        1.8.9-5.fc39               @fedora
"""
DNF_SECURITY = """\

openssl-libs.x86_64               1:3.1.1-4.fc39             updates
"""
PACMAN = """\
linux 6.8.4.arch1-1 -> 6.8.5.arch1-1
firefox 124.0.2-1 -> 125.0-1 [ignored]
"""


class PrintedPrograms(packages.Programs):
    """What package managers print."""

    def __init__(self) -> None:
        super().__init__()
        self.printed: dict[tuple[str, ...], str | Exception] = {}
        self.calls: list[tuple[str, ...]] = []

    def run(self, *command: str, fine: Sequence[int] = (0,)) -> str:
        self.calls.append(command)
        for beginning, printed in sorted(self.printed.items(), key=lambda one: -len(one[0])):
            if set(beginning) <= set(command):
                if isinstance(printed, Exception):
                    raise printed
                return printed
        raise AssertionError(command)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> PrintedPrograms:
    programs = PrintedPrograms()
    real = packages.managers
    monkeypatch.setattr(packages, "managers", lambda files: real(files, programs))
    return programs


@pytest.fixture
def debian(machine: MachineOf, programs: PrintedPrograms) -> FakeMachine:
    host = machine("server")
    host.write("usr/bin/apt-get", "")
    host.write("var/lib/dpkg/status", "")
    host.write("var/lib/apt/lists/partial/keep", "")
    for folder in ("var/lib/apt/lists/partial", "var/lib/apt/lists"):
        os.utime(host.root / folder, (1_700_000_000, 1_700_000_000))
    programs.printed["apt-get",] = APT
    return host


def test_apt(debian: FakeMachine, programs: PrintedPrograms) -> None:
    plugin = UpdatesPlugin(debian, first_look=0)
    # What else the agent reads comes first.
    assert set(plugin.collect().values()) == {None}
    assert plugin.pace(300) == FIRST_LOOK

    values = plugin.collect()

    assert values == {
        "waiting": 3,
        "security": 2,
        "packages": "base-files, libc6, openssl",
        "lists_refreshed": "2023-11-14T22:13:20+00:00",
    }
    assert plugin.pace(300) == 300
    (call,) = programs.calls
    assert {"--simulate", "Debug::NoLocking=1"} <= set(call)


def test_the_agent_asks_no_package_manager_while_it_comes_up(
    debian: FakeMachine, programs: PrintedPrograms, still_clock: ManualClock
) -> None:
    plugin = UpdatesPlugin(debian, None, still_clock)
    # Everything is read a second time a second after the start.
    for _ in range(2):
        plugin.collect()
    assert not programs.calls

    still_clock.advance(FIRST_LOOK)

    assert plugin.collect()["waiting"] == 3


def test_it_looks_at_once_where_no_agent_runs(
    debian: FakeMachine, programs: PrintedPrograms
) -> None:
    plugin = UpdatesPlugin.create(PluginContext(debian))
    plugin.collect()

    assert plugin.collect()["waiting"] == 3


def test_it_looks_again_when_packages_rest_after_a_change(
    debian: FakeMachine, programs: PrintedPrograms, still_clock: ManualClock
) -> None:
    plugin = UpdatesPlugin(debian, None, still_clock, first_look=0)
    for _ in range(4):
        plugin.collect()
    assert len(programs.calls) == 1

    os.utime(debian.root / "var/lib/dpkg/status", (5, 5))
    programs.printed["apt-get",] = ""
    assert plugin.collect()["waiting"] == 3
    assert plugin.collect()["waiting"] == 0

    still_clock.advance(LOOK_AGAIN)
    plugin.collect()
    assert len(programs.calls) == 3


def test_what_cannot_tell_says_why_and_the_others_go_on(
    debian: FakeMachine, programs: PrintedPrograms
) -> None:
    debian.write("usr/bin/flatpak", "")
    debian.write("var/lib/flatpak/repo/config", "")
    programs.printed["apt-get",] = PackageManagerError("apt-get failed (100): E: no")
    programs.printed["flatpak",] = "org.gimp.GIMP\n"
    plugin = UpdatesPlugin(debian, first_look=0)
    plugin.collect()

    values = plugin.collect()

    assert (values["waiting"], values["packages"]) == (1, "org.gimp.GIMP")
    assert values["security"] is None
    assert plugin.troubles() == {"apt": "apt-get failed (100): E: no"}


def test_dnf(machine: MachineOf, programs: PrintedPrograms) -> None:
    host = machine("server")
    host.write("usr/bin/dnf", "")
    host.write("var/lib/rpm/rpmdb.sqlite", "")
    programs.printed["dnf",] = DNF
    programs.printed["dnf", "--security"] = DNF_SECURITY
    plugin = UpdatesPlugin(host, first_look=0)
    plugin.collect()

    values = plugin.collect()

    assert values == {
        "waiting": 2, "security": 1, "packages": "kernel, openssl-libs", "lists_refreshed": None,
    }  # fmt: skip
    assert all("--cacheonly" in call for call in programs.calls)


def test_pacman(machine: MachineOf, programs: PrintedPrograms) -> None:
    host = machine("server")
    host.write("usr/bin/pacman", "")
    host.write("var/lib/pacman/local/keep", "")
    programs.printed["pacman",] = PACMAN
    plugin = UpdatesPlugin(host, first_look=0)
    plugin.collect()

    assert plugin.collect()["waiting"] == 1
    assert "security" not in {one.key for one in plugin.readings()}


def test_what_is_not_selected_is_not_asked(debian: FakeMachine, programs: PrintedPrograms) -> None:
    plugin = UpdatesPlugin(debian, Selection(exclude=("apt",)))

    with pytest.raises(Unavailable, match="no package manager is selected"):
        plugin.collect()

    assert not programs.calls


def test_a_system_without_any_says_so(machine: MachineOf, programs: PrintedPrograms) -> None:
    with pytest.raises(Unavailable, match="no package manager"):
        UpdatesPlugin(machine("container")).probe()


def test_a_program_that_fails_says_its_last_words() -> None:
    assert packages.Programs().run("printf", "a b") == "a b"
    with pytest.raises(PackageManagerError, match=r"sh failed \(3\): no lists"):
        packages.Programs().run("sh", "-c", "echo more; echo no lists >&2; exit 3")


def test_a_program_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LIMIT", 0.2)

    with pytest.raises(PackageManagerError, match="sleep did not end"):
        packages.Programs().run("sleep", "30")


@pytest.fixture
def slow_debian(debian: FakeMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Debian whose apt never ends; the file that it writes its process id to."""
    started, folder = tmp_path / "started", tmp_path / "programs"
    folder.mkdir()
    apt = folder / "apt-get"
    apt.write_text(
        f"#!/bin/sh\necho $$ > {started}.new\nmv {started}.new {started}\nexec sleep 60\n"
    )
    apt.chmod(0o755)
    monkeypatch.setitem(packages._ENVIRONMENT, "PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(
        debian, "package_managers", lambda: [packages.Apt(Files(debian.root), packages.Programs())]
    )
    return started


def test_what_is_asked_ends_with_the_agent(debian: FakeMachine, slow_debian: Path) -> None:
    plugin = UpdatesPlugin(debian, first_look=0)
    plugin.collect()
    worker = threading.Thread(target=plugin.collect)
    worker.start()
    wait_for(slow_debian.exists, "a package manager that runs", timeout=30)

    plugin.close()

    worker.join(30)
    assert not worker.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(int(slow_debian.read_text()), 0)


def test_nothing_is_asked_after_the_end(debian: FakeMachine, slow_debian: Path) -> None:
    plugin = UpdatesPlugin(debian, first_look=0)
    plugin.collect()
    plugin.close()

    assert plugin.collect()["waiting"] is None

    assert not slow_debian.exists()
