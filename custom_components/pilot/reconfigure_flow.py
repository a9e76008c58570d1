"""The steps of a flow that follow a host which has changed."""

from typing import TYPE_CHECKING, Any

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.helpers.selector import TextSelector
import probatio

from .const import CONF_PREFIX
from .discovery import async_search
from .flow_base import (
    CONF_HOST_ID,
    HostFlow,
    announce_of,
    async_dismiss_offer,
    async_mqtt_problem,
    host_field,
    topic_prefix,
)
from .host_migration import async_move_to
from .trust import async_get_trust

if TYPE_CHECKING:
    from .data import PilotConfigEntry


class ReconfigureFlow(HostFlow):
    """Ask what has changed with a host, and go on with it."""

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask what has changed."""
        entry: PilotConfigEntry = self._get_reconfigure_entry()
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=[
                *(["pair"] if _can_pair(entry) else []),
                "topic_prefix",
                "reinstalled",
            ],
            description_placeholders={"name": entry.title},
        )

    async def async_step_topic_prefix(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Follow the host to another topic prefix."""
        entry = self._get_reconfigure_entry()
        if (problem := await async_mqtt_problem(self.hass)) is not None:
            return self.async_abort(reason=problem)
        assert entry.unique_id is not None
        errors: dict[str, str] = {}
        self._prefix = entry.data[CONF_PREFIX]
        if user_input is not None:
            self._prefix = user_input[CONF_PREFIX]
            if (prefix := topic_prefix(self._prefix)) is None:
                errors[CONF_PREFIX] = "invalid_prefix"
            else:
                found = await async_search(self.hass, prefix, entry.unique_id)
                if entry.unique_id in found.hosts:
                    return self.async_update_reload_and_abort(
                        entry, data_updates={CONF_PREFIX: prefix}
                    )
                errors[CONF_PREFIX] = "host_not_found" if found.answered else "broker_silent"
        return self.async_show_form(
            step_id="topic_prefix",
            data_schema=probatio.Schema(
                {probatio.Required(CONF_PREFIX, default=self._prefix): TextSelector()}
            ),
            errors=errors,
            description_placeholders={"name": entry.title},
        )

    async def async_step_reinstalled(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the entry go on with another host: the same computer after a new installation."""
        entry = self._get_reconfigure_entry()
        if (problem := await async_mqtt_problem(self.hass)) is not None:
            return self.async_abort(reason=problem)
        if user_input is not None and CONF_HOST_ID in user_input:
            return await self._move(entry, user_input[CONF_HOST_ID])
        self._prefix = entry.data[CONF_PREFIX]
        errors = await self._search()
        if not self._found.hosts and errors.get("base", "no_hosts") == "no_hosts":
            # Other computers do not matter here, whether there are any or not.
            errors = {"base": "no_new_installation"}
        return self.async_show_form(
            step_id="reinstalled",
            data_schema=probatio.Schema(host_field(self._found, suggest=False)),
            errors=errors,
            description_placeholders={"name": entry.title, "prefix": self._prefix},
        )

    async def _move(self, entry: PilotConfigEntry, host_id: str) -> ConfigFlowResult:
        """Go on with that host; it is not to be offered as a new one any more."""
        async_dismiss_offer(self.hass, host_id)
        assert entry.unique_id is not None
        # Its new installation has no key; once it is followed, the user is asked to pair.
        await (await async_get_trust(self.hass)).async_forget(entry.unique_id)
        await self.hass.config_entries.async_unload(entry.entry_id)
        await async_move_to(self.hass, entry, host_id)
        return self.async_update_reload_and_abort(entry)


def _can_pair(entry: PilotConfigEntry) -> bool:
    """Say whether a host's agent knows of pairing, as far as it has been heard."""
    announce = announce_of(entry)
    return announce is None or announce.trust is not None
