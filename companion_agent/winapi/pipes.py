"""Named pipes and the completion port that tells what became of their operations.

Sources: Microsoft's reference of namedpipeapi.h (`CreateNamedPipeW`, `ConnectNamedPipe`), winbase.h
(`GetNamedPipeClientProcessId`, `GetNamedPipeClientSessionId`), fileapi.h (`CreateFileW`,
`ReadFile`, `WriteFile`) and ioapiset.h (`CreateIoCompletionPort`, `GetQueuedCompletionStatus`,
`CancelIoEx`); "Named Pipe Security and Access Rights".
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Array,
    Structure,
    addressof,
    byref,
    c_char,
    c_int,
    c_size_t,
    c_uint32,
    c_void_p,
    c_wchar_p,
    sizeof,
)
from typing import NamedTuple

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function
from companion_agent.winapi.security import SecurityAttributes

# winerror.h
FILE_NOT_FOUND = 2
ACCESS_DENIED = 5
BROKEN_PIPE = 109
PIPE_BUSY = 231
NO_DATA = 232
OPERATION_ABORTED = 995
_PIPE_CONNECTED = 535
_IO_PENDING = 997

# FILE_GENERIC_READ | FILE_GENERIC_WRITE without FILE_CREATE_PIPE_INSTANCE, which GENERIC_WRITE has.
CLIENT_RIGHTS = 0x12019B

_DUPLEX = 0x3
_OVERLAPPED = 0x4000_0000
_FIRST_INSTANCE = 0x0008_0000
_REJECT_REMOTE_CLIENTS = 0x8
_UNLIMITED_INSTANCES = 255
_OPEN_EXISTING = 3
# The server learns who the client is, and cannot act as it. Captured when the pipe is opened:
# without these flags it would be captured at the first write, and nothing be known before.
_QUALITY_OF_SERVICE = 0x0010_0000
_IDENTIFICATION = 0x0001_0000
_INVALID = c_void_p(-1).value
_FOREVER = 0xFFFF_FFFF

BUFFER = 65_536
"""Bytes that each direction of a pipe holds."""


class Overlapped(Structure):
    """OVERLAPPED: one operation that has not ended yet; it must stay where it is until then."""

    _fields_ = (
        ("internal", c_size_t),
        ("internal_high", c_size_t),
        ("offset", c_uint32),
        ("offset_high", c_uint32),
        ("event", c_void_p),
    )


_CreateNamedPipe = Function(
    "kernel32",
    "CreateNamedPipeW",
    c_void_p,
    *(c_wchar_p, c_uint32, c_uint32, c_uint32, c_uint32, c_uint32, c_uint32),
    POINTER(SecurityAttributes),
)
_ConnectNamedPipe = Function("kernel32", "ConnectNamedPipe", c_int, c_void_p, POINTER(Overlapped))
_CreateFile = Function(
    "kernel32",
    "CreateFileW",
    c_void_p,
    *(c_wchar_p, c_uint32, c_uint32, c_void_p, c_uint32, c_uint32, c_void_p),
)
_ReadFile = Function(
    "kernel32", "ReadFile", c_int, c_void_p, c_void_p, c_uint32, c_void_p, POINTER(Overlapped)
)
_WriteFile = Function(
    "kernel32", "WriteFile", c_int, c_void_p, c_void_p, c_uint32, c_void_p, POINTER(Overlapped)
)
_CancelIoEx = Function("kernel32", "CancelIoEx", c_int, c_void_p, c_void_p)
_CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)
_ClientProcess = Function(
    "kernel32", "GetNamedPipeClientProcessId", c_int, c_void_p, POINTER(c_uint32)
)
_ClientSession = Function(
    "kernel32", "GetNamedPipeClientSessionId", c_int, c_void_p, POINTER(c_uint32)
)
_CreatePort = Function(
    "kernel32", "CreateIoCompletionPort", c_void_p, c_void_p, c_void_p, c_size_t, c_uint32
)
_NextCompletion = Function(
    "kernel32",
    "GetQueuedCompletionStatus",
    c_int,
    *(c_void_p, POINTER(c_uint32), POINTER(c_size_t), POINTER(c_void_p), c_uint32),
)
_PostCompletion = Function(
    "kernel32", "PostQueuedCompletionStatus", c_int, c_void_p, c_uint32, c_size_t, c_void_p
)


class Completion(NamedTuple):
    """An operation that has ended.

    Attributes:
        operation: The address of its `Overlapped`; 0 for what `wake()` has put.
        size: How many bytes were moved.
        error: Why it failed; 0 where it did not.
    """

    operation: int
    size: int
    error: int


def create(name: str, descriptor: c_void_p, *, first: bool) -> int:
    """Make an instance of a pipe that clients of this machine may connect to.

    Args:
        name: The pipe.
        descriptor: Who may what with it.
        first: Fail where the pipe is there already.

    Raises:
        OSError: It cannot be made.
    """
    attributes = SecurityAttributes(sizeof(SecurityAttributes), descriptor, False)
    flags = _DUPLEX | _OVERLAPPED | (_FIRST_INSTANCE if first else 0)
    made = _CreateNamedPipe(
        name,
        flags,
        _REJECT_REMOTE_CLIENTS,
        _UNLIMITED_INSTANCES,
        BUFFER,
        BUFFER,
        0,
        byref(attributes),
    )
    return _handle(made, name)


def open_client(name: str) -> int:
    """Connect to a pipe.

    Raises:
        OSError: There is none, or it is busy.
    """
    flags = _OVERLAPPED | _QUALITY_OF_SERVICE | _IDENTIFICATION
    return _handle(_CreateFile(name, CLIENT_RIGHTS, 0, None, _OPEN_EXISTING, flags, None), name)


def begin_accept(pipe: int, operation: Overlapped) -> bool:
    """Begin to wait for a client; return whether there is one already, which no port tells.

    Raises:
        OSError: It cannot be waited for.
    """
    if _ConnectNamedPipe(pipe, byref(operation)):
        return False
    code = dll.system.last_error()
    if code not in (_IO_PENDING, _PIPE_CONNECTED):
        raise dll.error(code, "ConnectNamedPipe")
    return code == _PIPE_CONNECTED


def begin_read(pipe: int, buffer: Array[c_char], operation: Overlapped) -> None:
    """Begin to read; the port tells of the end, of a failed read too unless this raises.

    Raises:
        OSError: The pipe has ended.
    """
    _begin(_ReadFile, pipe, buffer, operation)


def begin_write(pipe: int, data: Array[c_char], operation: Overlapped) -> None:
    """Begin to write; the port tells of the end.

    Raises:
        OSError: The pipe has ended.
    """
    _begin(_WriteFile, pipe, data, operation)


def cancel(pipe: int) -> None:
    """Have every operation of a pipe end; the port tells of each."""
    _CancelIoEx(pipe, None)


def close(handle: int) -> None:
    """Close a pipe or a port; what the other end has not read yet, it still can."""
    _CloseHandle(handle)


def client_process(pipe: int) -> int:
    """Return the process that has connected.

    Raises:
        OSError: It has gone.
    """
    return _number(_ClientProcess, pipe)


def client_session(pipe: int) -> int:
    """Return the number of the session that the process runs in which has connected.

    Raises:
        OSError: It has gone.
    """
    return _number(_ClientSession, pipe)


def new_port() -> int:
    """Make a completion port.

    Raises:
        OSError: That did not work.
    """
    made: int = _CreatePort.check(_INVALID, None, 0, 1)
    return made


def add_to_port(port: int, pipe: int) -> None:
    """Have a port tell of a pipe's operations.

    Raises:
        OSError: That did not work.
    """
    _CreatePort.check(pipe, port, 0, 0)


def next_completion(port: int) -> Completion:
    """Wait, without an end, for an operation to end.

    Raises:
        OSError: The port was closed.
    """
    size, key, found = c_uint32(), c_size_t(), c_void_p()
    done = _NextCompletion(port, byref(size), byref(key), byref(found), _FOREVER)
    error = 0 if done else dll.system.last_error()
    if error and not found.value:
        raise dll.error(error, "GetQueuedCompletionStatus")
    return Completion(found.value or 0, size.value, error)


def wake(port: int) -> None:
    """Have the one that waits at a port return with no operation."""
    _PostCompletion(port, 0, 0, None)


def address(operation: Overlapped) -> int:
    """Return what a completion calls an operation."""
    return addressof(operation)


def _begin(function: Function, pipe: int, data: Array[c_char], operation: Overlapped) -> None:
    if not function(pipe, data, len(data), None, byref(operation)):
        code = dll.system.last_error()
        if code != _IO_PENDING:
            raise dll.error(code, function.name)


def _number(function: Function, pipe: int) -> int:
    found = c_uint32()
    function.check(pipe, byref(found))
    return found.value


def _handle(made: int | None, name: str) -> int:
    if made is None or made == _INVALID:
        raise dll.error(dll.system.last_error(), name)
    return made
