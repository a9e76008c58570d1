"""Supervises a release on Windows, where no process becomes another.

The base's process stays: it is the one that the service manager knows, or the one of a terminal.
Every release is its child, on trial or not, in a job that ends with this process. What is decided
is the same as on Linux (`supervisor.py`); what the release says comes by its standard output, and
what it is told goes to its standard input (`supervised.py`).
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
import json
import logging
import math
import queue
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Protocol

from companion_agent.platforms.windows.service_controls import POWER_EVENT, PRESHUTDOWN, controls
from companion_agent.signals import end_request, taken_as
from companion_agent.updates.exit_codes import AGAIN
from companion_agent.updates.store import Releases, not_online
from companion_agent.winapi.jobs import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.platforms.windows.service_controls import ServiceControls
    from companion_agent.service.sd_notify import Notifier
    from companion_agent.signals import EndRequest
    from companion_agent.updates.store import Release

_LOGGER = logging.getLogger(__name__)

SILENCE_LIMIT = 90.0
"""Seconds without a sign of life after which a release is ended; systemd's `WatchdogSec=`."""
END_LIMIT = 20.0
"""Seconds that a release has to say good-bye."""

_LOOK = 1.0
# Two looks that are further apart have the machine's sleep between them, which is not counted:
# Windows' monotonic clock goes on meanwhile.
_SLEPT = 10.0
_SUSPEND = 0x4  # PBT_APMSUSPEND
_KILLED = 1


class Processes(Protocol):
    """Holds a process and all that it starts together."""

    def take(self, process: int) -> None:
        """Take a process by its handle."""

    def end(self, code: int) -> None:
        """End all of them."""

    def close(self) -> None:
        """End what is left."""


class WindowsSupervisor:
    """Runs a release until it ends, and ends one that does not pass its trial.

    Args:
        release: The release.
        releases: Where it is written down how it fares.
        notifier: Tells the service manager.
        ends: That this process was asked to end.
        followers: Windows' controls, which the release is told.
        job: What the release is held together by.
        clock: Monotonic seconds, the same for all processes of one boot.
    """

    def __init__(
        self,
        release: Release,
        releases: Releases,
        notifier: Notifier,
        ends: EndRequest = end_request,
        followers: ServiceControls = controls,
        job: Callable[[], Processes] = Job,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._version = release.version
        self._limit = release.trial.limit if release.trial else math.inf
        self._until = release.trial.until if release.trial else math.inf
        self._on_trial = release.trial is not None
        self._online = False
        self._left = False
        self._releases = releases
        self._notifier = notifier
        self._ends = ends
        self._followers = followers
        self._make_job = job
        self._clock = clock
        self._silent_since = clock()
        self._looked = clock()
        self._end_by = math.inf
        self._news: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._told = threading.Event()
        self._over = False

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int | None:
        """Run the release.

        Args:
            command: What starts it.
            environment: Its environment.

        Returns:
            How this process is to end; `None` where the base decides anew what runs.

        Raises:
            OSError: It cannot be started.
        """
        with ExitStack() as stack:
            job = self._make_job()
            stack.callback(job.close)
            process = stack.enter_context(self._start(command, environment))
            with suppress(OSError):
                # One that has ended already cannot be taken.
                job.take(int(getattr(process, "_handle", 0)))
            # Before the process is waited for, whatever happens: the job ends it.
            stack.callback(self._end_all, job)
            # Ctrl-C reaches the release as well, which is to say good-bye.
            stack.enter_context(taken_as(self._ends))
            stack.enter_context(self._ends.followed(lambda: self._news.put("")))
            threading.Thread(
                target=self._hear, args=(process,), name="release", daemon=True
            ).start()
            stack.callback(self._followers.unsubscribe)
            self._followers.subscribe(self._told.set)
            talks = threading.Thread(target=self._tell, args=(process,), daemon=True)
            talks.start()
            stack.callback(self._hang_up)
            self._notifier.ready()
            return self._supervise(process, job)

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A service has none to share.
            stderr=subprocess.DEVNULL if self._followers.from_windows else None,
        )

    def _supervise(self, process: subprocess.Popen[bytes], job: Processes) -> int | None:
        while True:
            with suppress(queue.Empty):
                line = self._news.get(timeout=_LOOK)
                if line is None:
                    process.wait()
                elif line:
                    self._take(line)
            if process.poll() is not None:
                return self._ended(process.returncode)
            if self._ends.asked and math.isinf(self._end_by):
                self._end_by = self._clock() + END_LIMIT
                # It hears that nothing more comes, and ends.
                self._told.set()
            self._look(job)

    # --- The line ------------------------------------------------------------------------

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with suppress(OSError, ValueError):
            for line in process.stdout:
                self._news.put(line.decode("utf-8", "replace").strip())
        self._news.put(None)

    def _take(self, line: str) -> None:
        if line in {"READY=1", "WATCHDOG=1"}:
            self._silent_since = self._clock()
        elif line.startswith("STATUS="):
            self._silent_since = self._clock()
            self._notifier.status(line.removeprefix("STATUS="))
        elif line == "LET_GO=1":
            self._followers.let_go()

    def _tell(self, process: subprocess.Popen[bytes]) -> None:
        """Hand Windows' controls on; in a thread, since a release that hangs does not read."""
        assert process.stdin
        with suppress(OSError, ValueError):
            while True:
                self._told.wait()
                self._told.clear()
                for one in self._followers.take():
                    told = {
                        "control": one.control,
                        "event_type": one.event_type,
                        "data": one.data.hex(),
                        "hold": one.control == PRESHUTDOWN
                        or (one.control == POWER_EVENT and one.event_type == _SUSPEND),
                    }
                    process.stdin.write(json.dumps(told).encode() + b"\n")
                    process.stdin.flush()
                if self._ends.asked or self._over:
                    break
        with suppress(OSError, ValueError):
            process.stdin.close()

    def _hang_up(self) -> None:
        self._over = True
        self._told.set()

    # --- The trial -----------------------------------------------------------------------

    def _look(self, job: Processes) -> None:
        now = self._clock()
        slept = now - self._looked
        self._looked = now
        if slept > _SLEPT:
            self._silent_since += slept
            self._until += slept
            self._end_by += slept
        if now >= self._end_by:
            _LOGGER.warning("Version %s does not end, and is ended", self._version)
            self._end_all(job)
            return
        if self._on_trial:
            self._read_state()
        if self._ends.asked:
            return
        late = self._on_trial and not self._online and now >= self._until
        if late:
            self._fail(not_online(self._limit), job)
        elif now - self._silent_since >= SILENCE_LIMIT:
            self._fail(f"it gave no sign of life for {SILENCE_LIMIT:.0f} s", job)

    def _fail(self, reason: str, job: Processes) -> None:
        """End the release; one on trial has failed."""
        if self._on_trial:
            try:
                if not self._releases.fail(self._version, reason):
                    # It has passed just now.
                    self._on_trial = False
                    return
                self._left = True
            except OSError as error:
                # The base counts the starts, and will leave it for those.
                _LOGGER.warning(
                    "That version %s failed cannot be written down: %s", self._version, error
                )
        _LOGGER.warning("Version %s is ended: %s", self._version, reason)
        self._end_all(job)

    @staticmethod
    def _end_all(job: Processes) -> None:
        # None of them is left: that is what is wanted.
        with suppress(OSError):
            job.end(_KILLED)

    def _read_state(self) -> None:
        state = self._releases.state()
        if self._releases.used:
            self._on_trial = state.trial is not None and state.trial.version == self._version
            self._online = state.online

    # --- The end -------------------------------------------------------------------------

    def _ended(self, code: int) -> int | None:
        self._read_state()
        if self._ends.asked:
            if self._on_trial:
                self._pause()
            return 0 if code in {0, AGAIN} or not math.isinf(self._end_by) else code
        if not (self._on_trial or self._left or code == AGAIN):
            return code
        if self._on_trial and code != AGAIN:
            _LOGGER.warning("Version %s ended on trial (exit code %d)", self._version, code)
        return None

    def _pause(self) -> None:
        try:
            self._releases.pause(self._version)
        except OSError as error:
            _LOGGER.warning(
                "That version %s was asked to end cannot be written down: %s", self._version, error
            )
