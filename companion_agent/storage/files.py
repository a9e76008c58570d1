"""The one way to read and write the agent's files.

What is written replaces the file as a whole: after a power cut there is the old content or the
new one, never half of it. Nothing that is written follows a symbolic link at the file's place:
root changes files in a folder that belongs to the service's user.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from companion_agent.storage.permissions import give_to_owner, protect
from companion_agent.storage.plain import read_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRIVATE = 0o600
MAX_BYTES = 16 * 1024 * 1024
"""More than any file of the agent's holds that is read as a whole."""

NOT_PLAIN = frozenset({errno.EINVAL, errno.EISDIR, errno.ELOOP})
"""Numbers of the errors of opening a pipe or a device, a folder, or a symbolic link."""

# Windows has neither, and no links or pipes that need them.
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)
# Windows writes out only what may be written to.
_TO_SYNC: int = os.O_RDWR if sys.platform == "win32" else os.O_RDONLY
# Windows replaces no file that another program has open, be it to look for viruses: what does so
# is waited for. Source: Microsoft's reference of `MoveFileExW` and "Creating and Opening Files".
_FREE_WITHIN = 1.0 if sys.platform == "win32" else 0.0
_LOOK_AGAIN = 0.01


# --- Reading -------------------------------------------------------------------------------------


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Read a plain file; a pipe or a device, which might never end, is none.

    Args:
        path: The file.
        most: How many bytes it may have.

    Raises:
        OSError: It cannot be read, is no plain file, or is larger.
    """
    content = read_plain(path, most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """Read a plain file of text; what is not UTF-8 is replaced.

    Raises:
        OSError: It cannot be read, is no plain file, or is larger.
    """
    return read_bytes(path, most).decode("utf-8", "replace")


def read_json(path: Path, most: int = MAX_BYTES) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """Read a plain file of JSON.

    Raises:
        OSError: It cannot be read, is no plain file, or is larger.
        ValueError: It is not JSON.
    """
    return _parse(read_bytes(path, most))


class NewerFileError(ValueError):
    """A file is whole, and of a later version of the agent."""


def read_versioned(content: bytes, version: int) -> dict[str, Any]:
    """Read the JSON of a file that says which version of it this is.

    Raises:
        NewerFileError: A later version of the agent wrote it.
        ValueError: It is something else; the text says what.
    """
    data = _parse(content)
    found = data.get("version") if isinstance(data, dict) else None
    if isinstance(found, int) and found > version:
        raise NewerFileError("a newer version of the agent wrote it")
    if not isinstance(data, dict) or found != version:
        raise ValueError("not a file of this version")
    return data


def _parse(content: bytes) -> Any:  # noqa: ANN401  (whatever JSON holds)
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


# --- Writing -------------------------------------------------------------------------------------


def write(
    path: Path,
    content: str | bytes,
    *,
    mode: int = PRIVATE,
    give: Callable[[int], None] | None = None,
) -> None:
    """Replace a file's content as a whole, and make that last.

    Args:
        path: The file. A symbolic link there is replaced, not followed.
        content: What it shall hold; text becomes UTF-8.
        mode: Who may do what with it; on Windows only `PRIVATE` has a meaning.
        give: Gives the open file to its owner before it counts; to the folder's when `None`,
            where root writes.

    Raises:
        OSError: That did not work; the old content is still there.
    """
    data = content.encode() if isinstance(content, str) else content
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY, PRIVATE)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123  (a descriptor)
            if mode == PRIVATE:
                # While it is empty: Windows does not know the mode above.
                protect(fresh, handle)
            else:
                _set_mode(fresh, handle, mode)
            file.write(data)
            file.flush()
            if give:
                give(handle)
            else:
                give_to_owner(path.parent, handle)
            os.fsync(handle)
        _replace(fresh, path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    sync(path.parent)


def write_private(path: Path, content: str | bytes) -> None:
    """Replace the content of a file that only its owner may read.

    Raises:
        OSError: That did not work; the old content is still there.
    """
    write(path, content)


def write_json(path: Path, data: object) -> None:
    """Replace the content of a file of JSON that only its owner may read.

    Raises:
        OSError: That did not work; the old content is still there.
    """
    write(path, json.dumps(data, indent=2) + "\n")


def append_private(path: Path, line: str) -> None:
    """Add a line to a file that only its owner may read.

    Raises:
        OSError: That did not work, or a symbolic link lies there.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK | _NO_WAIT
    handle = os.open(path, flags, PRIVATE)
    with open(handle, "a", encoding="utf-8", newline="\n") as file:  # noqa: PTH123  (a descriptor)
        if not file.tell():
            protect(path, handle)
        file.write(line + "\n")


def create_private(path: Path) -> None:
    """Create an empty file that only its owner may read, unless there is one.

    Raises:
        OSError: That did not work.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | _NO_LINK, PRIVATE))


def move(path: Path, to: Path) -> None:
    """Rename a file or folder within a folder, over what is there, and make that last.

    Raises:
        OSError: That did not work.
    """
    _replace(path, to)
    sync(to.parent)


def open_to_change(path: Path, *, mode: int = PRIVATE) -> int:
    """Open a plain file for reading and writing as it is; make an empty one where there is none.

    Args:
        path: The file.
        mode: Who may do what with one that is made.

    Returns:
        Its descriptor.

    Raises:
        OSError: That did not work; the number is among `NOT_PLAIN` where something else lies there.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK | _NO_WAIT | _BINARY, mode)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a plain file", str(path))
    return handle


def make_private_folder(folder: Path) -> None:
    """Create a folder for the owner only; one that exists is closed to others.

    Raises:
        OSError: That did not work.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    protect(folder)


def sync(path: Path) -> None:
    """Make what was written to a file, or renamed in a folder, last; where it can be opened.

    Raises:
        OSError: The disk failed.
    """
    try:
        handle = os.open(path, _TO_SYNC)
    except PermissionError:  # folders, on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(path: Path, to: Path) -> None:
    until = monotonic() + _FREE_WITHIN
    while True:
        try:
            path.replace(to)
        except PermissionError:
            if monotonic() >= until:
                raise
            sleep(_LOOK_AGAIN)
        else:
            return


def _set_mode(path: Path, descriptor: int, mode: int) -> None:
    if sys.platform == "win32":
        path.chmod(mode)
    else:
        os.fchmod(descriptor, mode)
