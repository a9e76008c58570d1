"""Decides at the start which version runs: the installed base, or a release below the state folder.

Nothing that a network brought runs with more rights than the service has, and the base stays as
it was installed: it picks a release, checks it again, and becomes it (exec), so that the service
manager sees one process all the time. While a release is on trial the base watches it from a
second process, and ends it when its time is over; the service manager then starts the base again,
which picks the version before.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
import json
import logging
import os
from pathlib import Path
import select
import signal
import sys
from typing import TYPE_CHECKING, Any

from companion_agent import __version__

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from companion_agent.updates.store import Release, Releases

LOG = logging.getLogger(__name__)

VARIABLE = "_PILOT_AGENT_LAUNCHED"
FOLDER = "releases"
# How often the watcher looks whether the release is online.
_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Launched:
    """How this agent was started.

    Attributes:
        release: The release that runs; empty for the base.
        base: The base's version.
        command: What starts the base anew; empty when nobody can.
    """

    release: str = ""
    base: str = __version__
    command: tuple[str, ...] = ()


def launch(explicit: Path | None, environment: MutableMapping[str, str] = os.environ) -> Launched:
    """Become the release that is to run; come back only where that is this version.

    Args:
        explicit: The configuration file that the command line names.
        environment: The environment.
    """
    if told := environment.pop(VARIABLE, ""):
        content = json.loads(told)
        return Launched(content["release"], content["base"], tuple(content["command"]))
    here = Launched(command=(sys.executable, *sys.orig_argv[1:]))
    try:
        _become(here, explicit, environment)
    except Exception:
        # Whatever is wrong with a release, the base has to start.
        LOG.exception("No release can be started, so the installed version %s is", __version__)
    return here


def _become(here: Launched, explicit: Path | None, environment: MutableMapping[str, str]) -> None:
    folder, configured = _settings(explicit, environment)
    if not (folder / "state.json").exists():
        return
    if not _is_own(folder):
        LOG.warning("%s belongs to another user, so no release of it is started", folder)
        return
    # Only where there has been an update, since they bring libraries with them.
    from companion_agent.updates.release import trusted  # noqa: PLC0415
    from companion_agent.updates.store import Releases  # noqa: PLC0415

    releases = Releases(folder)
    release = releases.pick(here.base, trusted(configured))
    if release is None:
        return
    if release.trial is not None and sys.platform == "linux":
        _watch(releases, release)
    told = asdict(here) | {"release": release.version, "path": sys.path}
    enter = str(Path(__file__).with_name("entrypoint.py"))
    # The base's own options: whether to believe PYTHONPATH, say.
    options = ["-I"] if sys.flags.isolated else ["-P"]
    os.execve(  # noqa: S606  (no shell is wanted)
        sys.executable,
        [sys.executable, *options, enter, str(release.wheel), *sys.argv[1:]],
        {**environment, VARIABLE: json.dumps(told)},
    )


def _is_own(folder: Path) -> bool:
    """Tell whether nobody but this user decides what is in a folder.

    Root would otherwise run what the service's user could exchange after it was checked.
    """
    return sys.platform == "win32" or folder.stat().st_uid == os.geteuid()


def _settings(explicit: Path | None, environment: MutableMapping[str, str]) -> tuple[Path, Any]:
    """Read where releases are and whose signatures count, and nothing else.

    The rest of the configuration may be written for the release, and mean nothing to the base.
    """
    from companion_agent import config  # noqa: PLC0415
    from companion_agent.config import source  # noqa: PLC0415
    from companion_agent.updates.release import parse_key  # noqa: PLC0415

    path = config.find_file(explicit, environment)
    document = source.read_file(path) if path else source.Document()
    leaves = [("state_dir",), ("update", "keys")]
    source.apply_environment(document, environment, leaves)
    base = path.absolute().parent if path else Path.cwd()
    given = document.tree.get("state_dir")
    state_dir = (
        base / Path(given).expanduser()
        if isinstance(given, str) and given
        else config.default_state_dir(environment)
    )
    update = document.tree.get("update")
    keys = update.get("keys", []) if isinstance(update, dict) else []
    texts = keys.split(",") if isinstance(keys, str) else keys
    found = []
    for text in texts:
        try:
            found.append(parse_key(str(text)))
        except ValueError as error:
            LOG.warning("update.keys: %s", error)
    return state_dir / FOLDER, found


if sys.platform == "linux":

    def _watch(releases: Releases, release: Release) -> None:
        """Watch this process from another one until it is online or its time is over."""
        watched = os.pidfd_open(os.getpid())
        if os.fork():
            os.close(watched)
            # The one in between: the agent would have to bury a child that it does not know.
            os.wait()
            return
        if os.fork():
            os._exit(0)
        try:
            _watch_until(releases, release, watched)
        finally:
            os._exit(0)

    def _watch_until(releases: Releases, release: Release, watched: int) -> None:
        from companion_agent.updates.store import not_online  # noqa: PLC0415

        ended = select.poll()
        ended.register(watched, select.POLLIN)
        until = release.trial or 0
        while not ended.poll(_LOOK * 1000):
            trial = releases.state().trial
            if trial is None or trial.version != release.version:
                return
            if releases.clock() >= until:
                reason = not_online(trial.limit)
                if releases.fail(release.version, reason):
                    LOG.error("Version %s is ended: %s", release.version, reason)
                    signal.pidfd_send_signal(watched, signal.SIGKILL)
                return
