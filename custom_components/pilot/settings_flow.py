"""The steps of the options flow that change the settings of a host's agent.

The form is made from what the agent says of its settings. They are kept by the agent; what was
chosen is sent as one signed command, and refused as a whole or applied as a whole.
"""

from json import dumps
from typing import TYPE_CHECKING, Any, Final

from homeassistant.config_entries import ConfigFlowResult, OptionsFlow
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.selector import (
    BooleanSelector,
    BooleanSelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    Selector,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
from homeassistant.helpers.translation import async_get_translations
import probatio

from .const import DOMAIN
from .errors import command_error, local_error
from .flow_base import MarkdownFlow, announce_of, pair_command
from .markdown import NOT_KNOWN, markdown_placeholders
from .protocol.errors import ProtocolError
from .protocol.settings import (
    CONFIG_GET,
    CONFIG_SET,
    FieldType,
    SettingField,
    Settings,
    parse_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .data import PilotConfigEntry
    from .protocol.messages import Result

CONF_SECTIONS: Final = "sections"
SECTION: Final = "settings_section"
FIXED: Final = "_fixed"
"""What follows the name of a field that the host itself sets: such fields have texts of their
own, which say where."""

_FIELDS: Final = ("enabled", "interval", "include", "exclude", "level", "idle_after")
"""The fields that have texts; a newer agent may have others."""
_NUMBERS: Final = ("interval", "idle_after")
"""Those of them that are numbers, and whose texts say what is usual."""
_OWN_REASONS: Final = ("invalid", "fixed", "not_settable")


class AgentSettingsFlow(MarkdownFlow, OptionsFlow):
    """Ask for settings of a host's agent."""

    config_entry: PilotConfigEntry

    def __init__(self) -> None:
        """Start without settings."""
        self._revision = ""
        self._sections: dict[str, str] = {}
        self._asked: list[str] = []
        self._settings: dict[str, Settings] = {}
        self._entered: dict[str, dict[str, Any]] = {}

    async def async_step_settings(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask which settings are to be changed."""
        if (refused := self._refused()) is not None:
            return refused
        errors: dict[str, str] = {}
        if user_input is not None:
            self._asked = [self._sections[value] for value in user_input[CONF_SECTIONS]]
            if self._asked:
                return await self._begin()
            errors[CONF_SECTIONS] = "nothing_chosen"
        else:
            try:
                settings = await self._get("")
            except HomeAssistantError as err:
                return self._abort("settings_failed", error=str(err))
            self._sections = {section.replace(".", "_"): section for section in settings.sections}
        return self.async_show_form(
            step_id="settings",
            data_schema=probatio.Schema(
                {
                    probatio.Required(CONF_SECTIONS, default=[]): SelectSelector(
                        SelectSelectorConfig(
                            options=list(self._sections),
                            multiple=True,
                            mode=SelectSelectorMode.LIST,
                            translation_key=SECTION,
                        )
                    )
                }
            ),
            errors=errors,
            description_placeholders={"name": self.config_entry.title},
            last_step=False,
        )

    async def async_step_setting(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take the settings of one section, and ask for those of the next, or send all."""
        if user_input is not None:
            self._entered[self._asked[len(self._entered)]] = user_input
        if len(self._entered) < len(self._asked):
            return await self._ask(self._asked[len(self._entered)], {})
        return await self._send()

    async def _begin(self, error: str | None = None) -> ConfigFlowResult:
        """Read the settings that were chosen as they are now, and ask for the first."""
        self._entered = {}
        try:
            for section in self._asked:
                self._settings[section] = await self._get(section)
        except HomeAssistantError as err:
            return self._abort("settings_failed", error=str(err))
        self._revision = self._settings[self._asked[0]].revision
        return await self._ask(self._asked[0], {} if error is None else {"base": error})

    async def _send(self) -> ConfigFlowResult:
        changes: dict[str, Any] = {}
        for section in self._asked:
            for field in self._settings[section].fields:
                changes |= _change(field, self._entered[section])
        if not changes:
            return self._done()
        try:
            result = await self.config_entry.runtime_data.coordinator.commands.async_ask(
                CONFIG_SET, {"revision": self._revision, "values": dumps(changes)}
            )
        except HomeAssistantError as err:
            return self._abort("settings_failed", error=str(err))
        if result.status == "done" and not result.dry_run:
            return self._done()
        if result.reason == "stale":
            return await self._begin("stale")
        for section in self._asked:
            errors = {
                _name(field): reason if reason in _OWN_REASONS else "invalid"
                for field in self._settings[section].fields
                if field.key in result.errors and (reason := result.errors[field.key].reason)
            }
            if errors:
                entered = self._entered[section]
                # What follows is asked for again.
                at = self._asked.index(section)
                self._entered = {name: self._entered[name] for name in self._asked[:at]}
                details = " ".join(error.detail for error in result.errors.values())
                return await self._ask(section, errors, entered, details)
        return self._abort("settings_failed", error=str(self._error(CONFIG_SET, result)))

    async def _ask(
        self,
        section: str,
        errors: dict[str, str],
        entered: Mapping[str, Any] | None = None,
        details: str = "",
    ) -> ConfigFlowResult:
        fields = self._settings[section].fields
        schema = {
            probatio.Optional(
                _name(field), description={"suggested_value": _suggested(field, entered)}
            ): self._selector(section, field)
            for field in fields
        }
        texts = await async_get_translations(
            self.hass, self.hass.config.language, "selector", {DOMAIN}
        )
        path = f"component.{DOMAIN}.selector.{SECTION}.options.{section.replace('.', '_')}"
        where = {field.key.rpartition(".")[2]: field for field in fields}
        placeholders = {
            "name": self.config_entry.title,
            "section": texts.get(path, section),
            "details": details or NOT_KNOWN,
        }
        for name in _FIELDS:
            field = where.get(name)
            placeholders[f"{name}_where"] = (field and field.fixed) or NOT_KNOWN
        for name in _NUMBERS:
            usual = where[name].default if name in where else None
            placeholders[f"default_{name}"] = NOT_KNOWN if usual is None else f"{usual:g}"
        return self.async_show_form(
            step_id="setting",
            data_schema=probatio.Schema(schema),
            errors=errors,
            description_placeholders=placeholders,
            last_step=section == self._asked[-1],
        )

    @callback
    def _selector(self, section: str, field: SettingField) -> Selector[Any]:
        fixed = field.fixed is not None
        match field.type:
            case FieldType.BOOLEAN:
                return BooleanSelector(BooleanSelectorConfig(read_only=fixed))
            case FieldType.NUMBER:
                number = NumberSelectorConfig(
                    step="any", mode=NumberSelectorMode.BOX, read_only=fixed
                )
                if field.minimum is not None:
                    number["min"] = field.minimum
                if field.maximum is not None:
                    number["max"] = field.maximum
                if field.unit is not None:
                    number["unit_of_measurement"] = "s" if field.unit == "seconds" else field.unit
                return NumberSelector(number)
            case FieldType.CHOICE:
                return SelectSelector(
                    SelectSelectorConfig(
                        options=list(field.options),
                        mode=SelectSelectorMode.DROPDOWN,
                        translation_key="log_level",
                        read_only=fixed,
                    )
                )
            case FieldType.NAMES:
                return SelectSelector(
                    SelectSelectorConfig(
                        options=self._names(section, field),
                        multiple=True,
                        custom_value=True,
                        mode=SelectSelectorMode.DROPDOWN,
                        read_only=fixed,
                    )
                )

    @callback
    def _names(self, section: str, field: SettingField) -> list[str]:
        """Return what can be chosen from: what the host reports now, and what is chosen."""
        collector = section.rpartition(".")[2]
        announce = announce_of(self.config_entry)
        reported = [
            reading.of
            for reading in (announce.readings.values() if announce else ())
            if reading.collector == collector and reading.of
        ]
        chosen = field.value if isinstance(field.value, tuple) else ()
        return list(dict.fromkeys([*chosen, *reported]))

    # --- The host ----------------------------------------------------------------------------

    @callback
    def _refused(self) -> ConfigFlowResult | None:
        """Say why the settings of this host cannot be changed, if they cannot."""
        announce = announce_of(self.config_entry)
        if announce is None:
            return self._abort("settings_not_heard")
        auth = self.config_entry.runtime_data.coordinator.auth
        if not auth.readable:
            return self._abort("keys_unreadable")
        if not auth.paired:
            return self._abort("settings_not_paired", command=pair_command(announce))
        if CONFIG_SET not in announce.commands or CONFIG_GET not in announce.commands:
            return self._abort("settings_not_offered", version=announce.agent.version)
        return None

    async def _get(self, section: str) -> Settings:
        """Ask the agent for its settings.

        Raises:
            HomeAssistantError: It does not tell them, and why.
        """
        result = await self.config_entry.runtime_data.coordinator.commands.async_ask(
            CONFIG_GET, {"section": section}
        )
        if result.status != "done" or result.dry_run:
            raise self._error(CONFIG_GET, result)
        try:
            return parse_settings("" if result.truncated else result.output or "")
        except ProtocolError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="settings_not_understood",
                translation_placeholders={
                    "name": self.config_entry.title,
                    "detail": "too long" if result.truncated else err.detail,
                },
            ) from err

    def _error(self, key: str, result: Result) -> HomeAssistantError:
        if result.dry_run:
            return local_error("command_rehearsed", self.config_entry.title, key)
        return command_error(self.config_entry.title, key, result)

    # --- The end -----------------------------------------------------------------------------

    @callback
    def _abort(self, reason: str, **placeholders: str) -> ConfigFlowResult:
        return self.async_abort(
            reason=reason,
            description_placeholders=markdown_placeholders(
                {"name": self.config_entry.title, **placeholders}
            ),
        )

    @callback
    def _done(self) -> ConfigFlowResult:
        # The settings are no options of this entry: the agent keeps them.
        return self.async_create_entry(data=dict(self.config_entry.options))


def _name(field: SettingField) -> str:
    name = field.key.rpartition(".")[2]
    return name if field.fixed is None else f"{name}{FIXED}"


def _suggested(field: SettingField, entered: Mapping[str, Any] | None) -> Any:  # noqa: ANN401
    """Return what a field shows: what was entered, what counts, or what is usual."""
    if entered is not None and field.fixed is None:
        return entered.get(_name(field))
    value = field.default if field.value is None else field.value
    return list(value) if isinstance(value, tuple) else value


def _change(field: SettingField, entered: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was changed of a field; what is usual again is taken back."""
    if field.fixed is not None:
        return {}
    shown, new = _suggested(field, None), entered.get(_name(field))
    if new == shown or (not new and not shown and new is not False):
        return {}
    usual = list(field.default) if isinstance(field.default, tuple) else field.default
    return {field.key: None if new in (None, [], usual) else new}
