"""Who is logged in, from logind's session files or utmp. Sources: sd-login(3), utmp(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

_SESSIONS = "run/systemd/sessions"
_USER_PROCESS = 7
# A time of 64 bits makes the record longer; it is so where no 32-bit programs had to be served.
_LONG_RECORDS = ("aarch64", "riscv64", "loongarch64")


def count_users(files: Files, arch: str) -> int | None:
    """Count the people who are logged in; `None` where nothing tells.

    logind is asked first: many distributions no longer write utmp. One person in several
    sessions counts once.
    """
    if files.is_folder(_SESSIONS):
        return len(_logind_users(files))
    for path in ("run/utmp", "var/run/utmp"):
        data = files.read(path)
        if data is not None:
            size = 400 if arch in _LONG_RECORDS else 384
            return len(
                {user for user, pid in parse_utmp(data, size) if files.exists(f"proc/{pid}")}
            )
    return None


def _logind_users(files: Files) -> set[str]:
    users = set()
    for name in files.names(_SESSIONS):
        # "12.ref" is a pipe that would keep its reader waiting.
        if "." in name:
            continue
        fields = dict(
            line.split("=", 1)
            for line in (files.text(f"{_SESSIONS}/{name}") or "").splitlines()
            if "=" in line
        )
        # Login screens and background managers have sessions as well, of other classes.
        if fields.get("CLASS", "").startswith("user") and fields.get("STATE") != "closing":
            users.add(fields.get("UID", name))
    return users


def parse_utmp(data: bytes, size: int) -> list[tuple[str, int]]:
    """Read the user and leading process of every login from utmp records of a size."""
    logins = []
    for start in range(0, len(data) - size + 1, size):
        kind = int.from_bytes(data[start : start + 2], "little")
        user = data[start + 44 : start + 76].split(b"\0", 1)[0]
        if kind == _USER_PROCESS and user:
            pid = int.from_bytes(data[start + 4 : start + 8], "little")
            logins.append((user.decode("utf-8", "replace"), pid))
    return logins
