"""Set up hosts: found by discovery, or by a search that the user starts."""

from typing import Any, override

from homeassistant.components import mqtt
from homeassistant.config_entries import (
    ConfigFlow,
    ConfigFlowResult,
    OptionsFlow,
)
from homeassistant.core import callback
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
)
from homeassistant.helpers.service_info.mqtt import MqttServiceInfo
from homeassistant.util.hass_dict import HassKey
import probatio

from .const import (
    CONF_AUTO_TITLE,
    CONF_CLEAR_ON_REMOVE,
    CONF_HOST_NAME,
    CONF_PREFIX,
    DEFAULT_PREFIX,
    DOMAIN,
    LOGGER,
)
from .coordinator import PilotConfigEntry
from .devices import host_title, model_of
from .messages import payload_bytes
from .move import async_move_to
from .protocol import Announce, Host, ProtocolError, parse_announce, split_announce_topic
from .removed import async_get_removed_hosts
from .search import Found, async_search

CONF_HOST_ID = "host_id"
SECTION_ADVANCED = "advanced"

_LOGGED: HassKey[set[tuple[str, str]]] = HassKey(f"{DOMAIN}_refused_announces")
_MAX_LOGGED = 1000


class PilotConfigFlow(ConfigFlow, domain=DOMAIN):
    """Set up one host."""

    VERSION = 1
    MINOR_VERSION = 1

    def __init__(self) -> None:
        """Start without a host."""
        self._prefix = DEFAULT_PREFIX
        self._announce: Announce
        self._found = Found()

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: PilotConfigEntry) -> PilotOptionsFlow:
        """Return the flow that changes options."""
        return PilotOptionsFlow()

    # --- Discovery ---------------------------------------------------------------------------

    @override
    async def async_step_mqtt(self, discovery_info: MqttServiceInfo) -> ConfigFlowResult:
        """Look at an announce that Home Assistant's MQTT integration came across."""
        try:
            self._prefix, host_id = split_announce_topic(discovery_info.topic)
            announce = parse_announce(payload_bytes(discovery_info.payload), host_id)
        except ProtocolError as err:
            self._log_once(discovery_info.topic, err)
            return self.async_abort(reason=_abort_reason(err))
        if announce is None:
            self._dismiss(host_id)
            return self.async_abort(reason="invalid_discovery_info")
        await self.async_set_unique_id(host_id)
        self._abort_if_unique_id_configured()
        if host_id in await async_get_removed_hosts(self.hass):
            return self.async_abort(reason="removed_by_user")
        self._announce = announce
        self.context["title_placeholders"] = {
            "name": announce.host.name,
            "model": self._distinct_model(announce.host),
        }
        return await self.async_step_confirm()

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether this host is wanted."""
        if user_input is not None:
            return self._create()
        host, agent = self._announce.host, self._announce.agent
        return self.async_show_form(
            step_id="confirm",
            description_placeholders={
                "name": host.name,
                "model": _machine(host) or host.arch or "-",
                "os": host.os or "-",
                "version": agent.version,
                "host_id": host.id,
            },
        )

    def _dismiss(self, host_id: str) -> None:
        """Take back the offer of a host that was removed for good."""
        for flow in self._async_in_progress(match_context={"unique_id": host_id}):
            self.hass.config_entries.flow.async_abort(flow["flow_id"])

    def _log_once(self, topic: str, err: ProtocolError) -> None:
        """Log a refused announce, once for its topic and what is wrong with it."""
        if topic.split("/")[-2] in self._async_current_ids(include_ignore=False):
            return  # The host is set up, and its coordinator says what there is to say.
        logged = self.hass.data.setdefault(_LOGGED, set())
        # Anyone may publish under any number of names: the log is to survive that too.
        if (topic, err.kind) not in logged and len(logged) < _MAX_LOGGED:
            logged.add((topic, err.kind))
            LOGGER.warning("Refused an announce on %r: %s", topic, err.detail)

    def _distinct_model(self, host: Host) -> str:
        """Return what tells this host from others of its name."""
        model = model_of(host) or host.id
        for flow in self._async_in_progress():
            shown = flow["context"].get("title_placeholders", {})
            if shown.get("name") == host.name and shown.get("model") == model:
                return f"{model}, {host.id[:6]}"
        return model

    # --- Search ------------------------------------------------------------------------------

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Search for hosts and let the user choose one.

        Discovery does not see hosts right after Pilot was installed (the MQTT integration
        reads the topics of other integrations when it starts), nor under other prefixes.
        """
        if (problem := await self._mqtt_problem()) is not None:
            return self.async_abort(reason=problem)
        errors: dict[str, str] = {}
        if user_input is not None:
            prefix = _prefix(user_input[SECTION_ADVANCED][CONF_PREFIX])
            if prefix is None:
                errors["base"] = "invalid_prefix"
            elif prefix == self._prefix and user_input.get(CONF_HOST_ID) in self._found.hosts:
                self._announce = self._found.hosts[user_input[CONF_HOST_ID]]
                await self.async_set_unique_id(self._announce.host.id, raise_on_progress=False)
                self._abort_if_unique_id_configured()
                return self._create()
            else:
                self._prefix = prefix
        if not errors:
            errors = await self._search()
        schema: dict[probatio.Marker, Any] = {}
        if self._found.hosts:
            schema[probatio.Required(CONF_HOST_ID, default=next(iter(self._found.hosts)))] = (
                _host_selector(self._found)
            )
        schema[probatio.Required(SECTION_ADVANCED)] = section(
            probatio.Schema({probatio.Required(CONF_PREFIX, default=self._prefix): TextSelector()}),
            {"collapsed": True},
        )
        return self.async_show_form(
            step_id="user",
            data_schema=probatio.Schema(schema),
            errors=errors,
            description_placeholders={"count": str(len(self._found.hosts)), "prefix": self._prefix},
        )

    async def _mqtt_problem(self) -> str | None:
        """Return why nothing can be found, if nothing can."""
        if not self.hass.config_entries.async_entries(
            mqtt.DOMAIN, include_ignore=False, include_disabled=False
        ):
            return "mqtt_not_configured"
        if not await mqtt.async_wait_for_mqtt_client(self.hass) or not mqtt.is_connected(self.hass):
            return "mqtt_not_connected"
        return None

    async def _search(self) -> dict[str, str]:
        """Find the hosts that are not set up yet; return what to tell if there is none."""
        found = await async_search(self.hass, self._prefix)
        configured = self._async_current_ids(include_ignore=False)
        hosts = sorted(found.hosts.values(), key=lambda announce: announce.host.name.casefold())
        self._found = Found(
            {a.host.id: a for a in hosts if a.host.id not in configured}, found.refused
        )
        if self._found.hosts:
            return {}
        if found.hosts:
            return {"base": "all_configured"}
        for err in found.refused.values():
            return {"base": _abort_reason(err, "not_understood")}
        return {"base": "no_hosts"}

    def _create(self) -> ConfigFlowResult:
        """Create the entry of the host that was chosen."""
        host = self._announce.host
        title = host_title(self.hass, host)
        return self.async_create_entry(
            title=title,
            data={CONF_PREFIX: self._prefix, CONF_HOST_NAME: host.name, CONF_AUTO_TITLE: title},
        )

    # --- Reconfiguration ---------------------------------------------------------------------

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask what has changed."""
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=["topic_prefix", "reinstalled"],
            description_placeholders={"name": self._get_reconfigure_entry().title},
        )

    async def async_step_topic_prefix(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Follow the host to another topic prefix."""
        entry = self._get_reconfigure_entry()
        if (problem := await self._mqtt_problem()) is not None:
            return self.async_abort(reason=problem)
        assert entry.unique_id is not None
        errors: dict[str, str] = {}
        self._prefix = entry.data[CONF_PREFIX]
        if user_input is not None:
            self._prefix = user_input[CONF_PREFIX]
            if (prefix := _prefix(self._prefix)) is None:
                errors[CONF_PREFIX] = "invalid_prefix"
            else:
                found = await async_search(self.hass, prefix, entry.unique_id)
                if entry.unique_id in found.hosts:
                    return self.async_update_reload_and_abort(
                        entry, data_updates={CONF_PREFIX: prefix}
                    )
                errors[CONF_PREFIX] = "host_not_found"
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
        if (problem := await self._mqtt_problem()) is not None:
            return self.async_abort(reason=problem)
        if user_input is not None and CONF_HOST_ID in user_input:
            return await self._move(entry, self._found.hosts[user_input[CONF_HOST_ID]].host)
        self._prefix = entry.data[CONF_PREFIX]
        errors = await self._search()
        schema: dict[probatio.Marker, Any] = {}
        if self._found.hosts:
            schema[probatio.Required(CONF_HOST_ID)] = _host_selector(self._found)
        return self.async_show_form(
            step_id="reinstalled",
            data_schema=probatio.Schema(schema),
            errors=errors,
            description_placeholders={"name": entry.title, "prefix": self._prefix},
        )

    async def _move(self, entry: PilotConfigEntry, host: Host) -> ConfigFlowResult:
        """Go on with that host; it is not to be offered as a new one any more."""
        self._dismiss(host.id)
        await self.hass.config_entries.async_unload(entry.entry_id)
        await async_move_to(self.hass, entry, host.id)
        return self.async_update_reload_and_abort(entry, unique_id=host.id)


class PilotOptionsFlow(OptionsFlow):
    """Change the options of a host."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the options."""
        if user_input is not None:
            return self.async_create_entry(data=user_input)
        clear_on_remove: bool = self.config_entry.options.get(CONF_CLEAR_ON_REMOVE, False)
        return self.async_show_form(
            step_id="init",
            data_schema=probatio.Schema(
                {
                    probatio.Required(
                        CONF_CLEAR_ON_REMOVE, default=clear_on_remove
                    ): BooleanSelector()
                }
            ),
        )


def _machine(host: Host) -> str:
    """Return what kind of machine a host is."""
    return " ".join(filter(None, (host.manufacturer, host.model)))


def _host_selector(found: Found) -> SelectSelector:
    """Return a list of hosts to choose from, by name, model and id."""
    return SelectSelector(
        SelectSelectorConfig(
            mode=SelectSelectorMode.LIST,
            options=[
                SelectOptionDict(
                    value=host_id,
                    label=" · ".join(
                        filter(None, (announce.host.name, _machine(announce.host), host_id))
                    ),
                )
                for host_id, announce in found.hosts.items()
            ],
        )
    )


def _prefix(text: str) -> str | None:
    """Return a topic prefix as it is used; None if there can be no such topic."""
    prefix = text.strip().strip("/")
    try:
        mqtt.valid_publish_topic(prefix)
    except probatio.Invalid:
        return None
    return prefix


def _abort_reason(err: ProtocolError, otherwise: str = "invalid_discovery_info") -> str:
    """Return what to tell the user about an announce that was refused."""
    return err.kind if err.kind in ("protocol_newer", "protocol_older") else otherwise
