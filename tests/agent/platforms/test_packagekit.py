"""PackageKit's own daemon on a bus of the test's, with the back ends that it is tested with itself.

The one that succeeds has three updates, one of them about security.
"""

from __future__ import annotations

from pathlib import Path
import subprocess
from typing import TYPE_CHECKING

import pytest

from companion_agent.platforms.linux import packagekit
from companion_agent.platforms.linux.files import Files
from companion_agent.platforms.linux.packagekit import PackageKit
from companion_agent.platforms.packages import PackageManagerError, Waiting
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.agent_logind import FakePolkit, SystemBus
    from support.agent_screen import MachineOf

    Serve = Callable[[str], subprocess.Popen[bytes]]

pytestmark = pytest.mark.proves("updates.waiting", "updates.packages", "updates.security")

DAEMON = Path("/usr/libexec/packagekitd")


@pytest.fixture
def serve(bus: SystemBus, polkit: FakePolkit) -> Iterator[Serve]:
    """Start the daemon with a back end."""
    if not DAEMON.exists():
        pytest.skip("not installed (Debian: apt install packagekit)")
    daemons = []

    def start(backend: str) -> subprocess.Popen[bytes]:
        # Without its environment it would look for the machine's own bus.
        command = [DAEMON, "--keep-environment", f"--backend={backend}"]
        daemons.append(subprocess.Popen(command))
        wait_for(lambda: bus.has_owner(packagekit.SERVICE), "PackageKit", timeout=60)
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.kill()
        daemon.wait(10)


@pytest.fixture
def manager() -> Iterator[PackageKit]:
    manager = PackageKit(Files())
    yield manager
    manager.close()


def test_it_says_what_waits_and_what_of_it_is_about_security(
    serve: Serve, manager: PackageKit
) -> None:
    serve("dummy")

    assert manager.look() == Waiting(("gtkhtml2", "kernel", "powertop"), 1)

    # How old the lists are it is not asked.
    assert manager.refreshed() is None


def test_one_that_cannot_tell_says_why(serve: Serve, manager: PackageKit) -> None:
    serve("test_nop")

    with pytest.raises(PackageManagerError, match="PackageKit"):
        manager.look()


def test_one_that_ends_is_not_waited_for(
    serve: Serve, bus: SystemBus, manager: PackageKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = serve("dummy")
    # It is asked, and has gone before it can say anything.
    wait = packagekit.select.select

    def end_first(*arguments: object) -> object:
        daemon.kill()
        return wait(*arguments)

    monkeypatch.setattr(packagekit.select, "select", end_first)

    with pytest.raises(PackageManagerError, match="PackageKit"):
        manager.look()


def test_the_end_of_the_agent_is_not_held_up(serve: Serve, manager: PackageKit) -> None:
    serve("dummy")
    manager.close()

    with pytest.raises(PackageManagerError, match="not asked any more"):
        manager.look()


def test_without_a_bus_it_says_so(manager: PackageKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")

    with pytest.raises(PackageManagerError, match="PackageKit: there is no D-Bus system bus"):
        manager.look()


def test_it_speaks_for_systems_whose_own_package_manager_is_not_known(machine: MachineOf) -> None:
    host = machine("server")
    host.write(packagekit.ACTIVATION, "")
    host.write("usr/bin/flatpak", "")
    host.write("var/lib/flatpak/repo/config", "")
    assert [one.name for one in host.package_managers()] == ["flatpak", "packagekit"]

    host.write("usr/bin/apt-get", "")
    host.write("var/lib/dpkg/status", "")

    assert [one.name for one in host.package_managers()] == ["apt", "flatpak"]


def test_its_signature_follows_what_is_installed(machine: MachineOf) -> None:
    host = machine("server")
    manager = PackageKit(Files(host.root))
    before = manager.signature()

    host.write("usr/lib/sysimage/rpm/Packages.db", "")

    assert manager.signature() != before
