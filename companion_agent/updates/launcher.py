"""Decides at the start which version runs: the installed base, or a release below the state folder.

Nothing that a network brought runs with more rights than the service has, and the base stays as
it was installed: it picks a release, checks it again, and becomes it (exec), so that the service
manager sees one process all the time. A release on trial runs as a child instead, and the base's
process becomes its supervisor (`supervisor.py`), and the base again when it ends. On Windows no
process becomes another: there every release is a child (`windows_supervisor.py`).
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
import json
import logging
import os
from pathlib import Path
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent import __version__, forked
from companion_agent.service.sd_notify import Notifier
from companion_agent.storage.plain import is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from companion_agent.updates.store import Release, Releases

_LOGGER = logging.getLogger(__name__)

VARIABLE = "_PILOT_AGENT_LAUNCHED"
FOLDER = "releases"
_SUPERVISOR = (
    "import sys; sys.path[:] = {path!r}; "
    "from companion_agent.updates.supervisor import main; sys.exit(main())"
)


class Launched(NamedTuple):
    """How this agent was started.

    Attributes:
        release: The release that runs; empty for the base.
        base: The base's version.
        command: What starts the base anew; empty where no command is known.
        probation: Seconds that a release on trial has to stay online before it is kept; zero
            where it is kept at once, which bases without a supervisor expect.
        silence: Seconds without a sign of life after which its supervisor ends it, where it is a
            child of the base for as long as it runs; zero elsewhere.
        events: The source of Windows' event log that its service writes to; empty without one.
    """

    release: str = ""
    base: str = __version__
    command: tuple[str, ...] = ()
    probation: float = 0
    silence: float = 0
    events: str = ""


def launch(
    explicit: Path | None,
    environment: MutableMapping[str, str] = os.environ,
    notifier: Callable[[], Notifier] = Notifier,
) -> Launched:
    """Become the release that is to run; come back only where that is this version.

    Args:
        explicit: The configuration file that the command line names.
        environment: The environment.
        notifier: Makes what tells the service manager how a release is, where this process
            stays while one runs.

    Raises:
        SystemExit: A release has run as a child, and its end is that of this process.
    """
    if told := environment.pop(VARIABLE, ""):
        content = json.loads(told)
        return Launched(
            content["release"],
            content["base"],
            tuple(content["command"]),
            content.get("probation", 0),
            content.get("silence", 0),
            content.get("events", ""),
        )
    here = Launched(command=(sys.executable, *sys.orig_argv[1:]))
    try:
        _become(here, explicit, environment, notifier)
    except Exception:
        # Whatever is wrong with a release, the base has to start.
        _LOGGER.exception("No release can be started, so the installed version %s is", __version__)
    return here


def ended(
    release: str, explicit: Path | None, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Take note that a release has ended as it was to, whatever the reason: it has not failed.

    Args:
        release: The release.
        explicit: The configuration file that the command line names.
        environment: The environment.
    """
    from companion_agent.config import ConfigError  # noqa: PLC0415
    from companion_agent.updates.store import Releases  # noqa: PLC0415

    with suppress(ConfigError, ValueError, OSError):
        Releases(_settings(explicit, environment)[0]).runs(release)


def _become(
    here: Launched,
    explicit: Path | None,
    environment: MutableMapping[str, str],
    notifier: Callable[[], Notifier],
) -> None:
    from companion_agent.config import ConfigError  # noqa: PLC0415

    try:
        folder, configured = forked.begin(partial(_settings, explicit, environment))()
    except (ConfigError, ValueError):
        # The base says what is wrong, when it reads all of it.
        return
    if not is_there(folder / "state.json"):
        return
    if not _is_own(folder):
        _LOGGER.warning("%s belongs to another user, so no release of it is started", folder)
        return
    # Only where there has been an update, since they bring libraries with them.
    from companion_agent.updates.release import trusted  # noqa: PLC0415
    from companion_agent.updates.store import Releases  # noqa: PLC0415

    releases = Releases(folder)
    if sys.platform == "win32":
        _keep_releases_running(releases, trusted(configured), here, explicit, environment, notifier)
    else:
        release = releases.pick(here.base, trusted(configured))
        if release is None:
            return
        if release.trial is None or sys.platform != "linux":
            _enter(release, here, environment)
        else:
            _supervise(release, here, folder, environment)


def _enter(release: Release, launched: Launched, environment: Mapping[str, str]) -> None:
    """Become a release."""
    command = _entering(release, sys.argv[1:])
    os.execve(sys.executable, command, _told(release, launched, environment))  # noqa: S606  (no shell is wanted)


def _entering(release: Release, arguments: Sequence[str]) -> list[str]:
    """Return the command that runs a release."""
    # The base's own options: whether to believe PYTHONPATH, say.
    options = ["-I"] if sys.flags.isolated else ["-P"]
    enter = str(Path(__file__).with_name("entrypoint.py"))
    return [sys.executable, *options, enter, str(release.wheel), *arguments]


def _told(release: Release, launched: Launched, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which a release finds out how it was started."""
    told = launched._asdict() | {"release": release.version, "path": sys.path}
    return {**environment, VARIABLE: json.dumps(told)}


def _is_own(folder: Path) -> bool:
    """Tell whether this process's user alone decides what is in a folder.

    Root would otherwise run what the service's user could exchange after it was checked.
    """
    return sys.platform == "win32" or folder.stat().st_uid == os.geteuid()


def _settings(explicit: Path | None, environment: MutableMapping[str, str]) -> tuple[Path, Any]:
    """Read where releases are and whose signatures count, and nothing else.

    The rest of the configuration may be written for the release, and mean nothing to the base.
    Done in another process, since the base reads it once more.
    """
    from companion_agent import config  # noqa: PLC0415
    from companion_agent.config.document import Document, read_file  # noqa: PLC0415
    from companion_agent.config.environment import apply_environment  # noqa: PLC0415
    from companion_agent.config.updates import parse_key  # noqa: PLC0415
    from companion_agent.values import expand_home  # noqa: PLC0415

    path = config.find_file(explicit, environment)
    document = read_file(path) if path else Document()
    leaves = [("state_dir",), ("update", "keys")]
    apply_environment(document, environment, leaves)
    base = config.base_of(path)
    given = document.tree.get("state_dir")
    state_dir = (
        base / expand_home(given)
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
            _LOGGER.warning("update.keys: %s", error)
    return state_dir / FOLDER, found


def _keep_releases_running(
    releases: Releases,
    keys: Mapping[str, bytes],
    here: Launched,
    explicit: Path | None,
    environment: Mapping[str, str],
    notifier: Callable[[], Notifier],
) -> None:
    """Run releases as children, until it is the base's turn.

    Raises:
        SystemExit: A release's end is that of this process.
    """
    from companion_agent.platforms.windows.service_controls import controls  # noqa: PLC0415
    from companion_agent.signals import end_request  # noqa: PLC0415
    from companion_agent.storage.permissions import SERVICE  # noqa: PLC0415
    from companion_agent.updates.store import probation  # noqa: PLC0415
    from companion_agent.updates.windows_supervisor import (  # noqa: PLC0415
        SILENCE_LIMIT,
        WindowsSupervisor,
    )

    arguments = ["run", *(("--config", str(explicit)) if explicit else ())]
    while not end_request.asked and (release := releases.pick(here.base, keys)):
        launched = here._replace(
            silence=SILENCE_LIMIT,
            events=SERVICE if controls.from_windows else "",
            probation=probation(release.trial.limit) if release.trial else 0,
        )
        supervisor = WindowsSupervisor(release, releases, notifier())
        code = supervisor.run(_entering(release, arguments), _told(release, launched, environment))
        if code is not None:
            raise SystemExit(code)


if sys.platform == "linux":

    def _supervise(
        release: Release, here: Launched, folder: Path, environment: Mapping[str, str]
    ) -> None:
        """Have a release run as a child, and become its supervisor."""
        from companion_agent.updates.exit_codes import AGAIN  # noqa: PLC0415
        from companion_agent.updates.store import probation  # noqa: PLC0415
        from companion_agent.updates.supervisor import SIGNALS  # noqa: PLC0415

        trial = release.trial
        assert trial
        again = (sys.executable, "-I", "-S", "-c", f"raise SystemExit({AGAIN})")
        launched = here._replace(command=again, probation=probation(trial.limit))
        notified, address = _listen(environment)
        # One that comes before the supervisor hands them on would be lost, or end it alone.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        child = os.fork()
        if not child:
            try:
                if notified:
                    notified.set_inheritable(False)
                # A group of its own: what it leaves behind ends with it.
                os.setpgid(0, 0)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                meant = {"NOTIFY_SOCKET": address, "WATCHDOG_PID": str(os.getpid())}
                _enter(release, launched, {**environment, **(meant if address else {})})
            finally:
                os._exit(1)
        with suppress(OSError):
            # Whichever of both is first.
            os.setpgid(child, child)
        told = {
            "child": child,
            "notified": notified.fileno() if notified else -1,
            "folder": str(folder),
            "version": release.version,
            "limit": trial.limit,
            "until": trial.until,
            "command": here.command,
        }
        program = _SUPERVISOR.format(path=sys.path)
        command = [sys.executable, "-I", "-S", "-c", program, json.dumps(told)]
        try:
            os.execve(sys.executable, command, environment)  # noqa: S606  (no shell is wanted)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _listen(environment: Mapping[str, str]) -> tuple[socket.socket | None, str]:
        """Listen in the service manager's place, which hears its main process alone."""
        if not environment.get("NOTIFY_SOCKET"):
            return None, ""
        name = f"pilot-agent-{os.getpid()}-{os.urandom(8).hex()}"
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Any process may send there: the supervisor looks who it is.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        made.bind(f"\0{name}")
        made.set_inheritable(True)
        return made, f"@{name}"
