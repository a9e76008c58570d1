"""The releases that are kept on this host, and which of them is to run.

Below the state folder lies `releases/VERSION/` with a wheel and what is signed about it, and
`releases/state.json`, which launcher, watcher and agent change in turn under a lock. What was
installed by other means (a package, pip) is the *base*: it starts everything, is never touched,
and is written here as the empty version.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
import math
import os
from pathlib import Path
import secrets
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.storage import files
from companion_agent.storage.plain import is_there, read_plain
from companion_agent.updates import compatibility
from companion_agent.updates.release import (
    MAX_SIGNED,
    SUFFIX,
    VERSION,
    ArtifactError,
    Manifest,
    check_wheel,
    open_signed,
    wheel_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BASE = ""
# A first end may be chance (no memory, a broker that confuses it); a second one is not.
STARTS = 2
# A release that has passed its trial may still fail later: one that cannot read what it has written
# itself, say. Fewer than the unit allows starts (`service/unit.py`), so that another one follows.
ENDS = 4
PROBATION = 60.0
"""Seconds that a release has to stay online before it is kept; see `probation()`."""
# The latest versions that were left. Only a newer one than the one that runs installs itself, so
# old ones do not matter.
_MOST_LEFT = 100
_MOST_STATE = 64 * 1024
# Seconds. What is done under the lock takes milliseconds.
_LOCK_LIMIT = 10.0
_LONGEST_TRIAL = 24 * 3600.0
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
_STATE = "state.json"
_NEW = ".new-"


def _boot() -> str:
    if sys.platform == "win32":
        return _windows_boot()
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except OSError:
            return "unknown"


@dataclass(slots=True)
class Trial:
    """A release that may still be left by itself.

    Attributes:
        version: Which.
        limit: Seconds that it has to come online.
        boot: The boot of the machine in which its time runs.
        until: When its time is over, in monotonic seconds of that boot.
        starts: How often it was started.
    """

    version: str
    limit: float
    boot: str = ""
    until: float = 0
    starts: int = 0


@dataclass(slots=True)
class Failure:
    """A release that was left again.

    Attributes:
        version: Which.
        reason: Why, in words for the user.
    """

    version: str
    reason: str


@dataclass(slots=True)
class State:
    """Which release is to run.

    Attributes:
        current: The one that stayed online last.
        previous: The one before it.
        base: The base's version when that was decided: another one decides anew.
        trial: The one that is tried now.
        failed: The one that was left last, until a later one works.
        online: Whether the one on trial has been online in this boot, and is on probation. Not
            part of the trial, where agents before this field could not read the file any more.
        left: Those that were left, and have not worked since: none is installed by itself again.
        starts: How often the current one was started in this boot since it last ran for a while, or
            ended as it was to.
        boot: The boot of the machine that these starts are of.
    """

    current: str = BASE
    previous: str = BASE
    base: str = ""
    trial: Trial | None = None
    failed: Failure | None = None
    online: bool = False
    left: list[str] = field(default_factory=list)
    starts: int = 0
    boot: str = ""


class Release(NamedTuple):
    """A release that may be run.

    Attributes:
        version: Its version.
        wheel: The file that Python runs.
        trial: Its trial; `None` for one that has passed it.
    """

    version: str
    wheel: Path
    trial: Trial | None = None


@dataclass(slots=True)
class Releases:
    """The folder of releases below a state folder.

    Attributes:
        folder: The folder; it need not be there.
        boot: What tells this boot of the machine from others.
        clock: Monotonic seconds, the same for all processes of one boot.
    """

    folder: Path
    boot: str = field(default_factory=_boot)
    clock: Callable[[], float] = time.monotonic

    # --- What is written down ------------------------------------------------------------

    @property
    def used(self) -> bool:
        """Whether there has ever been a release."""
        return is_there(self.folder / _STATE)

    def state(self) -> State:
        """Return which release is to run; the base where that cannot be read."""
        try:
            return _read(files.read_json(self.folder / _STATE, _MOST_STATE))
        except _UNREADABLE:
            return State()

    @contextmanager
    def change(self) -> Iterator[State]:
        """Change which release is to run, alone.

        Raises:
            OSError: That cannot be written.
        """
        files.make_private_folder(self.folder)
        with _locked(self.folder / "lock"):
            state = self.state()
            before = asdict(state)
            yield state
            if asdict(state) != before or not self.used:
                files.write_json(self.folder / _STATE, asdict(state))

    def why_not(self) -> str:
        """Say why no release can be kept here; empty when one can."""
        try:
            files.make_private_folder(self.folder)
            probe = self.folder / f"{_NEW}{secrets.token_hex(4)}"
            probe.mkdir()
            probe.rmdir()
        except OSError as error:
            return f"{self.folder} cannot be written: {error.strerror}"
        return ""

    # --- Starting ------------------------------------------------------------------------

    def pick(self, base: str, keys: Mapping[str, bytes]) -> Release | None:
        """Decide what is to run now; `None` is the base.

        Everything is checked again, as if it had just come. What does not hold is left.

        Args:
            base: The base's version.
            keys: Whose signatures count.

        Raises:
            OSError: The decision cannot be written.
        """
        release = self._pick(base, keys)
        # One from before this was counted, an older one that was asked for, would not say that it
        # runs. And what works is started also where nothing can be written.
        if release and release.trial is None and _above(release.version, base):
            with suppress(OSError), self.change() as state:
                if state.boot != self.boot:
                    state.boot, state.starts = self.boot, 0
                state.starts += 1
        return release

    def _pick(self, base: str, keys: Mapping[str, bytes]) -> Release | None:
        with self.change() as state:
            while True:
                wanted = state.trial.version if state.trial else state.current
                if wanted == BASE:
                    return None
                if state.base != base and not _above(wanted, base):
                    # The base was updated by other means, and is what its user wants now.
                    state.current, state.base = BASE, base
                    _end_trial(state)
                    return None
                try:
                    self._check_time(state)
                    manifest = self.check(wanted, keys)
                except ArtifactError as error:
                    _leave(state, wanted, str(error))
                    continue
                if state.trial:
                    state.trial.starts += 1
                return Release(wanted, self.folder / wanted / manifest.wheel, state.trial)

    def _check_time(self, state: State) -> None:
        if (trial := state.trial) is None:
            if state.boot == self.boot and state.starts >= ENDS:
                raise ArtifactError(f"it ended {ENDS} times soon after its start")
            return
        if trial.boot != self.boot:
            trial.boot, trial.until = self.boot, self.clock() + trial.limit
            state.online = False
        # What is damaged must not last for ever.
        trial.until = min(trial.until, self.clock() + trial.limit)
        if state.online:
            raise ArtifactError("it ended soon after it was online")
        if trial.starts >= STARTS:
            raise ArtifactError(f"it ended {STARTS} times before it was online")
        if self.clock() >= trial.until:
            raise ArtifactError(not_online(trial.limit))

    def check(self, version: str, keys: Mapping[str, bytes]) -> Manifest:
        """Check a release that is kept.

        Raises:
            ArtifactError: It is not there, not what was signed, or does not run here.
        """
        wheel = self.folder / version / wheel_name(version)
        signed = wheel.with_name(wheel.name + SUFFIX)
        try:
            content = read_plain(signed, MAX_SIGNED + 1)
        except OSError as error:
            raise ArtifactError(f"{signed} cannot be read: {error.strerror}") from error
        manifest = open_signed(content, keys)
        if manifest.version != version:
            raise ArtifactError(f"{signed} is about version {manifest.version}")
        check_wheel(wheel, manifest)
        compatibility.check(manifest)
        return manifest

    # --- Deciding ------------------------------------------------------------------------

    def begin(self, version: str, base: str, limit: float) -> None:
        """Have a version started at the next start; a release on trial, the base for good."""
        with self.change() as state:
            state.base = base
            _end_trial(state)
            if state.failed and state.failed.version == version:
                # It gets another chance.
                state.failed = None
            if version == BASE:
                state.previous, state.current = state.current, BASE
            else:
                state.trial = Trial(version, limit)

    def was_online(self, version: str) -> None:
        """Take note that a release on trial is online: from now on it may not end."""
        with self.change() as state:
            if state.trial and state.trial.version == version:
                state.online = True

    def pause(self, version: str) -> None:
        """Take note that a release on trial was asked to end: its trial begins anew."""
        with self.change() as state:
            if state.trial and state.trial.version == version:
                state.trial.starts = max(0, state.trial.starts - 1)
                state.trial.boot = ""

    def confirm(self, version: str, base: str) -> None:
        """Take note that a release on trial works, and forget what is not needed any more."""
        with self.change() as state:
            if state.trial is None or state.trial.version != version:
                return
            if state.current != version:
                state.previous, state.current = state.current, version
            state.base, state.failed = base, None
            state.left = [one for one in state.left if one != version]
            _end_trial(state)
        self.tidy()

    def fail(self, version: str, reason: str) -> bool:
        """Take note that a release on trial does not work; tell whether it still was on trial."""
        with self.change() as state:
            if state.trial is None or state.trial.version != version:
                return False
            _leave(state, version, reason)
            return True

    def runs(self, version: str) -> None:
        """Take note that a release runs, or has ended as it was to: its starts were no failures."""
        state = self.state()
        if state.starts and state.current == version:
            with self.change() as state:
                state.starts = 0

    def forget_failure(self, running: str) -> None:
        """Forget a failure that a later version has made up for."""
        failed = self.state().failed
        if (
            failed
            and VERSION.fullmatch(failed.version)
            and not compatibility.newer(failed.version, running)
        ):
            with self.change() as state:
                state.failed = None

    # --- Keeping -------------------------------------------------------------------------

    @contextmanager
    def receive(self, size: int) -> Iterator[Path]:
        """Make a folder for what arrives; it is gone afterwards, unless `keep()` has taken it.

        Args:
            size: Bytes that arrive.

        Raises:
            ArtifactError: There is no space for it.
            OSError: It cannot be made.
        """
        files.make_private_folder(self.folder)
        for left_over in self.folder.glob(f"{_NEW}*"):
            # A power cut came before it was whole.
            shutil.rmtree(left_over, ignore_errors=True)
        free = shutil.disk_usage(self.folder).free
        if free < 2 * size:
            raise ArtifactError(f"{self.folder} has {free} bytes left, and {2 * size} are needed")
        made = self.folder / f"{_NEW}{secrets.token_hex(4)}"
        made.mkdir(mode=0o700)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def keep(self, received: Path, version: str) -> None:
        """Take what has arrived and was checked, in one step.

        Raises:
            OSError: That did not work.
        """
        for path in (*received.iterdir(), received):
            files.sync(path)
        place = self.folder / version
        if place.exists():
            place.rename(self.folder / f"{_NEW}{secrets.token_hex(4)}")
        files.move(received, place)

    def tidy(self) -> None:
        """Delete the releases that are neither current, previous nor on trial."""
        state = self.state()
        wanted = {state.current, state.previous, state.trial.version if state.trial else BASE}
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.is_dir() and path.name not in wanted:
                    shutil.rmtree(path, ignore_errors=True)


def not_online(limit: float) -> str:
    """Say that a release had its time."""
    return f"it was not online within {limit:.0f} s"


def probation(limit: float) -> float:
    """Return the seconds that a release has to stay online before it is kept.

    Args:
        limit: Seconds that it had to come online.
    """
    return min(PROBATION, limit / 2)


def _end_trial(state: State) -> None:
    state.trial, state.online = None, False
    state.starts = 0


def _leave(state: State, version: str, reason: str) -> None:
    state.failed = Failure(version, reason)
    state.left = [*(one for one in state.left if one != version), version][-_MOST_LEFT:]
    if state.previous == version:
        state.previous = BASE
    if state.trial:
        _end_trial(state)
        return
    state.current, state.previous, state.starts = state.previous, BASE, 0


def _above(version: str, base: str) -> bool:
    try:
        return compatibility.newer(version, base)
    except ArtifactError:
        return False


def _read(content: dict[str, Any]) -> State:
    # A later version may have written more.
    failed, left = content.get("failed"), content.get("left")
    trial = _trial(content.get("trial"))
    return State(
        _version(content["current"]),
        _version(content["previous"]),
        str(content["base"]),
        trial,
        Failure(str(failed["version"]), str(failed["reason"])) if failed else None,
        trial is not None and content.get("online") is True,
        [_version(one) for one in left] if isinstance(left, list) else [],
        int(content.get("starts", 0)),
        str(content.get("boot", "")),
    )


def _trial(content: dict[str, Any] | None) -> Trial | None:
    if not content:
        return None
    limit, until = float(content["limit"]), float(content["until"])
    if not 0 < limit <= _LONGEST_TRIAL or not math.isfinite(until) or not content["version"]:
        raise ValueError(content)
    version, boot = _version(content["version"]), str(content["boot"])
    return Trial(version, limit, boot, until, int(content["starts"]))


def _version(text: object) -> str:
    # It becomes the name of a folder.
    if text == BASE or (isinstance(text, str) and VERSION.fullmatch(text)):
        return str(text)
    raise ValueError(text)


if sys.platform == "win32":
    import msvcrt

    from companion_agent.winapi import registry

    _NO_WAIT = 0

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _windows_boot() -> str:
        """Return what tells this boot from others: Windows has no such number, but such keys."""
        try:
            kept = registry.of_this_boot()
            if not (boot := kept.read("id")):
                boot = secrets.token_hex(8)
                kept.write("id", boot)
        except OSError:
            return "unknown"
        return boot

else:
    import fcntl

    _NO_WAIT = os.O_NONBLOCK

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for the lock, but not for ever: the base has to start.

    Raises:
        OSError: It cannot be had.
    """
    # Read and write, without waiting: so no pipe that lies there is in the way.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_WAIT, 0o600)
    try:
        until = time.monotonic() + _LOCK_LIMIT
        while True:
            try:
                _lock(handle)
            except (BlockingIOError, PermissionError):  # what Linux says, and Windows
                if time.monotonic() >= until:
                    raise
                time.sleep(0.02)
            else:
                break
        yield
    finally:
        os.close(handle)
