"""Set up hosts: found by discovery, or by a search that the user starts."""

from collections.abc import Mapping
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Any, override

from homeassistant.components import mqtt
from homeassistant.config_entries import (
    SOURCE_MQTT,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    OptionsFlow,
)
from homeassistant.core import callback
from homeassistant.data_entry_flow import section
from homeassistant.helpers import discovery_flow
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
from homeassistant.helpers.service_info.mqtt import MqttServiceInfo
from homeassistant.util.hass_dict import HassKey
import probatio

from .const import (
    CONF_AUTO_TITLE,
    CONF_CLEAR_ON_REMOVE,
    CONF_HOST_NAME,
    CONF_PAIRED,
    CONF_PREFIX,
    CONF_WAKE_ADDRESS,
    CONF_WAKE_PORT,
    DOMAIN,
    LOGGER,
)
from .devices import host_title, model_of
from .discovery import Found, async_search
from .host_migration import async_move_to
from .ignored_hosts import async_get_removed_hosts
from .markdown import NOT_KNOWN, markdown_placeholders
from .messages import payload_bytes
from .pair import async_pair
from .protocol.announce import Announce, Host, parse_announce
from .protocol.errors import ProtocolError
from .protocol.pairing import PairingError, read_code
from .protocol.signing import fleet_secret
from .protocol.topics import DEFAULT_PREFIX, Topics, split_announce_topic
from .trust import TrustStore, async_get_trust
from .wake_on_lan import DEFAULT_ADDRESS, DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from .data import PilotConfigEntry

CONF_CODE = "code"
CONF_FLEET_KEY = "fleet_key"
CONF_FLEET_MODE = "fleet_mode"
CONF_HOST_ID = "host_id"
SECTION_ADVANCED = "advanced"
SECTION_FLEET = "fleet"

FLEET_ADD = "add"
FLEET_ASK = "ask"
FLEET_FORGET = "forget"

# What the user is told, by why a host did not pair.
PAIRING_ERRORS = {
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
# Why a host is to be paired again.
LOST_KEYS = ("host_forgot", "host_revoked", "host_other_key", "host_says_not_paired", "lost_here")

_LOGGED: HassKey[set[tuple[str, str]]] = HassKey(f"{DOMAIN}_refused_announces")
_MAX_LOGGED = 1000


class PilotConfigFlow(ConfigFlow, domain=DOMAIN):
    """Set up one host."""

    VERSION = 1
    MINOR_VERSION = 2

    def __init__(self) -> None:
        """Start without a host."""
        self._prefix = DEFAULT_PREFIX
        self._announce: Announce
        self._found = Found()
        self._proves_fleet = False
        self._tries_left: dict[str, str] = {}
        self._lost: str | None = None

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: PilotConfigEntry) -> PilotOptionsFlow:
        """Return the flow that changes options."""
        return PilotOptionsFlow()

    # Descriptions are drawn as Markdown, and what a host says of itself goes into them: here
    # every placeholder of every step is escaped.

    @override
    @callback
    def async_show_form(
        self,
        *,
        step_id: str | None = None,
        data_schema: probatio.Schema | None = None,
        errors: dict[str, str] | None = None,
        description_placeholders: Mapping[str, str] | None = None,
        last_step: bool | None = None,
        preview: str | None = None,
    ) -> ConfigFlowResult:
        """Return a form."""
        return super().async_show_form(
            step_id=step_id,
            data_schema=data_schema,
            errors=errors,
            description_placeholders=markdown_placeholders(description_placeholders or {}),
            last_step=last_step,
            preview=preview,
        )

    @override
    @callback
    def async_show_menu(
        self,
        *,
        step_id: str | None = None,
        menu_options: Container[str],
        sort: bool = False,
        description_placeholders: Mapping[str, str] | None = None,
    ) -> ConfigFlowResult:
        """Return a menu."""
        return super().async_show_menu(
            step_id=step_id,
            menu_options=menu_options,
            sort=sort,
            description_placeholders=markdown_placeholders(description_placeholders or {}),
        )

    # --- Discovery ---------------------------------------------------------------------------

    @override
    async def async_step_mqtt(self, discovery_info: MqttServiceInfo) -> ConfigFlowResult:
        """Look at an announce that Home Assistant's MQTT integration came across."""
        try:
            self._prefix, host_id = split_announce_topic(discovery_info.topic)
            payload = payload_bytes(discovery_info.payload)
            announce = parse_announce(payload, host_id)
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
        trust = await async_get_trust(self.hass)
        if self._look_for_fleet(trust, payload) and trust.add_fleet:
            return await self._create_by_fleet()
        self.context["title_placeholders"] = {
            "name": announce.host.name,
            "model": self._distinct_model(announce.host),
        }
        return await self.async_step_confirm()

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether this host is wanted, and for its code if it can be paired."""
        errors: dict[str, str] = {}
        can_pair = self._announce.trust is not None and not self._proves_fleet
        if user_input is not None:
            if self._proves_fleet:
                return await self._create_by_fleet()
            if not (code := user_input.get(CONF_CODE, "").strip()):
                return self._create()
            if not (errors := await self._pair(self._announce.host.id, code)):
                return self._create(paired=True)
        host, agent = self._announce.host, self._announce.agent
        return self.async_show_form(
            step_id="confirm",
            data_schema=probatio.Schema(
                {probatio.Optional(CONF_CODE): TextSelector()} if can_pair else {}
            ),
            errors=errors,
            description_placeholders={
                **self._tries_left,
                "name": host.name,
                "model": _machine(host) or host.arch or NOT_KNOWN,
                "os": host.os or NOT_KNOWN,
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
        trust = await async_get_trust(self.hass)
        errors: dict[str, str] = {}
        if user_input is not None:
            prefix = _prefix(user_input[SECTION_ADVANCED][CONF_PREFIX])
            fleet = user_input.get(SECTION_FLEET, {})
            if prefix is None:
                errors["base"] = "invalid_prefix"
            elif _changes_fleet(trust, fleet):
                if await self._change_fleet(trust, fleet, prefix):
                    return self.async_abort(reason="fleet_saved")
                errors["base"] = "invalid_fleet_key"
            elif prefix == self._prefix and user_input.get(CONF_HOST_ID) in self._found.hosts:
                return await self._choose(user_input[CONF_HOST_ID])
            else:
                self._prefix = prefix
        if not errors:
            errors = await self._search()
        schema: dict[probatio.Marker, Any] = {}
        if self._found.hosts:
            schema[probatio.Required(CONF_HOST_ID, default=next(iter(self._found.hosts)))] = (
                _host_selector(self._found)
            )
        schema[probatio.Optional(SECTION_FLEET)] = section(
            probatio.Schema(
                {
                    probatio.Optional(CONF_FLEET_KEY): TextSelector(
                        TextSelectorConfig(type=TextSelectorType.PASSWORD)
                    ),
                    probatio.Optional(CONF_FLEET_MODE, default=_fleet_mode(trust)): SelectSelector(
                        SelectSelectorConfig(
                            mode=SelectSelectorMode.LIST,
                            options=[FLEET_ADD, FLEET_ASK, FLEET_FORGET],
                            translation_key=CONF_FLEET_MODE,
                        )
                    ),
                }
            ),
            {"collapsed": True},
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
            {a.host.id: a for a in hosts if a.host.id not in configured},
            found.refused,
            found.payloads,
        )
        if self._found.hosts:
            return {}
        if found.hosts:
            return {"base": "all_configured"}
        for err in found.refused.values():
            return {"base": _abort_reason(err, "not_understood")}
        return {"base": "no_hosts"}

    async def _choose(self, host_id: str) -> ConfigFlowResult:
        """Go on with a host that was found."""
        self._announce = self._found.hosts[host_id]
        await self.async_set_unique_id(host_id, raise_on_progress=False)
        self._abort_if_unique_id_configured()
        trust = await async_get_trust(self.hass)
        if self._look_for_fleet(trust, self._found.payloads.get(host_id, b"")):
            return await self._create_by_fleet()
        if self._announce.trust is None:
            return self._create()
        return await self.async_step_confirm()

    def _create(self, *, paired: bool = False) -> ConfigFlowResult:
        """Create the entry of the host that was chosen."""
        host = self._announce.host
        title = host_title(self.hass, host)
        data = {CONF_PREFIX: self._prefix, CONF_HOST_NAME: host.name, CONF_AUTO_TITLE: title}
        return self.async_create_entry(
            title=title, data=data | ({CONF_PAIRED: True} if paired else {})
        )

    # --- Pairing -----------------------------------------------------------------------------

    async def _pair(self, host_id: str, code: str) -> dict[str, str]:
        """Pair with a host, and keep what is shared with it; return what went wrong."""
        if (digits := read_code(code)) is None:
            return {CONF_CODE: "invalid_code"}
        try:
            secret = await async_pair(self.hass, self._prefix, host_id, digits)
        except PairingError as err:
            if err.left is not None:
                self._tries_left = {"left": str(err.left)}
            # The last try burns the code, whatever it was wrong about.
            reason = "burned" if err.left is not None and err.left <= 0 else err.reason
            return {"base": PAIRING_ERRORS[reason]}
        await (await async_get_trust(self.hass)).async_pair(host_id, secret)
        return {}

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

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Take note that a host seems to have lost its keys."""
        self._lost = str(entry_data.get("reason", "host_forgot"))
        entry = self._get_reauth_entry()
        loaded = entry.state is ConfigEntryState.LOADED
        announce = entry.runtime_data.coordinator.data if loaded else None
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

    async def async_step_pair(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Pair with a host that was added without."""
        return await self._pair_again("pair", user_input)

    # --- Fleet -------------------------------------------------------------------------------

    def _look_for_fleet(self, trust: TrustStore, payload: bytes) -> bool:
        """Look whether a host proved that it has the fleet key."""
        host_id = self._announce.host.id
        topic = Topics(self._prefix, host_id).announce
        self._proves_fleet = trust.proves_fleet(self._prefix, host_id, topic, payload)
        return self._proves_fleet

    async def _create_by_fleet(self) -> ConfigFlowResult:
        """Create the entry of a host that proved the fleet key, which is all it has to."""
        trust = await async_get_trust(self.hass)
        await trust.async_pair(self._announce.host.id, None)
        return self._create()

    async def _change_fleet(self, trust: TrustStore, fleet: dict[str, Any], prefix: str) -> bool:
        """Keep another fleet key, or what to do with its hosts; say whether that was one."""
        mode, key = fleet.get(CONF_FLEET_MODE, FLEET_ADD), fleet.get(CONF_FLEET_KEY)
        try:
            secret = trust.fleet if not key else fleet_secret(key)
        except ValueError:
            return False
        if mode == FLEET_FORGET:
            secret = None
        await trust.async_set_fleet(secret, add=mode == FLEET_ADD)
        for entry in self._async_current_entries(include_ignore=False):
            # Those that have no key of their own may be of the fleet now, or not any more.
            if entry.state is ConfigEntryState.LOADED and not entry.data.get(CONF_PAIRED):
                self.hass.config_entries.async_schedule_reload(entry.entry_id)
        found = await async_search(self.hass, prefix)
        for host_id in found.hosts:
            topic, payload = Topics(prefix, host_id).announce, found.payloads[host_id]
            if trust.proves_fleet(prefix, host_id, topic, payload):
                self._dismiss(host_id)
                discovery_flow.async_create_flow(
                    self.hass,
                    DOMAIN,
                    {"source": SOURCE_MQTT},
                    MqttServiceInfo(topic, payload, 1, True, topic, monotonic()),
                )
        return True

    # --- Reconfiguration ---------------------------------------------------------------------

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
        assert entry.unique_id is not None
        # Its new installation has no key; once it is followed, the user is asked to pair.
        await (await async_get_trust(self.hass)).async_forget(entry.unique_id)
        await self.hass.config_entries.async_unload(entry.entry_id)
        await async_move_to(self.hass, entry, host.id)
        return self.async_update_reload_and_abort(entry, unique_id=host.id)


class PilotOptionsFlow(OptionsFlow):
    """Change the options of a host."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the options."""
        errors: dict[str, str] = {}
        if user_input is not None:
            if _is_address(user_input.get(CONF_WAKE_ADDRESS, DEFAULT_ADDRESS)):
                return self.async_create_entry(data=user_input)
            errors[CONF_WAKE_ADDRESS] = "invalid_address"
        options = self.config_entry.options
        clear_on_remove: bool = options.get(CONF_CLEAR_ON_REMOVE, False)
        return self.async_show_form(
            step_id="init",
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


def _can_pair(entry: PilotConfigEntry) -> bool:
    """Say whether a host's agent knows of pairing, as far as it has been heard."""
    if entry.state is not ConfigEntryState.LOADED:
        return True
    announce = entry.runtime_data.coordinator.data
    return announce is None or announce.trust is not None


def _fleet_mode(trust: TrustStore) -> str:
    """Return what is done with hosts that prove the fleet key."""
    return FLEET_ADD if trust.add_fleet else FLEET_ASK


def _changes_fleet(trust: TrustStore, fleet: dict[str, Any]) -> bool:
    """Say whether the user entered something about the fleet key."""
    mode = fleet.get(CONF_FLEET_MODE, _fleet_mode(trust))
    return bool(fleet.get(CONF_FLEET_KEY)) or mode != _fleet_mode(trust)


def _is_address(text: str) -> bool:
    """Say whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


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
