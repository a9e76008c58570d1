"""Named pipes, completion ports and accounts of a Windows that tests play."""

from __future__ import annotations

from collections import deque
import ctypes
from itertools import count
import queue
from typing import TYPE_CHECKING, Any

from companion_agent.storage.permissions import SERVICE_SID
from companion_agent.winapi import pipes

if TYPE_CHECKING:
    from .windows_api import FakeWindows

ANNA, BEN = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"

_FIRST_INSTANCE = 0x80000
_PIPE_CONNECTED, _IO_PENDING = 535, 997
_NO_SUCH_NAME = 1332


class _End:
    """One end of an instance.

    Attributes:
        other: The other end; `None` while there is none.
        arrived: What it has been sent and has not read.
        reading: The buffer and the operation of a read that waits.
        accepting: The operation that waits for a client.
    """

    def __init__(self, name: str, owner: str) -> None:
        self.name = name
        self.owner = owner
        self.port = 0
        self.open = True
        self.server = True
        self.other: _End | None = None
        self.arrived: deque[bytes] = deque()
        self.reading: tuple[Any, int] | None = None
        self.accepting = 0


class FakePipes:
    """Pipes of one machine whose only process is the test.

    Attributes:
        own: The account of this process.
        client: The account that connects.
        of_the_service: Whether this process has the service's SID.
        rules: The access rules that were asked for, in order.
        identified: Whether clients let themselves be identified.
        owner: Who owns the pipes that are made.
        session: The number of the session that clients run in.
        logged_in: The account that is logged in at each session.
        accounts: Domain and user of accounts.
    """

    def __init__(self, windows: FakeWindows) -> None:
        self.own = self.client = ANNA
        self.owner = SERVICE_SID
        self.identified = True
        self.of_the_service = False
        self.rules: list[str] = []
        self.session = 1
        self.logged_in = {1: ANNA}
        self.accounts = {ANNA: ("DESKTOP", "Anna"), BEN: ("DESKTOP", "Ben")}
        self.ends: dict[int, _End] = {}
        self._windows = windows
        self._handles = count(0x100, 4)
        self._ports: dict[int, queue.Queue[tuple[int, int, int]]] = {}
        self._texts: dict[str, Any] = {}
        windows.functions |= {
            "kernel32.CreateNamedPipeW": self._create_named_pipe,
            "kernel32.ConnectNamedPipe": self._connect_named_pipe,
            "kernel32.CreateFileW": self._create_file,
            "kernel32.ReadFile": self._read_file,
            "kernel32.WriteFile": self._write_file,
            "kernel32.CancelIoEx": self._cancel_io_ex,
            "kernel32.CloseHandle": self._close_handle,
            "kernel32.CreateIoCompletionPort": self._create_io_completion_port,
            "kernel32.GetQueuedCompletionStatus": self._get_queued_completion_status,
            "kernel32.PostQueuedCompletionStatus": self._post_queued_completion_status,
            "kernel32.GetNamedPipeClientProcessId": self._get_named_pipe_client_process_id,
            "kernel32.GetNamedPipeClientSessionId": self._get_named_pipe_client_session_id,
            "kernel32.GetCurrentProcess": lambda: -1,
            "kernel32.GetCurrentThread": lambda: -2,
            "kernel32.LocalFree": lambda _: None,
            "advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW": self._descriptor,
            "advapi32.CheckTokenMembership": self._is_member,
            "advapi32.OpenProcessToken": lambda _, __, token: self._open_token(token, "own"),
            "advapi32.OpenThreadToken": lambda *given: self._open_token(given[-1], "client"),
            "advapi32.ImpersonateNamedPipeClient": self._impersonate,
            "advapi32.RevertToSelf": lambda: 1,
            "advapi32.GetTokenInformation": self._token_information,
            "advapi32.GetSecurityInfo": self._security_info,
            "advapi32.ConvertSidToStringSidW": self._text_of_sid,
            "advapi32.ConvertStringSidToSidW": self._sid_of_text,
            "advapi32.LookupAccountSidW": self._lookup,
            "wtsapi32.WTSQuerySessionInformationW": self._query_session,
            "wtsapi32.WTSFreeMemory": lambda _: None,
        }

    @property
    def open(self) -> list[str]:
        """The pipes of which an end is open."""
        return [end.name for end in self.ends.values() if end.open]

    @property
    def waiting(self) -> bool:
        """Whether an instance waits for a client."""
        return any(end.accepting for end in self.ends.values())

    def squat(self, name: str, owner: str) -> None:
        """Have a program of another account make a pipe first."""
        self.ends[next(self._handles)] = _End(name, owner)

    # --- Pipes ---------------------------------------------------------------------------

    def _create_named_pipe(self, name: str, flags: int, *_: Any) -> int:
        there = [end for end in self.ends.values() if end.name == name and end.open]
        if there and flags & _FIRST_INSTANCE:
            self._windows.fail(pipes.ACCESS_DENIED)
            return ctypes.c_void_p(-1).value or 0
        # All instances of a pipe have the owner of the first.
        return self._add(_End(name, there[0].owner if there else self.owner))

    def _connect_named_pipe(self, pipe: int, operation: Any) -> int:
        end = self.ends[pipe]
        if end.other:
            return self._windows.fail(
                _PIPE_CONNECTED if end.other.open or end.arrived else pipes.NO_DATA
            )
        end.accepting = ctypes.addressof(operation)
        return self._windows.fail(_IO_PENDING)

    def _create_file(self, name: str, *_: Any) -> int:
        there = [end for end in self.ends.values() if end.name == name and end.open and end.server]
        free = next((end for end in there if end.other is None), None)
        if free is None:
            self._windows.fail(pipes.PIPE_BUSY if there else pipes.FILE_NOT_FOUND)
            return ctypes.c_void_p(-1).value or 0
        end = _End(name, free.owner)
        end.server, end.other, free.other = False, free, end
        if free.accepting:
            self._complete(free, free.accepting, 0)
            free.accepting = 0
        return self._add(end)

    def _read_file(self, pipe: int, buffer: Any, _: int, __: None, operation: Any) -> int:
        end = self.ends[pipe]
        end.reading = buffer, ctypes.addressof(operation)
        if not end.arrived and not (end.other and end.other.open):
            end.reading = None
            return self._windows.fail(pipes.BROKEN_PIPE)
        self._deliver(end)
        return 1 if end.reading is None else self._windows.fail(_IO_PENDING)

    def _write_file(self, pipe: int, data: Any, size: int, _: None, operation: Any) -> int:
        end = self.ends[pipe]
        if end.other is None or not end.other.open:
            return self._windows.fail(pipes.NO_DATA)
        end.other.arrived.append(bytes(data)[:size])
        self._deliver(end.other)
        self._complete(end, ctypes.addressof(operation), size)
        return 1

    def _cancel_io_ex(self, pipe: int, _: None) -> int:
        end = self.ends[pipe]
        if end.accepting:
            self._complete(end, end.accepting, 0, pipes.OPERATION_ABORTED)
            end.accepting = 0
        if end.reading:
            self._complete(end, end.reading[1], 0, pipes.OPERATION_ABORTED)
            end.reading = None
        return 1

    def _close_handle(self, handle: Any) -> int:
        end = self.ends.get(handle) if isinstance(handle, int) else None
        if end:
            assert end.open, "closed twice"
            end.open = False
            if end.other and end.other.reading:
                self._complete(end.other, end.other.reading[1], 0, pipes.BROKEN_PIPE)
                end.other.reading = None
        return 1

    def _deliver(self, end: _End) -> None:
        if end.reading and end.arrived:
            buffer, operation = end.reading
            data = end.arrived.popleft()
            if len(data) > len(buffer):
                end.arrived.appendleft(data[len(buffer) :])
                data = data[: len(buffer)]
            ctypes.memmove(buffer, data, len(data))
            end.reading = None
            self._complete(end, operation, len(data))

    def _get_named_pipe_client_process_id(self, _: int, found: Any) -> int:
        found.value = 4_321
        return 1

    def _get_named_pipe_client_session_id(self, _: int, found: Any) -> int:
        found.value = self.session
        return 1

    def _add(self, end: _End) -> int:
        handle = next(self._handles)
        self.ends[handle] = end
        return handle

    # --- Completion ports ----------------------------------------------------------------

    def _create_io_completion_port(self, pipe: int, port: int | None, *_: Any) -> int:
        if port is None:
            port = next(self._handles)
            self._ports[port] = queue.Queue()
        else:
            self.ends[pipe].port = port
        return port

    def _get_queued_completion_status(
        self, port: int, size: Any, _: Any, found: Any, __: int
    ) -> int:
        found.value, size.value, error = self._ports[port].get()
        return self._windows.fail(error) if error else 1

    def _post_queued_completion_status(self, port: int, *_: Any) -> int:
        self._ports[port].put((0, 0, 0))
        return 1

    def _complete(self, end: _End, operation: int, size: int, error: int = 0) -> None:
        self._ports[end.port].put((operation, size, error))

    # --- Accounts: the address of a SID's text stands for the SID ----------------------------

    def _is_member(self, _: None, __: Any, member: Any) -> int:
        member.value = self.of_the_service
        return 1

    def _descriptor(self, sddl: str, _: int, made: Any, __: Any) -> int:
        self.rules.append(sddl)
        made.value = self._address(sddl)
        return 1

    def _impersonate(self, _: int) -> int:
        return 1 if self.identified else self._windows.fail(1368)

    def _open_token(self, token: Any, whose: str) -> int:
        token.value = 1 if whose == "own" else 2
        return 1

    def _token_information(self, token: Any, _: int, buffer: Any, __: int, ___: Any) -> int:
        sid = self.own if token.value == 1 else self.client
        ctypes.c_void_p.from_buffer(buffer).value = self._address(sid)
        return 1

    def _security_info(self, handle: int, _: int, __: int, owner: Any, *___: Any) -> int:
        owner.value = self._address(self.ends[handle].owner)
        return 0

    def _text_of_sid(self, sid: Any, text: Any) -> int:
        text.value = sid.value
        return 1

    def _sid_of_text(self, text: str, sid: Any) -> int:
        sid.value = self._address(text)
        return 1

    def _lookup(self, _: None, sid: Any, user: Any, __: Any, domain: Any, *___: Any) -> int:
        found = self.accounts.get(ctypes.wstring_at(sid.value))
        if found is None:
            return self._windows.fail(_NO_SUCH_NAME)
        domain.value, user.value = found
        return 1

    def _query_session(self, _: None, session: int, what: int, found: Any, size: Any) -> int:
        account = self.accounts.get(self.logged_in.get(session, ""))
        if account is None:
            return self._windows.fail(7022)
        text = account[0] if what == 7 else account[1].upper()
        data = text.encode("utf-16-le") + b"\0\0"
        kept = ctypes.create_string_buffer(data, len(data))
        self._texts[f"{session} {what}"] = kept
        found.value, size.value = ctypes.addressof(kept), len(data)
        return 1

    def _address(self, text: str) -> int:
        kept = self._texts.setdefault(text, ctypes.create_unicode_buffer(text))
        return ctypes.addressof(kept)
