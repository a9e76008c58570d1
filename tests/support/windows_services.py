"""A Windows with a service manager, access rules and known folders, for an installer to work on."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

from companion_agent.service import session_start
from companion_agent.winapi import accounts, folders, services
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    import pytest

INSTALLER = "S-1-5-21-1-2-3-1001"
"""The user who installs."""


class FakeRunKey:
    """The value that starts session helpers, below HKEY_LOCAL_MACHINE's `Run` key."""

    def __init__(self) -> None:
        self.line = ""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeRunKey:
        """Stand in for the registry until the test's end."""
        for name in ("read", "write", "delete"):
            monkeypatch.setattr(session_start, f"_{name}", getattr(self, name))
        return self

    def read(self) -> str:
        if not self.line:
            raise FileNotFoundError
        return self.line

    def write(self, line: str) -> None:
        self.line = line

    def delete(self) -> None:
        self.read()
        self.line = ""


class ServicePC(FakeWindows):
    """Keeps what an installer has made.

    Args:
        folder: Where its known folders are.

    Attributes:
        run_key: What starts session helpers.
        administrator: Whether this process has an administrator's rights.
        config: How the service was set up; `None` without one.
        state: How the service is.
        ends_with: The exit code with which the service ends at once; `None` where it runs.
        late_starts: How many of the next starts take longer than Windows waits.
        more: What `ChangeServiceConfig2` was told, by its level.
        unknown: Levels that this Windows does not know.
        rules: Owner and access rules of files, as SDDL.
        keys: Keys below `HKEY_USERS`, which begin with an account.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.run_key = FakeRunKey()
        self.administrator = True
        self.config: services.Config | None = None
        self.state = services.STOPPED
        self.exit_code = 0
        self.ends_with: int | None = None
        self.late_starts = 0
        self.more: dict[int, Any] = {}
        self.unknown: set[int] = set()
        self.rules: dict[str, str] = {}
        self.keys: set[str] = set()
        self.data = folder / "ProgramData"
        self.users = folder / "Users"
        self.data.mkdir()
        self._texts: list[Any] = []
        self._descriptors: dict[int, str] = {}
        self.functions |= {
            "advapi32.OpenSCManagerW": self._open_manager,
            "advapi32.OpenServiceW": self._open,
            "advapi32.CloseServiceHandle": lambda _: 1,
            "advapi32.CreateServiceW": self._create,
            "advapi32.ChangeServiceConfigW": self._change,
            "advapi32.ChangeServiceConfig2W": self._change_more,
            "advapi32.QueryServiceConfigW": self._query,
            "advapi32.QueryServiceStatusEx": self._status,
            "advapi32.StartServiceW": self._start,
            "advapi32.ControlService": self._control,
            "advapi32.DeleteService": self._delete,
            "shell32.SHGetKnownFolderPath": self._known_folder,
            "ole32.CoTaskMemFree": lambda _: None,
            "userenv.GetProfilesDirectoryW": self._profiles,
            "kernel32.LocalFree": lambda _: None,
            "kernel32.CloseHandle": lambda _: 1,
            "kernel32.GetCurrentProcess": lambda: 1,
            "kernel32.OpenProcess": lambda _access, _inherit, pid: pid,
            "kernel32.WaitForSingleObject": lambda *_: 0,
            "kernel32.CreateDirectoryW": self._make_folder,
            "advapi32.OpenProcessToken": lambda *_: 1,
            "advapi32.LookupPrivilegeValueW": lambda *_: 1,
            "advapi32.AdjustTokenPrivileges": lambda *_: 1,
            "advapi32.ConvertStringSidToSidW": self._sid,
            "advapi32.CheckTokenMembership": self._is_member,
            "advapi32.GetTokenInformation": lambda *_: 1,
            "advapi32.ConvertSidToStringSidW": self._user,
            "advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW": self._parse,
            "advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW": self._format,
            "advapi32.SetFileSecurityW": self._set_rules,
            "advapi32.GetFileSecurityW": self._get_rules,
            "advapi32.RegEnumKeyExW": self._account,
            "advapi32.RegDeleteTreeW": self._remove_key,
        }

    def install(self, monkeypatch: pytest.MonkeyPatch) -> ServicePC:
        super().install(monkeypatch)
        self.run_key.install(monkeypatch)
        return self

    def belongs_to(self, path: Path, owner: str) -> None:
        """Have another account made a file or folder."""
        self.rules[str(path)] = f"O:{owner}D:(A;OICI;FA;;;WD)"

    # --- Services ------------------------------------------------------------------------

    def _open_manager(self, _machine: None, _database: None, access: int) -> int:
        if access & services.SC_MANAGER_CREATE_SERVICE and not self.administrator:
            return self.fail(services.ERROR_ACCESS_DENIED)
        return 1

    def _open(self, _manager: int, _name: str, access: int) -> int:
        if self.config is None:
            return self.fail(services.ERROR_SERVICE_DOES_NOT_EXIST)
        changing = services.SERVICE_START | services.SERVICE_STOP | services.DELETE
        if access & changing and not self.administrator:
            return self.fail(services.ERROR_ACCESS_DENIED)
        return 2

    def _create(self, _manager: int, _name: str, display_name: str, *more: Any) -> int:
        start, path, account = more[2], more[4], more[8]
        self.config = services.Config(path, account, start, display_name)
        return 3

    def _change(self, _handle: int, *more: Any) -> int:
        start, path, account, display_name = more[1], more[3], more[7], more[9]
        self.config = services.Config(path, account, start, display_name)
        return 1

    def _change_more(self, _handle: int, level: int, info: Any) -> int:
        if level in self.unknown:
            return self.fail(services.ERROR_INVALID_LEVEL)
        self.more[level] = _plain(level, info)
        return 1

    def _query(self, _handle: int, buffer: Any, _size: int, needed: Any) -> int:
        needed.value = ctypes.sizeof(services.QueriedConfig)
        if buffer is None:
            return self.fail(services.ERROR_INSUFFICIENT_BUFFER)
        assert self.config
        found = services.QueriedConfig.from_buffer(buffer)
        found.path, found.account = self.config.path, self.config.account
        found.start, found.display_name = self.config.start, self.config.display_name
        self._texts.append(found)
        return 1

    def _status(self, _handle: int, _level: int, status: Any, *_: Any) -> int:
        status.state, status.exit_code = self.state, self.exit_code
        status.pid = 4321 if self.state == services.RUNNING else 0
        return 1

    def _start(self, *_: Any) -> int:
        if self.late_starts:
            self.late_starts -= 1
            return self.fail(services.ERROR_SERVICE_REQUEST_TIMEOUT)
        self.state, self.exit_code = services.RUNNING, 0
        if self.ends_with is not None:
            self.state, self.exit_code = services.STOPPED, self.ends_with
        return 1

    def _control(self, *_: Any) -> int:
        if self.state != services.RUNNING:
            return self.fail(services.ERROR_SERVICE_NOT_ACTIVE)
        self.state = services.STOPPED
        return 1

    def _delete(self, _handle: int) -> int:
        self.config = None
        return 1

    # --- The registry --------------------------------------------------------------------

    def _account(self, _users: Any, index: int, name: Any, *_: Any) -> int:
        accounts_there = (accounts.LOCAL_SERVICE, INSTALLER)
        if index == len(accounts_there):
            return 259  # ERROR_NO_MORE_ITEMS
        name.value = accounts_there[index]
        return 0

    def _remove_key(self, _users: Any, path: str) -> int:
        if path not in self.keys:
            return 2  # ERROR_FILE_NOT_FOUND
        self.keys.remove(path)
        return 0

    # --- Folders and accounts ------------------------------------------------------------

    def _text(self, text: str) -> int:
        self._texts.append(ctypes.create_unicode_buffer(text))
        return ctypes.addressof(self._texts[-1])

    def _known_folder(self, folder: Any, _flags: int, _token: None, found: Any) -> int:
        assert folder.raw == folders.PROGRAM_DATA.bytes_le
        found.value = self._text(str(self.data))
        return 0

    def _profiles(self, text: Any, _size: Any) -> int:
        text.value = str(self.users)
        return 1

    def _sid(self, text: str, _sid: Any) -> int:
        assert text == accounts.ADMINISTRATORS
        return 1

    def _is_member(self, _token: None, _sid: Any, member: Any) -> int:
        member.value = self.administrator
        return 1

    def _user(self, _sid: Any, text: Any) -> int:
        text.value = self._text(INSTALLER)
        return 1

    # --- Access rules --------------------------------------------------------------------

    def _parse(self, sddl: str, _revision: int, found: Any, _size: None) -> int:
        found.value = len(self._descriptors) + 1
        self._descriptors[found.value] = sddl
        return 1

    def _format(self, descriptor: Any, _revision: int, _wanted: int, text: Any, _: None) -> int:
        text.value = self._text(descriptor.value.decode())
        return 1

    def _set_rules(self, path: str, _what: int, descriptor: Any) -> int:
        self.rules[path] = self._descriptors[descriptor.value]
        return 1

    def _get_rules(self, path: str, _wanted: int, found: Any, _size: int, needed: Any) -> int:
        rules = self.rules.get(path, f"O:{INSTALLER}D:(A;OICI;0x1200a9;;;BU)").encode()
        needed.value = len(rules) + 1
        if found is None:
            return self.fail(services.ERROR_INSUFFICIENT_BUFFER)
        found.value = rules
        return 1

    def _make_folder(self, path: str, attributes: Any) -> int:
        Path(path).mkdir()
        self.rules[path] = self._descriptors[attributes.descriptor]
        return 1


def _plain(level: int, info: Any) -> Any:
    """Return what a structure says, which may not outlive the call."""
    match level:
        case services.CONFIG_DESCRIPTION:
            return info.text
        case services.CONFIG_FAILURE_ACTIONS:
            actions = [(one.type, one.delay) for one in info.actions[: info.count]]
            return info.reset_period, actions
        case services.CONFIG_REQUIRED_PRIVILEGES:
            texts = []
            at = info.names
            while text := ctypes.wstring_at(at):
                texts.append(text)
                at += (len(text) + 1) * ctypes.sizeof(ctypes.c_wchar)
            return texts
        case services.CONFIG_DELAYED_AUTO_START | services.CONFIG_FAILURE_ACTIONS_FLAG:
            return bool(info.on)
        case _:
            return info.value
