"""The steps of a flow that pair with a host: when it is added, later, and again."""

from typing import TYPE_CHECKING, Any, Final

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.helpers.selector import TextSelector
import probatio

from .const import CONF_PAIRED, CONF_PREFIX
from .devices import model_of
from .flow_base import HostFlow
from .pair import async_pair
from .protocol.pairing import PairingError, read_code
from .trust import async_get_trust

if TYPE_CHECKING:
    from collections.abc import Mapping

CONF_CODE: Final = "code"

PAIRING_ERRORS: Final[Mapping[str, str]] = {
    "burned": "code_burned",
    "busy": "pairing_busy",
    "expired": "code_expired",
    "host_asleep": "host_asleep",
    "host_lost": "host_lost",
    "host_off": "host_off",
    "malformed": "pairing_malformed",
    "mqtt_not_connected": "mqtt_not_connected",
    "no_answer": "no_answer",
    "no_code": "no_code",
    "not_genuine": "not_genuine",
    "wrong_code": "wrong_code",
}
"""What the user is told, by why a host did not pair."""

LOST_KEYS: Final = (
    "host_forgot",
    "host_revoked",
    "host_other_key",
    "host_says_not_paired",
    "lost_here",
)
"""Why a host is to be paired again."""


class PairingFlow(HostFlow):
    """Pair with a host by the code that it shows."""

    def __init__(self) -> None:
        """Start without a try."""
        super().__init__()
        self._tries_left: dict[str, str] = {}
        self._lost: str | None = None

    async def _pair(self, host_id: str, code: str) -> dict[str, str]:
        """Pair with a host, and keep what is shared with it; return what went wrong."""
        if (digits := read_code(code)) is None:
            return {CONF_CODE: "invalid_code"}
        try:
            secret = await async_pair(self.hass, self._prefix, host_id, digits)
        except PairingError as err:
            if err.left is not None:
                self._tries_left = {"left": str(err.left)}
            # The last try ends the code, whatever it was wrong about.
            reason = "burned" if err.left is not None and err.left <= 0 else err.reason
            return {"base": PAIRING_ERRORS[reason]}
        await (await async_get_trust(self.hass)).async_pair(host_id, secret)
        return {}

    async def async_step_pair(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Pair with a host that was added without."""
        return await self._pair_again("pair", user_input)

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Take note that a host seems to have lost its keys."""
        self._lost = str(entry_data.get("reason", "host_forgot"))
        entry = self._get_reauth_entry()
        loaded = entry.state is ConfigEntryState.LOADED
        announce = entry.runtime_data.announce if loaded else None
        self.context["title_placeholders"] = {
            "name": entry.title,
            "model": (announce and model_of(announce.host)) or entry.unique_id or "-",
        }
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Say why the host is to be paired again, and ask for its code."""
        return await self._pair_again("reauth_confirm", user_input, self._lost)

    async def _pair_again(
        self, step_id: str, user_input: dict[str, Any] | None, lost: str | None = None
    ) -> ConfigFlowResult:
        """Ask for the code of a host that is set up."""
        entry = self._get_reauth_entry() if lost else self._get_reconfigure_entry()
        assert entry.unique_id is not None
        self._prefix = entry.data[CONF_PREFIX]
        errors = {"base": lost} if lost in LOST_KEYS else {}
        if user_input is not None:
            errors = await self._pair(entry.unique_id, user_input[CONF_CODE])
            if not errors:
                return self.async_update_reload_and_abort(entry, data_updates={CONF_PAIRED: True})
        return self.async_show_form(
            step_id=step_id,
            data_schema=probatio.Schema({probatio.Required(CONF_CODE): TextSelector()}),
            errors=errors,
            description_placeholders={"name": entry.title, **self._tries_left},
        )
