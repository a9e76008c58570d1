"""What the system is told of the service; that it works is seen on hosts (tests/systemd)."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path, PurePosixPath
import re
import subprocess

import pytest

from companion_agent import cli
from companion_agent.ipc import runtime_folder
from companion_agent.service import unit
from companion_agent.service.unit import Program
from companion_agent.session_helper import runtime as session_helper


def test_unit_of_a_system_wide_program() -> None:
    text = unit.unit(Program(PurePosixPath("/usr/bin/pilot-agent")))
    assert "ExecStart=/usr/bin/pilot-agent run\n" in text
    assert f"RestartPreventExitStatus={cli.BAD_INPUT}\n" in text
    assert "TemporaryFileSystem" not in text
    assert "DeviceAllow=char-i2c rw" in text


def test_without_i2c_its_buses_are_closed() -> None:
    text = unit.unit(Program(PurePosixPath("/usr/bin/pilot-agent")), i2c=False)
    assert "DevicePolicy=closed\n" in text
    # The console's screen is switched by its framebuffer.
    assert "DeviceAllow=char-fb rw\n" in text
    assert "DeviceAllow=char-nvidia rw\n" in text
    assert "char-i2c" not in text


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


def test_session_helpers_find_the_service() -> None:
    text = unit.unit(Program(PurePosixPath("/usr/bin/pilot-agent")))

    assert (
        f"RuntimeDirectory={runtime_folder.SERVICE_FOLDER.name}\nRuntimeDirectoryMode=0755" in text
    )
    assert runtime_folder.SERVICE_FOLDER.parent == Path("/run")
    assert f"User={runtime_folder.SERVICE_USER}\n" in text
    # In a namespace of users every other one would be 65534.
    assert "PrivateUsers=yes" not in text


def test_a_session_helper_comes_back_unless_another_runs() -> None:
    text = unit.session_unit(Program(PurePosixPath("/usr/bin/pilot-agent")))

    assert "ExecStart=/usr/bin/pilot-agent session\n" in text
    assert "Restart=always\nRestartSec=1\n" in text
    assert f"RestartPreventExitStatus={session_helper.ANOTHER_RUNS}\n" in text


@pytest.mark.parametrize("name", ["pilot-agent", 'my agent\'s $HOME "100%"'])
def test_a_desktop_without_a_service_manager_starts_it(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    program.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    program.chmod(0o755)
    entry = RawConfigParser()
    entry.read_string(unit.autostart(Program(PurePosixPath(program))))
    # As the Desktop Entry Specification reads it: the text, then the argument, then the codes.
    text = entry["Desktop Entry"]["Exec"].replace("\\\\", "\\")
    found = re.fullmatch(r'sh -c "(.*)"', text)
    assert found
    script = re.sub(r'\\([\\"`$])', r"\1", found[1]).replace("%%", "%")

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr, done.returncode) == ("session\n", "", 0)


HELPER = unit.Helper(PurePosixPath("/usr/bin/python3"), PurePosixPath("/usr/lib"))


def test_what_sets_the_processor_is_for_the_agent_and_without_capabilities() -> None:
    sections = unit.processor_socket(HELPER), unit.processor_service(HELPER)

    for text in sections:
        assert "\nCapabilityBoundingSet=\n" in text
        assert (
            "\nReadWritePaths=-/sys/devices/system/cpu/cpufreq "
            "-/sys/devices/system/cpu/intel_pstate\n"
        ) in text
    assert f"SocketGroup={unit.USER}\nSocketMode=0660\n" in sections[0]
    assert "ExecStart=/usr/bin/python3 -I -S /usr/lib/cpufreq.py serve\n" in sections[1]


def test_what_was_found_is_put_back_when_the_agent_has_ended() -> None:
    text = unit.processor_socket(HELPER)

    assert f"PartOf={unit.SERVICE}\nStopWhenUnneeded=yes\nBefore={unit.SERVICE}\n" in text
    assert "ExecStopPost=-/usr/bin/python3 -I -S /usr/lib/cpufreq.py restore\n" in text


def test_what_asks_the_disks_sees_disks_alone() -> None:
    text = unit.smart_service(HELPER)

    assert "ExecStart=/usr/bin/python3 -I -S /usr/lib/smart_helper.py\n" in text
    assert "\nCapabilityBoundingSet=CAP_SYS_RAWIO CAP_SYS_ADMIN\n" in text
    assert re.findall("DeviceAllow=(.*)", text) == ["block-sd rw", "block-blkext rw"]
    assert "ConditionPathExists=/run/pilot-agent/disk_health.json\n" in text
    assert "StateDirectory=pilot-agent-smart\n" in text


def test_disks_are_asked_while_the_agent_is_there() -> None:
    text = unit.smart_timer()

    assert f"PartOf={unit.SERVICE}\n" in text
    assert f"WantedBy={unit.SERVICE}\n" in text
    assert "OnUnitActiveSec=30min\n" in text
