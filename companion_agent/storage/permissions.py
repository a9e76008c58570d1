"""Files that only their owner and the system may read, on Linux and Windows."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
import json
import os
import re
import secrets
import stat
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# SDDL: full access for the system, the administrators and the owner, inherited by what is made
# inside; nothing comes from the folder above ("P", protected).
_WINDOWS_RULES = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)"
_WINDOWS_TRUSTED = {"SY", "BA", "OW"}
_WINDOWS_ALLOWS = re.compile(r"\((?:A|XA|OA);[^;]*;[^;]*;[^;]*;[^;]*;([^;)]*)[^)]*\)")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a file that an administrator should mend.

    Attributes:
        text: What is wrong.
        fix: The command, or the step, that mends it.
    """

    text: str
    fix: str


def make_private_folder(folder: Path) -> None:
    """Create a folder for the owner only; one that exists is closed to others.

    Raises:
        OSError: That did not work.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _protect(folder)


def write_private(path: Path, content: str) -> None:
    """Replace a file's content so that a power cut leaves the old or the new one, never half.

    Raises:
        OSError: That did not work; the old content is still there.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123  (a descriptor)
            # While it is empty: Windows does not know the mode above.
            _protect(fresh)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _give_to_owner(fresh)
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    _sync_folder(path.parent)


def read_versioned(content: bytes, version: int) -> dict[str, Any]:
    """Read the JSON of a file that says which version of it this is.

    Raises:
        ValueError: It is something else; the text says what.
    """
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(data, dict) or data.get("version") != version:
        raise ValueError("not a file of this version")
    return data


def append_private(path: Path, line: str) -> None:
    """Add a line to a file that only its owner may read.

    Raises:
        OSError: That did not work.
    """
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(handle, "a", encoding="utf-8", newline="\n") as file:  # noqa: PTH123  (a descriptor)
        if not file.tell():
            _protect(path)
        file.write(line + "\n")


def check_private(path: Path) -> list[Problem]:
    """Say what lets others read a file or folder; nothing when it is not there."""
    return _look(_check, path)


def check_secret(path: Path, folder: Path) -> list[Problem]:
    """Say what lets others than the agent and an administrator read a file of theirs.

    Args:
        path: A file that a person wrote.
        folder: The agent's state folder, whose owner the agent runs as.
    """
    return _look(partial(_check_secret, folder), path)


def _look(check: Callable[[Path], list[Problem]], path: Path) -> list[Problem]:
    try:
        return check(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        return [Problem(f"{path} cannot be checked: {error.strerror}", AS_ADMINISTRATOR)]


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself last, where folders can be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    AS_ADMINISTRATOR = "run this as administrator"
    _DACL = 0x4
    _OWNER = 0x1
    _PROTECTED_DACL = 0x80000000
    _REVISION = 1

    def _advapi(name: str, *types: object) -> ctypes._NamedFuncPointer:
        function = getattr(ctypes.WinDLL("advapi32", use_last_error=True), name)
        function.argtypes = types
        function.restype = wintypes.BOOL
        return function  # type: ignore[no-any-return]

    def _free(pointer: ctypes.c_void_p) -> None:
        release = ctypes.WinDLL("kernel32").LocalFree
        release.argtypes = [ctypes.c_void_p]
        release(pointer)

    def _protect(path: Path) -> None:
        parse = _advapi(
            "ConvertStringSecurityDescriptorToSecurityDescriptorW",
            wintypes.LPCWSTR, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p,
        )  # fmt: skip
        apply = _advapi("SetFileSecurityW", wintypes.LPCWSTR, wintypes.DWORD, ctypes.c_void_p)
        descriptor = ctypes.c_void_p()
        if not parse(_WINDOWS_RULES, _REVISION, ctypes.byref(descriptor), None):
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            if not apply(str(path), _DACL | _PROTECTED_DACL, descriptor):
                raise ctypes.WinError(ctypes.get_last_error())
        finally:
            _free(descriptor)

    def _get_rules(path: Path) -> str:
        """Return owner and access rules of a file as SDDL text."""
        read = _advapi(
            "GetFileSecurityW",
            wintypes.LPCWSTR, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD, ctypes.c_void_p,
        )  # fmt: skip
        write = _advapi(
            "ConvertSecurityDescriptorToStringSecurityDescriptorW",
            ctypes.c_void_p, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p,
        )  # fmt: skip
        size = wintypes.DWORD()
        wanted = _DACL | _OWNER
        read(str(path), wanted, None, 0, ctypes.byref(size))
        descriptor = ctypes.create_string_buffer(max(size.value, 1))
        if not read(str(path), wanted, descriptor, size, ctypes.byref(size)):
            raise ctypes.WinError(ctypes.get_last_error())
        text = wintypes.LPWSTR()
        if not write(descriptor, _REVISION, wanted, ctypes.byref(text), None):
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            return text.value or ""
        finally:
            _free(ctypes.cast(text, ctypes.c_void_p))

    def _give_to_owner(_: Path) -> None:
        """Do nothing: the folder's rules let the service in."""

    def _check(path: Path) -> list[Problem]:
        others = strangers_in(_get_rules(path))
        if not others:
            return []
        fix = f'icacls "{path}" /inheritance:r /grant *S-1-5-18:F *S-1-5-32-544:F *S-1-3-4:F'
        return [Problem(f"{path} is open to others ({', '.join(sorted(others))})", fix)]

    def _check_secret(_: Path, path: Path) -> list[Problem]:
        return _check(path)

else:
    AS_ADMINISTRATOR = "run this as root"

    def _give_to_owner(path: Path) -> None:
        """Let the service go on reading what an administrator has changed."""
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    def _protect(path: Path) -> None:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(mode & 0o700)

    def _check(path: Path) -> list[Problem]:
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        user = os.geteuid()
        problems = []
        if mode & 0o077:
            wanted = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
            fix = f"chmod {wanted:o} {path}"
            problems.append(Problem(f"{path} is open to others (mode {mode:o})", fix))
        # Root looks at the files of a service that runs as somebody else.
        if user and status.st_uid not in (0, user):
            problems.append(Problem(f"{path} belongs to another user", f"chown {user} {path}"))
        return problems

    def _check_secret(folder: Path, path: Path) -> list[Problem]:
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        try:
            agent = folder.stat()
            user, group = agent.st_uid, agent.st_gid
        except FileNotFoundError:
            user, group = os.geteuid(), os.getegid()
        # `setup` gives the file to root and lets the agent's group read it.
        open_to = mode & (0o037 if status.st_gid in (0, group) else 0o077)
        if not open_to:
            return []
        if status.st_uid == user:
            fix = f"chmod 600 {path}"
        else:
            fix = f"chgrp {group} {path} && chmod 640 {path}"
        return [Problem(f"{path} holds a secret and is open to others (mode {mode:o})", fix)]


def strangers_in(sddl: str) -> set[str]:
    """Return who, besides system, administrators and owner, an SDDL text lets in.

    SDDL is Windows' notation for access rules: `O:<owner>…D:<flags>(<rule>)…`, a rule being
    `type;flags;rights;object;inherited;trustee`. Without a `D:` part everybody is let in.
    """
    owner = re.search(r"O:(S-[0-9-]+|[A-Z]{2})", sddl)
    rules = re.search(r"D:[A-Z]*(.*)", sddl, re.DOTALL)
    if rules is None or "NO_ACCESS_CONTROL" in sddl:
        return {"WD"}
    trusted = _WINDOWS_TRUSTED | ({owner[1]} if owner else set())
    return set(_WINDOWS_ALLOWS.findall(rules[1])) - trusted
