"""Who may read a file: closing it to others, and finding out who can, on Linux and Windows."""

from __future__ import annotations

from functools import cache, partial, reduce
from operator import or_
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVICE = "pilot-agent"
"""The agent's service of Windows."""
SERVICE_SID = "S-1-5-80-240748448-3534460488-3606495589-1850329226-1390654238"
"""What only the processes of that service have, whichever account it shares with others; it follows
from the name (`accounts.service_sid()`), and stands here because other systems need not load that.
"""

# SDDL: full access for the system, the administrators and the service, inherited by what is made
# inside; nothing comes from the folder above ("P", protected).
_WINDOWS_RULES = f"D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{SERVICE_SID})"
_OWNER_TOO = "(A;OICI;FA;;;OW)"
# The owner may read the rules, and no more: an account such as LocalService is that of many.
_NOT_THE_OWNER = "(A;OICI;RC;;;OW)"
_WINDOWS_TRUSTED = {"SY", "BA", "OW", SERVICE_SID}
_WINDOWS_ALLOWS = re.compile(
    r"\((?:A|XA|OA);(?P<flags>[^;]*);(?P<rights>[^;]*);[^;]*;[^;]*;(?P<who>[^;)]*)[^)]*\)"
)
# Those who may change every program anyway: the system, administrators (also a domain's), Windows'
# own installer, and the one who makes what does not exist yet.
_MAY_CHANGE_PROGRAMS = {
    "SY", "BA", "LA", "DA", "EA", "CO", "S-1-5-18", "S-1-5-32-544",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
}  # fmt: skip
# How SDDL writes rights (winnt.h; "ACE Strings" in Microsoft's reference), and which of them change
# a file or what is in a folder, and which put something else in its place.
_RIGHTS = {
    "GA": 0x10000000, "GX": 0x20000000, "GW": 0x40000000, "GR": 0x80000000, "RC": 0x20000,
    "SD": 0x10000, "WD": 0x40000, "WO": 0x80000, "CC": 0x1, "DC": 0x2, "LC": 0x4, "SW": 0x8,
    "RP": 0x10, "WP": 0x20, "DT": 0x40, "LO": 0x80, "CR": 0x100, "FA": 0x1F01FF, "FR": 0x120089,
    "FW": 0x120116, "FX": 0x1200A0,
}  # fmt: skip
_REPLACES = 0x10000000 | 0x40000 | 0x80000 | 0x10000 | 0x40
_CHANGES = _REPLACES | 0x40000000 | 0x2 | 0x4


class Problem(NamedTuple):
    """Something about a file that an administrator should mend.

    Attributes:
        text: What is wrong.
        fix: The command, or the step, that mends it.
    """

    text: str
    fix: str


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


if sys.platform == "win32":
    from companion_agent.winapi import accounts, security

    AS_ADMINISTRATOR = "run this as administrator"

    def typed_by_administrator(command: str) -> str:
        """Return what an administrator types to run a command, in words where that is needed."""
        return f"{command} (in a terminal that was opened with “Run as administrator”)"

    @cache
    def _windows_rules() -> str:
        """Return the rules for what this process writes."""
        try:
            of_the_service = accounts.has_sid(SERVICE_SID)
        except OSError:
            of_the_service = False
        return _WINDOWS_RULES + (_NOT_THE_OWNER if of_the_service else _OWNER_TOO)

    def protect(path: Path, _: int | None = None) -> None:
        """Close a file or folder to all but its owner, the service and the system.

        Raises:
            OSError: That did not work.
        """
        security.set_file_rules(str(path), _windows_rules())

    def give_to_owner(_: Path, __: int) -> None:
        """Do nothing: the folder's rules let the service in."""

    def _check(path: Path) -> list[Problem]:
        others = strangers_in(security.file_rules(str(path)))
        if not others:
            return []
        fix = f'icacls "{path}" /inheritance:r /grant *S-1-5-18:F *S-1-5-32-544:F *{SERVICE_SID}:F'
        return [Problem(f"{path} is open to others ({', '.join(sorted(others))})", fix)]

    def _check_secret(_: Path, path: Path) -> list[Problem]:
        return _check(path)

else:
    AS_ADMINISTRATOR = "run this as root"

    def typed_by_administrator(command: str) -> str:
        """Return what an administrator types to run a command, in words where that is needed."""
        return f"sudo {command}"

    def give_to_owner(folder: Path, descriptor: int) -> None:
        """Let the service, whose the folder is, go on reading what an administrator changes.

        Raises:
            OSError: That did not work.
        """
        if os.geteuid() == 0:
            owner = folder.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def protect(path: Path, descriptor: int | None = None) -> None:
        """Close a file or folder to all but its owner.

        Args:
            path: The file or folder.
            descriptor: It, open; what lies at the path then cannot be exchanged meanwhile.

        Raises:
            OSError: That did not work.
        """
        there = path if descriptor is None else descriptor
        mode = stat.S_IMODE(os.stat(there).st_mode)  # noqa: PTH116  (a descriptor)
        if mode & 0o077:
            os.chmod(there, mode & 0o700)  # noqa: PTH101  (a descriptor)

    def _check(path: Path) -> list[Problem]:
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        user = os.geteuid()
        problems = []
        if mode & 0o077:
            wanted = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
            fix = f"chmod {wanted:o} {path}"
            problems.append(Problem(f"{path} is open to others (mode {mode:o})", fix))
        # Root may inspect the files of a service that runs as another user.
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
    `type;flags;rights;object;inherited;trustee`. Without a `D:` part every account has access.
    """
    owner, rules = _parts(sddl)
    if rules is None:
        return {"WD"}
    return {one["who"] for one in _WINDOWS_ALLOWS.finditer(rules)} - _WINDOWS_TRUSTED - {owner}


def changers_in(sddl: str, *, inside: bool) -> set[str]:
    """Return who, besides system and administrators, an SDDL text lets change a program.

    Args:
        sddl: Owner and rules of the program, or of a folder that it is in.
        inside: Whether who changes what is in there counts too, or only who puts another thing in
            its place, as with the folders further above.
    """
    owner, rules = _parts(sddl)
    if rules is None:
        return {"WD"}
    counts = _CHANGES if inside else _REPLACES
    found = {
        one["who"]
        for one in _WINDOWS_ALLOWS.finditer(rules)
        # Inherit only: it says something of what will be made in there.
        if "IO" not in _pairs(one["flags"]) and _rights(one["rights"]) & counts
    }
    # The owner may change the rules.
    return (found | ({owner} if owner else set())) - _MAY_CHANGE_PROGRAMS


def _parts(sddl: str) -> tuple[str, str | None]:
    owner = re.search(r"O:(S-[0-9-]+|[A-Z]{2})", sddl)
    rules = re.search(r"D:[A-Z]*(.*)", sddl, re.DOTALL)
    closed = rules is not None and "NO_ACCESS_CONTROL" not in sddl
    return owner[1] if owner else "", rules[1] if rules and closed else None


def _rights(text: str) -> int:
    if text.lower().startswith("0x"):
        return int(text, 16)
    # What is not known may be anything.
    return reduce(or_, (_RIGHTS.get(one, _CHANGES) for one in _pairs(text)), 0)


def _pairs(text: str) -> list[str]:
    return [text[at : at + 2] for at in range(0, len(text), 2)]
