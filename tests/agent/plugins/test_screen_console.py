"""The screen of the console, which the agent itself switches while no desktop is there."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Offer, Offered, Thing, Values
from companion_agent.desktop.sessions import DesktopSessions
from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux import console
from companion_agent.plugins.screen import power
from companion_agent.plugins.screen.plugin import ScreenPlugin
from support.agent_desktop import session

if TYPE_CHECKING:
    from pathlib import Path

    from support.agent_machines import FakeMachine
    from support.agent_screen import MachineOf

ON = Thing("on")
DPMS = "sys/class/drm/card1-eDP-1/dpms"
LEVELS = {0: "On", 4: "Off"}


def screen_of(machine: FakeMachine) -> ScreenPlugin:
    """The screen of an agent that runs, without a desktop."""
    return ScreenPlugin(machine, sessions=DesktopSessions())


@pytest.fixture
def laptop(machine: MachineOf, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """A machine whose kernel does what it is asked."""
    laptop = machine("thinkpad")

    def blank(path: str, level: int) -> None:
        assert path == str(laptop.root / "dev/fb0")
        laptop.write(DPMS, LEVELS[level])

    monkeypatch.setattr(console, "set_blank", blank)
    return laptop


def test_it_is_switched_and_read_back(laptop: FakeMachine) -> None:
    screen = screen_of(laptop)
    assert screen.collect() == {"on": True}

    screen.run("screen.on", {"value": 0})
    assert screen.collect() == {"on": False}

    screen.run("screen.on", {"value": 1})
    assert screen.collect() == {"on": True}
    assert screen.ways() == ("the console by the kernel's framebuffer (fb0 on eDP-1)",)


def test_what_says_yes_and_does_nothing_has_failed(
    laptop: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "set_blank", lambda *_: None)
    monkeypatch.setattr(power, "SWITCH_LIMIT", 0.05)

    with pytest.raises(CommandError, match=r"eDP-1 is still on .* hold the graphics card\?"):
        screen_of(laptop).run("screen.on", {"value": 0})


@pytest.mark.parametrize(
    ("number", "fix"), [(errno.EACCES, "usermod -aG video"), (errno.EPERM, "pilot-agent setup")]
)
def test_a_permission_that_is_missing_is_announced(
    laptop: FakeMachine, monkeypatch: pytest.MonkeyPatch, number: int, fix: str
) -> None:
    def open_framebuffer(_: str) -> int:
        raise PermissionError(number, "refused")

    monkeypatch.setattr(console, "open_framebuffer", open_framebuffer)

    [command] = screen_of(laptop).commands()

    assert command.missing is not None
    assert fix in command.missing.fix


def test_a_refusal_says_which_device(laptop: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    def blank(path: str, _: int) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(console, "set_blank", blank)

    with pytest.raises(CommandError, match="fb0: Permission denied") as raised:
        screen_of(laptop).run("screen.on", {"value": 0})
    assert raised.value.reason == "not_permitted"


# --- A desktop comes and goes ------------------------------------------------------------------


def test_where_no_agent_runs_it_is_left_alone(laptop: FakeMachine) -> None:
    """`pilot-agent doctor` would take it for what the service does not see."""
    with pytest.raises(Unavailable, match="no user is logged in"):
        ScreenPlugin(laptop).collect()


def test_a_desktop_has_the_screen_to_itself(laptop: FakeMachine) -> None:
    sessions = DesktopSessions()
    sessions.follow([session()])
    screen = ScreenPlugin(laptop, sessions=sessions)

    with pytest.raises(Unavailable, match="session helper of anna does not run"):
        screen.collect()


def test_a_login_screen_has_it_too(laptop: FakeMachine) -> None:
    sessions = DesktopSessions()
    sessions.follow([session("c1", "gdm", person=False)])

    with pytest.raises(Unavailable):
        ScreenPlugin(laptop, sessions=sessions).collect()


def test_after_the_log_out_the_console_is_switched(laptop: FakeMachine) -> None:
    sessions = DesktopSessions()
    anna = session()
    sessions.follow([anna])
    screen = ScreenPlugin(laptop, sessions=sessions)
    helper = sessions.admit(anna, anna.uid, "1", lambda _: None)
    things = (ON, Thing("keep_awake"))
    sessions.received(helper, Offered("screen", Offer(things, things)))
    sessions.received(helper, Values("screen", {ON: False}))
    assert screen.collect()["on"] is False

    sessions.gone(helper)
    sessions.follow([])

    # What was once announced stays.
    assert screen.collect() == {"on": True, "keep_awake": None}
    screen.run("screen.on", {"value": 0})
    assert screen.collect()["on"] is False


def test_a_user_on_the_console_is_no_desktop(laptop: FakeMachine) -> None:
    sessions = DesktopSessions()
    sessions.follow([session(type="tty")])

    assert ScreenPlugin(laptop, sessions=sessions).collect() == {"on": True}


# --- Machines ----------------------------------------------------------------------------------


def test_a_machine_without_a_monitor(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="no monitor is connected"):
        screen_of(machine("server")).collect()


def test_a_kernel_without_a_framebuffer(laptop: FakeMachine) -> None:
    laptop.remove("sys/class/graphics/fb0")

    with pytest.raises(Unavailable, match="no framebuffer on the graphics card"):
        screen_of(laptop).collect()


SAYS = """\
#!/bin/sh
[ "$1" = display_power ] || {{ echo 'error=1 error_msg="Command not registered"'; exit; }}
[ -z "$2" ] || echo "$2" > {state}
echo "display_power=$(cat {state})"
"""


@pytest.fixture
def vcgencmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What vcgencmd says on a Raspberry Pi 3 without KMS, firmware of 2021."""
    state = tmp_path / "display_power"
    state.write_text("1\n")
    program = tmp_path / "bin/vcgencmd"
    program.parent.mkdir()
    program.write_text(SAYS.format(state=state))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_a_raspberry_pi_without_kms_asks_its_firmware(machine: MachineOf, vcgencmd: Path) -> None:
    screen = screen_of(machine("raspberry-pi"))
    assert screen.collect() == {"on": True}

    screen.run("screen.on", {"value": 0})

    assert screen.collect() == {"on": False}
    assert screen.ways() == ("the console by vcgencmd display_power",)


def test_kms_comes_before_the_firmware(machine: MachineOf, vcgencmd: Path) -> None:
    pi = machine("raspberry-pi")
    gpu = "sys/devices/platform/gpu"
    pi.write(f"{gpu}/drm/card0/card0-HDMI-A-1/status", "connected")
    pi.write(f"{gpu}/drm/card0/card0-HDMI-A-1/dpms", "On")
    for link, target in (
        ("sys/class/drm/card0-HDMI-A-1", "../../devices/platform/gpu/drm/card0/card0-HDMI-A-1"),
        (f"{gpu}/graphics/fb0/device", "../../../gpu"),
        ("sys/class/graphics/fb0", "../../devices/platform/gpu/graphics/fb0"),
    ):
        (pi.root / link).parent.mkdir(parents=True, exist_ok=True)
        (pi.root / link).symlink_to(target)

    screen = screen_of(pi)
    screen.collect()

    assert screen.ways() == ("the console by the kernel's framebuffer (fb0 on HDMI-A-1)",)


def test_a_firmware_that_does_not_tell(machine: MachineOf, vcgencmd: Path) -> None:
    vcgencmd.write_text("#!/bin/sh\necho 'VCHI initialization failed' >&2; exit 255\n")

    with pytest.raises(Unavailable, match="says “VCHI initialization failed”"):
        screen_of(machine("raspberry-pi")).collect()


def test_the_request_of_the_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """FBIOBLANK, with FB_BLANK_POWERDOWN and FB_BLANK_UNBLANK of linux/fb.h."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(
        console.fcntl, "ioctl", lambda _, request, level: asked.append((request, level))
    )
    (tmp_path / "fb0").touch()

    for level in (4, 0):
        console.set_blank(str(tmp_path / "fb0"), level)

    assert asked == [(0x4611, 4), (0x4611, 0)]
