"""Repairs that Pilot can do when the user agrees."""

from typing import TYPE_CHECKING, override

from homeassistant.components.repairs import ConfirmRepairFlow, RepairsFlow, RepairsFlowResult

from .ignored_hosts import async_get_removed_hosts

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


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow that puts an issue right; only one kind of them can be."""
    assert data is not None
    return HostRemovedRepairFlow(str(data["entry_id"]), str(data["host_id"]))
