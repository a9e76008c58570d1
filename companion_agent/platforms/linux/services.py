"""Units of systemd, by its D-Bus interface. Source: org.freedesktop.systemd1(5)."""

from __future__ import annotations

from contextlib import contextmanager
import re
import select
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.errors import CommandError, Unanswered, Unavailable
from companion_agent.platforms.linux import polkit
from companion_agent.platforms.linux.dbus import (
    DENIED,
    NOT_THERE,
    UNANSWERED,
    Bus,
    BusError,
    BusGoneError,
    Listener,
    Signal,
    Target,
)
from companion_agent.platforms.services import LIMIT, Services, ServiceState, Verb, is_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from companion_agent.models import Missing
    from companion_agent.platforms.linux.logind import LogindControl

_SYSTEMD = "org.freedesktop.systemd1"
MANAGER = Target(_SYSTEMD, "/org/freedesktop/systemd1", f"{_SYSTEMD}.Manager")
_UNIT = f"{_SYSTEMD}.Unit"
_SERVICE = f"{_SYSTEMD}.Service"
_PROPERTIES = "org.freedesktop.DBus.Properties"

# What a unit's name ends with; one that ends otherwise is a service's, as for systemctl(1).
_SUFFIXES = (
    ".service", ".socket", ".timer", ".path", ".target", ".mount", ".automount", ".swap",
    ".device", ".slice", ".scope",
)  # fmt: skip
# systemd(1): what it takes for the name of one unit, which a template (`name@.service`) is not.
_VALID = re.compile(r"[A-Za-z0-9:_.\\-]+(?:@[A-Za-z0-9:_.\\@-]+)?\.[a-z]+")
_RUNNING = frozenset({"active", "reloading", "refreshing"})
# Programs that systemd takes for started as soon as there is a process: they may end at once.
_UNPROVEN = frozenset({"simple", "exec", "idle"})
_SETTLE = 1.0

_METHODS: Mapping[Verb, str] = {"start": "StartUnit", "stop": "StopUnit", "restart": "RestartUnit"}
# A mode that each of these never takes. systemd asks polkit first and refuses the mode then, so
# that the answer says whether the agent may, and nothing is done. polkit itself tells only root
# about a single unit. Before version 246 `triggering` is refused before polkit is asked.
_IMPOSSIBLE: Mapping[Verb, str] = {"start": "triggering", "stop": "isolate", "restart": "isolate"}


class _Found(NamedTuple):
    """A unit as systemd lists it."""

    name: str
    description: str
    load: str
    active: str
    sub: str
    following: str
    path: str
    job: int
    job_type: str
    job_path: str


def unit_name(name: str) -> str:
    """Return the whole name of a unit."""
    return name if name.endswith(_SUFFIXES) else f"{name}.service"


def unit_path(name: str) -> str:
    """Return the path of a unit on the bus.

    Letters and digits stand for themselves, all else and a digit in front for their code
    (sd_bus_path_encode(3)).
    """
    encoded = "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 and not (place == 0 and byte < 58)
        else f"_{byte:02x}"
        for place, byte in enumerate(name.encode())
    )  # fmt: skip
    return f"{MANAGER.path}/unit/{encoded}"


class SystemdServices(Services):
    """Asks systemd.

    Args:
        logind: Knows the agent's user, and which other permissions its polkit rule has.
    """

    def __init__(self, logind: LogindControl) -> None:
        self._logind = logind
        self._permitted: set[tuple[str, Verb]] = set()
        self._followed: tuple[str, ...] = ()
        self.permissions: frozenset[str] = frozenset()
        """What polkit must permit for what was last asked about."""

    def failed(self) -> Sequence[str]:
        """Ask for the units that failed."""
        with _connected() as bus:
            (listed,) = bus.call(MANAGER, "ListUnitsFiltered", "as", ["failed"])
        return sorted(_Found(*one).name for one in listed)

    def states(self, names: Iterable[str]) -> Mapping[str, Sequence[ServiceState]]:
        """Ask for the units; of patterns those that are loaded."""
        wanted = {name: unit_name(name) for name in names}
        plain = [name for name, unit in wanted.items() if _VALID.fullmatch(unit)]
        found: dict[str, Sequence[ServiceState]] = {}
        with _connected() as bus:
            if plain:
                units = [wanted[name] for name in plain]
                (listed,) = bus.call(MANAGER, "ListUnitsByNames", "as", units)
                # In the order of the question.
                for name, one in zip(plain, listed, strict=True):
                    if states := _states([one]):
                        found[name] = states
            for name in filter(is_pattern, wanted):
                (listed,) = bus.call(MANAGER, "ListUnitsByPatterns", "asas", [], [wanted[name]])
                found[name] = _states(listed)
        return found

    def missing(
        self, wanted: Mapping[str, frozenset[Verb]]
    ) -> Mapping[tuple[str, Verb], Missing | None]:
        """Ask systemd for what it never does, and see whether it refuses the agent or that."""
        asked = [(name, verb) for name, verbs in wanted.items() for verb in sorted(verbs)]
        self.permissions = frozenset(polkit.of_unit(*one) for one in asked)
        if self._logind.is_root or not asked:
            return dict.fromkeys(asked)
        with _connected() as bus:
            self._permitted |= {
                one for one in asked if one not in self._permitted and _may(bus, *one)
            }
            if self._permitted.issuperset(asked):
                return dict.fromkeys(asked)
            lacking = self._way_out(bus)
        return {one: None if one in self._permitted else lacking for one in asked}

    def act(self, name: str, verb: Verb) -> None:
        """Start a job of systemd's, wait until it has ended, and look at the unit then."""
        try:
            _Job(name, verb).run()
        except BusError as error:
            if error.name in DENIED:
                self._permitted.discard((name, verb))
                detail = f"polkit does not permit the agent to {verb} {name}"
                raise CommandError("not_permitted", detail) from error
            raise CommandError("failed", f"{name} did not {verb}: {error.text}") from error

    def follow(self, names: Iterable[str]) -> None:
        """Have signals of these units sent."""
        self._followed = tuple(unit_name(name) for name in names if not is_pattern(name))

    def signals(self) -> tuple[Mapping[str, str], ...]:
        """Return the signals that tell of what is followed, as match rules; none for nothing."""
        return tuple(_changes_of(unit_path(name)) for name in self._followed)

    def _way_out(self, bus: Bus) -> Missing:
        rule = self._logind.permissions() | self.permissions
        try:
            polkit.permitted(bus, [polkit.MANAGE_UNITS])
        except polkit.NoPolkitError:
            return polkit.missing_polkit(self._logind.user, rule)
        return polkit.missing_rule(self._logind.user, rule)


class _Job:
    """Something that systemd does to a unit, from the request until it is so."""

    def __init__(self, name: str, verb: Verb) -> None:
        self._name = name
        self._verb: Verb = verb
        self._unit = MANAGER.at(unit_path(name), _UNIT)
        self._job: str | None = None
        self._error: BusError | None = None
        self._results: dict[str, str] = {}
        self._active = ""

    def run(self) -> None:
        """Do it.

        Raises:
            CommandError: It did not come to be.
            BusError: systemd refuses it.
        """
        listener = Listener()
        try:
            # systemd tells jobs and units to those alone that have subscribed.
            listener.listen(sender=_SYSTEMD, interface=MANAGER.interface, member="JobRemoved")
            listener.listen(**_changes_of(self._unit.path))
            listener.call(None, MANAGER, "Subscribe")
            listener.call(self._take, MANAGER, _METHODS[self._verb], "ss", self._name, "replace")
            self._wait(listener, LIMIT, self._ended)
            result = self._results.get(self._job or "", "")
            with Bus() as bus:
                properties = self._read(bus)
                unproven = properties.get("Type") in _UNPROVEN and self._verb != "stop"
                if result == "done" and unproven and properties["ActiveState"] in _RUNNING:
                    self._active = properties["ActiveState"]
                    self._wait(listener, _SETTLE, lambda: self._active not in _RUNNING)
                    properties = self._read(bus)
        finally:
            listener.close()
        if result != "done" or not _is_so(self._verb, properties):
            raise CommandError("failed", self._why(result, properties))

    def _take(self, answer: tuple[Any, ...] | BusError) -> None:
        if isinstance(answer, BusError):
            self._error = answer
        else:
            self._job = answer[0]

    def _ended(self) -> bool:
        if self._error:
            raise self._error
        return self._job in self._results

    def _wait(self, listener: Listener, limit: float, ended: Callable[[], bool]) -> None:
        deadline = time.monotonic() + limit
        while True:
            for signal in listener.pump():
                self._hear(signal)
            left = deadline - time.monotonic()
            if ended() or left <= 0:
                return
            select.select([listener.socket], [], [], left)

    def _hear(self, signal: Signal) -> None:
        if signal.member == "JobRemoved":
            _, path, _, result = signal.body
            self._results[path] = result
        elif signal.path == self._unit.path and "ActiveState" in signal.body[1]:
            self._active = signal.body[1]["ActiveState"][1]

    def _read(self, bus: Bus) -> dict[str, Any]:
        properties = bus.properties(self._unit)
        if self._name.endswith(".service"):
            properties |= bus.properties(self._unit.at(self._unit.path, _SERVICE))
        return properties

    def _why(self, result: str, properties: Mapping[str, Any]) -> str:
        state = f"{properties.get('ActiveState')} ({properties.get('SubState')})"
        if not result:
            return f"{self._name} is still {state} after {LIMIT:.0f} s; systemd goes on with it"
        told = [f"{self._name} did not {self._verb}"] if result != "done" else [self._name]
        if result not in {"done", "failed"}:
            told.append(f"the job ended with {result}")
        told.append(f"it is {state}")
        if (own := properties.get("Result", "success")) != "success":
            status = properties.get("ExecMainStatus", 0)
            told.append(f"its result is {own}{f', status {status}' if status else ''}")
        return f"{', '.join(told)}; journalctl -u {self._name} says more"


def _changes_of(path: str) -> Mapping[str, str]:
    return {
        "sender": _SYSTEMD,
        "path": path,
        "interface": _PROPERTIES,
        "member": "PropertiesChanged",
        "arg0": _UNIT,
    }


def _states(listed: Iterable[tuple[Any, ...]]) -> list[ServiceState]:
    units = [_Found(*one) for one in listed]
    return [
        ServiceState(unit.name, unit.active in _RUNNING)
        for unit in units
        if unit.load != "not-found"
    ]


def _is_so(verb: Verb, properties: Mapping[str, Any]) -> bool:
    """Tell whether a unit is what it was asked to be."""
    active = properties.get("ActiveState")
    if verb == "stop":
        return active in {"inactive", "failed"}
    if properties.get("Type") == "oneshot" and active == "inactive":
        # It has done what it is for.
        return bool(properties.get("Result") == "success")
    return active in _RUNNING


def _may(bus: Bus, name: str, verb: Verb) -> bool:
    try:
        bus.call(MANAGER, _METHODS[verb], "ss", name, _IMPOSSIBLE[verb])
    except BusGoneError:
        raise
    except BusError as error:
        return error.name not in DENIED
    return True


@contextmanager
def _connected() -> Iterator[Bus]:
    try:
        with Bus() as bus:
            yield bus
    except BusGoneError as error:
        raise Unavailable(error.text, "install dbus; in a container there is none") from error
    except BusError as error:
        if error.name in NOT_THERE:
            raise Unavailable("systemd does not run this machine") from error
        if error.name in UNANSWERED:
            raise Unanswered(error.text) from error
        raise Unavailable(f"systemd cannot be asked: {error.text}") from error
