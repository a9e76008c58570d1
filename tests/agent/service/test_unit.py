"""What the system is told of the service; that it works is seen on hosts (tests/systemd)."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from companion_agent import cli
from companion_agent.service import unit
from companion_agent.service.unit import Program


def test_unit_of_a_system_wide_program() -> None:
    text = unit.unit(Program(PurePosixPath("/usr/bin/pilot-agent")))
    assert "ExecStart=/usr/bin/pilot-agent run\n" in text
    assert f"RestartPreventExitStatus={cli.BAD_INPUT}\n" in text
    assert "TemporaryFileSystem" not in text
    assert "DeviceAllow=char-i2c rw" in text


def test_without_i2c_there_are_no_devices() -> None:
    text = unit.unit(Program(PurePosixPath("/usr/bin/pilot-agent")), i2c=False)
    assert "PrivateDevices=yes" in text
    assert "DeviceAllow" not in text


@pytest.mark.parametrize(
    ("path", "home"),
    [
        ("/root/.local/venv", "/root"),
        ("/home/anna/.local/venv", "/home/anna"),
    ],
)
def test_of_a_home_only_the_program_is_seen(path: str, home: str) -> None:
    folder = PurePosixPath(path)
    text = unit.unit(Program(folder / "bin/pilot-agent", (folder,)))
    assert f"TemporaryFileSystem={home}:ro,mode=0755\nBindReadOnlyPaths={path}\n" in text


def test_odd_paths_are_quoted() -> None:
    text = unit.unit(Program(PurePosixPath("/opt/my 100% apps/pilot-agent")))
    assert 'ExecStart="/opt/my 100%% apps/pilot-agent" run\n' in text


def test_user_and_devices() -> None:
    assert "u pilot-agent - " in unit.sysusers()
    assert 'GROUP="i2c"' in unit.udev()
