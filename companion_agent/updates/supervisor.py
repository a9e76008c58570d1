"""Supervises a release on trial. Part of the base: `launcher.py` becomes it.

It has the process that the service manager started, and the release is its child. While the
release is on trial, its end is no end of the service: this process becomes the base again, which
decides anew, and the manager's limit on starts is not touched. After the trial the release's end
is the service's. It lasts as long as the release, so it loads as little as it can.
"""

from __future__ import annotations

from contextlib import suppress
import json
import math
import os
from pathlib import Path
import select
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from companion_agent.service.sd_notify import Notifier
from companion_agent.storage.plain import read_plain
from companion_agent.updates.exit_codes import AGAIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

# Processes can be watched, and ended for certain, nowhere else (pidfd_open(2)).
assert sys.platform == "linux"

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What is handed on to the release: to end, and to read its configuration again."""

# Seconds between two looks at how the trial stands.
_LOOK = 1.0
_MOST_STATE = 64 * 1024
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)


class Supervisor:
    """Waits for the end of a release, and ends one that does not pass its trial.

    Args:
        told: What the launcher says of it.
        clock: Monotonic seconds, the same for all processes of one boot.
    """

    def __init__(self, told: dict[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._child: int = told["child"]
        self._folder = Path(told["folder"])
        self._version: str = told["version"]
        self._limit: float = told["limit"]
        self._until: float = told["until"]
        self._command: list[str] = told["command"]
        self._clock = clock
        self._handle = os.pidfd_open(self._child)
        self._notified = _take_socket(told["notified"])
        self._manager = Notifier(clock=clock)
        self._silent_since = math.inf
        self._on_trial = True
        self._online = False
        self._left = False
        self._asked = 0  # the signal
        self._buried = False

    def run(self) -> int:
        """Supervise until the release ends; return how this process is to end."""
        for number in SIGNALS:
            signal.signal(number, self._hand_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        # A service that boots with a release on trial is up, whatever becomes of the trial.
        self._manager.ready()
        events = select.poll()
        events.register(self._handle, select.POLLIN)
        if self._notified:
            events.register(self._notified, select.POLLIN)
        while True:
            happened = dict(events.poll(_LOOK * 1000 if self._on_trial else None))
            if self._notified and self._notified.fileno() in happened:
                self._hear(self._notified)
            if self._handle in happened:
                return self._ended()
            if self._on_trial:
                self._look()

    def close(self) -> None:
        """Leave no release behind without its supervisor."""
        if not self._buried:
            # Only until then is the number its own, and that of its group.
            os.killpg(self._child, signal.SIGKILL)

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGHUP:
            self._asked = number
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    # --- What the release says to the service manager ------------------------------------

    def _hear(self, notified: socket.socket) -> None:
        message, more, _, _ = notified.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        senders = [
            _CREDENTIALS.unpack(data)[0]
            for level, kind, data in more
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
        ]
        if senders != [self._child]:
            return
        for line in message.decode("utf-8", "replace").splitlines():
            if line in {"READY=1", "WATCHDOG=1"}:
                self._silent_since = self._clock()
                if not self._on_trial:
                    self._manager.alive()
            elif line.startswith("STATUS="):
                self._manager.status(line.removeprefix("STATUS="))

    # --- The trial -----------------------------------------------------------------------

    def _look(self) -> None:
        self._read_state()
        if not self._on_trial:
            return
        self._manager.alive()
        if self._asked:
            return
        now = self._clock()
        late = not self._online and now >= self._until
        if late or now - self._silent_since >= self._manager.limit:
            self._fail(late=late)

    def _fail(self, *, late: bool) -> None:
        """End the release, and have the base go back."""
        from companion_agent.updates.store import Releases, not_online  # noqa: PLC0415

        reason = (
            not_online(self._limit)
            if late
            else f"it gave no sign of life for {self._manager.limit:.0f} s"
        )
        try:
            if not Releases(self._folder).fail(self._version, reason):
                # It has passed just now.
                return
        except OSError as error:
            # The base counts the starts, and will leave it for those.
            _say(f"That version {self._version} failed cannot be written down: {error}")
        _say(f"Version {self._version} is ended: {reason}")
        self._left = True
        self.close()

    def _read_state(self) -> None:
        # Not with `store.py`, which brings libraries along for as long as the release runs.
        try:
            state = json.loads(read_plain(self._folder / "state.json", _MOST_STATE))
            trial = state["trial"]
            self._on_trial = bool(trial) and trial["version"] == self._version
            self._online = state.get("online") is True
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # What cannot be read does not say that it is kept.
            return

    # --- The end -------------------------------------------------------------------------

    def _ended(self) -> int:
        # What it has left behind might hold its lock.
        self.close()
        code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        self._buried = True
        self._read_state()
        if self._asked:
            if self._on_trial:
                self._pause()
            return 0 if code in {AGAIN, -self._asked} else _shell_code(code)
        if not (self._on_trial or self._left or code == AGAIN):
            return _shell_code(code)
        if self._on_trial and code != AGAIN:
            _say(f"Version {self._version} ended on trial (exit code {_shell_code(code)})")
        return os.execv(self._command[0], self._command)  # noqa: S606  (no shell is wanted)

    def _pause(self) -> None:
        from companion_agent.updates.store import Releases  # noqa: PLC0415

        try:
            Releases(self._folder).pause(self._version)
        except OSError as error:
            _say(f"That version {self._version} was asked to end cannot be written down: {error}")


def _take_socket(descriptor: int) -> socket.socket | None:
    if descriptor < 0:
        return None
    taken = socket.socket(fileno=descriptor)
    taken.set_inheritable(False)
    return taken


def _shell_code(code: int) -> int:
    """Return an exit code as a shell gives it: a signal counts from 128 on."""
    return code if code >= 0 else 128 - code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Supervise what the launcher tells of."""
    supervisor = Supervisor(json.loads(sys.argv[1]))
    try:
        return supervisor.run()
    finally:
        supervisor.close()


if __name__ == "__main__":
    sys.exit(main())
