"""Set up hosts: found by discovery, or by a search that the user starts."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.config_entries import SOURCE_REAUTH, SOURCE_RECONFIGURE, ConfigFlowResult
from homeassistant.core import callback
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import TextSelector
from homeassistant.util.hass_dict import HassKey
import probatio

from .const import (
    CONF_AUTO_TITLE,
    CONF_HOST_NAME,
    CONF_PAIRED,
    CONF_PREFIX,
    DOMAIN,
    LOGGER,
)
from .devices import host_title, model_of, name_of
from .flow_base import (
    CONF_HOST_ID,
    async_dismiss_offer,
    async_mqtt_problem,
    host_field,
    machine,
    pair_command,
    refusal,
    topic_prefix,
)
from .ignored_hosts import async_get_removed_hosts
from .markdown import NOT_KNOWN
from .messages import payload_bytes
from .options_flow import PilotOptionsFlow
from .pacing import async_get_pacer
from .pairing_flow import CONF_CODE, PairingFlow
from .protocol.announce import Host, parse_announce
from .protocol.errors import ProtocolError
from .protocol.topics import Topics, split_announce_topic
from .reconfigure_flow import ReconfigureFlow
from .trust import TrustStore, async_get_trust

if TYPE_CHECKING:
    from homeassistant.helpers.service_info.mqtt import MqttServiceInfo

    from .data import PilotConfigEntry

SECTION_ADVANCED: Final = "advanced"

_LOGGED: HassKey[set[tuple[str, str]]] = HassKey(f"{DOMAIN}_refused_announces")
_MAX_LOGGED: Final = 1000
_LONGEST_LOGGED: Final = 200

MAX_OFFERS: Final = 50
"""Hosts that discovery offers at a time: more than are added in one go."""
_CROWDED: HassKey[bool] = HassKey(f"{DOMAIN}_crowded")


class PilotConfigFlow(PairingFlow, ReconfigureFlow, domain=DOMAIN):
    """Set up one host."""

    VERSION = 1
    MINOR_VERSION = 2

    def __init__(self) -> None:
        """Start without a host."""
        super().__init__()
        self._proves_fleet = False
        self._adding = False
        self._ended = asyncio.Event()

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
            if self.hass.config_entries.async_entry_for_domain_unique_id(DOMAIN, host_id):
                # That is all that is to be said of most, at each start of Home Assistant.
                await self.async_set_unique_id(host_id)
                self._abort_if_unique_id_configured()
            # A thousand hosts may be discovered within one event.
            await async_get_pacer(self.hass).async_turn()
            payload = payload_bytes(discovery_info.payload)
            announce = parse_announce(payload, host_id)
        except ProtocolError as err:
            self._log_once(discovery_info.topic, err)
            return self.async_abort(reason=refusal(err, "invalid_discovery_info"))
        if announce is None:
            async_dismiss_offer(self.hass, host_id)
            return self.async_abort(reason="invalid_discovery_info")
        await self.async_set_unique_id(host_id)
        self._abort_if_unique_id_configured()
        if host_id in await async_get_removed_hosts(self.hass):
            return self.async_abort(reason="removed_by_user")
        self._announce = announce
        trust = await async_get_trust(self.hass)
        if self._look_for_fleet(trust, payload) and trust.add_fleet:
            return await self._create_by_fleet()
        if self._is_crowded():
            return self.async_abort(reason="too_many_offers")
        self.context["title_placeholders"] = {
            "name": name_of(announce.host),
            "model": self._distinct_model(announce.host),
        }
        return await self.async_step_confirm()

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether this host is wanted, and for its code if it can be paired."""
        trust = await async_get_trust(self.hass)
        can_pair = self._announce.trust is not None and not self._proves_fleet and trust.readable
        if user_input is not None:
            if self._proves_fleet:
                return await self._create_by_fleet()
            if not (code := user_input.get(CONF_CODE, "").strip()):
                return self._create()
            host = self._announce.host
            self._command = pair_command(self._announce)
            return await self._async_pair("confirm", host.id, host.name, code)
        host, agent = self._announce.host, self._announce.agent
        return self.async_show_form(
            step_id="confirm",
            data_schema=probatio.Schema(
                {probatio.Optional(CONF_CODE): TextSelector()} if can_pair else {}
            ),
            errors=self._errors,
            description_placeholders={
                **self._tries_left,
                "command": pair_command(self._announce),
                "name": host.name,
                "model": machine(host) or NOT_KNOWN,
                "os": host.os or NOT_KNOWN,
                "version": agent.version,
                "host_id": host.id,
            },
        )

    @override
    async def async_step_paired(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Add a host that was paired, or go on with one that is set up."""
        if self.source in (SOURCE_REAUTH, SOURCE_RECONFIGURE):
            return await super().async_step_paired()
        # Two browsers, and Home Assistant itself, may ask what became of the pairing. A second
        # entry would replace the first, whose end revokes what was just paired; an abort while the
        # first is set up would end the flow, and the one that adds would hear that there is none.
        if self._adding:
            await self._ended.wait()
        self._abort_if_unique_id_configured()
        self._adding = True
        return self._create(paired=True)

    @callback
    @override
    def async_remove(self) -> None:
        """Let those go on who wait for the end of this flow."""
        self._ended.set()

    def _is_crowded(self) -> bool:
        """Say whether so many hosts are offered that this one is not: a client may invent them."""
        crowded = len(self._async_in_progress()) >= MAX_OFFERS
        if crowded and not self.hass.data.get(_CROWDED):
            LOGGER.warning(
                "%s computers are offered that are not set up. Further ones are not offered: add "
                "or ignore some, or find a computer under Settings > Devices & services > "
                "Add integration > Pilot, which lists all of them",
                MAX_OFFERS,
            )
        self.hass.data[_CROWDED] = crowded
        return crowded

    def _log_once(self, topic: str, err: ProtocolError) -> None:
        """Log a refused announce, once for its topic and what is wrong with it."""
        if topic.split("/")[-2] in self._async_current_ids(include_ignore=False):
            return  # The host is set up, and its coordinator says what there is to say.
        logged = self.hass.data.setdefault(_LOGGED, set())
        # A broker lets any client publish under any number of names; the log has to survive that.
        topic = topic[:_LONGEST_LOGGED]
        if (topic, err.kind) not in logged and len(logged) < _MAX_LOGGED:
            logged.add((topic, err.kind))
            LOGGER.warning("Refused an announce on %r: %s", topic, err.detail)

    def _distinct_model(self, host: Host) -> str:
        """Return what tells this host from others of its name."""
        model = model_of(host) or host.id
        for flow in self._async_in_progress():
            shown = flow["context"].get("title_placeholders", {})
            if shown.get("name") == name_of(host) and shown.get("model") == model:
                return f"{model}, {host.id[:6]}"
        return model

    # --- Search ------------------------------------------------------------------------------

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Search for hosts and let the user choose one.

        Discovery does not see hosts right after Pilot was installed (the MQTT integration
        reads the topics of other integrations when it starts), nor under other prefixes.
        """
        if (problem := await async_mqtt_problem(self.hass)) is not None:
            return self.async_abort(reason=problem)
        errors: dict[str, str] = {}
        entered = self._prefix
        if user_input is not None:
            entered = user_input[SECTION_ADVANCED][CONF_PREFIX]
            prefix = topic_prefix(entered)
            if prefix is None:
                errors["base"] = "invalid_prefix"
            elif prefix == self._prefix and user_input.get(CONF_HOST_ID) in self._found.hosts:
                return await self._choose(user_input[CONF_HOST_ID])
            else:
                entered = self._prefix = prefix
        if not errors:
            errors = await self._search()
        schema = host_field(self._found, suggest=True)
        schema[probatio.Required(SECTION_ADVANCED)] = section(
            probatio.Schema({probatio.Required(CONF_PREFIX, default=entered): TextSelector()}),
            # What is wrong must not hide in a section that is closed.
            {"collapsed": errors.get("base") != "invalid_prefix"},
        )
        return self.async_show_form(
            step_id="user" if self._found.hosts or errors else "all_added",
            data_schema=probatio.Schema(schema),
            errors=errors,
            description_placeholders={"prefix": self._prefix},
        )

    async_step_all_added = async_step_user
    """The same search, in the words for a house whose hosts are all set up: no error."""

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
