"""What polkit permits this user, and the rule that makes it permit more. Source: polkit(8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.models import Missing
from companion_agent.platforms.linux.dbus import NOT_THERE, BusError, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from companion_agent.platforms.linux.dbus import Bus

RULE_PATH = "/etc/polkit-1/rules.d/50-pilot-agent.rules"

MANAGE_UNITS = "org.freedesktop.systemd1.manage-units"
"""What systemd asks for whatever is done to whichever unit; which, it says as details."""

_AUTHORITY = Target(
    "org.freedesktop.PolicyKit1",
    "/org/freedesktop/PolicyKit1/Authority",
    "org.freedesktop.PolicyKit1.Authority",
)


class NoPolkitError(Exception):
    """Nothing here can permit anything to any user but root."""


def rule(user: str, actions: Iterable[str]) -> str:
    """Write the rule that permits actions to a user, as the whole text of `RULE_PATH`.

    Args:
        user: The user's name.
        actions: polkit's names of the actions, and what `of_unit()` returns.
    """
    wanted = sorted(set(actions))
    units = _lines(action for action in wanted if " " in action)
    return (
        "// What the Pilot agent may do to this machine when Home Assistant asks for it.\n"
        "polkit.addRule(function(action, subject) {\n"
        "    var permitted = [\n"
        f"{_lines(action for action in wanted if ' ' not in action)}"
        "    ];\n"
        f"    if (subject.user == {_quote(user)} && permitted.indexOf(action.id) >= 0) {{\n"
        "        return polkit.Result.YES;\n"
        "    }\n"
        f"{_unit_rule(user, units) if units else ''}"
        "});\n"
    )


def of_unit(name: str, verb: str) -> str:
    """Return what stands for a verb of one unit of systemd among the names of actions."""
    return f"{verb} {name}"


def _unit_rule(user: str, units: str) -> str:
    return (
        "    var units = [\n"
        f"{units}"
        "    ];\n"
        f"    if (subject.user == {_quote(user)} && action.id == {_quote(MANAGE_UNITS)} &&\n"
        '        units.indexOf(action.lookup("verb") + " " + action.lookup("unit")) >= 0) {\n'
        "        return polkit.Result.YES;\n"
        "    }\n"
    )


def _lines(actions: Iterable[str]) -> str:
    return "".join(f"        {_quote(action)},\n" for action in actions)


def missing_rule(user: str, actions: Iterable[str]) -> Missing:
    """Say which rule is missing."""
    return Missing(
        "polkit",
        f"As root, write this to {RULE_PATH}, readable for all (mode 0644); it takes effect at "
        f"once:\n\n{rule(user, actions)}",
    )


def missing_polkit(user: str, actions: Iterable[str]) -> Missing:
    """Say that polkit is missing, and which rule it needs."""
    return Missing(
        "package",
        "Install polkit, which alone can permit this to a user that is not root (Debian, Ubuntu: "
        "apt install polkitd; Fedora, Arch: the package polkit). Then, as root, write this to "
        f"{RULE_PATH}, readable for all (mode 0644):\n\n{rule(user, actions)}",
    )


def permitted(bus: Bus, actions: Iterable[str]) -> frozenset[str]:
    """Ask which actions are permitted to this process without asking a person.

    Raises:
        NoPolkitError: polkit is not installed or does not start.
        BusError: It does not answer.
    """
    return frozenset(action for action in actions if _is_permitted(bus, action))


def _is_permitted(bus: Bus, action: str) -> bool:
    subject = ("system-bus-name", {"name": ("s", bus.name)})
    try:
        ((yes, _challenge, _details),) = bus.call(
            _AUTHORITY, "CheckAuthorization", "(sa{sv})sa{ss}us", subject, action, {}, 0, ""
        )
    except BusError as error:
        if error.name in NOT_THERE:
            raise NoPolkitError from error
        if error.name.startswith("org.freedesktop.PolicyKit1.Error."):
            # An action that this version of the system does not have needs no permission.
            return True
        raise
    return bool(yes)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
