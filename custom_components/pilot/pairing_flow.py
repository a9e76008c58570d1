"""The steps of a flow that pair with a host: when it is added, later, and again."""

from typing import TYPE_CHECKING, Any, Final

from homeassistant.config_entries import SOURCE_REAUTH, ConfigFlowResult
from homeassistant.helpers.selector import TextSelector
import probatio

from .const import CONF_PAIRED, CONF_PREFIX, DOMAIN
from .devices import model_of
from .flow_base import HostFlow, announce_of, pair_command
from .pair import async_pair
from .protocol.pairing import PairingError, read_code
from .trust import async_get_trust

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from .data import PilotConfigEntry

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
    """Pair with a host by the code that it shows.

    A step that asks for the code calls `_async_pair` with what was entered. While the host is
    asked the user sees that, and no earlier error. Then follows the step `paired`, or the step
    that asked, with what went wrong.
    """

    def __init__(self) -> None:
        """Start without a try."""
        super().__init__()
        self._errors: dict[str, str] = {}
        self._tries_left: dict[str, str] = {}
        self._pairing: asyncio.Task[None]
        self._asking: str
        self._name: str
        self._command = pair_command(None)

    async def _async_pair(
        self, asking: str, host_id: str, name: str, code: str
    ) -> ConfigFlowResult:
        """Begin to pair, and return what is shown meanwhile."""
        self._asking, self._name, self._errors = asking, name, {}
        if (digits := read_code(code)) is None:
            self._errors = {CONF_CODE: "invalid_code"}
            asked: ConfigFlowResult = await getattr(self, f"async_step_{asking}")()
            return asked
        self._pairing = self.hass.async_create_task(
            self._async_talk(host_id, digits), f"{DOMAIN} pairing {host_id}"
        )
        return self._show_pairing()

    async def _async_talk(self, host_id: str, digits: str) -> None:
        """Pair with a host, and keep what is shared with it or what went wrong."""
        try:
            secret = await async_pair(self.hass, self._prefix, host_id, digits)
        except PairingError as err:
            if err.left is not None:
                self._tries_left = {"left": str(err.left)}
            # The last try ends the code, whatever it was wrong about.
            reason = "burned" if err.left is not None and err.left <= 0 else err.reason
            self._errors = {"base": PAIRING_ERRORS[reason]}
            return
        await (await async_get_trust(self.hass)).async_pair(host_id, secret)

    def _show_pairing(self) -> ConfigFlowResult:
        return self.async_show_progress(
            step_id="pairing",
            progress_action="pairing",
            description_placeholders={"name": self._name, "command": self._command},
            progress_task=self._pairing,
        )

    async def async_step_pairing(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show that the host is asked, until it has answered."""
        if not self._pairing.done():
            return self._show_pairing()
        self._pairing.result()
        return self.async_show_progress_done(
            next_step_id=self._asking if self._errors else "paired"
        )

    async def async_step_paired(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Go on with a host that is set up, and now paired."""
        entry = self._entry()
        return self.async_update_reload_and_abort(entry, data_updates={CONF_PAIRED: True})

    async def async_step_pair(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Pair with a host that was added without."""
        return await self._async_ask("pair", user_input)

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Take note that a host seems to have lost its keys."""
        lost = str(entry_data.get("reason", "host_forgot"))
        self._errors = {"base": lost} if lost in LOST_KEYS else {}
        entry = self._entry()
        announce = announce_of(entry)
        self.context["title_placeholders"] = {
            "name": entry.title,
            "model": (announce and model_of(announce.host)) or entry.unique_id or "-",
        }
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Say why the host is to be paired again, and ask for its code."""
        return await self._async_ask("reauth_confirm", user_input)

    async def _async_ask(self, step_id: str, user_input: dict[str, Any] | None) -> ConfigFlowResult:
        """Ask for the code of a host that is set up."""
        if not (await async_get_trust(self.hass)).readable:
            return self.async_abort(reason="keys_unreadable")
        entry = self._entry()
        assert entry.unique_id is not None
        self._prefix = entry.data[CONF_PREFIX]
        self._command = pair_command(announce_of(entry))
        if user_input is not None:
            return await self._async_pair(
                step_id, entry.unique_id, entry.title, user_input[CONF_CODE]
            )
        return self.async_show_form(
            step_id=step_id,
            data_schema=probatio.Schema({probatio.Required(CONF_CODE): TextSelector()}),
            errors=self._errors,
            description_placeholders={
                "name": entry.title,
                "command": self._command,
                **self._tries_left,
            },
        )

    def _entry(self) -> PilotConfigEntry:
        """Return the entry of the host that is set up."""
        if self.source == SOURCE_REAUTH:
            return self._get_reauth_entry()
        return self._get_reconfigure_entry()
