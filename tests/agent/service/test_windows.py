"""Making the agent a service of Windows and taking it away, on a Windows that the tests play."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from companion_agent.service import event_log, windows
from companion_agent.service.changes import ServiceError
from companion_agent.service.windows import Places, WindowsService, command_line, this_program
from companion_agent.storage.permissions import SERVICE_SID
from companion_agent.winapi import accounts, registry, services
from support.windows_services import INSTALLER, ServicePC

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform == "win32":
    pytest.skip("tests/windows has the real ones", allow_module_level=True)

PROGRAM = (r"C:\Program Files\Pilot\python.exe", "-I", "-m", "companion_agent")


@pytest.fixture
def pc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServicePC:
    pc = ServicePC(tmp_path).install(monkeypatch)
    monkeypatch.setattr(event_log, "register", lambda _: None)
    monkeypatch.setattr(event_log, "remove", lambda _: True)
    return pc


@pytest.fixture
def places(pc: ServicePC) -> Places:
    return windows.usual_places()


def install(places: Places) -> WindowsService:
    service = WindowsService()
    service.install(PROGRAM, places)
    return service


def test_the_service_has_few_rights_and_comes_back(pc: ServicePC, places: Places) -> None:
    install(places)

    assert pc.config
    assert pc.config.account == r"NT AUTHORITY\LocalService"
    assert pc.config.start == services.SERVICE_AUTO_START
    assert pc.more == {
        services.CONFIG_DESCRIPTION: "Reports this computer to Home Assistant over MQTT.",
        services.CONFIG_FAILURE_ACTIONS: (86_400, [(1, 5_000), (1, 30_000), (1, 60_000)]),
        services.CONFIG_FAILURE_ACTIONS_FLAG: True,
        services.CONFIG_DELAYED_AUTO_START: True,
        services.CONFIG_SERVICE_SID: services.SERVICE_SID_TYPE_UNRESTRICTED,
        services.CONFIG_REQUIRED_PRIVILEGES: ["SeChangeNotifyPrivilege", "SeShutdownPrivilege"],
        services.CONFIG_PRESHUTDOWN: 10_000,
    }


def test_paths_with_spaces_and_umlauts_are_quoted() -> None:
    places = Places(
        PureWindowsPath(r"C:\ProgramData\pilot-agent\config.yaml"),  # type: ignore[arg-type]
        PureWindowsPath(r"D:\Zustände des Rechners\pilot"),  # type: ignore[arg-type]
    )

    assert command_line(PROGRAM, places) == (
        r'"C:\Program Files\Pilot\python.exe" -I -m companion_agent service run'
        r" --config C:\ProgramData\pilot-agent\config.yaml"
        r' --state-dir "D:\Zustände des Rechners\pilot"'
    )


def test_each_log_in_starts_the_session_helper(pc: ServicePC, places: Places) -> None:
    install(places)

    helper = r'"C:\Program Files\Pilot\pythonw.exe" -I -m companion_agent session'
    assert pc.run_key.line == helper


def test_a_second_time_nothing_changes(pc: ServicePC, places: Places) -> None:
    assert f"service {windows.NAME}" in install(places).changes

    assert install(places).changes == []


def test_another_program_replaces_the_one_before(pc: ServicePC, places: Places) -> None:
    install(places)
    service = WindowsService()

    service.install((r"C:\New\python.exe", "-m", "companion_agent"), places)

    assert service.changes == [
        f"service {windows.NAME}",
        "session helpers, from the next log-in on",
    ]
    assert pc.run_key.line.startswith(r'"C:\New\pythonw.exe"')
    assert pc.config
    assert pc.config.path.startswith(r'"C:\New\python.exe" -m')


def test_what_a_windows_does_not_know_is_told(pc: ServicePC, places: Places) -> None:
    pc.unknown = {services.CONFIG_SERVICE_SID}

    assert install(places).unknown == ["a SID of its own"]


def test_without_rights_nothing_is_touched(pc: ServicePC, places: Places) -> None:
    pc.administrator = False

    with pytest.raises(ServiceError, match="Run as administrator"):
        install(places)
    assert pc.config is None
    assert not places.state.exists()


# --- Starting and stopping -------------------------------------------------------------------


def test_start_stop_and_start_anew(pc: ServicePC, places: Places) -> None:
    install(places)
    service = WindowsService()
    service.start()
    service.start()
    service.start(restart=True)
    service.stop()
    service.stop()

    assert service.changes == ["service started", "service restarted", "service stopped"]
    # Its files are free when it has stopped.
    assert [call for call in pc.calls if call[0] == "WaitForSingleObject"] == [
        ("WaitForSingleObject", 4321, 30_000)
    ] * 2
    assert service.status().state == "stopped"


def test_a_service_that_is_late_once_gets_a_second_chance(pc: ServicePC, places: Places) -> None:
    install(places)
    pc.late_starts = 1
    WindowsService().start()
    assert WindowsService().status().state == "running"
    WindowsService().stop()

    pc.late_starts = 2
    with pytest.raises(ServiceError, match="does not start"):
        WindowsService().start()


def test_a_service_that_ends_at_once_says_where_its_reason_is(
    pc: ServicePC, places: Places
) -> None:
    install(places)
    pc.ends_with = services.ERROR_SERVICE_SPECIFIC

    with pytest.raises(ServiceError, match="event log"):
        WindowsService().start()


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(WindowsService.start, id="start"),
        pytest.param(WindowsService._stop, id="stop"),
    ],
)
def test_what_is_not_installed_cannot_be_used(
    pc: ServicePC, use: Callable[[WindowsService], None]
) -> None:
    with pytest.raises(ServiceError, match="not installed"):
        use(WindowsService())


def test_a_service_is_asked_without_rights(pc: ServicePC, places: Places) -> None:
    install(places)
    pc.administrator = False

    assert WindowsService().status().command == command_line(PROGRAM, places)
    with pytest.raises(ServiceError, match="Run as administrator"):
        WindowsService().start()


# --- Removing --------------------------------------------------------------------------------


def test_removing_keeps_the_keys(pc: ServicePC, places: Places) -> None:
    install(places)
    WindowsService().start()
    (places.state / "trust.json").write_text("{}")
    named = rf"{INSTALLER}\{registry.REGISTERED}"
    kept = rf"{accounts.LOCAL_SERVICE}\{registry.AGENT}"
    pc.keys |= {named, kept}
    service = WindowsService()

    service.remove()

    assert service.changes == [
        "service stopped",
        f"service {windows.NAME} removed",
        "session helpers removed",
    ]
    assert pc.run_key.line == ""
    assert service.status().state == "absent"
    assert (places.state / "trust.json").exists()
    assert pc.keys == {kept}
    service.purge(places.state, places.config)
    assert not places.state.exists()
    assert pc.keys == set()


def test_looking_changes_nothing(pc: ServicePC, places: Places) -> None:
    service = WindowsService(check=True)
    service.install(PROGRAM, places)
    service.start()

    assert f"service {windows.NAME}" in service.changes
    assert pc.config is None
    assert not places.config.parent.exists()


# --- Folders ---------------------------------------------------------------------------------


def test_only_the_service_and_administrators_enter_its_folders(
    pc: ServicePC, places: Places
) -> None:
    install(places)

    all_rights = "(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
    assert pc.rules[str(places.config.parent)] == (
        f"O:BAD:P{all_rights}(A;OICI;0x1200a9;;;{SERVICE_SID})"
    )
    assert pc.rules[str(places.state)] == f"O:BAD:P{all_rights}(A;OICI;FA;;;{SERVICE_SID})"


@pytest.mark.parametrize("owner", ["BA", "SY", INSTALLER, "S-1-5-32-544"])
def test_what_an_administrator_made_is_taken_over(
    pc: ServicePC, places: Places, owner: str
) -> None:
    places.state.mkdir(parents=True)
    places.config.write_text("broker: b\n")
    (places.state / "host-id").write_text("9c3f6f0e3a5b4d21")
    for path in (places.config.parent, places.config, places.state, places.state / "host-id"):
        pc.belongs_to(path, owner)

    install(places)

    assert pc.rules[str(places.config)].startswith("O:BAD:P")
    assert "WD" not in "".join(pc.rules.values())
    assert (places.state / "host-id").read_text() == "9c3f6f0e3a5b4d21"


def test_an_empty_folder_of_another_account_is_made_anew(pc: ServicePC, places: Places) -> None:
    places.config.parent.mkdir(parents=True)
    pc.belongs_to(places.config.parent, "S-1-5-21-1-2-3-1007")

    service = install(places)

    assert f"{places.config.parent} taken over" in service.changes
    assert pc.rules[str(places.config.parent)].startswith("O:BAD:P")


def test_what_another_account_put_there_is_refused(pc: ServicePC, places: Places) -> None:
    places.config.parent.mkdir(parents=True)
    places.config.write_text("broker: not.yours\n")
    pc.belongs_to(places.config.parent, "S-1-5-21-1-2-3-1007")

    with pytest.raises(ServiceError, match="S-1-5-21-1-2-3-1007"):
        install(places)
    assert pc.config is None


@pytest.mark.parametrize("place", ["config.yaml", "ca.pem", "state/trust.json", "state/x/y"])
def test_what_another_account_put_into_an_administrators_folder_is_refused(
    pc: ServicePC, places: Places, place: str
) -> None:
    """In a folder that an administrator makes by hand below ProgramData every user may do so."""
    planted = places.config.parent / place
    planted.parent.mkdir(parents=True)
    planted.write_text("commands: {allow: ['*']}\n")
    pc.belongs_to(planted, "S-1-5-21-1-2-3-1007")

    with pytest.raises(ServiceError, match="S-1-5-21-1-2-3-1007"):
        install(places)
    assert pc.config is None
    assert planted.read_text()


def test_a_file_for_the_service_is_closed_to_others(pc: ServicePC, places: Places) -> None:
    install(places)
    service = WindowsService()

    assert service.put(places.config, "broker: b\n")
    assert not service.put(places.config, "broker: b\n")
    assert pc.rules[str(places.config)].endswith(f"(A;;0x1200a9;;;{SERVICE_SID})")


# --- The program -----------------------------------------------------------------------------


def test_the_store_s_python_is_refused(pc: ServicePC, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/Users/a/AppData/Local/Microsoft/WindowsApps/python.exe"
    monkeypatch.setattr(sys, "_base_executable", path, raising=False)

    with pytest.raises(ServiceError, match="Microsoft Store"):
        this_program()


def test_a_python_in_a_user_s_folder_is_refused(
    pc: ServicePC, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pc.users / "a" / "Python311" / "python.exe"
    monkeypatch.setattr(sys, "_base_executable", str(path), raising=False)

    with pytest.raises(ServiceError, match="all users"):
        this_program()


# What Windows has at C:\\, at what is made there, and at C:\\Program Files.
ROOT = "O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;OICIIO;SDGXGWGR;;;AU)(A;;LC;;;AU)"  # noqa: E501
MADE_THERE = "O:BAD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)(A;ID;0x1301bf;;;AU)(A;OICIIOID;SDGXGWGR;;;AU)"  # noqa: E501


@pytest.mark.parametrize("place", ["Python/python.exe", "Python", "."])
def test_a_python_that_others_can_change_is_refused(
    pc: ServicePC, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """What is made at a drive's root may be changed by every user who has logged in."""
    pc.rules[str(tmp_path / place)] = MADE_THERE
    path = tmp_path / "Python" / "python.exe"
    monkeypatch.setattr(sys, "_base_executable", str(path), raising=False)

    with pytest.raises(ServiceError, match=r"others \(AU\).*icacls"):
        this_program()


def test_an_agent_that_others_can_change_is_refused(pc: ServicePC) -> None:
    pc.rules[str(Path(windows.__file__).parents[1])] = "O:S-1-5-21-1-2-3-1007D:(A;;FA;;;BA)"

    with pytest.raises(ServiceError, match="S-1-5-21-1-2-3-1007"):
        this_program()


def test_that_others_make_folders_beside_it_does_not_matter(
    pc: ServicePC, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pc.rules[str(tmp_path)] = ROOT
    path = tmp_path / "Program Files" / "Python" / "python.exe"
    monkeypatch.setattr(sys, "_base_executable", str(path), raising=False)

    assert this_program()[0] == str(path)


def test_a_virtual_environment_is_started_without_its_launcher(
    pc: ServicePC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "_base_executable", "/opt/Python/pythonw.exe", raising=False)
    monkeypatch.setattr(sys, "prefix", "/opt/venv")
    monkeypatch.setattr(sys, "base_prefix", "/opt/Python")

    program = this_program()

    # Only with a console a program that the agent starts has one to inherit.
    assert program[0] == "/opt/Python/python.exe"
    assert "addsitedir" in program[-1]


def test_without_a_virtual_environment_the_module_is_run(
    pc: ServicePC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "_base_executable", "/opt/Python/python.exe", raising=False)
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    installed = str(Path(windows.__file__).parents[2])
    monkeypatch.setattr(sysconfig, "get_path", lambda _: installed)

    assert this_program()[2:] == ("-m", "companion_agent")
