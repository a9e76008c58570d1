"""What the user has to put right, as entries in Home Assistant's repairs."""

from hashlib import sha256
from typing import TYPE_CHECKING

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOCUMENTATION_URL, DOMAIN
from .markdown import Markdown, code_block, code_span, escape_markdown, markdown_placeholders
from .protocol.announce import Announce, Missing
from .protocol.errors import ProtocolError
from .protocol.validation import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .coordinator import PilotConfigEntry

CLOCK = "clock"
CLOCK_AHEAD = "clock_ahead"
CLOCK_BEHIND = "clock_behind"
PERMISSION = "permission"
AGENT_NEWER = "agent_newer"
AGENT_OLDER = "agent_older"
CONFLICT = "conflict"
EXPOSED = "exposed"
HOST_REMOVED = "host_removed"
UPDATE_FAILED = "update_failed"

_BY_ERROR = {"protocol_newer": AGENT_NEWER, "protocol_older": AGENT_OLDER}


def issue_id(issue: str, host_id: str) -> str:
    """Return what an issue of a host is known by."""
    return f"{issue}_{host_id}"


@callback
def _async_create(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    issue: str,
    *,
    severity: ir.IssueSeverity,
    known_by: str | None = None,
    flow_data: Mapping[str, str] | None = None,
    is_persistent: bool = False,
    **placeholders: str,
) -> None:
    """Create an issue of a host; this is where texts of hosts are escaped for all of them.

    Args:
        hass: Home Assistant.
        entry: The host's, whose title is the placeholder `name`.
        issue: Its translation key.
        severity: How bad it is.
        known_by: What it is known by, if not by its translation key and the host.
        flow_data: What the flow in `repairs.py` needs to put it right, if it can; other issues
            have a link to the documentation.
        is_persistent: Whether it outlives a restart of Home Assistant by itself.
        placeholders: What else its texts say; everything but `Markdown` is escaped.
    """
    assert entry.unique_id is not None
    ir.async_create_issue(
        hass,
        DOMAIN,
        known_by or issue_id(issue, entry.unique_id),
        data=None if flow_data is None else dict(flow_data),
        is_fixable=flow_data is not None,
        is_persistent=is_persistent,
        severity=severity,
        learn_more_url=DOCUMENTATION_URL if flow_data is None else None,
        translation_key=issue,
        translation_placeholders=markdown_placeholders({"name": entry.title, **placeholders}),
    )


@callback
def async_report_version(hass: HomeAssistant, entry: PilotConfigEntry, err: ProtocolError) -> None:
    """Say which side is to be updated, if that is why the host was not understood."""
    if (issue := _BY_ERROR.get(err.kind)) is None:
        return
    _async_create(
        hass,
        entry,
        issue,
        severity=ir.IssueSeverity.ERROR,
        agent_protocol=str(err.other),
        protocol=str(PROTOCOL),
    )


@callback
def async_report_removed(hass: HomeAssistant, entry: PilotConfigEntry) -> None:
    """Say that the host was removed for good, and offer to remove it here too."""
    assert entry.unique_id is not None
    _async_create(
        hass,
        entry,
        HOST_REMOVED,
        severity=ir.IssueSeverity.WARNING,
        flow_data={"entry_id": entry.entry_id, "host_id": entry.unique_id},
    )


@callback
def async_report_exposed(
    hass: HomeAssistant, entry: PilotConfigEntry, entity_ids: Collection[str]
) -> None:
    """Say that voice assistants can reach what ends work, and offer to withdraw it from them.

    The caller asks once. The issue is kept over restarts until it is answered: put right, which
    deletes it, or ignored.
    """
    _async_create(
        hass,
        entry,
        EXPOSED,
        known_by=issue_id(EXPOSED, entry.entry_id),
        severity=ir.IssueSeverity.WARNING,
        flow_data={"entry_id": entry.entry_id},
        is_persistent=True,
        entities=Markdown("\n".join(f"- {code_span(entity_id)}" for entity_id in entity_ids)),
    )


@callback
def async_forget_exposed(hass: HomeAssistant, entry: PilotConfigEntry) -> None:
    """Withdraw that voice assistants can reach what ends work."""
    ir.async_delete_issue(hass, DOMAIN, issue_id(EXPOSED, entry.entry_id))


@callback
def async_follow_announce(hass: HomeAssistant, entry: PilotConfigEntry, announce: Announce) -> None:
    """Withdraw what a good announce puts right, and say if another host has the same id."""
    host_id = announce.host.id
    for issue in (AGENT_NEWER, AGENT_OLDER, HOST_REMOVED):
        ir.async_delete_issue(hass, DOMAIN, issue_id(issue, host_id))
    if announce.conflict is None:
        ir.async_delete_issue(hass, DOMAIN, issue_id(CONFLICT, host_id))
        return
    _async_create(
        hass,
        entry,
        CONFLICT,
        severity=ir.IssueSeverity.ERROR,
        host=announce.host.name,
        other=announce.conflict.name,
        # The translations put it between backticks.
        command=Markdown("pilot-agent id --new"),
    )


@callback
def async_follow_update(hass: HomeAssistant, entry: PilotConfigEntry, announce: Announce) -> None:
    """Say that the host has left a new version of its agent again, until one works."""
    failed = announce.update and announce.update.failed
    if not failed:
        ir.async_delete_issue(hass, DOMAIN, issue_id(UPDATE_FAILED, announce.host.id))
        return
    _async_create(
        hass,
        entry,
        UPDATE_FAILED,
        severity=ir.IssueSeverity.ERROR,
        version=failed[0],
        reason=failed[1],
        running=announce.agent.version,
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
        _async_create(
            hass,
            entry,
            PERMISSION,
            known_by=permission,
            severity=ir.IssueSeverity.WARNING,
            commands=Markdown(", ".join(map(code_span, keys))),
            fix=_fix(missing.fix),
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


def _fix(text: str) -> Markdown:
    """Return words, and what is to be copied below them in a block of its own."""
    words, _, block = text.strip().partition("\n\n")
    said = escape_markdown(words)
    return Markdown(f"{said}\n\n{code_block(block)}" if block else said)


@callback
def async_report_clock(hass: HomeAssistant, entry: PilotConfigEntry, difference: float) -> None:
    """Say that the host's clock and that of Home Assistant differ, and by how much."""
    assert entry.unique_id is not None
    _async_create(
        hass,
        entry,
        CLOCK_AHEAD if difference > 0 else CLOCK_BEHIND,
        known_by=issue_id(CLOCK, entry.unique_id),
        severity=ir.IssueSeverity.ERROR,
        difference=_duration(abs(difference)),
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
