"""Jobs, accounts, folders, events and keys of Windows, as the service uses them."""

from __future__ import annotations

import ctypes
import logging
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent import logs
from companion_agent.config.settings import LogConfig
from companion_agent.service.event_log import EventLogHandler
from companion_agent.storage.permissions import SERVICE, SERVICE_SID
from companion_agent.winapi import accounts, event_log, folders, jobs, registry
from companion_agent.winapi.event_log import Source
from support.agent_windows import FakeRegistryKey
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    return FakeWindows().install(monkeypatch)


def test_a_service_s_sid_follows_from_its_name() -> None:
    # As `sc showsid TrustedInstaller` says, and Microsoft's list of well-known SIDs.
    assert accounts.service_sid("TrustedInstaller") == (
        "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
    )


def test_the_agent_s_service_has_the_sid_of_its_name() -> None:
    assert accounts.service_sid(SERVICE) == SERVICE_SID


@pytest.mark.parametrize("has", [True, False])
def test_a_process_acts_with_a_sid_or_not(windows: FakeWindows, has: bool) -> None:
    def is_member(_token: None, _sid: Any, member: Any) -> int:
        member.value = has
        return 1

    windows.functions |= {
        "advapi32.ConvertStringSidToSidW": lambda *_: 1,
        "advapi32.CheckTokenMembership": is_member,
        "kernel32.LocalFree": lambda _: None,
    }

    assert accounts.has_sid(SERVICE_SID) is has


def test_a_job_ends_with_the_process_that_has_it(windows: FakeWindows) -> None:
    limits: list[int] = []

    def set_limits(job: int, _kind: int, limit: jobs.ExtendedLimits, size: int) -> int:
        assert size == ctypes.sizeof(jobs.ExtendedLimits)
        limits.append(limit.basic.flags)
        return 1

    windows.functions |= {
        "kernel32.CreateJobObjectW": lambda *_: 5,
        "kernel32.SetInformationJobObject": set_limits,
        "kernel32.AssignProcessToJobObject": lambda *_: 1,
        "kernel32.TerminateJobObject": lambda *_: 1,
        "kernel32.CloseHandle": lambda _: 1,
    }
    job = jobs.Job()
    job.take(77)
    job.end(1)
    job.close()
    job.close()

    # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    assert limits == [0x2000]
    assert windows.calls[-3:] == [
        ("AssignProcessToJobObject", 5, 77),
        ("TerminateJobObject", 5, 1),
        ("CloseHandle", 5),
    ]


def test_a_folder_that_windows_does_not_tell_is_an_error(windows: FakeWindows) -> None:
    windows.functions |= {
        "shell32.SHGetKnownFolderPath": lambda *_: -0x7FFFBFFB,  # E_FAIL
        "ole32.CoTaskMemFree": lambda _: None,
    }

    with pytest.raises(OSError, match="SHGetKnownFolderPath"):
        folders.known(folders.PROGRAM_DATA)


def test_texts_until_the_next_boot(windows: FakeWindows) -> None:
    FakeRegistryKey(windows)
    kept = registry.of_this_boot()
    assert kept.read("id") == ""

    kept.write("id", "9c3f6f0e")

    assert kept.read("id") == "9c3f6f0e"
    made = {call[2]: call[5] for call in windows.calls if call[0] == "RegCreateKeyExW"}
    # REG_OPTION_VOLATILE; below a key that is, none can last.
    assert made == {r"Software\pilot-agent": 0, r"Software\pilot-agent\boot": 1}
    kept.write("id", "")
    assert kept.read("id") == ""


def test_a_key_that_cannot_be_made_is_an_error(windows: FakeWindows) -> None:
    windows.functions["advapi32.RegCreateKeyExW"] = lambda *_: 5

    with pytest.raises(OSError, match="RegCreateKeyExW"):
        registry.of_this_boot().read("id")


# --- The event log ---------------------------------------------------------------------------


@pytest.fixture
def events(windows: FakeWindows) -> list[tuple[int, int, str]]:
    written: list[tuple[int, int, str]] = []

    def report(_handle: int, kind: int, _category: int, number: int, *more: Any) -> int:
        assert more[1] == 1
        written.append((kind, number, more[3][0]))
        return 1

    windows.functions |= {
        "advapi32.RegisterEventSourceW": lambda *_: 9,
        "advapi32.ReportEventW": report,
        "advapi32.DeregisterEventSource": lambda _: 1,
    }
    return written


@pytest.fixture
def agent_log() -> Iterator[logging.Logger]:
    root = logging.getLogger(logs.ROOT)
    handlers, level, propagate = root.handlers, root.level, root.propagate
    yield root
    root.handlers, root.propagate = handlers, propagate
    root.setLevel(level)
    logs._others.clear()


def test_messages_of_the_agent_are_events(
    events: list[tuple[int, int, str]], agent_log: logging.Logger
) -> None:
    logs.also(EventLogHandler(Source("pilot-agent")))
    # Read anew, the configuration keeps it.
    logs.set_up(LogConfig(level="debug"))
    log = logging.getLogger("companion_agent.mqtt.connection")
    log.debug("not this")
    log.info("Connected to %s", "broker")
    log.warning("slow")
    log.error("broken")
    log.critical("over")

    assert events == [
        (event_log.INFORMATION, 1, "mqtt: Connected to broker"),
        (event_log.WARNING, 2, "mqtt: slow"),
        (event_log.ERROR, 3, "mqtt: broken"),
        (event_log.ERROR, 3, "mqtt: over"),
    ]


def test_an_event_that_cannot_be_written_is_no_error(
    windows: FakeWindows, events: list[tuple[int, int, str]], agent_log: logging.Logger
) -> None:
    logs.also(EventLogHandler(Source("pilot-agent")))
    windows.functions["advapi32.ReportEventW"] = lambda *_: windows.fail(1502)

    agent_log.error("broken")

    assert events == []
