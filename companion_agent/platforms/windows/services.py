"""Windows' services, by its service manager and their own names, which are never translated."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
import time
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Missing
from companion_agent.platforms.services import LIMIT, Services, ServiceState, Verb
from companion_agent.storage.permissions import SERVICE_SID
from companion_agent.winapi import service_list, services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from companion_agent.winapi.service_list import ListedService

_ACCESS = {
    "start": services.SERVICE_START,
    "stop": services.SERVICE_STOP,
    "restart": services.SERVICE_START | services.SERVICE_STOP,
}
_POLL = 0.2


class WindowsServices(Services):
    """Asks the service manager.

    Args:
        sleep: Waits for some seconds.
        clock: Monotonic seconds.
    """

    ignores_case = True

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._clock = clock

    def failed(self) -> Sequence[str]:
        """List those that start by themselves and have ended with an error."""
        return sorted(
            one.name
            for one in _listed()
            if one.state == services.STOPPED
            and one.exit_code not in {0, service_list.NEVER_STARTED}
            and _is_automatic(one.name)
        )

    def states(self, names: Iterable[str]) -> Mapping[str, Sequence[ServiceState]]:
        """Look for them in the list of all."""
        known = _listed()
        return {
            name: [
                ServiceState(one.name, one.state == services.RUNNING)
                for one in known
                if fnmatchcase(one.name.lower(), name.lower())
            ]
            for name in names
        }

    def missing(
        self, wanted: Mapping[str, frozenset[Verb]]
    ) -> Mapping[tuple[str, Verb], Missing | None]:
        """Open each for what is to be done; Windows then says whether this account may."""
        return {
            (name, verb): _lacking(name, verb)
            for name, verbs in wanted.items()
            for verb in sorted(verbs)
        }

    def act(self, name: str, verb: Verb) -> None:
        """Ask for it, and wait until it is so."""
        access = _ACCESS[verb] | services.SERVICE_QUERY_STATUS
        try:
            with services.service(name, access) as handle:
                if verb != "start":
                    with _unless(services.ERROR_SERVICE_NOT_ACTIVE):
                        services.stop(handle)
                    self._wait(name, "stop", handle, services.STOPPED)
                if verb != "stop":
                    with _unless(services.ERROR_SERVICE_ALREADY_RUNNING):
                        services.start(handle)
                    self._wait(name, "start", handle, services.RUNNING)
        except OSError as error:
            if _code(error) == services.ERROR_ACCESS_DENIED:
                detail = f"Windows does not permit the agent's account to {verb} {name}"
                raise CommandError("not_permitted", detail) from error
            raise CommandError("failed", f"{name} did not {verb}: {error.strerror}") from error

    def _wait(self, name: str, verb: Verb, handle: int, wanted: int) -> None:
        deadline = self._clock() + LIMIT
        while (status := services.status_of(handle)).state != wanted:
            if status.state == services.STOPPED:
                code = status.exit_code
                if code == services.ERROR_SERVICE_SPECIFIC:
                    code = status.specific_exit_code
                raise CommandError("failed", f"{name} ended with {code} instead of running")
            if self._clock() > deadline:
                state = services.STATES.get(status.state, str(status.state))
                detail = f"{name} is still {state} {LIMIT:.0f} s after it was asked to {verb}"
                raise CommandError("failed", detail)
            self._sleep(_POLL)


@contextmanager
def _unless(code: int) -> Iterator[None]:
    """Take an error of Windows for no failure: what is asked for is so already."""
    try:
        yield
    except OSError as error:
        if _code(error) != code:
            raise


def _listed() -> list[ListedService]:
    try:
        return service_list.listed()
    except OSError as error:
        raise Unavailable(f"the service manager does not tell: {error.strerror}") from error


def _is_automatic(name: str) -> bool:
    with suppress(OSError), services.service(name, services.SERVICE_QUERY_CONFIG) as handle:
        return services.config_of(handle).start == services.SERVICE_AUTO_START
    return False


def _lacking(name: str, verb: Verb) -> Missing | None:
    try:
        with services.service(name, _ACCESS[verb]):
            return None
    except OSError as error:
        if _code(error) != services.ERROR_ACCESS_DENIED:
            # What else is wrong says the command itself.
            return None
    return Missing(
        "service rights",
        f"The agent's account may not {verb} the service {name}. As an administrator: "
        f"`sc.exe sdshow {name}` prints who may, and `sc.exe sdset {name}` takes the same with "
        f"(A;;LCRPWP;;;{SERVICE_SID}), the right of the agent's service, put in front of its S:, "
        "or at its end where there is none.",
    )


def _code(error: OSError) -> int:
    return int(getattr(error, "winerror", 0) or 0)
