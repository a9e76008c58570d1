"""Where a configuration is looked for, and where the agent keeps what it must remember."""

from __future__ import annotations

import os
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Literal

from companion_agent.config.errors import ConfigError, Mistake
from companion_agent.storage.plain import is_there

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

APP = "pilot-agent"


def search_path(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """List where a configuration is looked for, first one first."""
    if named := environment.get("PILOT_CONFIG"):
        return [Path(named)]
    users = [folder / "config.yaml" for folder in _user_folder("config")]
    if sys.platform == "win32":
        return [*users, _programs_data() / "config.yaml"]
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        return [Path("/etc", APP, "config.yaml"), *users]


def find_file(explicit: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Find the configuration file; `None` where there is none.

    Args:
        explicit: The file that the command line names.
        environment: The environment.
    """
    if explicit:
        return explicit
    if named := environment.get("PILOT_CONFIG"):
        return Path(named)
    return next((path for path in search_path(environment) if is_there(path)), None)


def base_of(file: Path | None) -> Path:
    """Return where relative paths start: the configuration's folder, else where the command runs.

    That folder may have been removed since; then they stay relative, and lead nowhere.
    """
    try:
        return file.absolute().parent if file else Path.cwd()
    except FileNotFoundError:
        return Path()


def default_state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the agent keeps what it must remember, unless configured.

    Raises:
        ConfigError: There is no usual place: this user has no home folder.
    """
    if given := environment.get("STATE_DIRECTORY"):  # systemd's StateDirectory=
        return Path(given.split(os.pathsep)[0])
    if sys.platform == "win32":
        return _programs_data() / "state"
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        if os.geteuid() == 0:
            return Path("/var/lib", APP)
        for folder in _user_folder("state"):
            return folder
        problem = "is needed: this user has no home folder; set it, PILOT_STATE_DIR or HOME"
        raise ConfigError([Mistake("", "state_dir", problem)])


def _programs_data() -> Path:
    """Return the agent's folder for all users of a Windows, whatever the environment says."""
    from companion_agent.winapi import folders  # noqa: PLC0415  (of no use on other systems)

    return folders.known(folders.PROGRAM_DATA) / APP


def _user_folder(purpose: Literal["config", "state"]) -> Iterator[Path]:
    """Yield the user's folder; nothing where there is no home (a user id without an entry)."""
    import platformdirs  # noqa: PLC0415  (not needed by services, nor when a file is named)

    find = {"config": platformdirs.user_config_path, "state": platformdirs.user_state_path}
    try:
        folder = find[purpose](APP, appauthor=False)
    except RuntimeError:
        return
    # Before 4.3 an unknown home stays a "~".
    if folder.is_absolute():
        yield folder
