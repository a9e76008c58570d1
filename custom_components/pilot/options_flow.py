"""What can be set once a host is set up: for this host, and for all of the house."""

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import probatio

from .const import CONF_CLEAR_ON_REMOVE, CONF_WAKE_ADDRESS, CONF_WAKE_PORT
from .fleet import async_set_fleet_key
from .protocol.signing import fleet_secret
from .settings_flow import AgentSettingsFlow
from .trust import async_get_trust
from .wake_on_lan import DEFAULT_ADDRESS, DEFAULT_PORT

if TYPE_CHECKING:
    from .trust import TrustStore

CONF_FLEET_KEY: Final = "fleet_key"
CONF_FLEET_MODE: Final = "fleet_mode"

FLEET_ADD: Final = "add"
FLEET_ASK: Final = "ask"
FLEET_FORGET: Final = "forget"


class PilotOptionsFlow(AgentSettingsFlow):
    """Change the options of a host, the settings of its agent, or the fleet key."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask what is to be set."""
        return self.async_show_menu(
            step_id="init", menu_options=["settings", "computer", "fleet_key"]
        )

    async def async_step_computer(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the options of this host."""
        errors: dict[str, str] = {}
        if user_input is not None:
            if CONF_WAKE_ADDRESS in user_input:
                user_input[CONF_WAKE_ADDRESS] = user_input[CONF_WAKE_ADDRESS].strip()
            if _is_address(user_input.get(CONF_WAKE_ADDRESS, DEFAULT_ADDRESS)):
                return self.async_create_entry(data=user_input)
            errors[CONF_WAKE_ADDRESS] = "invalid_address"
        options = user_input or self.config_entry.options
        clear_on_remove: bool = options.get(CONF_CLEAR_ON_REMOVE, False)
        return self.async_show_form(
            step_id="computer",
            data_schema=probatio.Schema(
                {
                    probatio.Required(
                        CONF_CLEAR_ON_REMOVE, default=clear_on_remove
                    ): BooleanSelector(),
                    probatio.Optional(
                        CONF_WAKE_ADDRESS,
                        description={
                            "suggested_value": options.get(CONF_WAKE_ADDRESS, DEFAULT_ADDRESS)
                        },
                    ): TextSelector(),
                    probatio.Optional(
                        CONF_WAKE_PORT,
                        description={"suggested_value": options.get(CONF_WAKE_PORT, DEFAULT_PORT)},
                    ): NumberSelector(
                        NumberSelectorConfig(min=1, max=65535, mode=NumberSelectorMode.BOX)
                    ),
                }
            ),
            errors=errors,
            description_placeholders={"name": self.config_entry.title},
        )

    async def async_step_fleet_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the fleet key, which is one for all hosts."""
        trust = await async_get_trust(self.hass)
        if not trust.readable:
            return self.async_abort(reason="keys_unreadable")
        errors: dict[str, str] = {}
        mode = FLEET_ADD if trust.add_fleet else FLEET_ASK
        if user_input is not None:
            mode = user_input[CONF_FLEET_MODE]
            try:
                secret = _secret(trust, mode, user_input.get(CONF_FLEET_KEY))
            except ValueError:
                errors[CONF_FLEET_KEY] = "invalid_fleet_key"
            else:
                await async_set_fleet_key(self.hass, secret, add=mode == FLEET_ADD)
                # The key is not an option of this entry: it is kept with the other secrets.
                return self.async_create_entry(data=dict(self.config_entry.options))
        saved = trust.fleet is not None
        key = probatio.Optional if saved else probatio.Required
        modes = [FLEET_ADD, FLEET_ASK, *([FLEET_FORGET] if saved else [])]
        return self.async_show_form(
            step_id="fleet_key" if not saved else "fleet_key_saved",
            data_schema=probatio.Schema(
                {
                    key(CONF_FLEET_KEY): TextSelector(
                        TextSelectorConfig(type=TextSelectorType.PASSWORD)
                    ),
                    probatio.Required(CONF_FLEET_MODE, default=mode): SelectSelector(
                        SelectSelectorConfig(
                            mode=SelectSelectorMode.LIST,
                            options=modes,
                            translation_key=CONF_FLEET_MODE,
                        )
                    ),
                }
            ),
            errors=errors,
        )

    async_step_fleet_key_saved = async_step_fleet_key
    """The same, in the words for a house that has a key: it can be replaced or forgotten."""


def _secret(trust: TrustStore, mode: str, key: str | None) -> bytes | None:
    """Return the fleet key that is to be kept; the one that is saved if none was entered.

    Raises:
        ValueError: What was entered is no fleet key.
    """
    if mode == FLEET_FORGET:
        return None
    return fleet_secret(key) if key else trust.fleet


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
