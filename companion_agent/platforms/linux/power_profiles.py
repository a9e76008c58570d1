"""The power profile, by power-profiles-daemon or tuned, whichever runs.

A service that does not run is not asked, since a question would start it: the two end each other.
Sources: the D-Bus interfaces of power-profiles-daemon (net.hadess.PowerProfiles, since 0.20
org.freedesktop.UPower.PowerProfiles) and of tuned (com.redhat.tuned.control).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from companion_agent.errors import CommandError
from companion_agent.platforms.linux import polkit
from companion_agent.platforms.linux.dbus import DENIED, Bus, BusError, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.models import Missing

_BUS = Target("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_PROPERTIES = "org.freedesktop.DBus.Properties"


class _Service(NamedTuple):
    """A service of profiles.

    Attributes:
        name: What its program is called.
        target: Where it answers.
        polkit: What polkit must permit.
    """

    name: str
    target: Target
    polkit: str


_UPOWER = _Service(
    "power-profiles-daemon",
    Target(
        "org.freedesktop.UPower.PowerProfiles",
        "/org/freedesktop/UPower/PowerProfiles",
        "org.freedesktop.UPower.PowerProfiles",
    ),
    "org.freedesktop.UPower.PowerProfiles.switch-profile",
)
_HADESS = _Service(
    "power-profiles-daemon",
    Target("net.hadess.PowerProfiles", "/net/hadess/PowerProfiles", "net.hadess.PowerProfiles"),
    "net.hadess.PowerProfiles.switch-profile",
)
_TUNED = _Service(
    "tuned",
    Target("com.redhat.tuned", "/Tuned", "com.redhat.tuned.control"),
    "com.redhat.tuned.switch_profile",
)
# tuned may serve the others' interface as well (tuned-ppd), which says more.
_SERVICES = (_UPOWER, _HADESS, _TUNED)

ACTIONS = frozenset(one.polkit for one in _SERVICES)
"""What polkit must permit to a user that chooses a profile, by one service or another."""

SIGNALS: tuple[Mapping[str, str], ...] = (
    *(
        {
            "sender": one.target.service,
            "path": one.target.path,
            "interface": _PROPERTIES,
            "member": "PropertiesChanged",
        }
        for one in (_UPOWER, _HADESS)
    ),
    {
        "sender": _TUNED.target.service,
        "path": _TUNED.target.path,
        "interface": _TUNED.target.interface,
        "member": "profile_changed",
    },
)
"""The signals that tell of another profile, as match rules."""


class Profile(NamedTuple):
    """The profile that is active.

    Attributes:
        active: Its name; empty while none is.
        profiles: Those that there are.
        service: Who keeps it.
        tells_degraded: Whether the service says what keeps it from its full performance.
        degraded: What does so now.
        missing: The permission that the agent lacks to choose another one.
    """

    active: str
    profiles: tuple[str, ...]
    service: str
    tells_degraded: bool = False
    degraded: str = ""
    missing: Missing | None = None


def read(user: str, rule: frozenset[str], *, permitted: bool = False) -> Profile | None:
    """Read the profile; `None` where no service runs that has one.

    Args:
        user: The name of the agent's user.
        rule: What else the rule permits that would be written.
        permitted: Whether this user needs no permission.

    Raises:
        BusError: The service does not answer as it should, or there is no bus.
    """
    with Bus() as bus:
        service = _running(bus)
        if service is None:
            return None
        found = _read_tuned(bus) if service is _TUNED else _read_daemon(bus, service)
        if permitted:
            return found
        return found._replace(missing=_missing(bus, service, user, rule | ACTIONS))


def choose(name: str) -> None:
    """Have the service that runs make a profile the active one, and read it back.

    Raises:
        CommandError: It does not run, refuses it, or keeps another one.
    """
    try:
        with Bus() as bus:
            service = _running(bus)
            if service is None:
                raise CommandError("failed", "no service of power profiles runs any more")
            _choose(bus, service, name)
            found = _read_tuned(bus) if service is _TUNED else _read_daemon(bus, service)
    except BusError as error:
        raise CommandError("failed", error.text) from error
    if found.active != name:
        detail = f"{service.name} keeps the profile {found.active or 'none'}"
        raise CommandError("failed", detail)


def _choose(bus: Bus, service: _Service, name: str) -> None:
    target = service.target
    try:
        if service is _TUNED:
            ((done, why),) = bus.call(target, "switch_profile", "s", name)
            if not done:
                raise CommandError("failed", f"tuned refuses the profile {name}: {why}")
        else:
            asked = target.at(target.path, _PROPERTIES)
            bus.call(asked, "Set", "ssv", target.interface, "ActiveProfile", ("s", name))
    except BusError as error:
        if error.name in DENIED:
            detail = f"polkit does not permit the agent {service.polkit}"
            raise CommandError("not_permitted", detail) from error
        raise CommandError("failed", f"{service.name}: {error.text}") from error


def _running(bus: Bus) -> _Service | None:
    for service in _SERVICES:
        (runs,) = bus.call(_BUS, "NameHasOwner", "s", service.target.service)
        if runs:
            return service
    return None


def _read_daemon(bus: Bus, service: _Service) -> Profile:
    properties = bus.properties(service.target)
    try:
        profiles = tuple(str(one["Profile"][1]) for one in properties["Profiles"])
        active = str(properties["ActiveProfile"])
    except (KeyError, TypeError, IndexError) as error:
        raise BusError("", f"{service.name} does not say which profiles it has") from error
    degraded = properties.get("PerformanceDegraded")
    return Profile(active, profiles, service.name, degraded is not None, str(degraded or ""))


def _read_tuned(bus: Bus) -> Profile:
    (profiles,) = bus.call(_TUNED.target, "profiles")
    (active,) = bus.call(_TUNED.target, "active_profile")
    return Profile(str(active), tuple(map(str, profiles)), _TUNED.name)


def _missing(bus: Bus, service: _Service, user: str, rule: frozenset[str]) -> Missing | None:
    try:
        permitted = polkit.permitted(bus, [service.polkit])
    except polkit.NoPolkitError:
        return polkit.missing_polkit(user, rule)
    return None if permitted else polkit.missing_rule(user, rule)
