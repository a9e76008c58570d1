"""The running agent's part in updates: asked, it has a release fetched, and starts anew with it.

The process that fetches is followed by a thread: not every event loop has subprocesses.
"""

from __future__ import annotations

from collections import deque
import contextlib
import json
import logging
import math
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent import __version__
from companion_agent.config.updates import HOME_ASSISTANT, UpdateConfig
from companion_agent.errors import CommandError
from companion_agent.platforms.windows.service_controls import controls
from companion_agent.protocol.announce import Update, update_fields
from companion_agent.timing import Alarm
from companion_agent.updates.launcher import FOLDER, Launched
from companion_agent.updates.release import RELEASE_KEYS, VERSION
from companion_agent.updates.store import BASE, PROBATION, Releases, probation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    import subprocess

    from companion_agent.ipc.server import Connection

_LOGGER = logging.getLogger(__name__)

EVENTS: Mapping[str, Sequence[str]] = {"update": ("progress", "failed")}
"""The events that are told, and their types: `docs/protocol.md`."""

# The first look comes when the start is over and its memory given back.
FIRST_LOOK = 60.0
QUIET = 5.0
"""Seconds that a release on trial has to stay connected before the host is said to be online."""
LOOK_EVERY = 6 * 3600.0
# The worker gives up by itself before.
WORK_LIMIT = 540.0
# A confirmation that cannot be written (the disk is full) is tried again.
_AGAIN = 5.0
_MAX_TEXT = 255
# What ending, starting and going back take, in seconds.
_RESTART = 60.0
# Where a process can be watched and ended for certain: pidfd_open(2), and Windows' jobs.
_SUPERVISED: bool = sys.platform in {"linux", "win32"}

_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; "
    "from companion_agent.updates.subprocess_main import main; sys.exit(main())"
)


class _Task(NamedTuple):
    """Something for the worker; without a version to install, the newest one is meant."""

    do: str
    version: str = ""
    address: str = ""
    upwards: bool = True


class Updater:
    """Looks for releases, has them fetched, and says how that goes.

    `run()` is its task. It ends when `restart` is set: then the base is to be started anew, which
    starts what was chosen.

    Args:
        config: Where releases come from, and whose signature counts.
        state_dir: Where they are kept, in a folder of their own.
        launched: How this agent was started.
        clock: Monotonic seconds, those of the event loop.
    """

    def __init__(
        self,
        config: UpdateConfig,
        state_dir: Path,
        launched: Launched,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._launched = launched
        self._clock = clock
        self._releases = Releases(state_dir / FOLDER)
        self._alarm = Alarm()
        self._renewed: Callable[[], None] = lambda: None
        self._lasts: Callable[[], None] = lambda: None
        self._online: Callable[[], bool] = lambda: False
        self._tell: Callable[[str, str, Mapping[str, object]], None] = lambda *_: None
        self._lock = threading.Lock()
        self._waiting: _Task | None = None
        self._working: _Task | None = None
        self._process: subprocess.Popen[str] | None = None
        self._work_ends = math.inf
        self._lines: deque[tuple[subprocess.Popen[str] | None, dict[str, Any]]] = deque()
        self._look_due = math.inf
        self._on_trial = False
        self._proven = 0.0  # seconds that this release has been online so far
        self._online_at: float | None = None  # at the last step, where it was online then
        self._noted = False  # that it was online
        self._note_due = -math.inf
        self._runs_from = math.inf
        self._newest: dict[str, str] | None = None
        self._trouble = ""
        self._connections: list[Connection] = []
        self.cannot = "it was not started yet"
        self.restart = False
        self.offer: dict[str, Update] = {}

    # --- In the event loop ----------------------------------------------------

    def start(
        self,
        tell: Callable[[str, str, Mapping[str, object]], None],
        online: Callable[[], bool],
        renewed: Callable[[], None] = lambda: None,
        lasts: Callable[[], None] = lambda: None,
    ) -> None:
        """Find out whether this agent can be updated at all.

        Args:
            tell: Publishes an event: its key, its type, and more about it.
            online: Tells whether the host is online, and everything it said has arrived.
            renewed: Called when `offer` has changed.
            lasts: Called when `quiet` has ended.
        """
        self._tell, self._online = tell, online
        self._renewed, self._lasts = renewed, lasts
        self.cannot = self._why_not()
        if self.cannot:
            _LOGGER.debug("Cannot be updated from here: %s", self.cannot)
        elif self._config.kind != HOME_ASSISTANT:
            self._look_due = self._clock() + FIRST_LOOK
        state = self._releases.state()
        self._on_trial = bool(state.trial and state.trial.version == self._launched.release)
        if self._launched.release and not self._on_trial:
            self._runs_from = self._clock() + PROBATION
        if state.failed and not self.cannot:
            with contextlib.suppress(OSError):
                self._releases.forget_failure(__version__)
            self._releases.tidy()
        self._renew()

    @property
    def events(self) -> Mapping[str, Sequence[str]]:
        """What the announce says about events."""
        return {} if self.cannot else EVENTS

    async def run(self) -> None:
        """Look, fetch and confirm when that is due, until another version is to be started."""
        try:
            while not self.restart:
                self._step()
                due = min(self._look_due, self._work_ends, self._trial_due(), self._runs_from)
                await self._alarm.wait(due)
        finally:
            self.close()

    def look_again(self) -> None:
        """Look whether the host is online: then this version works."""
        self._alarm.ring()

    def close(self) -> None:
        """Leave what is being done; a release that is half there is deleted with the next one."""
        if self._process:
            self._process.kill()

    @property
    def quiet(self) -> bool:
        """Whether this release has yet to show that it stays, before it says so to others."""
        return self._on_trial and self._proven < min(QUIET, self._launched.probation)

    @property
    def occupied(self) -> str:
        """Why the agent must not begin anew now; empty when it may."""
        if self._on_trial:
            return "this version is on trial after an update; try again in some minutes"
        with self._lock:
            working = bool(self._working or self._waiting or self.restart)
        return "an update is under way; try again when it has ended" if working else ""

    def _trial_due(self) -> float:
        if not self._on_trial or self._online_at is None:
            return math.inf
        wanted = self._launched.probation
        if self.quiet:
            wanted = min(QUIET, wanted)
        return max(self._online_at + wanted - self._proven, self._note_due)

    def _step(self) -> None:
        """Take what the worker has said, and do what is due."""
        now = self._clock()
        if self._on_trial:
            self._prove(now, online=self._online())
        while self._lines:
            process, line = self._lines.popleft()
            # What a worker says that was given up, comes too late.
            if process is self._process:
                self._take(line)
        if now >= self._work_ends:
            self._give_up()
        if now >= self._runs_from:
            self._runs_from = math.inf
            with contextlib.suppress(OSError):
                self._releases.runs(self._launched.release)
        if now >= self._look_due:
            self._look_due = now + LOOK_EVERY
            with self._lock:
                self._waiting = self._waiting or _Task("check")
        self._work()

    # --- What is asked of it -------------------------------------------------------------

    def ask(self, version: str = "", address: str = "", *, upwards: bool = True) -> None:
        """Have a release installed; safe from any thread.

        Args:
            version: Which; the newest when empty.
            address: Where Home Assistant has it.
            upwards: Whether it has to be newer than the one that runs.

        Raises:
            CommandError: That cannot be.
        """
        if self.cannot:
            raise CommandError("failed", f"this agent cannot be updated: {self.cannot}")
        if version and not VERSION.fullmatch(version):
            raise CommandError("bad_arguments", f"{version!r} is not a version")
        if version == __version__:
            raise CommandError("failed", f"version {version} runs already")
        kept = version and (self._releases.folder / version).exists()
        if self._config.kind == HOME_ASSISTANT and not address and not kept:
            detail = "updates come from Home Assistant here: install it there"
            raise CommandError("failed", detail)
        with self._lock:
            busy = any(task and task.do == "install" for task in (self._waiting, self._working))
            if busy or self.restart:
                raise CommandError("failed", "an update is under way already")
            self._waiting = _Task("install", version, address, upwards)
        self._alarm.ring_from_thread()

    def asked(self, connection: Connection, message: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `pilot-agent update` on this host."""
        try:
            match message.get("do"):
                case "show":
                    pass
                case "check":
                    if self._config.kind == HOME_ASSISTANT or self.cannot:
                        return self._shown()
                    self._listen(connection)
                    with self._lock:
                        self._waiting = self._waiting or _Task("check")
                    self._alarm.ring_from_thread()
                case "install":
                    version = message.get("version", "")
                    if not isinstance(version, str):
                        return {"error": "not a version"}
                    self.ask(version, upwards=not version)
                    self._listen(connection)
                case "back":
                    return {"to": self._back()}
                case _:
                    return {"error": "the agent and this command are of different versions"}
        except CommandError as error:
            return {"error": error.detail}
        except OSError as error:
            return {"error": f"{self._releases.folder} cannot be written: {error.strerror}"}
        return self._shown()

    def _listen(self, connection: Connection) -> None:
        self._connections = [*self._connections[-7:], connection]

    def _shown(self) -> dict[str, Any]:
        state = self._releases.state()
        return update_fields(self.offer["update"]) | {
            "running": __version__,
            "release": self._launched.release,
            "base": self._launched.base,
            "from": self._config.source,
            "previous": state.previous or self._launched.base,
            "busy": self._working is not None or self._waiting is not None or self.restart,
        }

    def _back(self) -> str:
        if self.cannot:
            raise CommandError("failed", f"this agent cannot be updated: {self.cannot}")
        state = self._releases.state()
        wanted = state.previous
        if wanted == BASE and not self._launched.release:
            raise CommandError("failed", "there is no version before this one")
        self._restart_with(wanted)
        return wanted or self._launched.base

    # --- Working -------------------------------------------------------------------------

    def _work(self) -> None:
        import subprocess  # noqa: PLC0415  (only updates need it)

        with self._lock:
            if self._working or not self._waiting or self.restart:
                return
            self._working, self._waiting = self._waiting, None
            task = self._working
        if task.do == "install":
            _LOGGER.info("Installing version %s", task.version or "that is newest")
        told = {
            "do": task.do,
            "source": self._config.source,
            "address": task.address,
            "version": task.version,
            "upwards": task.upwards,
            "running": __version__,
            "keys": [key.hex() for key in self._config.keys],
            "releases": str(self._releases.folder),
        }
        try:
            process = self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I" if sys.flags.isolated else "-P",
                    *("-X", "utf8"),
                    "-c",
                    _PROGRAM.format(path=sys.path),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # A service of Windows has none to share.
                stderr=subprocess.DEVNULL if controls.from_windows else None,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            self._lines.append((None, {"error": f"it cannot be fetched: {error.strerror}"}))
            self._alarm.ring_from_thread()
            return
        self._work_ends = self._clock() + WORK_LIMIT
        if task.do == "install":
            self._say("progress", {"version": task.version, "step": "downloading", "percent": 0})
        threading.Thread(
            target=self._read, args=(process, json.dumps(told)), name="update", daemon=True
        ).start()

    def _read(self, process: subprocess.Popen[str], told: str) -> None:
        last: dict[str, Any] = {}
        with process:
            assert process.stdin
            assert process.stdout
            with contextlib.suppress(OSError):
                process.stdin.write(told)
            with contextlib.suppress(OSError):
                process.stdin.close()
            for line in process.stdout:
                with contextlib.suppress(ValueError):
                    last = json.loads(line)
                    self._lines.append((process, last))
                    self._alarm.ring_from_thread()
        if not last.keys() & {"done", "error"}:
            error = "fetching it ended without a word; the log says more"
            self._lines.append((process, {"error": error}))
            self._alarm.ring_from_thread()

    def _give_up(self) -> None:
        """Leave a worker that takes too long, even if it cannot be ended: its share may be dead."""
        task, process = self._working, self._process
        self._working, self._process, self._work_ends = None, None, math.inf
        if process:
            process.kill()
        if task:
            self._failed(task, f"it took longer than {WORK_LIMIT:.0f} s")

    def _take(self, line: Mapping[str, Any]) -> None:
        task = self._working
        if task is None:
            return
        if "step" in line:
            self._say("progress", {"version": task.version, **line})
            return
        self._working, self._process, self._work_ends = None, None, math.inf
        if "error" in line:
            self._failed(task, str(line["error"]))
        elif task.do == "check":
            self._trouble, self._newest = "", line["newest"]
            self._renew()
            self._send({"checked": self._shown()})
            self._install_by_itself()
        else:
            try:
                self._restart_with(line["version"])
            except OSError as error:
                self._failed(task, f"it cannot be written down: {error.strerror}")

    def _restart_with(self, version: str) -> None:
        self._releases.begin(version, self._launched.base, self._config.trial)
        _LOGGER.info("Starting again as version %s", version or self._launched.base)
        self.restart = True
        told = version or self._launched.base
        # Until then the next word comes, or none does.
        within = self._config.trial + probation(self._config.trial) + _RESTART
        data = {"version": told, "step": "restarting", "percent": 100, "within": within}
        self._say("progress", data)
        self._alarm.ring_from_thread()

    def _failed(self, task: _Task, reason: str) -> None:
        _LOGGER.warning("%s: %s", "Not installed" if task.do == "install" else "Not found", reason)
        if task.do == "check":
            self._trouble = reason[:_MAX_TEXT]
            self._renew()
            self._send({"error": reason})
            return
        data = {"version": task.version, "reason": reason[:_MAX_TEXT]}
        self._say("failed", data)

    def _install_by_itself(self) -> None:
        found, state = self._newest, self._releases.state()
        failed = state.failed
        if not self._config.automatic or not found or found["version"] == __version__:
            return
        if found["version"] in state.left or (failed and failed.version == found["version"]):
            return
        # Whether it is newer is looked at by the worker, which has the library for it.
        with contextlib.suppress(CommandError):
            self.ask(found["version"])

    def _prove(self, now: float, *, online: bool) -> None:
        """Count the seconds that this release is online; once they suffice, it stays."""
        before, self._online_at = self._online_at, now if online else None
        quiet = self.quiet
        if before is not None:
            # A change is told at once: until now it was online.
            self._proven += now - before
        if quiet and not self.quiet:
            self._lasts()
        if not online:
            return
        release, wanted = self._launched.release, self._launched.probation
        if now < self._note_due:
            return
        try:
            if self._proven >= wanted:
                self._releases.confirm(release, self._launched.base)
                self._on_trial = False
            elif not self._noted:
                self._releases.was_online(release)
                self._noted = True
        except OSError as error:
            _LOGGER.warning("That version %s works cannot be written down: %s", __version__, error)
            self._note_due = now + _AGAIN
            return
        if not self._on_trial:
            _LOGGER.info("Version %s is online, and stays", __version__)
            self._renew()

    # --- Saying --------------------------------------------------------------------------

    def _say(self, event_type: str, data: Mapping[str, object]) -> None:
        self._tell("update", event_type, data)
        self._send({event_type: data})

    def _send(self, message: dict[str, Any]) -> None:
        for connection in self._connections:
            connection.send(message)

    def _renew(self) -> None:
        state = self._releases.state()
        newest, failed, trial = self._newest, state.failed, state.trial
        update = Update(
            source=self._config.kind,
            cannot=self.cannot,
            trouble=self._trouble,
            newest=(newest["version"], newest["notes"]) if newest else None,
            failed=(failed.version, failed.reason) if failed else None,
            trial=trial is not None and trial.version == self._launched.release,
        )
        if self.offer != {"update": update}:
            self.offer = {"update": update}
            self._renewed()

    def _why_not(self) -> str:
        if not _SUPERVISED:
            return "updates by the agent itself work on Linux and Windows only so far"
        if not self._launched.command:
            return "it was not started by `pilot-agent run`"
        if not self._config.keys and not RELEASE_KEYS:
            return "it trusts no key; set update.keys in its configuration"
        from importlib.util import find_spec  # noqa: PLC0415  (only updates need it)

        if any(find_spec(name) is None for name in ("cryptography", "packaging")):
            return "the libraries for it are missing; install pilot-agent[update]"
        return self._releases.why_not()
