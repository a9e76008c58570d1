"""Who this host is: an id for good, a session for every start, and one agent per state folder."""

from __future__ import annotations

from contextlib import contextmanager, suppress
import hashlib
import hmac
import logging
import os
import secrets
import sys
import time
from typing import TYPE_CHECKING

from companion_agent.protocol.validation import HOST_ID
from companion_agent.storage import files
from companion_agent.storage.plain import is_there

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from companion_agent.platforms.base import Platform

_LOGGER = logging.getLogger(__name__)

ID_FILE = "host-id"
LOCK_FILE = "lock"

# Keys the derivation, so that the id is not the hash that another program makes of the same
# installation id. Changing it would make every host a new device.
_APPLICATION = b"pilot-agent host id 1"
_TRIES, _PAUSE = 5, 0.02
# Characters of a process id.
_LONGEST_NUMBER = 20


class IdentityError(Exception):
    """The state folder cannot be used; the text names it and the way out."""


def host_id(state_dir: Path, platform: Platform) -> str:
    """Return this host's id; derive and keep it at the first start.

    Raises:
        IdentityError: The state folder cannot be read or written.
    """
    path = state_dir / ID_FILE
    kept = _kept(path)
    if HOST_ID.fullmatch(kept):
        return kept
    derived = _derive(platform)
    if kept:
        _LOGGER.warning("%s did not hold a host's id; it is %s now", path, derived)
    _keep(path, derived)
    return derived


def known_host_id(state_dir: Path, platform: Platform) -> str:
    """Return the id that this host has or would get, without writing anything."""
    try:
        kept = _kept(state_dir / ID_FILE)
    except IdentityError:
        kept = ""
    return kept if HOST_ID.fullmatch(kept) else _derive(platform)


def new_host_id(state_dir: Path) -> str:
    """Draw a random id and keep it: what a cloned disk needs.

    Raises:
        IdentityError: The state folder cannot be written.
    """
    drawn = secrets.token_hex(8)
    _keep(state_dir / ID_FILE, drawn)
    return drawn


def new_session() -> str:
    """Draw the session of one start of the agent."""
    return secrets.token_hex(8)


@contextmanager
def only_agent(state_dir: Path) -> Iterator[None]:
    """Hold the state folder for this process.

    The lock ends with the process, however that ends, so it is never stale.

    Raises:
        IdentityError: Another agent holds it, or the folder cannot be written.
    """
    path = state_dir / LOCK_FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        file = _opened_lock(path)
    except OSError as error:
        if error.errno in files.NOT_PLAIN:
            raise IdentityError(f"{path} is not a plain file; delete it") from error
        raise IdentityError(_unwritable(state_dir, error)) from error
    with file:
        try:
            _lock_patiently(file.fileno())
        except OSError:
            other = _process_in(file)
            raise IdentityError(
                f"another agent{f' (process {other})' if other else ''} uses {state_dir}; "
                "stop it, or give this one its own state_dir"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def holder(state_dir: Path) -> int | None:
    """Return the process whose agent holds a state folder; `None` where none does.

    Raises:
        OSError: That cannot be found out.
    """
    path = state_dir / LOCK_FILE
    if not is_there(path):
        return None
    with _opened_lock(path) as file:
        try:
            _lock(file.fileno())
        except OSError:
            number = _process_in(file)
            return int(number) if number.isdigit() else None
    return None


def _opened_lock(path: Path) -> TextIO:
    handle = files.open_to_change(path, mode=0o644)
    return open(handle, "r+", encoding="ascii", errors="replace")  # noqa: PTH123  (a descriptor)


def _process_in(file: TextIO) -> str:
    # No more than that: Windows lets none read what is locked.
    return os.read(file.fileno(), _LONGEST_NUMBER).decode("ascii", "replace").strip()


def _lock_patiently(descriptor: int) -> None:
    """Lock; what only looks whether an agent runs (`holder()`) is through in a moment."""
    for _ in range(_TRIES):
        with suppress(OSError):
            _lock(descriptor)
            return
        time.sleep(_PAUSE)
    _lock(descriptor)


def _kept(path: Path) -> str:
    try:
        return files.read_text(path).strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise IdentityError(f"cannot read the host's id from {path}: {error.strerror}") from error


def _derive(platform: Platform) -> str:
    installation = platform.installation_id()
    if not installation:
        return secrets.token_hex(8)
    digest = hmac.new(_APPLICATION, installation.encode("utf-8", "replace"), hashlib.sha256)
    return digest.hexdigest()[:16]


def _keep(path: Path, value: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, f"{value}\n", mode=0o644)
    except OSError as error:
        raise IdentityError(_unwritable(path.parent, error)) from error


def _unwritable(state_dir: Path, error: OSError) -> str:
    return (
        f"cannot write to the state folder {state_dir}: {error.strerror}; "
        "run the agent as a user that can, or set state_dir in the configuration"
    )


if sys.platform == "win32":
    import msvcrt

    # Windows locks keep others from reading what they cover: lock a byte beyond the text.
    _LOCKED_BYTE = 1024

    def _lock(descriptor: int) -> None:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
