"""Installing and removing the service, below a folder instead of a system."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("systemd is Linux's", allow_module_level=True)

from companion_agent.config.policy import Policy
from companion_agent.plugins.services.settings import WatchedService
from companion_agent.service import linux
from companion_agent.service.changes import ServiceError, describe
from companion_agent.service.linux import Service, permissions, run_command
from companion_agent.service.unit import Helper, Program

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = Program(PurePosixPath("/opt/pilot-agent/bin/pilot-agent"))
WITH_HELPER = Program(
    PROGRAM.path,
    helper=Helper(PurePosixPath("/usr/bin/python3"), PurePosixPath("/opt/pilot-agent")),
)
PACKAGED = Program(PurePosixPath("/usr/bin/pilot-agent"))


class System:
    """Answers commands as a system would."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.user = False
        self.shown = {"ActiveState": "inactive", "UnitFileState": "disabled"}
        self.failing: set[str] = set()
        self.answers: dict[str, tuple[int, str]] = {}

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.commands.append(list(command))
        if command[0] == "getent":
            return subprocess.CompletedProcess(command, 0 if self.user else 2, "", "")
        if command[0] in {"systemd-sysusers", "useradd"}:
            self.user = True
        if command[0] == "userdel":
            self.user = False
        if command[:2] == ["systemctl", "show"]:
            return subprocess.CompletedProcess(command, 0, self.shown.get(command[3], ""), "")
        for word, (code, output) in self.answers.items():
            if word in command:
                return subprocess.CompletedProcess(command, code, output, "")
        failed = not self.failing.isdisjoint(command)
        return subprocess.CompletedProcess(command, int(failed), "", "it says no")

    def did(self, *words: str) -> bool:
        return any(set(words) <= set(command) for command in self.commands)


@pytest.fixture
def system() -> System:
    return System()


@pytest.fixture
def service(system: System, tmp_path: Path) -> Service:
    (tmp_path / "usr/share/polkit-1").mkdir(parents=True)
    return Service(tmp_path, system.run)


def test_installs_once(service: Service, system: System, tmp_path: Path) -> None:
    service.add_user(packaged=False)
    service.install(PROGRAM, Policy(), i2c=True)
    assert system.user
    assert system.did("systemctl", "daemon-reload")
    unit = tmp_path / "etc/systemd/system/pilot-agent.service"
    assert "ExecStart=/opt/pilot-agent/bin/pilot-agent run" in unit.read_text()
    assert unit.stat().st_mode & 0o777 == 0o644
    again = Service(tmp_path, system.run)
    again.add_user(packaged=False)
    again.install(PROGRAM, Policy(), i2c=True)
    assert again.changes == []
    again.install(PROGRAM, Policy(), i2c=False)
    assert again.changes == ["/etc/systemd/system/pilot-agent.service"]


def test_a_session_helper_starts_with_every_desktop(
    service: Service, system: System, tmp_path: Path
) -> None:
    service.install(PROGRAM, Policy(), i2c=True)

    helper = tmp_path / "etc/systemd/user/pilot-agent-session.service"
    assert "ExecStart=/opt/pilot-agent/bin/pilot-agent session" in helper.read_text()
    assert system.did("systemctl", "--global", "enable", helper.name)
    assert (tmp_path / "etc/xdg/autostart/pilot-agent-session.desktop").exists()
    service.remove()
    assert system.did("systemctl", "--global", "disable", helper.name)


def test_a_program_in_a_home_is_no_other_users_helper(service: Service, tmp_path: Path) -> None:
    home = PurePosixPath("/root/.local/share/pilot-agent")

    service.install(Program(home / "bin/pilot-agent", (home,)), Policy(), i2c=True)

    assert not (tmp_path / "etc/systemd/user").exists()


def test_a_look_tells_the_same_and_changes_nothing(
    service: Service, system: System, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    look = Service(tmp_path, system.run, check=True)
    for one in (look, service):
        one.add_user(packaged=False)
        one.install(PROGRAM, Policy(), i2c=True)
        one.start(restart=True)
        if one is look:
            assert sorted(tmp_path.rglob("*")) == before
            assert not system.user
            assert not system.did("systemctl", "restart")
    assert look.changes == service.changes
    look = Service(tmp_path, system.run, check=True)
    look.remove()
    assert f"{PurePosixPath('/etc/systemd/system/pilot-agent.service')} removed" in look.changes
    assert (tmp_path / "etc/systemd/system/pilot-agent.service").exists()


def test_a_package_has_brought_most_of_it(service: Service, tmp_path: Path) -> None:
    unit = tmp_path / "usr/lib/systemd/system/pilot-agent.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    assert service.packaged(PACKAGED)
    assert not service.packaged(PROGRAM)
    service.install(PACKAGED, Policy(), i2c=True)
    assert service.changes == ["/etc/polkit-1/rules.d/50-pilot-agent.rules"]


def test_the_rule_permits_what_the_configuration_allows() -> None:
    one = permissions(Policy(allow=["power.reboot"]), desktop=True)
    assert one == {
        "org.freedesktop.login1.reboot",
        "org.freedesktop.login1.reboot-multiple-sessions",
        "org.freedesktop.login1.set-wall-message",
    }
    assert permissions(Policy(deny=["*"]), desktop=True) == set()
    assert "org.freedesktop.login1.manage" in permissions(Policy(), desktop=True)
    assert "org.freedesktop.login1.manage" not in permissions(Policy(), desktop=False)


def test_choosing_the_power_profile_is_permitted_where_it_is_allowed() -> None:
    switch = "org.freedesktop.UPower.PowerProfiles.switch-profile"

    assert switch in permissions(Policy(), desktop=False)
    assert permissions(Policy(allow=["processor.governor"]), desktop=True) == set()


@pytest.fixture
def with_cpufreq(tmp_path: Path) -> Path:
    """The root of a machine whose processor can be set."""
    (tmp_path / "sys/devices/system/cpu/cpufreq/policy0").mkdir(parents=True)
    return tmp_path


PROCESSOR = ("pilot-agent-processor.service", "pilot-agent-processor.socket")


def processor_units(root: Path) -> set[str]:
    folder = root / "etc/systemd/system"
    return {path.name for path in folder.glob("pilot-agent-processor.*")}


def test_root_sets_the_processor_where_that_is_allowed(
    service: Service, system: System, with_cpufreq: Path
) -> None:
    service.install(WITH_HELPER, Policy(allow=["processor.boost"]), i2c=True)

    assert processor_units(with_cpufreq) == set(PROCESSOR)
    assert system.did("systemctl", "enable", PROCESSOR[1])
    assert "the processor can be set" in service.changes


@pytest.mark.parametrize(
    ("program", "policy"),
    [
        pytest.param(WITH_HELPER, Policy(deny=["processor.*"]), id="denied"),
        pytest.param(WITH_HELPER, Policy(allow=["power.*"]), id="not allowed"),
        pytest.param(WITH_HELPER, Policy(allow=["processor.profile"]), id="the profile alone"),
        pytest.param(PROGRAM, Policy(), id="a program that others could change"),
    ],
)
def test_root_sets_no_processor_else(
    service: Service, system: System, with_cpufreq: Path, program: Program, policy: Policy
) -> None:
    service.install(WITH_HELPER, Policy(), i2c=True)
    system.shown["UnitFileState"] = "UnitFileState=enabled"

    service.install(program, policy, i2c=True)

    assert processor_units(with_cpufreq) == set()
    assert system.did("systemctl", "disable", "--now", PROCESSOR[1])


def test_a_virtual_machine_gets_no_helper(service: Service, tmp_path: Path) -> None:
    service.install(WITH_HELPER, Policy(), i2c=True)

    assert processor_units(tmp_path) == set()


def test_removing_takes_the_helper_along(
    service: Service, system: System, with_cpufreq: Path
) -> None:
    service.install(WITH_HELPER, Policy(), i2c=True)
    system.shown["UnitFileState"] = "UnitFileState=enabled"

    service.remove()

    assert processor_units(with_cpufreq) == set()
    assert system.did("systemctl", "disable", "--now", PROCESSOR[1])


SMART = {"pilot-agent-smart.service", "pilot-agent-smart.timer"}


def smart_units(root: Path) -> set[str]:
    return {path.name for path in (root / "etc/systemd/system").glob("pilot-agent-smart.*")}


def test_root_asks_the_disks(service: Service, system: System, tmp_path: Path) -> None:
    service.install(WITH_HELPER, Policy(), i2c=True)

    assert smart_units(tmp_path) == SMART
    assert system.did("systemctl", "enable", "pilot-agent-smart.timer")
    assert "disks are asked how they are" in service.changes


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        pytest.param(WITH_HELPER, False, id="not wanted"),
        pytest.param(PROGRAM, True, id="a program that others could change"),
    ],
)
def test_root_asks_no_disk_else(
    service: Service, system: System, tmp_path: Path, program: Program, wanted: bool
) -> None:
    service.install(WITH_HELPER, Policy(), i2c=True)
    (tmp_path / "var/lib/pilot-agent-smart").mkdir(parents=True)
    system.shown["UnitFileState"] = "UnitFileState=enabled"

    service.install(program, Policy(), i2c=True, disk_health=wanted)

    assert smart_units(tmp_path) == set()
    assert system.did("systemctl", "disable", "--now", "pilot-agent-smart.timer")
    assert not (tmp_path / "var/lib/pilot-agent-smart").exists()


def test_starts_what_does_not_run(service: Service, system: System) -> None:
    service.start(restart=False)
    assert system.did("systemctl", "enable")
    assert system.did("systemctl", "restart")
    assert service.changes == ["start at boot", "service started"]


def test_restarts_only_when_it_must(service: Service, system: System) -> None:
    system.shown = {"ActiveState": "active", "UnitFileState": "enabled"}
    service.start(restart=False)
    assert service.changes == []
    service.start(restart=True)
    assert service.changes == ["service restarted"]


def test_says_why_it_does_not_start(service: Service, system: System) -> None:
    system.failing = {"restart"}
    with pytest.raises(ServiceError, match="does not start"):
        service.start(restart=False)
    system.failing = {"enable"}
    with pytest.raises(ServiceError, match="it says no"):
        service.start(restart=False)


def test_removes_what_it_made(service: Service, system: System, tmp_path: Path) -> None:
    service.add_user(packaged=False)
    service.install(PROGRAM, Policy(), i2c=True)
    (tmp_path / "var/lib/pilot-agent/x").mkdir(parents=True)
    system.shown = {"ActiveState": "active", "UnitFileState": "enabled"}
    service.remove()
    assert system.did("systemctl", "disable", "--now")
    service.purge(PurePosixPath("/var/lib/pilot-agent"))
    assert not system.user
    assert [path for path in tmp_path.rglob("*") if "pilot" in path.name] == []
    service.changes.clear()
    system.shown = {}
    service.remove()
    service.purge(PurePosixPath("/var/lib/pilot-agent"))
    assert service.changes == []


def test_a_file_is_whole_or_as_before(service: Service, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/thing").mkdir()
    with pytest.raises(ServiceError, match="/etc/thing cannot be written"):
        service.put(PurePosixPath("/etc/thing"), "x")
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["thing"]
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match="cannot be made"):
        service.make_folder(PurePosixPath("/file/folder"), mode=0o750)


def test_commands_that_are_missing_are_named() -> None:
    with pytest.raises(ServiceError, match="no-such-command is not installed"):
        run_command(["no-such-command"])


def test_a_checkout_is_no_installed_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(ServiceError, match="installed program"):
        linux.this_program()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/pilot-agent"
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert linux.this_program().path == PurePosixPath(program)
    # A link outlives the version that it leads to.
    link = tmp_path / "pilot-agent"
    link.symlink_to(program)
    monkeypatch.setattr(sys, "argv", [str(link)])
    assert linux.this_program().path == PurePosixPath(link)


def test_root_runs_the_release_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release, current = tmp_path / "releases/1", tmp_path / "current"
    for file in ("bin/pilot-agent", "bin/python", "lib/cpufreq.py", "lib/smart_helper.py"):
        (release / file).parent.mkdir(parents=True, exist_ok=True)
        (release / file).touch(mode=0o755)
    current.symlink_to(release)
    called = tmp_path / "pilot-agent"
    called.symlink_to(current / "bin/pilot-agent")
    monkeypatch.setattr(sys, "prefix", str(release))
    monkeypatch.setattr(sys, "executable", str(release / "bin/python"))
    monkeypatch.setattr(sys, "argv", [str(called)])
    monkeypatch.setattr(linux.cpufreq, "__file__", str(release / "lib/cpufreq.py"))
    monkeypatch.setattr(linux.smart_helper, "__file__", str(release / "lib/smart_helper.py"))
    monkeypatch.setattr(linux, "_is_roots", lambda _: True)

    helper = linux.this_program().helper

    assert helper == Helper(PurePosixPath(current, "bin/python"), PurePosixPath(current, "lib"))


def test_changes_are_told_once() -> None:
    assert describe([]) == "Nothing had to be changed."
    assert describe(["a", "b", "a"]) == "Changed: a, b."


@pytest.mark.parametrize(
    ("virt", "version", "written"),
    [
        (0, "systemd 252 (252.39-1~deb12u1)", True),
        (0, "systemd 256 (256.7)", True),
        (0, "systemd 257 (257.8-1)", False),
        (1, "systemd 252 (252.39-1~deb12u1)", False),
        (0, "", False),
    ],
)
def test_an_older_systemd_shows_the_service_the_containers_own_proc(
    service: Service, system: System, tmp_path: Path, virt: int, version: str, written: bool
) -> None:
    system.answers = {"systemd-detect-virt": (virt, ""), "--version": (0, version)}
    drop_in = tmp_path / "etc/systemd/system/pilot-agent.service.d/pilot-container.conf"

    service.install(PROGRAM, Policy(), i2c=True)

    assert drop_in.exists() == written
    if written:
        assert "ProtectKernelTunables=no\nProtectControlGroups=no" in drop_in.read_text()


def test_the_drop_in_goes_when_systemd_needs_it_no_more(
    service: Service, system: System, tmp_path: Path
) -> None:
    system.answers = {"systemd-detect-virt": (0, ""), "--version": (0, "systemd 252 (x)")}
    service.install(PROGRAM, Policy(), i2c=True)
    system.answers["--version"] = (0, "systemd 257 (x)")
    later = Service(tmp_path, system.run)

    later.install(PROGRAM, Policy(), i2c=True)

    assert later.changes == [f"{linux.CONTAINER_DROP_IN} removed"]


def test_single_units_are_permitted_as_the_local_file_and_the_allowlist_say(
    service: Service, system: System, tmp_path: Path
) -> None:
    services = {
        "nginx": WatchedService(("start", "stop", "restart")),
        "backup.timer": WatchedService(("start",)),
        "postgresql": WatchedService(),
        "dbus": WatchedService(("stop",)),
    }

    service.install(PROGRAM, Policy(deny=["services.nginx.restart"]), i2c=True, services=services)

    rule = (tmp_path / "etc/polkit-1/rules.d/50-pilot-agent.rules").read_text()
    units = rule.partition("var units = [\n")[2].partition("];")[0].split("\n")
    assert [line.strip() for line in units if line.strip()] == [
        '"start backup.timer",',
        '"start nginx.service",',
        '"stop nginx.service",',
    ]
    assert 'action.id == "org.freedesktop.systemd1.manage-units"' in rule


def test_a_unit_is_permitted_by_its_own_name(
    service: Service, system: System, tmp_path: Path
) -> None:
    system.shown["Id"] = "Id=ssh.service"

    service.install(PROGRAM, Policy(), i2c=True, services={"sshd": WatchedService(("restart",))})

    rule = (tmp_path / "etc/polkit-1/rules.d/50-pilot-agent.rules").read_text()
    assert '"restart ssh.service",' in rule
    assert "sshd" not in rule


def test_a_unit_that_another_name_hides_is_permitted_to_do_no_more(
    service: Service, system: System, tmp_path: Path
) -> None:
    system.shown["Id"] = "Id=NetworkManager.service"
    watched = {"network-manager": WatchedService(("stop", "restart"))}

    service.install(PROGRAM, Policy(), i2c=True, services=watched)

    rule = (tmp_path / "etc/polkit-1/rules.d/50-pilot-agent.rules").read_text()
    assert '"restart NetworkManager.service",' in rule
    assert "stop" not in rule


def test_a_unit_s_name_is_no_option_of_systemctl(service: Service, system: System) -> None:
    name = "--host=elsewhere"

    service.install(PROGRAM, Policy(), i2c=True, services={name: WatchedService(("start",))})

    [asked] = [command for command in system.commands if f"{name}.service" in command]
    assert asked.index("--") < asked.index(f"{name}.service")


def test_without_services_the_rule_says_nothing_of_units(service: Service, tmp_path: Path) -> None:
    service.install(PROGRAM, Policy(), i2c=True)

    rule = (tmp_path / "etc/polkit-1/rules.d/50-pilot-agent.rules").read_text()
    assert "units" not in rule.replace("manage-units", "")
