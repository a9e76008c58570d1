"""What the user has to put right, as entries in Home Assistant's repairs."""

from hashlib import sha256
from typing import TYPE_CHECKING

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOCUMENTATION_URL, DOMAIN
from .protocol import PROTOCOL, Announce, Missing, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Collection

    from .coordinator import PilotConfigEntry

CLOCK = "clock"
CLOCK_AHEAD = "clock_ahead"
CLOCK_BEHIND = "clock_behind"
PERMISSION = "permission"
AGENT_NEWER = "agent_newer"
AGENT_OLDER = "agent_older"
CONFLICT = "conflict"
HOST_REMOVED = "host_removed"
UPDATE_FAILED = "update_failed"

_BY_ERROR = {"protocol_newer": AGENT_NEWER, "protocol_older": AGENT_OLDER}


def issue_id(issue: str, host_id: str) -> str:
    """Return what an issue of a host is known by."""
    return f"{issue}_{host_id}"


@callback
def async_report_version(hass: HomeAssistant, entry: PilotConfigEntry, err: ProtocolError) -> None:
    """Say which side is to be updated, if that is why the host was not understood."""
    if (issue := _BY_ERROR.get(err.kind)) is None:
        return
    assert entry.unique_id is not None
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id(issue, entry.unique_id),
        is_fixable=False,
        severity=ir.IssueSeverity.ERROR,
        learn_more_url=DOCUMENTATION_URL,
        translation_key=issue,
        translation_placeholders={
            "name": entry.title,
            "agent_protocol": str(err.other),
            "protocol": str(PROTOCOL),
        },
    )


@callback
def async_report_removed(hass: HomeAssistant, entry: PilotConfigEntry) -> None:
    """Say that the host was removed for good, and offer to remove it here too."""
    assert entry.unique_id is not None
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id(HOST_REMOVED, entry.unique_id),
        data={"entry_id": entry.entry_id, "host_id": entry.unique_id, "name": entry.title},
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key=HOST_REMOVED,
        translation_placeholders={"name": entry.title},
    )


@callback
def async_follow_announce(hass: HomeAssistant, entry: PilotConfigEntry, announce: Announce) -> None:
    """Withdraw what a good announce puts right, and say if another host has the same id."""
    host_id = announce.host.id
    for issue in (AGENT_NEWER, AGENT_OLDER, HOST_REMOVED):
        ir.async_delete_issue(hass, DOMAIN, issue_id(issue, host_id))
    if announce.conflict is None:
        ir.async_delete_issue(hass, DOMAIN, issue_id(CONFLICT, host_id))
        return
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id(CONFLICT, host_id),
        is_fixable=False,
        severity=ir.IssueSeverity.ERROR,
        learn_more_url=DOCUMENTATION_URL,
        translation_key=CONFLICT,
        translation_placeholders={
            "name": entry.title,
            "host": announce.host.name,
            "other": announce.conflict.name,
            "command": "pilot-agent id --new",
        },
    )


@callback
def async_follow_update(hass: HomeAssistant, entry: PilotConfigEntry, announce: Announce) -> None:
    """Say that the host has left a new version of its agent again, until one works."""
    failed = announce.update and announce.update.failed
    if not failed:
        ir.async_delete_issue(hass, DOMAIN, issue_id(UPDATE_FAILED, announce.host.id))
        return
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id(UPDATE_FAILED, announce.host.id),
        is_fixable=False,
        severity=ir.IssueSeverity.ERROR,
        learn_more_url=DOCUMENTATION_URL,
        translation_key=UPDATE_FAILED,
        translation_placeholders={
            "name": entry.title,
            "version": failed[0],
            "reason": failed[1],
            "running": announce.agent.version,
        },
    )


@callback
def async_follow_permissions(
    hass: HomeAssistant, entry: PilotConfigEntry, announce: Announce
) -> None:
    """Say what is missing for the host's commands, once for what one and the same fix heals."""
    by_fix: dict[Missing, list[str]] = {}
    for command in announce.commands.values():
        if command.missing is not None:
            by_fix.setdefault(command.missing, []).append(command.key)
    current = set()
    for missing, keys in by_fix.items():
        digest = sha256(f"{missing.reason} {missing.fix}".encode()).hexdigest()[:8]
        current.add(permission := issue_id(f"{PERMISSION}_{digest}", announce.host.id))
        ir.async_create_issue(
            hass,
            DOMAIN,
            permission,
            is_fixable=False,
            severity=ir.IssueSeverity.WARNING,
            learn_more_url=DOCUMENTATION_URL,
            translation_key=PERMISSION,
            translation_placeholders={
                "name": entry.title,
                "commands": ", ".join(f"`{key}`" for key in keys),
                "fix": _markdown(missing.fix),
            },
        )
    _forget_permissions(hass, announce.host.id, current)


def _forget_permissions(hass: HomeAssistant, host_id: str, current: Collection[str] = ()) -> None:
    for domain, issue in list(ir.async_get(hass).issues):
        if (
            domain == DOMAIN
            and issue.startswith(f"{PERMISSION}_")
            and issue.endswith(f"_{host_id}")
            and issue not in current
        ):
            ir.async_delete_issue(hass, DOMAIN, issue)


def _markdown(fix: str) -> str:
    """Return words, and what is to be copied below them in a block of its own."""
    words, _, block = fix.strip().partition("\n\n")
    return f"{words}\n\n```\n{block.replace('```', '')}\n```" if block else words


@callback
def async_report_clock(hass: HomeAssistant, entry: PilotConfigEntry, difference: float) -> None:
    """Say that the host's clock and that of Home Assistant differ, and by how much."""
    assert entry.unique_id is not None
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id(CLOCK, entry.unique_id),
        is_fixable=False,
        severity=ir.IssueSeverity.ERROR,
        learn_more_url=DOCUMENTATION_URL,
        translation_key=CLOCK_AHEAD if difference > 0 else CLOCK_BEHIND,
        translation_placeholders={"name": entry.title, "difference": _duration(abs(difference))},
    )


@callback
def async_forget_clock(hass: HomeAssistant, host_id: str) -> None:
    """Withdraw that the clocks differ."""
    ir.async_delete_issue(hass, DOMAIN, issue_id(CLOCK, host_id))


def _duration(seconds: float) -> str:
    """Return a duration in units that are written alike in many languages."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


@callback
def async_forget_issues(hass: HomeAssistant, host_id: str) -> None:
    """Withdraw all issues of a host that is not followed any more."""
    for issue in (AGENT_NEWER, AGENT_OLDER, CLOCK, CONFLICT, HOST_REMOVED, UPDATE_FAILED):
        ir.async_delete_issue(hass, DOMAIN, issue_id(issue, host_id))
    _forget_permissions(hass, host_id)
