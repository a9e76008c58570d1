"""Repairs that Pilot can do when the user agrees."""

from typing import TYPE_CHECKING, override

from homeassistant.components.repairs import ConfirmRepairFlow, RepairsFlow, RepairsFlowResult

from .exposure import async_withhold
from .ignored_hosts import async_get_removed_hosts
from .issues import EXPOSED

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant


class HostRemovedRepairFlow(ConfirmRepairFlow):
    """Remove the entry of a host that is gone for good."""

    def __init__(self, entry_id: str, host_id: str) -> None:
        """Keep what is to be removed."""
        self._entry_id = entry_id
        self._host_id = host_id

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Remove it once the user agrees."""
        if user_input is None:
            return await super().async_step_confirm(user_input)
        if self.hass.config_entries.async_get_entry(self._entry_id) is not None:
            await self.hass.config_entries.async_remove(self._entry_id)
        # It was the host that left. Should its agent be installed again, it is welcome.
        (await async_get_removed_hosts(self.hass)).async_discard(self._host_id)
        return self.async_create_entry(data={})


class ExposedRepairFlow(ConfirmRepairFlow):
    """Withdraw what can end a host's work from voice assistants."""

    def __init__(self, entry_id: str) -> None:
        """Keep whose entities they are."""
        self._entry_id = entry_id

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Withdraw it once the user agrees."""
        if user_input is None:
            return await super().async_step_confirm(user_input)
        async_withhold(self.hass, self._entry_id)
        return self.async_create_entry(data={})


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow that puts an issue right."""
    assert data is not None
    if issue_id.startswith(f"{EXPOSED}_"):
        return ExposedRepairFlow(str(data["entry_id"]))
    return HostRemovedRepairFlow(str(data["entry_id"]), str(data["host_id"]))
