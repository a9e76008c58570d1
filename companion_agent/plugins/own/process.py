"""Runs programs without a shell, holds them to a time, and ends them with all that they fork."""

from __future__ import annotations

from contextlib import suppress
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.models import Missing
from companion_agent.plugins.own.program import Outcome, ProgramError

if TYPE_CHECKING:
    from companion_agent.plugins.own.program import Program

# That a program has ended can be waited for beside what it prints nowhere else (pidfd_open(2)).
assert sys.platform == "linux"

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where a program is looked for that is named without its folder, unless `PATH` is set for it."""
MAX_KEPT = 64 * 1024
"""Bytes of output that are kept."""

# Between being asked to end and being killed.
_GRACE = 1.0
# One that prints without end is read slowly: it waits, and not the agent.
_BRAKE = 0.01
# What stands for no bytes.
_END, _NOTHING_NOW = 0, -1


class Processes:
    """Runs the programs of a plug-in, and knows which run now, so that they end with it."""

    cannot = ""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[_Process] = set()
        self._closed = False

    def missing(self, program: Program) -> Missing | None:
        """Say what a program lacks to be started."""
        path, name = program.environment.get("PATH", SEARCH_PATH), program.argv[0]
        if shutil.which(name, mode=os.F_OK, path=path) is None:
            return Missing(
                "program", f"There is no program {name}: install it, or correct its name."
            )
        me = _account("")
        if program.user and me.uid not in {0, _account(program.user).uid}:
            fix = (
                f"The agent runs as {me.name}, and root alone may start a program as "
                f"{program.user}: leave 'user' out, or run the agent as root."
            )
            return Missing("user", fix)
        return None

    def run(self, program: Program, limit: float) -> Outcome:
        """Run a program to its end, or until its time is over."""
        with self._lock:
            if self._closed:
                raise ProgramError("the agent ends")
            process = _Process(program)
            self._running.add(process)
        try:
            return process.wait(limit)
        finally:
            with self._lock:
                self._running.discard(process)
                process.close()

    def close(self) -> None:
        """End all that run, and start none any more."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.signal(signal.SIGKILL)


class _Process:
    """One program that runs, with its process group."""

    def __init__(self, program: Program) -> None:
        account = _account(program.user)
        other = None if _own(account) else account
        groups = os.getgrouplist(other.name, other.gid) if other else None
        try:
            self._popen = subprocess.Popen(
                program.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=program.folder or "/",
                env=_variables(program),
                start_new_session=True,
                user=other.uid if other else None,
                group=other.gid if other else None,
                extra_groups=groups,
            )
        except (OSError, ValueError) as error:
            raise ProgramError(_why_not(program, error)) from error
        self._handle = os.pidfd_open(self._popen.pid)
        self._kept: dict[int, bytearray] = {}
        self._truncated: set[int] = set()

    def wait(self, limit: float) -> Outcome:
        """Read what it prints until it ends.

        Raises:
            ProgramError: It took longer than it may.
        """
        assert self._popen.stdout
        assert self._popen.stderr
        output, complaint = self._popen.stdout.fileno(), self._popen.stderr.fileno()
        self._kept = {output: bytearray(), complaint: bytearray()}
        with selectors.DefaultSelector() as events:
            for pipe in self._kept:
                os.set_blocking(pipe, False)
                events.register(pipe, selectors.EVENT_READ)
            events.register(self._handle, selectors.EVENT_READ)
            late = not self._read_until_end(events, limit)
            if late:
                self.signal(signal.SIGTERM)
                self._read_until_end(events, _GRACE)
        # Also when it has ended: nothing that it has forked goes on. Until it is waited for, the
        # number of its group belongs to no other.
        self.signal(signal.SIGKILL)
        code = self._popen.wait()
        if late:
            raise ProgramError(f"it did not end within {limit:g} s, and was ended")
        for pipe in self._kept:
            # One that has left the group may keep the pipe open: there is no end to wait for.
            while self._read(pipe) > 0 and pipe not in self._truncated:
                pass
        texts = {pipe: _readable(kept) for pipe, kept in self._kept.items()}
        return Outcome(code, texts[output], texts[complaint], output in self._truncated)

    def signal(self, number: int) -> None:
        """Send a signal to its whole group, if it was not waited for."""
        if self._popen.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    def close(self) -> None:
        """Let go of what it was watched by."""
        os.close(self._handle)
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe:
                pipe.close()

    def _read_until_end(self, events: selectors.BaseSelector, limit: float) -> bool:
        """Read until it ends; tell whether it did in time."""
        deadline = time.monotonic() + limit
        while (left := deadline - time.monotonic()) > 0:
            ready = {key.fd for key, _ in events.select(left)}
            for pipe in ready & self._kept.keys():
                if self._read(pipe) == _END:
                    events.unregister(pipe)
            if self._handle in ready:
                return True
            if ready & self._truncated:
                time.sleep(_BRAKE)
        return False

    def _read(self, pipe: int) -> int:
        """Read a piece; return its length, or why there is none."""
        try:
            piece = os.read(pipe, MAX_KEPT)
        except BlockingIOError:
            return _NOTHING_NOW
        kept = self._kept[pipe]
        room = MAX_KEPT - len(kept)
        kept += piece[:room]
        if len(piece) > room:
            self._truncated.add(pipe)
        return len(piece) or _END


class _Account(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


def _account(user: str) -> _Account:
    """Return what the system knows of a user, of the agent's own where none is named.

    Raises:
        ProgramError: There is no such user.
    """
    import pwd  # noqa: PLC0415  (no other system has it)

    try:
        found = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError:
        if user:
            raise ProgramError(f"there is no user {user}") from None
        # A container may run as a user that has no name.
        return _Account(str(os.geteuid()), os.geteuid(), os.getegid(), "/")
    return _Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir)


def _own(user: _Account) -> bool:
    return user.uid == os.geteuid()


def _variables(program: Program) -> dict[str, str]:
    account = _account(program.user)
    usual = {
        "PATH": SEARCH_PATH,
        "LANG": "C.UTF-8",
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
    }
    return usual | dict(program.environment)


def _why_not(program: Program, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{program.argv[0]} cannot be started: {reason}"


def _readable(data: bytearray) -> str:
    """Return what was printed as a text without what turns or colours a terminal."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return "".join(sign for sign in text if sign in "\n\t" or sign.isprintable())
