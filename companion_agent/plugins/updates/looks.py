"""Package managers asked in a thread of their own, and what they said last, over restarts too."""

from __future__ import annotations

from contextlib import suppress
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.platforms.control import Watch
from companion_agent.platforms.packages import Waiting
from companion_agent.storage.state_file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from companion_agent.platforms.packages import PackageManager, Signature

_LOGGER = logging.getLogger(__name__)

KEPT_FILE = "updates_waiting.json"

# Updates are handed out in phases, and lists expire, without a file that changes.
LOOK_AGAIN = 86_400.0
# One that could not tell has been too slow under load, say.
TRY_AGAIN = 3_600.0
# What has changed within so many seconds is being installed, or fetched.
SETTLE = 5.0
# One that was killed has gone within this.
_ENDS_WITHIN = 2.0


class Look(NamedTuple):
    """What a package manager said.

    Attributes:
        at: When, in seconds since 1970.
        signature: The times of its files then.
        waiting: What waits; `None` when it could not tell.
        trouble: Why it could not; empty when it could.
    """

    at: float
    signature: Signature
    waiting: Waiting | None
    trouble: str = ""


class KeptLooks:
    """What package managers said last, in the state folder.

    Args:
        folder: The state folder; without one nothing outlasts the process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = StateFile(folder, KEPT_FILE)

    def load(self) -> dict[str, Look]:
        """Return it, by the managers' names."""
        return self._file.load(_parse) or {}

    def save(self, looks: Mapping[str, Look]) -> None:
        """Keep it; those that could not tell are asked anew after a restart."""
        content = {
            name: {
                "at": look.at,
                "signature": look.signature,
                "packages": look.waiting.packages,
                "security": look.waiting.security,
            }
            for name, look in looks.items()
            if look.waiting
        }
        try:
            self._file.save({"looks": content})
        except OSError as error:
            # They are asked again after a restart, no more.
            _LOGGER.warning("%s cannot be written: %s", self._file.path, error.strerror)


class Looks:
    """Has package managers asked when that is due, one after the other, in a thread.

    A program of theirs takes seconds of a processor, half a minute on a small machine: no other
    reading waits for it.

    Attributes:
        busy: Whether some are being asked.

    Args:
        kept: Where what they said outlasts the process.
        settle: Seconds that their files have to rest before they are asked.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        kept: KeptLooks,
        settle: float = SETTLE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._known = self._restored = kept.load()
        self._kept = kept
        self._settle = settle
        self._clock = clock
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.busy = False
        self._asked: PackageManager | None = None
        self._bell: _Bell | None = None

    @property
    def watch(self) -> Watch | None:
        """What hears that they were asked; `None` before the first time."""
        return self._bell

    def last(self, manager: PackageManager) -> Look | None:
        """Return what a package manager said last; `None` when it was never asked.

        What it said before a restart counts for the files as they were then.
        """
        look = self._known.get(manager.name)
        if look is None or look is not self._restored.get(manager.name):
            return look
        return look if look.signature == manager.signature() else look._replace(waiting=None)

    def begin(self, managers: Iterable[PackageManager]) -> None:
        """Have those asked that shall be, unless some are being asked just now."""
        due = [manager for manager in managers if self._is_due(manager)]
        if not due or self.busy or self._ending.is_set():
            return
        self._bell = self._bell or _Bell()
        self.busy = True
        self._thread = threading.Thread(
            target=self._look, args=(due, self._bell), name="updates", daemon=True
        )
        self._thread.start()

    def wait(self, limit: float) -> None:
        """Wait until none is being asked, some seconds at most."""
        if self._thread:
            self._thread.join(limit)

    def close(self) -> None:
        """End the one that is being asked, and ask none any more."""
        self._ending.set()
        if asked := self._asked:
            asked.close()
        self.wait(_ENDS_WITHIN)
        if self._bell:
            self._bell.close()

    def _is_due(self, manager: PackageManager) -> bool:
        look = self._known.get(manager.name)
        if look is None or look.signature != manager.signature():
            return True
        # A clock that was set back says nothing about the time since.
        age = self._clock() - look.at
        return not 0 <= age < (TRY_AGAIN if look.trouble else LOOK_AGAIN)

    # --- In the thread -------------------------------------------------------------------

    def _look(self, due: Sequence[PackageManager], bell: _Bell) -> None:
        try:
            known = {**self._known, **self._ask(due)}
            if not self._ending.is_set():
                # All at once: a sum that lacks one of them is none.
                self._known = known
                self._kept.save(known)
        finally:
            self.busy = False
            bell.ring()

    def _ask(self, due: Sequence[PackageManager]) -> dict[str, Look]:
        looks = {}
        for manager in due:
            signature = self._resting(manager)
            # Before it is asked: `close()` finds it, or it finds that this is closed.
            self._asked = manager
            if self._ending.is_set():
                break
            waiting, trouble = None, ""
            try:
                waiting = manager.look()
            except OSError as error:
                trouble = str(error)
            finally:
                self._asked = None
            looks[manager.name] = Look(self._clock(), signature, waiting, trouble)
        return looks

    def _resting(self, manager: PackageManager) -> Signature:
        """Wait until its files do not change any more, or for the end."""
        signature = manager.signature()
        while not self._ending.wait(self._settle):
            before, signature = signature, manager.signature()
            if signature == before:
                break
        return signature


class _Bell(Watch):
    """Rung by a thread, heard by the event loop."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)

    def ring(self) -> None:
        """Be heard; one that was not heard yet is heard once."""
        with suppress(OSError):
            self._far.send(b"\0")

    def fileno(self) -> int:
        """The end that can be read."""
        return self._near.fileno()

    def changed(self) -> bool:
        """Take what was rung."""
        with suppress(OSError):
            return bool(self._near.recv(64))
        return False

    def close(self) -> None:
        """Be heard no more."""
        self._near.close()
        self._far.close()


def _parse(content: Mapping[str, Any]) -> dict[str, Look]:
    """Read what was kept.

    Raises:
        ValueError: It is something else.
    """
    try:
        return {str(name): _look(**one) for name, one in content["looks"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("what package managers said is damaged") from error


def _look(at: float, signature: list[Any], packages: list[Any], security: int | None) -> Look:
    times = [float(one) if one is not None else None for one in signature]
    count = int(security) if security is not None else None
    return Look(float(at), tuple(times), Waiting(tuple(map(str, packages)), count))
