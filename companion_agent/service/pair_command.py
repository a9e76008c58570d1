"""What to type on this computer to pair it, as the agent is installed and run here.

Home Assistant shows it in its dialogs, so that it works when it is typed.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath
import shutil
import sys
from typing import TYPE_CHECKING

from companion_agent.config.places import search_path
from companion_agent.protocol.announce import PAIR_COMMAND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME = "pilot-agent"
_MODULE = "companion_agent"

# Where sudo looks on Debian, Fedora and their likes (`secure_path` in sudoers(5)).
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Users that log in have greater ids (`UID_MIN` in login.defs(5)).
_FIRST_PERSON = 1000


def pair_command(
    started: Sequence[str],
    config: Path | None,
    environment: Mapping[str, str] = os.environ,
    uid: int | None = None,
) -> str | None:
    """Return what shows a code on this computer; `None` where that is not known.

    Args:
        started: What started the agent: an interpreter and its arguments.
        config: The configuration file that it reads; `None` without one.
        environment: The environment.
        uid: The user that the agent runs as; found out when left out.
    """
    if sys.platform == "win32":
        return f"{_NAME} pair"
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        of_a_person = (os.geteuid() if uid is None else uid) >= _FIRST_PERSON
        # Root's shell in a container has none, and needs none.
        sudo = not of_a_person and shutil.which("sudo", path=_SYSTEM_PATH) is not None
        path = environment.get("PATH", _SYSTEM_PATH) if of_a_person else _SYSTEM_PATH
        program = _program(started, path)
        if program is None:
            return None
        told = f"{'sudo ' if sudo else ''}{program} pair"
        if config is not None and config.absolute() not in search_path({}):
            told += f" --config {config.absolute()}"
        # A path that a shell would take apart is not worth the risk of what it makes of it.
        return told if PAIR_COMMAND.fullmatch(told) else None


def _program(started: Sequence[str], path: str) -> str | None:
    for word in started[1:]:
        if PurePath(word).name == _NAME:
            found = shutil.which(_NAME, path=path)
            same = found is not None and Path(found).resolve() == Path(word).resolve()
            return _NAME if same else str(Path(word).absolute())
    if started and _MODULE in started:
        return f"{started[0]} -m {_MODULE}"
    return None
