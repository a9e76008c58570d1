"""Which services the local file watches, and what Home Assistant may do to them."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
import re
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.fields import setting
from companion_agent.platforms.services import VERBS, Verb, is_pattern
from companion_agent.plugins.naming import segment, title
from companion_agent.values import Choice, Leaf, ListOf, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

SWITCH = "switch"
"""The end of the key of a service that is started and stopped by one switch."""

_LONGEST_NAME = 128
_NAME_SCHEMA = {"type": "string", "pattern": rf"^[^\s/'\"][^/'\"]{{0,{_LONGEST_NAME - 1}}}$"}

# By these the agent itself works, hears of the machine and is reached; some of them also switch
# the machine off, or open a shell without a password, as soon as they are started.
_WATCHED_ONLY = (
    "pilot-agent*", "dbus*", "systemd-*", "polkit*", "user@*", "user-runtime-dir@*",
    "emergency.*", "rescue.*", "debug-shell.*", "initrd-*", "plymouth-*", "*getty@*",
    # Windows'
    "brokerinfrastructure", "dcomlaunch", "eventlog", "lsm", "plugplay", "power", "profsvc",
    "rpceptmapper", "rpcss", "samss", "schedule", "trustedinstaller",
)  # fmt: skip
# Without these no result would be heard any more, and nothing could start them again from afar.
_NEVER_STOPPED = (
    "networkmanager.*", "networking.*", "network.*", "wpa_supplicant*", "iwd.*", "connman.*",
    "dhcpcd*", "ifup@*", "netplan*",
    # Windows'
    "dhcp", "dnscache", "lanmanworkstation", "netman", "nlasvc", "nsi", "wcmsvc", "wlansvc",
)  # fmt: skip
# Targets, mounts and slices stand for many units: to start one can end everything else.
_COMMANDED = (".service", ".socket", ".timer", ".path")
_SUFFIX = re.compile(r"\.(?:target|mount|automount|swap|device|slice|scope)")


class ServiceName(Leaf[str]):
    """The name of a service, or a pattern of names."""

    expected = f"the name of a service, 1 to {_LONGEST_NAME} characters; * and ? stand for others"
    schema = _NAME_SCHEMA

    def _read(self, text: str) -> str:
        named = 0 < len(text) <= _LONGEST_NAME and text.isprintable() and text == text.strip()
        if not named or not set("/'\"").isdisjoint(text):
            raise ValueError
        return text


@dataclass(frozen=True, slots=True)
class WatchedService:
    """A service that is watched.

    Attributes:
        allow: What Home Assistant may do to it.
        name: What it is called in Home Assistant.
    """

    allow: tuple[Verb, ...] = setting(
        ListOf(Choice(*VERBS), "start, stop and restart"),
        "What Home Assistant may do to it: start, stop, restart. It is watched only without.",
        (),
        shown="nothing",
    )
    name: str = setting(Text(64), "What it is called in Home Assistant.", "", shown="its name here")


class WatchedServices(NamedTuple):
    """All services that are watched, by name or pattern."""

    services: Mapping[str, WatchedService]


def refusal(name: str, verb: Verb) -> str:
    """Say why something is not done to a service whatever the local file says; empty if it is.

    Args:
        name: The name in the local file, or the system's own.
        verb: What is to be done.
    """
    folded = name.lower()
    # As systemd has it, a name without an ending is a service's.
    dotted = folded if "." in folded else f"{folded}."
    if is_pattern(name):
        return "a pattern is watched only; name each service that may be commanded"
    if _SUFFIX.search(dotted) and dotted.endswith(tuple(_SUFFIX.findall(dotted))):
        return f"of units only {', '.join(_COMMANDED)} may be commanded"
    if any(fnmatchcase(one, pattern) for pattern in _WATCHED_ONLY for one in (folded, dotted)):
        return "this machine and the agent work by it; it is watched only"
    cut = any(fnmatchcase(one, pattern) for pattern in _NEVER_STOPPED for one in (folded, dotted))
    if verb == "stop" and cut:
        return "the machine could not be reached any more; it may be restarted"
    return ""


_BOTH: frozenset[Verb] = frozenset({"start", "stop"})


def commands_of(verbs: frozenset[Verb]) -> dict[str, frozenset[Verb]]:
    """Return the commands of a service, by the end of their keys, and what each of them does.

    Starting and stopping are one switch.
    """
    found: dict[str, frozenset[Verb]] = {}
    if verbs >= _BOTH:
        found[SWITCH] = _BOTH
        verbs -= _BOTH
    return found | {verb: frozenset({verb}) for verb in sorted(verbs)}


def label_of(name: str) -> str:
    """Return what a service is called by itself."""
    return title(name.removesuffix(".service"))


def key_of(name: str, *, fold_case: bool = False) -> str:
    """Return a service's segment of keys."""
    return segment(label_of(name), fold_case=fold_case)


def permitted(services: Mapping[str, WatchedService]) -> dict[str, frozenset[Verb]]:
    """Return what may be done to which service, by its name in the local file."""
    return {
        name: allowed
        for name, one in services.items()
        if (allowed := frozenset(verb for verb in one.allow if not refusal(name, verb)))
    }
