"""Shutdown, sleep, locking and logging out of a Windows machine.

Shutdown is that of `InitiateSystemShutdownExW`, which ends Windows as a restart does. Windows' own
menu keeps the kernel in a file instead (fast startup): the machine would wake by no magic packet,
and say that it started weeks ago.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
import os
import threading
import time
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Missing
from companion_agent.platforms.control import DELAYED, HostControl, PowerAction, SessionAction
from companion_agent.platforms.windows import sessions
from companion_agent.winapi import power, privileges, registry, wts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from companion_agent.platforms.control import Session

MESSAGE = "Asked for through Home Assistant"
"""What users read until a delayed shutdown."""

_PLANNED = "planned shutdown"

_ACCESS_DENIED = 5
_PRIVILEGE_NOT_HELD = 1314
# How long Windows takes, at most, until sleep begins or a session is locked, and how often that is
# looked at.
_UNDER_WAY = 3.0
_LOOK_EVERY = 0.1
# No machine wakes sooner.
_SLEPT = 0.5
# A plan that is so long past was called off by another program.
_PAST = 60.0

_NO_PRIVILEGE = Missing(
    "privilege",
    "the account of the agent lacks SeShutdownPrivilege: run the service with the account that "
    "`pilot-agent setup` gives it, or add the account to 'Shut down the system' (secpol.msc, "
    "Local Policies, User Rights Assignment)",
)
_MODERN_STANDBY = (
    "this computer has modern standby (S0): it sleeps by itself while its screen is off, and "
    "refuses to be put to sleep by a program"
)
_NO_SLEEP = "neither this computer's firmware nor its drivers offer sleep (S1 to S3)"
_NO_HIBERNATION = "hibernation is switched off: `powercfg /hibernate on`, as administrator"
_CANNOT_HIBERNATE = "this computer's firmware or drivers do not offer hibernation (S4)"
_HELPER_LOCKS = "a service cannot lock a session: the session helper of its user does"
_HELPER_LOGS_OUT = (
    "the account of the agent may not end sessions of users: the session helper of each does"
)


class WindowsControl(HostControl):
    """Asks Windows what this machine can do and the agent's account may.

    Args:
        falls_asleep: Set when Windows has begun to put the machine to sleep.
        suspended_time: Returns the seconds that it has spent suspended; `None` where not known.
        clock: Seconds since 1970.
        patience: Seconds in which what Windows has accepted has to begin.
    """

    def __init__(
        self,
        falls_asleep: threading.Event,
        suspended_time: Callable[[], float | None],
        clock: Callable[[], float] = time.time,
        patience: float = _UNDER_WAY,
    ) -> None:
        self._falls_asleep = falls_asleep
        self._suspended_time = suspended_time
        self._clock = clock
        self._looks = round(patience / _LOOK_EVERY)
        self._kept = registry.of_this_boot()

    def power_actions(self) -> Mapping[PowerAction, Missing | None]:
        """Ask for the machine's capabilities, and for the account's privilege."""
        try:
            withheld = _withheld_power(power.capabilities())
            permitted = privileges.enable(privileges.SHUTDOWN)
        except OSError as error:
            raise Unavailable(f"Windows does not tell what this computer can: {error}") from error
        offered: list[PowerAction] = [*DELAYED, "cancel", "suspend", "hibernate"]
        return {
            action: None if permitted else _NO_PRIVILEGE
            for action in offered
            if action not in withheld
        }

    def session_actions(self) -> Mapping[SessionAction, Missing | None]:
        """Find out by where this process runs, and as whom."""
        withheld = self._withheld_session()
        offered: tuple[SessionAction, ...] = ("lock", "log_out")
        return {action: None for action in offered if action not in withheld}

    def withheld(self) -> Mapping[PowerAction | SessionAction, str]:
        """Say what is not offered, and why."""
        try:
            return {**_withheld_power(power.capabilities()), **self._withheld_session()}
        except OSError as error:
            raise Unavailable(f"Windows does not tell what this computer can: {error}") from error

    def power(self, action: PowerAction, delay: float = 0) -> None:
        """Have Windows do it."""
        with _commanded():
            if not privileges.enable(privileges.SHUTDOWN):
                raise CommandError("not_permitted", _NO_PRIVILEGE.fix)
            if action == "cancel":
                self._cancel()
            elif action in DELAYED:
                self._shut_down(round(delay), reboot=action == "reboot")
            else:
                self._suspend(hibernate=action == "hibernate")

    def session(self, action: SessionAction) -> None:
        """Have Windows do it."""
        with _commanded():
            if action == "lock":
                self._lock()
            else:
                self._log_out()

    def sessions(self) -> tuple[Session, ...]:
        """Ask Remote Desktop Services."""
        return sessions.find()

    def session_of(self, pid: int, uid: int) -> Session | None:
        """Ask for the session of the process; users have no number here."""
        return sessions.of_process(pid)

    def locked(self) -> bool:
        """Tell whether this machine has to be unlocked or logged in to before it can be used.

        Raises:
            Unavailable: Windows does not tell.
        """
        return not any(session.open for session in sessions.find())

    def planned_shutdown(self) -> float | None:
        """Return when the agent has this machine shut down or rebooted, in seconds since 1970.

        Windows does not tell what another program has planned.

        Raises:
            Unavailable: It cannot be read.
        """
        try:
            kept = self._kept.read(_PLANNED)
        except OSError as error:
            raise Unavailable(f"the registry cannot be read: {error}") from error
        try:
            planned = float(kept)
        except ValueError:
            return None
        return planned if planned > self._clock() - _PAST else None

    # --- Power ---------------------------------------------------------------------------

    def _shut_down(self, delay: int, *, reboot: bool) -> None:
        try:
            self._initiate(delay, reboot=reboot)
        except OSError as error:
            if _code(error) not in {power.SHUTDOWN_IN_PROGRESS, power.SHUTDOWN_IS_SCHEDULED}:
                raise
            if not self._kept.read(_PLANNED):
                detail = (
                    "another program has planned a shutdown: call that off first (power.cancel)"
                )
                raise CommandError("failed", detail) from error
            # The later plan counts.
            power.abort_shutdown()
            self._initiate(delay, reboot=reboot)
        self._remember(self._clock() + delay if delay else None)

    def _initiate(self, delay: int, *, reboot: bool) -> None:
        try:
            # Users were warned who are given time: the same as `shutdown /t`.
            power.initiate_shutdown(MESSAGE, delay, force=delay > 0, reboot=reboot)
        except OSError as error:
            if _code(error) not in {power.MACHINE_LOCKED, power.SHUTDOWN_USERS_LOGGED_ON}:
                raise
            # Where no user could answer, no program is asked whether it has something unsaved.
            power.initiate_shutdown(MESSAGE, delay, force=True, reboot=reboot)

    def _cancel(self) -> None:
        try:
            power.abort_shutdown()
        except OSError as error:
            if _code(error) != power.NO_SHUTDOWN_IN_PROGRESS:
                raise
            raise CommandError("failed", "no shutdown or reboot is planned") from error
        finally:
            self._remember(None)

    def _remember(self, planned: float | None) -> None:
        # What is not kept is not shown; the shutdown goes ahead all the same.
        with suppress(OSError):
            self._kept.write(_PLANNED, "" if planned is None else repr(planned))

    def _suspend(self, *, hibernate: bool) -> None:
        """Return when sleep has begun; Windows' call returns after it."""
        before = self._suspended_time() or 0.0
        self._falls_asleep.clear()
        call = _Suspending(hibernate=hibernate)
        for _ in range(self._looks):
            if self._falls_asleep.wait(_LOOK_EVERY):
                return
            if call.error:
                raise call.error
        # The clocks move in steps.
        slept = (self._suspended_time() or 0.0) - before
        if call.returned and slept < _SLEPT:
            raise CommandError("failed", "Windows accepted it, and the computer did not sleep")

    # --- Sessions ------------------------------------------------------------------------

    def _withheld_session(self) -> dict[PowerAction | SessionAction, str]:
        withheld: dict[PowerAction | SessionAction, str] = {}
        try:
            own = wts.session_of_process(os.getpid())
            if own == sessions.SERVICES:
                withheld["lock"] = _HELPER_LOCKS
                if not privileges.is_administrator():
                    withheld["log_out"] = _HELPER_LOGS_OUT
        except OSError as error:
            raise Unavailable(f"Windows does not tell this process's session: {error}") from error
        return withheld

    def _lock(self) -> None:
        own = wts.session_of_process(os.getpid())
        power.lock_workstation()
        # Windows locks after it has said yes. Where it never tells, it is believed.
        for _ in range(self._looks):
            if self._is_locked(own) is not False:
                return
            time.sleep(_LOOK_EVERY)
        raise CommandError("failed", "Windows accepted it, and the session is not locked")

    @staticmethod
    def _is_locked(session: int) -> bool | None:
        try:
            return wts.locked_in(wts.query(session, wts.SESSION_INFO_EX))
        except OSError:
            return None

    @staticmethod
    def _log_out() -> None:
        own = wts.session_of_process(os.getpid())
        present = [one for one in sessions.find() if one.present]
        if own != sessions.SERVICES and not privileges.is_administrator():
            present = [one for one in present if one.id == str(own)]
        if not present:
            raise CommandError("failed", "no user is logged in at this machine")
        for session in present:
            wts.log_off(int(session.id))


class _Suspending:
    """Windows' call that sleeps, in a thread of its own."""

    def __init__(self, *, hibernate: bool) -> None:
        self.error: OSError | None = None
        self.returned = False
        self._hibernate = hibernate
        threading.Thread(target=self._run, name="suspend", daemon=True).start()

    def _run(self) -> None:
        try:
            power.suspend(hibernate=self._hibernate)
        except OSError as error:
            self.error = error
        self.returned = True


def _withheld_power(machine: power.PowerCapabilities) -> dict[PowerAction | SessionAction, str]:
    withheld: dict[PowerAction | SessionAction, str] = {}
    if machine.always_on:
        withheld["suspend"] = _MODERN_STANDBY
    elif not (machine.s1 or machine.s2 or machine.s3):
        withheld["suspend"] = _NO_SLEEP
    if not machine.s4:
        withheld["hibernate"] = _CANNOT_HIBERNATE
    elif not machine.hibernation_file:
        withheld["hibernate"] = _NO_HIBERNATION
    return withheld


def _code(error: OSError) -> int:
    code: int = getattr(error, "winerror", 0)
    return code


@contextmanager
def _commanded() -> Iterator[None]:
    """Explain what Windows refuses."""
    try:
        yield
    except OSError as error:
        refused = _code(error) in {_ACCESS_DENIED, _PRIVILEGE_NOT_HELD}
        reason = "not_permitted" if refused else "failed"
        raise CommandError(reason, f"Windows refuses it: {error}") from error
    except Unavailable as error:
        raise CommandError("failed", error.reason) from error
