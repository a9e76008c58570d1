"""Updates that wait, as Home Assistant gets them."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.platforms.linux import packages
from companion_agent.platforms.linux.files import Files
from companion_agent.platforms.packages import PackageManager, PackageManagerError, Waiting
from companion_agent.plugins.base import PluginContext
from companion_agent.plugins.updates import plugin as updates_plugin
from companion_agent.plugins.updates.looks import (
    KEPT_FILE,
    LOOK_AGAIN,
    TRY_AGAIN,
    KeptLooks,
    Looks,
)
from companion_agent.plugins.updates.plugin import UpdatesPlugin
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from companion_agent.models import Value
    from companion_agent.platforms.packages import Signature
    from support.agent_machines import FakeMachine
    from support.agent_screen import MachineOf
    from support.clock import ManualClock

    MakePlugin = Callable[..., UpdatesPlugin]

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


class PrintedPrograms(packages.NicePrograms):
    """What package managers print."""

    def __init__(self) -> None:
        super().__init__()
        self.printed: dict[tuple[str, ...], str | Exception] = {}
        self.calls: list[tuple[str, ...]] = []

    def ask(self, *command: str, fine: Sequence[int] = (0,)) -> str:
        self.calls.append(command)
        for beginning, printed in sorted(self.printed.items(), key=lambda one: -len(one[0])):
            if set(beginning) <= set(command):
                if isinstance(printed, Exception):
                    raise printed
                return printed
        raise AssertionError(command)


class ChangingPackages(PackageManager):
    """A package manager while something is being installed."""

    name = "changing"

    def __init__(self) -> None:
        self.asked = 0
        self._times = [1.0, 2.0, 3.0]

    def signature(self) -> Signature:
        return (self._times.pop(0) if len(self._times) > 1 else self._times[0],)

    def refreshed(self) -> None:
        return None

    def look(self) -> Waiting:
        self.asked += 1
        return Waiting(())

    def close(self) -> None:
        raise AssertionError("it is not being asked")


class FakeUpdater:
    """That an agent runs."""

    cannot = ""

    def ask(self, version: str, url: str) -> None:
        raise AssertionError("nothing replaces the agent here")


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


def read(plugin: UpdatesPlugin) -> Mapping[str, Value]:
    """Read it as the agent does: again when what it was waiting for has answered."""
    plugin.collect()
    watch = plugin.watch()
    assert watch
    assert select.select([watch], [], [], 60)[0], "no package manager has answered"
    assert watch.changed()
    return plugin.collect()


@pytest.fixture
def updates(still_clock: ManualClock, tmp_path: Path) -> Iterator[MakePlugin]:
    """Make a plug-in as the agent does; the one made before has ended then, as at a restart."""
    made: list[UpdatesPlugin] = []

    def make(host: FakeMachine, selection: Selection | None = None) -> UpdatesPlugin:
        for plugin in made:
            plugin.close()
        looks = Looks(KeptLooks(tmp_path / "state"), settle=0.0, clock=still_clock)
        made.append(UpdatesPlugin(host, selection, looks))
        return made[-1]

    yield make
    for plugin in made:
        plugin.close()


def test_apt(debian: FakeMachine, programs: PrintedPrograms, updates: MakePlugin) -> None:
    plugin = updates(debian)

    values = read(plugin)

    assert values == {
        "waiting": 3,
        "security": 2,
        "packages": "base-files, libc6, openssl",
        "lists_refreshed": "2023-11-14T22:13:20+00:00",
    }
    assert {one.key for one in plugin.readings()} == set(values)
    assert not plugin.pending
    (call,) = programs.calls
    assert {"--simulate", "Debug::NoLocking=1"} <= set(call)


def test_nothing_is_reported_before_the_first_answer(
    debian: FakeMachine, programs: PrintedPrograms
) -> None:
    plugin = UpdatesPlugin.create(PluginContext(debian, updater=FakeUpdater()))

    assert plugin.collect() == {}

    # Its interval is announced once.
    assert plugin.pace(300) == 300
    assert plugin.readings() == ()
    assert plugin.pending, "doctor would miss what is still found out"
    plugin.close()
    assert not programs.calls, "what has to rest for seconds was asked at once"


def test_where_no_agent_runs_the_second_reading_has_the_answer(
    debian: FakeMachine, programs: PrintedPrograms
) -> None:
    plugin = UpdatesPlugin.create(PluginContext(debian))
    plugin.collect()

    assert plugin.collect()["waiting"] == 3

    plugin.close()


def test_the_last_answer_is_there_after_a_restart(
    debian: FakeMachine, programs: PrintedPrograms, updates: MakePlugin
) -> None:
    values = read(updates(debian))
    again = updates(debian)

    assert again.collect() == values

    assert {one.key for one in again.readings()} == set(values)
    assert len(programs.calls) == 1


def test_after_a_restart_an_answer_for_other_files_does_not_count(
    debian: FakeMachine, programs: PrintedPrograms, updates: MakePlugin
) -> None:
    values = read(updates(debian))
    os.utime(debian.root / "var/lib/dpkg/status", (5, 5))
    programs.printed["apt-get",] = ""
    again = updates(debian)

    # Its entities stay.
    assert again.collect() == dict.fromkeys(values)
    assert {one.key for one in again.readings()} == set(values)

    wait_for(lambda: again.collect()["waiting"] == 0, "the new answer", timeout=60)


@pytest.mark.parametrize(
    "content",
    [
        "nonsense",
        '{"version": 1}',
        '{"version": 1, "looks": {"apt": {"at": 1}}}',
        '{"version": 1, "looks": {"apt": {"at": 1, "signature": "x", "packages": []}}}',
        '{"version": 1, "looks": {"apt": []}}',
    ],
)
def test_damage_to_what_was_kept_costs_one_question(
    debian: FakeMachine,
    programs: PrintedPrograms,
    updates: MakePlugin,
    tmp_path: Path,
    content: str,
) -> None:
    kept = tmp_path / "state" / KEPT_FILE
    kept.parent.mkdir()
    kept.write_text(content)

    assert read(updates(debian))["waiting"] == 3


def test_what_cannot_be_kept_is_told_all_the_same(
    debian: FakeMachine,
    programs: PrintedPrograms,
    updates: MakePlugin,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "state").write_text("a file where the folder would be")

    assert read(updates(debian))["waiting"] == 3

    assert "cannot be written" in caplog.text


def test_it_asks_again_after_a_change_and_once_a_day(
    debian: FakeMachine,
    programs: PrintedPrograms,
    updates: MakePlugin,
    still_clock: ManualClock,
) -> None:
    plugin = updates(debian)
    read(plugin)
    for _ in range(3):
        plugin.collect()
    assert len(programs.calls) == 1

    os.utime(debian.root / "var/lib/dpkg/status", (5, 5))
    programs.printed["apt-get",] = ""
    assert read(plugin)["waiting"] == 0

    still_clock.advance(LOOK_AGAIN)
    read(plugin)
    assert len(programs.calls) == 3


def test_what_changes_is_asked_when_it_rests(machine: MachineOf) -> None:
    manager = ChangingPackages()
    looks = Looks(KeptLooks(), settle=0.01)

    looks.begin([manager])
    looks.wait(60)

    look = looks.last(manager)
    assert look is not None
    assert look.signature == manager.signature()
    assert manager.asked == 1
    looks.close()


def test_what_cannot_tell_says_why_and_is_tried_again(
    debian: FakeMachine,
    programs: PrintedPrograms,
    updates: MakePlugin,
    still_clock: ManualClock,
) -> None:
    debian.write("usr/bin/flatpak", "")
    debian.write("var/lib/flatpak/repo/config", "")
    programs.printed["apt-get",] = PackageManagerError("apt-get failed (100): E: no")
    programs.printed["flatpak",] = "org.gimp.GIMP\n"
    plugin = updates(debian)

    values = read(plugin)

    assert (values["waiting"], values["packages"]) == (1, "org.gimp.GIMP")
    assert values["security"] is None
    assert plugin.troubles() == {"apt": "apt-get failed (100): E: no"}
    programs.printed["apt-get",] = APT
    still_clock.advance(TRY_AGAIN)
    assert read(plugin)["waiting"] == 4
    assert plugin.troubles() == {}


def test_dnf(machine: MachineOf, programs: PrintedPrograms, updates: MakePlugin) -> None:
    host = machine("server")
    host.write("usr/bin/dnf", "")
    host.write("var/lib/rpm/rpmdb.sqlite", "")
    programs.printed["dnf",] = DNF
    programs.printed["dnf", "--security"] = DNF_SECURITY
    values = read(updates(host))

    assert values == {
        "waiting": 2, "security": 1, "packages": "kernel, openssl-libs", "lists_refreshed": None,
    }  # fmt: skip
    assert all("--cacheonly" in call for call in programs.calls)


def test_pacman(machine: MachineOf, programs: PrintedPrograms, updates: MakePlugin) -> None:
    host = machine("server")
    host.write("usr/bin/pacman", "")
    host.write("var/lib/pacman/local/keep", "")
    programs.printed["pacman",] = PACMAN
    plugin = updates(host)

    assert read(plugin)["waiting"] == 1
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
    assert packages.NicePrograms().ask("printf", "a b") == "a b"
    with pytest.raises(PackageManagerError, match=r"sh failed \(3\): no lists"):
        packages.NicePrograms().ask("sh", "-c", "echo more; echo no lists >&2; exit 3")


def test_a_program_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LIMIT", 0.2)

    with pytest.raises(PackageManagerError, match="sleep did not end"):
        packages.NicePrograms().ask("sleep", "30")


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
        debian,
        "package_managers",
        lambda: [packages.Apt(Files(debian.root), packages.NicePrograms())],
    )
    return started


def test_what_is_asked_holds_nothing_up_and_ends_with_the_agent(
    debian: FakeMachine, slow_debian: Path, updates: MakePlugin
) -> None:
    plugin = updates(debian)

    assert plugin.collect() == {}
    wait_for(slow_debian.exists, "a package manager that runs", timeout=30)
    assert plugin.collect() == {}

    plugin.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(slow_debian.read_text()), 0)


def test_where_no_agent_runs_a_slow_one_is_named(
    debian: FakeMachine, slow_debian: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates_plugin, "PATIENCE", 0.1)
    plugin = UpdatesPlugin.create(PluginContext(debian))
    plugin.collect()

    with pytest.raises(Unavailable, match="have not said yet"):
        plugin.collect()

    plugin.close()


def test_nothing_is_asked_after_the_end(
    debian: FakeMachine, slow_debian: Path, updates: MakePlugin
) -> None:
    plugin = updates(debian)
    plugin.close()

    assert plugin.collect() == {}

    assert not slow_debian.exists()
