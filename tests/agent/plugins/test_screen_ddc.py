"""Monitors that are dimmed by DDC/CI: ddcutil is a stand-in, with the words of version 1.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.sessions import DesktopSessions
from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux import console
from companion_agent.plugins.screen import ddc as ddc_module
from companion_agent.plugins.screen.plugin import ScreenPlugin
from companion_agent.plugins.screen.settings import ScreenConfig
from support.clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from support.agent_machines import FakeMachine
    from support.agent_screen import MachineOf

CARD = "sys/devices/pci0000:00/0000:00:02.0/drm/card1"
KEY = "brightness.dp-1"

SAYS = """\
#!/bin/sh
echo "$*" >> {folder}/asked
[ "$1 $2 $3" = "--bus 7 --terse" ] || {{ echo "Display not found"; exit 1; }}
shift 3
case $1 in
getvcp) echo "VCP 10 C $(cat {folder}/level) 80" ;;
setvcp) {obeys} ;;
esac
"""


@pytest.fixture
def ddcutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for ddcutil; return the folder of what the monitor is set to."""
    folder = tmp_path / "ddcutil"
    (folder / "bin").mkdir(parents=True)
    (folder / "level").write_text("40\n")
    write(folder, f'echo "$3" > {folder}/level')
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    return folder


def write(folder: Path, obeys: str) -> None:
    program = folder / "bin/ddcutil"
    program.write_text(SAYS.format(folder=folder, obeys=obeys))
    program.chmod(0o755)


@pytest.fixture
def desktop(machine: MachineOf) -> FakeMachine:
    """A machine with one monitor, on DisplayPort."""
    machine_ = machine("thinkpad")
    machine_.write(f"{CARD}/card1-DP-1/status", "connected")
    machine_.write(f"{CARD}/card1-eDP-1/status", "disconnected")
    return machine_


def screen_of(machine: FakeMachine) -> ScreenPlugin:
    return ScreenPlugin(machine, sessions=DesktopSessions(), config=ScreenConfig(ddc=True))


def test_a_monitor_is_dimmed_and_read_back(desktop: FakeMachine, ddcutil: Path) -> None:
    screen = screen_of(desktop)
    assert screen.collect()[KEY] == 50

    screen.run(f"screen.{KEY}", {"value": 25})

    assert screen.collect()[KEY] == 25
    assert (ddcutil / "level").read_text() == "20\n"


def test_without_the_key_no_monitor_is_asked(desktop: FakeMachine, ddcutil: Path) -> None:
    screen = ScreenPlugin(desktop, sessions=DesktopSessions(), config=ScreenConfig())

    assert KEY not in screen.collect()
    assert not (ddcutil / "asked").exists()


def test_what_says_yes_and_does_nothing_has_failed(desktop: FakeMachine, ddcutil: Path) -> None:
    write(ddcutil, ":")
    screen = screen_of(desktop)
    screen.collect()

    with pytest.raises(CommandError, match="DP-1 was set to 25 %, it is at 50 %"):
        screen.run(f"screen.{KEY}", {"value": 25})


def test_its_own_buttons_are_noticed_in_time(
    desktop: FakeMachine, ddcutil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(ddc_module.time, "monotonic", lambda: clock.now)
    screen = screen_of(desktop)
    screen.ddc = ddc_module.DdcMonitors(desktop, lambda: clock.now)
    screen.collect()
    (ddcutil / "level").write_text("80\n")

    assert screen.collect()[KEY] == 50
    clock.now += ddc_module.LOOK_EVERY
    assert screen.collect()[KEY] == 100


def test_a_monitor_that_does_not_answer_says_why(desktop: FakeMachine, ddcutil: Path) -> None:
    (ddcutil / "bin/ddcutil").write_text("#!/bin/sh\necho 'VCP 10 ERR'\n")
    screen = screen_of(desktop)

    assert KEY not in screen.collect()
    assert "ddcutil says “VCP 10 ERR”" in screen.troubles()["DP-1"]


def test_a_program_that_is_not_installed_is_named(
    desktop: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    screen = screen_of(desktop)

    screen.collect()

    assert "install the package ddcutil" in screen.troubles()["DP-1"]


def test_a_built_in_screen_is_not_asked(machine: MachineOf, ddcutil: Path) -> None:
    screen_of(machine("thinkpad")).collect()

    assert not (ddcutil / "asked").exists()


def test_the_bus_that_a_connector_links_to(desktop: FakeMachine) -> None:
    desktop.remove(f"{CARD}/card1-DP-1/i2c-7")
    assert desktop.ddc_buses() == {}

    (desktop.root / "sys/devices/pci0000:00/0000:00:02.0/i2c-4").mkdir()
    (desktop.root / CARD / "card1-DP-1/ddc").symlink_to("../../../i2c-4")
    assert desktop.ddc_buses() == {"DP-1": 4}


def test_the_only_monitor_is_switched_with_the_screen(
    desktop: FakeMachine, ddcutil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = {0: "On", 4: "Off"}
    monkeypatch.setattr(
        console,
        "set_blank",
        lambda _, level: desktop.write(f"{CARD}/card1-DP-1/dpms", levels[level]),
    )
    screen = screen_of(desktop)

    screen.run("screen.on.dp-1", {"value": 1})
    assert screen.collect() == {"on": True, "on.dp-1": True, KEY: 50}

    screen.run("screen.on.dp-1", {"value": 0})
    assert screen.collect() == {"on": False, "on.dp-1": False, KEY: 50}


def test_a_machine_with_nothing_says_both(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="no user is logged in; the console: no monitor"):
        screen_of(machine("server")).collect()
