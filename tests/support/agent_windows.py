"""A Windows machine whose sessions, sleep and shutdown a test decides."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .windows_api import FakeWindows

OWN_PROCESS_IN = 1
# Winerror.h
ACCESS_DENIED = 5
NOT_FOUND = 2
INVALID_FUNCTION = 1


def session_info(*, locked: bool, session: int = 1) -> bytes:
    """Return a WTSINFOEXW of level 1, as Microsoft's reference of wtsapi32.h lays it out."""
    numbers = (1, 0, session, 0, 0 if locked else 1)
    head = b"".join(number.to_bytes(4, "little") for number in numbers)
    return head + bytes(2 * (33 + 21 + 18) + 4 + 5 * 8 + 6 * 4)


class FakeSessionsOfWindows:
    """The sessions of a machine, as WTSEnumerateSessionsW lists them."""

    def __init__(self, windows: FakeWindows) -> None:
        self._windows = windows
        self._kept: list[object] = []
        self._listed: dict[int, int] = {0: 4}
        self._answers: dict[tuple[int, int], bytes] = {}
        self.processes: dict[int, int] = {}
        self.own = OWN_PROCESS_IN
        self.fails = 0
        windows.functions.update(
            {
                "wtsapi32.WTSEnumerateSessionsW": self._enumerate,
                "wtsapi32.WTSQuerySessionInformationW": self._query,
                "wtsapi32.WTSFreeMemory": lambda _: None,
                "wtsapi32.WTSLogoffSession": lambda *_: 1,
                "kernel32.ProcessIdToSessionId": self._session_of,
            }
        )

    def add(
        self,
        number: int,
        user: str,
        *,
        locked: bool | None = False,
        state: int = 0,
        protocol: int = 0,
    ) -> None:
        """Add one, or change it; `locked=None` for a Windows that does not tell."""
        self._listed[number] = state
        self._answers[number, 5] = f"{user}\0".encode("utf-16-le")
        self._answers[number, 16] = protocol.to_bytes(2, "little")
        self._answers[number, 8] = state.to_bytes(4, "little")
        self._answers.pop((number, 25), None)
        if locked is not None:
            self._answers[number, 25] = session_info(locked=locked, session=number)

    def remove(self, number: int) -> None:
        del self._listed[number]

    def _enumerate(self, server: Any, reserved: int, version: int, found: Any, count: Any) -> int:
        if self.fails:
            return self._windows.fail(self.fails)
        assert (server, reserved, version) == (None, 0, 1)
        kind = type(found)._type_
        listed = (kind * len(self._listed))(
            *((number, None, state) for number, state in self._listed.items())
        )
        self._kept.append(listed)
        if self._listed:
            found.contents = listed[0]
        count.value = len(listed)
        return 1

    def _query(self, _server: Any, session: int, what: int, found: Any, size: Any) -> int:
        answer = self._answers.get((session, what))
        if answer is None:
            return self._windows.fail(INVALID_FUNCTION)
        buffer = ctypes.create_string_buffer(answer, len(answer))
        self._kept.append(buffer)
        found.value, size.value = ctypes.addressof(buffer), len(answer)
        return 1

    def _session_of(self, pid: int, session: Any) -> int:
        if self.processes and pid not in self.processes:
            return self._windows.fail(ACCESS_DENIED)
        session.value = self.processes.get(pid, self.own)
        return 1


class FakeAccount:
    """What the account of the process may do."""

    def __init__(self, windows: FakeWindows) -> None:
        self._windows = windows
        self.privileged = True
        self.administrator = False
        windows.functions.update(
            {
                "kernel32.GetCurrentProcess": lambda: -1,
                "kernel32.CloseHandle": lambda _: 1,
                "advapi32.OpenProcessToken": lambda *_: 1,
                "advapi32.LookupPrivilegeValueW": lambda *_: 1,
                "advapi32.AdjustTokenPrivileges": self._adjust,
                "kernel32.LocalFree": lambda _: None,
                "advapi32.ConvertStringSidToSidW": lambda *_: 1,
                "advapi32.CheckTokenMembership": self._check,
            }
        )

    def _adjust(self, *_: Any) -> int:
        # ERROR_NOT_ALL_ASSIGNED, although it succeeds.
        self._windows.error = 0 if self.privileged else 1300
        return 1

    def _check(self, _token: Any, _sid: Any, member: Any) -> int:
        member.value = self.administrator
        return 1


class FakeRegistryKey:
    """The values of a volatile key, by their name."""

    def __init__(self, windows: FakeWindows) -> None:
        self.values: dict[str, bytes] = {}
        self.refuses = 0
        windows.functions.update(
            {
                "advapi32.RegCreateKeyExW": lambda *_: self.refuses,
                "advapi32.RegQueryValueExW": self._query,
                "advapi32.RegSetValueExW": self._set,
                "advapi32.RegDeleteValueW": self._delete,
                "advapi32.RegCloseKey": lambda _: 0,
            }
        )

    def _query(
        self, _key: Any, name: str, _reserved: Any, _kind: Any, value: Any, size: Any
    ) -> int:
        if name not in self.values:
            return NOT_FOUND
        kept = self.values[name]
        ctypes.memmove(value, kept, len(kept))
        size.value = len(kept)
        return 0

    def _set(self, _key: Any, name: str, _: int, _kind: int, value: Any, size: int) -> int:
        self.values[name] = value.raw[:size]
        return 0

    def _delete(self, _key: Any, name: str) -> int:
        return NOT_FOUND if self.values.pop(name, None) is None else 0


class FakePower:
    """What the machine can, and what became of what it was asked for.

    Attributes:
        capabilities: Fields of SYSTEM_POWER_CAPABILITIES that are not 0.
        shutdowns: What InitiateSystemShutdownExW was called with, in order.
        refuses: What it fails with, in order; 0 for none.
    """

    def __init__(self, windows: FakeWindows) -> None:
        self._windows = windows
        self.capabilities = {"s3": 1, "s4": 1, "s5": 1, "hibernation_file": 1}
        self.shutdowns: list[tuple[Any, ...]] = []
        self.refuses: list[int] = []
        self.planned = False
        self.suspended: list[tuple[bool, ...]] = []
        self.suspend: Callable[[], int] = lambda: 1
        windows.functions.update(
            {
                "powrprof.GetPwrCapabilities": self._tell,
                "powrprof.SetSuspendState": self._suspend,
                "advapi32.InitiateSystemShutdownExW": self._shut_down,
                "advapi32.AbortSystemShutdownW": self._abort,
            }
        )

    def _tell(self, found: Any) -> int:
        for name, value in self.capabilities.items():
            setattr(found, name, value)
        return 1

    def _suspend(self, *how: int) -> int:
        self.suspended.append(tuple(map(bool, how)))
        return self.suspend()

    def _shut_down(self, *asked: Any) -> int:
        self.shutdowns.append(asked)
        if self.refuses and (code := self.refuses.pop(0)):
            return self._windows.fail(code)
        if self.planned:
            return self._windows.fail(1190)
        self.planned = True
        return 1

    def _abort(self, _machine: Any) -> int:
        if not self.planned:
            return self._windows.fail(1116)
        self.planned = False
        return 1
