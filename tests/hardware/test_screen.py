"""The screen for real: a monitor on Debian's kernel, its console, and an X server on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from seen_inside import seen

from companion_agent.service import unit
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.guest import Guest

pytestmark = pytest.mark.proves("screen.on", "screen.time_out")

BLANK = "/sys/class/graphics/fb0/blank"
X_LOG = "/run/xorg.log"


def test_the_agents_user_switches_the_console(guest: Guest) -> None:
    """User and groups are those that are shipped; no more is needed."""
    guest.write("/usr/lib/sysusers.d/pilot-agent.conf", unit.sysusers())
    guest.run("systemd-sysusers", "pilot-agent.conf")

    assert seen(guest, "console", "0", "1", user=unit.USER) == {
        "ways": ["the console by the kernel's framebuffer (fb0 on Virtual-1)"],
        "missing": "",
        "before": True,
        "after": [[False, "Off"], [True, "On"]],
    }


def test_a_console_that_another_program_has_switched(guest: Guest) -> None:
    guest.run("sh", "-c", f"echo 4 > {BLANK}")
    try:
        found = seen(guest, "console", user="daemon")
    finally:
        guest.run("sh", "-c", f"echo 0 > {BLANK}")

    assert found["before"] is False
    assert "usermod -aG video" in found["missing"]


def test_news_of_sysfs_is_waited_for(guest: Guest) -> None:
    assert all(seen(guest, "watch").values())


@pytest.fixture(scope="module")
def xorg(guest: Guest) -> Iterator[None]:
    """An X server on the monitor; without `-noreset` it would begin anew with each client."""
    start = f"Xorg :0 vt7 -noreset -nolisten tcp >{X_LOG} 2>&1 & echo $!"
    pid = guest.run("sh", "-c", start).stdout.strip()
    socket = "/tmp/.X11-unix/X0"

    def is_there() -> bool:
        ended = f"kill -0 {pid} || {{ cat {X_LOG}; exit 1; }}"
        guest.run("sh", "-c", ended)
        return guest.run("test", "-S", socket, check=False).returncode == 0

    wait_for(is_there, "the X server", timeout=300, interval=1)
    yield
    guest.run("sh", "-c", f"kill {pid}")


def test_an_x_server_switches_its_monitor(guest: Guest, xorg: None) -> None:
    assert seen(guest, "x11", DISPLAY=":0") == {
        "way": "X11's DPMS",
        "after": [[False, "Off"], [True, "On"]],
        "after another": [False, "Off", [["turned_off", {}]]],
        "in the end": [True, "On"],
        "after the time-out": [False, "Off", [["turned_off", {}]]],
        "without it": [0, "On"],
    }


def test_beside_an_x_server_the_console_says_that_it_cannot(guest: Guest, xorg: None) -> None:
    """The kernel says yes and does nothing."""
    [said] = seen(guest, "console", "0")["after"]

    assert "Virtual-1 is still on" in said
    assert "does another program hold the graphics card?" in said
