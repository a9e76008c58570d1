"""Repairs of Pilot: every issue of a host is created and deleted here, and all are fixed here.

Those of files that cannot be read are created by what reads them (`storage.py`).
"""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, override

from homeassistant.components.repairs import ConfirmRepairFlow, RepairsFlow, RepairsFlowResult
from homeassistant.components.repairs.const import FlowType
from homeassistant.config_entries import SOURCE_RECONFIGURE
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import STORAGE_DIR

from .const import CONF_PAIRED, DOMAIN
from .exposure import async_withhold, exposed_entities
from .ignored_hosts import async_get_removed_hosts
from .issues import async_create_issue
from .markdown import Markdown, code_block, code_span, escape_markdown
from .protocol.announce import Announce, Missing
from .protocol.errors import ProtocolError
from .protocol.validation import PROTOCOL
from .storage import is_issue_of_file, set_aside

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from homeassistant.config_entries import ConfigEntry

CLOCK = "clock"
CLOCK_AHEAD = "clock_ahead"
CLOCK_BEHIND = "clock_behind"
PERMISSION = "permission"
AGENT_NEWER = "agent_newer"
AGENT_OLDER = "agent_older"
CONFLICT = "conflict"
EXPOSED = "exposed"
HOST_REMOVED = "host_removed"
UNPAIRED = "unpaired"
UPDATE_FAILED = "update_failed"

_TRUST = "trust."
"""The beginning of the commands that are about pairing itself."""

_BY_ERROR = {"protocol_newer": AGENT_NEWER, "protocol_older": AGENT_OLDER}


def issue_id(issue: str, host_id: str) -> str:
    """Return the id of an issue of a host."""
    return f"{issue}_{host_id}"


@callback
def _async_create(
    hass: HomeAssistant,
    entry: ConfigEntry,
    issue: str,
    *,
    severity: ir.IssueSeverity,
    known_by: str | None = None,
    flow_data: Mapping[str, str] | None = None,
    is_persistent: bool = False,
    **placeholders: str,
) -> None:
    """Create an issue of a host, with all texts escaped for Markdown.

    Args:
        hass: Home Assistant.
        entry: The config entry of the host; its title is the placeholder `name`.
        issue: Its translation key.
        severity: Its severity.
        known_by: Its id, if not made of its translation key and the host.
        flow_data: The data of its fix flow, if it has one; other issues have a link to the
            documentation.
        is_persistent: Whether it outlives a restart of Home Assistant by itself.
        placeholders: Further placeholders; all but instances of `Markdown` are escaped.
    """
    assert entry.unique_id is not None
    async_create_issue(
        hass,
        known_by or issue_id(issue, entry.unique_id),
        issue,
        {"name": entry.title, **placeholders},
        severity=severity,
        flow_data=flow_data,
        is_persistent=is_persistent,
    )


@callback
def async_report_version(hass: HomeAssistant, entry: ConfigEntry, err: ProtocolError) -> None:
    """Report which side has to be updated, if the protocols of both differ."""
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
def async_report_removed(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Report that the host was removed for good, and offer to remove its config entry."""
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
    hass: HomeAssistant, entry: ConfigEntry, entity_ids: Collection[str]
) -> None:
    """Report entities that can end work and are exposed to voice assistants.

    The issue is kept over restarts until the user fixes or ignores it.
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
def async_review_exposed(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Delete the issue about exposed entities once none is exposed any more."""
    if not exposed_entities(hass, entry.entry_id):
        async_forget_exposed(hass, entry)


@callback
def async_forget_exposed(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Delete the issue about exposed entities."""
    ir.async_delete_issue(hass, DOMAIN, issue_id(EXPOSED, entry.entry_id))


@callback
def async_follow_announce(hass: HomeAssistant, entry: ConfigEntry, announce: Announce) -> None:
    """Delete what an accepted announce refutes, and report another host with the same id."""
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
def async_follow_update(hass: HomeAssistant, entry: ConfigEntry, announce: Announce) -> None:
    """Report a release of the agent that the host rolled back, until one works."""
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
def async_follow_pairing(
    hass: HomeAssistant, entry: ConfigEntry, announce: Announce, *, paired: bool
) -> None:
    """Offer to pair a host that could be commanded then, until it is paired.

    A host that was paired, and has lost its key, has a flow of its own.
    """
    offers = any(not key.startswith(_TRUST) for key in announce.commands)
    if paired or entry.data.get(CONF_PAIRED) or announce.trust is None or not offers:
        ir.async_delete_issue(hass, DOMAIN, issue_id(UNPAIRED, announce.host.id))
        return
    _async_create(
        hass,
        entry,
        UNPAIRED,
        severity=ir.IssueSeverity.WARNING,
        flow_data={"entry_id": entry.entry_id},
    )


@callback
def async_follow_permissions(hass: HomeAssistant, entry: ConfigEntry, announce: Announce) -> None:
    """Report permissions that commands of the host lack, one issue for each fix."""
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
    """Return an explanation, with what is to be copied in a code block below it."""
    words, _, block = text.strip().partition("\n\n")
    explanation = escape_markdown(words)
    return Markdown(f"{explanation}\n\n{code_block(block)}" if block else explanation)


@callback
def async_report_clock(hass: HomeAssistant, entry: ConfigEntry, difference: float) -> None:
    """Report that the clocks of the host and of Home Assistant differ, and by how much."""
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
    """Delete the issue about the clocks."""
    ir.async_delete_issue(hass, DOMAIN, issue_id(CLOCK, host_id))


def _duration(seconds: float) -> str:
    """Return a duration in units that are written alike in many languages."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


@callback
def async_forget_issues(hass: HomeAssistant, host_id: str) -> None:
    """Delete all issues of a host whose config entry is removed or moved to another host."""
    for issue in (
        AGENT_NEWER,
        AGENT_OLDER,
        CLOCK,
        CONFLICT,
        HOST_REMOVED,
        UNPAIRED,
        UPDATE_FAILED,
    ):
        ir.async_delete_issue(hass, DOMAIN, issue_id(issue, host_id))
    _forget_permissions(hass, host_id)


# --- Fix flows ---------------------------------------------------------------------------------


class HostRemovedRepairFlow(ConfirmRepairFlow):
    """Remove the entry of a host that is gone for good."""

    def __init__(self, entry_id: str, host_id: str) -> None:
        """Keep the ids of entry and host."""
        self._entry_id = entry_id
        self._host_id = host_id

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Remove the entry once the user confirms."""
        if user_input is None:
            return await super().async_step_confirm(user_input)
        if self.hass.config_entries.async_get_entry(self._entry_id) is not None:
            await self.hass.config_entries.async_remove(self._entry_id)
        # The host left, not the user: an agent that is installed again may be discovered.
        (await async_get_removed_hosts(self.hass)).async_discard(self._host_id)
        return self.async_create_entry(data={})


class _ChoiceRepairFlow(RepairsFlow):
    """Let the user choose between a fix and leaving everything as it is, for good.

    Home Assistant's front end lets users ignore only issues that have no fix.
    """

    def __init__(self, entry_id: str) -> None:
        """Keep the id of the config entry."""
        self._entry_id = entry_id

    async def async_step_init(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Ask what to do."""
        issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
        return self.async_show_menu(
            step_id="init",
            menu_options=["confirm", "ignore"],
            description_placeholders=None if issue is None else issue.translation_placeholders,
        )

    async def async_step_ignore(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Ask no more."""
        ir.async_ignore_issue(self.hass, DOMAIN, self.issue_id, ignore=True)
        return self.async_abort(reason="issue_ignored")


class ExposedRepairFlow(_ChoiceRepairFlow):
    """Withdraw entities that can end work on a host from voice assistants."""

    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Withdraw the entities."""
        async_withhold(self.hass, self._entry_id)
        return self.async_create_entry(data={})


class DamagedFileRepairFlow(ConfirmRepairFlow):
    """Set a file aside that cannot be read, so that the next start begins with a new one."""

    def __init__(self, file: str) -> None:
        """Keep the name of the file."""
        self._file = file

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Set the file aside once the user confirms."""
        if user_input is None:
            return await super().async_step_confirm(user_input)
        path = Path(self.hass.config.path(STORAGE_DIR, self._file))
        try:
            await self.hass.async_add_executor_job(set_aside, path)
        except OSError:
            return self.async_abort(reason="cannot_rename")
        return self.async_create_entry(data={})


class UnpairedRepairFlow(_ChoiceRepairFlow):
    """Lead to the dialog that pairs a host; the repair stays until it is paired."""

    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Open the dialog."""
        flows = self.hass.config_entries.flow
        menu = await flows.async_init(
            DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": self._entry_id}
        )
        await flows.async_configure(menu["flow_id"], {"next_step_id": "pair"})
        return self.async_abort(
            reason="pairing_opened", next_flow=(FlowType.CONFIG_FLOW, menu["flow_id"])
        )


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow that fixes an issue."""
    assert data is not None
    if is_issue_of_file(issue_id):
        return DamagedFileRepairFlow(str(data["file"]))
    if issue_id.startswith(f"{EXPOSED}_"):
        return ExposedRepairFlow(str(data["entry_id"]))
    if issue_id.startswith(f"{UNPAIRED}_"):
        return UnpairedRepairFlow(str(data["entry_id"]))
    return HostRemovedRepairFlow(str(data["entry_id"]), str(data["host_id"]))
