"""What the user has to put right, as entries in Home Assistant's repairs."""

from typing import TYPE_CHECKING

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOCUMENTATION_URL, DOMAIN
from .protocol import PROTOCOL, Announce, ProtocolError

if TYPE_CHECKING:
    from .coordinator import PilotConfigEntry

AGENT_NEWER = "agent_newer"
AGENT_OLDER = "agent_older"
CONFLICT = "conflict"
HOST_REMOVED = "host_removed"

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
def async_forget_issues(hass: HomeAssistant, host_id: str) -> None:
    """Withdraw all issues of a host that is not followed any more."""
    for issue in (AGENT_NEWER, AGENT_OLDER, CONFLICT, HOST_REMOVED):
        ir.async_delete_issue(hass, DOMAIN, issue_id(issue, host_id))
