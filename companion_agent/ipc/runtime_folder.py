"""Where session helpers find the agent on Linux, and whether it is the agent that they find there.

The service's is `/run/pilot-agent`, which systemd makes (`RuntimeDirectory=`). An agent that a user
runs for themself has one below `$XDG_RUNTIME_DIR`.
"""

from __future__ import annotations

from contextlib import suppress
import os
from pathlib import Path
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "pilot-agent"
SERVICE_FOLDER = Path("/run", NAME)
SERVICE_USER = "pilot-agent"


class UntrustedError(Exception):
    """Something at this place was made by another user; the text says what."""


def candidates(environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Return where a session helper looks for the agent, in order."""
    yield SERVICE_FOLDER
    if own := _of_the_user(environment):
        yield own


def _of_the_user(environment: Mapping[str, str]) -> Path | None:
    given = environment.get("XDG_RUNTIME_DIR", "")
    return Path(given, NAME) if given.startswith("/") else None


if sys.platform != "win32":
    import pwd

    def of_the_agent(environment: Mapping[str, str] = os.environ) -> Path | None:
        """Return the folder of the agent that this process is; `None` where there is none.

        It is made where this process may do so.
        """
        if given := environment.get("RUNTIME_DIRECTORY"):
            return Path(given.split(":")[0])
        folder = _of_the_user(environment)
        if folder is not None:
            with suppress(OSError):
                folder.mkdir(mode=0o700, exist_ok=True)
                return folder
        return None

    def trusted_owners() -> frozenset[int]:
        """Return the users that the agent may run as: root, the service's, and this one."""
        owners = {0, os.geteuid()}
        with suppress(KeyError):
            owners.add(pwd.getpwnam(SERVICE_USER).pw_uid)
        return frozenset(owners)

    def check(folder: Path, socket_name: str) -> int:
        """Check that only the agent could have made a socket; return the user that it runs as.

        Raises:
            UntrustedError: Another user could have.
            OSError: It is not there.
        """
        owners = trusted_owners()
        for path in (folder, folder / socket_name):
            status = path.lstat()
            if status.st_uid not in owners:
                raise UntrustedError(f"{path} belongs to the user {status.st_uid}")
            if path == folder:
                if not stat.S_ISDIR(status.st_mode):
                    raise UntrustedError(f"{path} is not a folder")
                if status.st_mode & 0o022:
                    raise UntrustedError(f"others may write to {path}")
        if not stat.S_ISSOCK(status.st_mode):
            raise UntrustedError(f"{path} is not a socket")
        return status.st_uid
